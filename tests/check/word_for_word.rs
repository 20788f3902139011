//! The messages of `check` are those of the running proxy.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::case::{Case, can_isolate, names};

/// Codes of findings about a state, which the running proxy does not log but shows as its certificates' next step.
const STATES: [&str; 2] = ["missing-certificate", "name-leads-elsewhere"];

/// Inputs whose routes the proxy never reads, because the entry points end the start.
const ENDS_EARLIER: [&str; 1] = ["everything-at-once"];

/// How many processes run at once.
const AT_ONCE: usize = 4;

#[test]
fn running_proxy_logs_each_message_of_check_word_for_word() {
    if !can_isolate() {
        return;
    }
    let names = names();
    let inputs: Vec<&String> = names.iter().filter(|name| !ENDS_EARLIER.contains(&name.as_str())).collect();
    // Most of the time is spent waiting.
    let results: Vec<Result<usize, String>> = thread::scope(|scope| {
        let chunks = inputs.chunks(inputs.len().div_ceil(AT_ONCE));

        let threads: Vec<_> = chunks
            .map(|chunk| scope.spawn(move || chunk.iter().map(|name| compare(name)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a result")).collect()
    });
    let failed: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let compared: usize = results.iter().flatten().sum();
    assert!(compared > 80, "only {compared} messages");
}

/// Compares the messages of one input, and returns their number.
fn compare(name: &str) -> Result<usize, String> {
    let case = Case::prepare(name);
    let messages = messages(&case);
    if messages.is_empty() {
        return Ok(0);
    }
    let mut process = case.start();
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let text = std::fs::read_to_string(case.folder.path().join("log")).unwrap_or_default();
        let log = case.stable(&logged(&text));
        let Some(missing) = messages.iter().find(|message| !log.contains(message.as_str())) else {
            process.end();
            return Ok(messages.len());
        };
        if Instant::now() > end {
            return Err(format!("{name}: {missing:?} is not in\n{log}"));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The messages of `check` that are about mistakes.
fn messages(case: &Case) -> Vec<String> {
    let output = case.check(&["--format=json"]);
    let Ok(document) = serde_json::from_slice::<Value>(&output.stdout) else {
        // The check cannot run, and neither can the proxy: both say why.
        return String::from_utf8_lossy(&output.stderr).lines().map(|line| case.stable(line)).collect();
    };
    let findings = document["findings"].as_array().expect("findings").iter();
    let mistakes = findings.filter(|finding| !STATES.contains(&finding["code"].as_str().unwrap_or_default()));
    mistakes.map(|finding| case.stable(finding["message"].as_str().expect("a message"))).collect()
}

/// The messages of the log's lines in JSON, and other lines as they are.
fn logged(log: &str) -> String {
    let line = |line: &str| match serde_json::from_str::<Value>(line) {
        Ok(entry) => entry["msg"].as_str().unwrap_or_default().to_owned(),
        Err(_) => line.to_owned(),
    };
    log.lines().map(line).collect::<Vec<_>>().join("\n")
}
