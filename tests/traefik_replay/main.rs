//! A recorded configuration of v1.7.20 and its recorded responses, replayed against the running proxy on both drivers.
//!
//! The recording is not part of this package. Without it the test replays only `own.toml` and `own-responses.txt` beside this file, a
//! small recording in the same form.

#[path = "../support/mod.rs"]
mod base;
mod compare;
mod differences;
mod origin;
mod recording;
mod sent;
#[allow(dead_code, reason = "shared with tests/middlewares_live")]
#[path = "../middlewares_live/support.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base::{free_port, project, wait_for};
use differences::DIFFERENCES;
use origin::Origins;
use recording::{Block, Recording};
use support::{DRIVERS, Proxy};

/// The port of the https entry point, to which the recorded redirects and the recorded `tlsb` backend lead.
const HTTPS_PORT: u16 = 28443;

#[test]
fn recorded_responses_are_reproduced() {
    let own = project().join("tests/traefik_replay");
    let mut replays = vec![(own.join("own.toml"), own.join("own-responses.txt"))];
    let shared = project().join("../shared/cases");
    match shared.is_dir() {
        true => replays.push((shared.join("observed-rules.toml"), shared.join("observed-responses.txt"))),
        false => println!("skipped: no shared cases; the project's own small recording is replayed alone"),
    }
    // The rules name the ports of their servers, so the replays run one after the other.
    let _origins = Origins::start();
    for driver in DRIVERS {
        for (rules, answers) in &replays {
            replay(driver, rules, answers);
        }
    }
}

fn replay(driver: &str, rules: &Path, answers: &PathBuf) {
    let recording = Recording::parse(&std::fs::read_to_string(answers).expect("recorded answers"));
    let rules = std::fs::read_to_string(rules).expect("recorded rules");
    let entry = format!(
        "sanitizePath=false\n[entryPoints.https]\naddress=\"127.0.0.1:{HTTPS_PORT}\"\n[entryPoints.https.tls]\n\
         [entryPoints.gz]\naddress=\"127.0.0.1:{}\"\ncompress=true",
        free_port()
    );
    let proxy = Proxy::with_entry_points(driver, &entry, "[retry]\nattempts=1", &rules);
    if rules.contains("Host:hc") {
        wait_for("the first health check is over", Duration::from_secs(10), || match proxy.get("hc", "/").status {
            503 => Ok(()),
            other => Err(other.to_string()),
        });
    }
    let (mut wrong, mut differing) = (Vec::new(), Vec::new());
    for block in &recording.blocks {
        for problem in given(&proxy, block, &recording) {
            match DIFFERENCES.iter().position(|listed| listed.covers(&block.title, &problem)) {
                Some(listed) => differing.push(listed),
                None => wrong.push(format!("{}: {problem}", block.title)),
            }
        }
    }
    wrong.extend(turns(&proxy, &recording));
    wrong.extend(statuses(&proxy, &recording));
    assert!(wrong.is_empty(), "{driver}: {} of {}:\n{}", wrong.len(), recording.blocks.len(), wrong.join("\n"));
    let unused = DIFFERENCES.iter().enumerate().filter(|(at, listed)| {
        !differing.contains(at) && recording.blocks.iter().any(|block| block.title.starts_with(listed.block))
    });
    let unused: Vec<&str> = unused.map(|(_, listed)| listed.block).collect();
    assert!(unused.is_empty(), "{driver}: agree after all, though listed: {unused:?}");
    println!("{driver}: {} answers, {} listed differences", recording.blocks.len(), differing.len());
}

/// Returns the differences of the response to a recorded request.
fn given(proxy: &Proxy, block: &Block, recording: &Recording) -> Vec<String> {
    // The circumstances of the request: another active request, or failures before it.
    let slow = (block.title == "mc / ").then(|| sent::hold(proxy, "mc"));
    let mut problems = Vec::new();
    if block.title == "cb / " {
        let given: Vec<u16> = recording.statuses[0].iter().map(|_| proxy.get("cb", "/?code=500").status).collect();
        if given != recording.statuses[0] {
            problems.push(format!("statuses {given:?} instead of {:?}", recording.statuses[0]));
        }
    }
    match sent::answer(proxy, block) {
        Ok(Some(answer)) => problems.extend(compare::problems(&block.answer, &answer)),
        Ok(None) => problems.push("not replayed".to_owned()),
        Err(problem) => problems.push(problem),
    }
    drop(slow);
    problems
}

/// Checks the recorded rotation of weighted servers: the first line belongs to weights 1 and 3, the second to 0 and 2.
fn turns(proxy: &Proxy, recording: &Recording) -> Vec<String> {
    let mut wrong = Vec::new();
    for (host, recorded) in ["b12", "w0"].into_iter().zip(&recording.turns) {
        let given: Vec<String> = (0..recorded.len()).map(|_| compare::name_of(&proxy.get(host, "/"))).collect();
        // The start of the rotation is random in Traefik: only the number of turns of each server is compared.
        let share = |names: &[String]| names.iter().filter(|name| *name == "b2").count();
        if share(&given) != share(recorded) {
            wrong.push(format!("{host}: turns {given:?} instead of {recorded:?}"));
        }
    }
    wrong
}

/// Checks the recorded statuses of a backend with one dead server. The line before them shows a breaker's recovery, which depends on
/// chance: tests/middlewares tests it with a controlled clock.
fn statuses(proxy: &Proxy, recording: &Recording) -> Vec<String> {
    let Some([_, _, dead_and_alive]) = recording.statuses.get(..3) else { return Vec::new() };
    let given: Vec<u16> = dead_and_alive.iter().map(|_| proxy.get("deadlive", "/").status).collect();
    let share = |statuses: &[u16]| statuses.iter().filter(|status| **status == 502).count();
    match share(&given) == share(dead_and_alive) {
        true => Vec::new(),
        false => vec![format!("deadlive: {given:?} instead of {dead_and_alive:?}")],
    }
}
