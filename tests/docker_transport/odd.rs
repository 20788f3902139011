//! Engines whose responses have odd elements: each costs itself alone, and a message names it.

use super::scripted::{Scripted, container, inspected};
use super::{first_urls, follow, settings};
use std::time::Duration;

/// Odd entries of a listing and odd descriptions, as in other engines, newer versions and damaged responses.
fn odd_engine() -> Scripted {
    let engine = Scripted::start("1.41", "1.24");
    let listed = [
        r#"{"Id":"good","Names":["/good"],"State":"running"}"#,
        r#"{"Id":"stopped","Names":["/stopped"],"State":"stopped","Status":{"odd":1}}"#,
        r#"{"Id":"unknown","State":"no such state","Ports":"none","Labels":[]}"#,
        r#"{"Id":"brief"}"#,
        r#"{"Names":["/nameless"]}"#,
        r#"{"Id":{"odd":1},"Names":["/odd-id"]}"#,
        "null",
        "5",
        r#"{"Id":"nulls","Created":"1700000000","SizeRw":"12"}"#,
        r#"{"Id":"list","State":null}"#,
        r#"{"Id":"text"}"#,
        r#"{"Id":"last"}"#,
    ];
    engine.answer("/containers/json", &format!("[{}]", listed.join(",")));
    engine.answer("/containers/good/json", &container("good", 1));
    engine.answer("/containers/stopped/json", r#"{"Id":"stopped","Name":"/stopped","State":{"Status":"stopped"}}"#);
    let unknown = r#""State":{"Status":"no such state","Running":true,"Health":{"Status":null}}"#;
    engine.answer("/containers/unknown/json", &inspected("unknown", unknown, "10.1.2.2", "{}"));
    engine.answer("/containers/brief/json", r#"{"Id":"brief"}"#);
    let nulls = r#""State":{"Running":"true","Paused":null,"ExitCode":"0","Health":null}"#;
    engine.answer("/containers/nulls/json", &inspected("nulls", nulls, "10.1.2.3", r#"{"a":null,"b":7}"#));
    engine.answer(
        "/containers/list/json",
        r#"{"Id":"list","Name":"/list","State":{"Running":true},"Config":{"Labels":["a"]}}"#,
    );
    engine.answer("/containers/text/json", "this is no JSON");
    engine.answer("/containers/last/json", &container("last", 4));
    engine
}

#[tokio::test]
async fn odd_container_costs_itself_alone() {
    let engine = odd_engine();
    let mut updates = follow(settings(engine.port));
    let mut urls = first_urls(&mut updates).await;
    urls.sort();
    assert_eq!(urls, ["http://10.1.2.1:80", "http://10.1.2.2:80", "http://10.1.2.3:80", "http://10.1.2.4:80"]);
}

/// The messages of a whole process, at the default level.
#[test]
fn odd_containers_are_named_once_at_the_default_level() {
    let engine = odd_engine();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ringway.toml");
    let text = format!(
        "[entryPoints.http]\naddress = \"127.0.0.1:0\"\n[docker]\nendpoint = \"tcp://127.0.0.1:{}\"\ndomain = \"test\"\n",
        engine.port
    );
    std::fs::write(&config, text).unwrap();
    let log = folder.path().join("log");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("-c").arg(&config);
    let output = std::fs::File::create(&log).unwrap();
    let mut process = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
    let read = || std::fs::read_to_string(&log).unwrap();
    for _ in 0..200 {
        if read().contains("container text") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    for _ in 0..3 {
        engine.event(r#"{"Type":"container","Action":"rename","Actor":{"ID":"list"}}"#);
        std::thread::sleep(Duration::from_millis(150));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let log = read();
    for (name, part) in [
        ("container list", "the Engine's description of container list cannot be read: its Config.Labels is"),
        ("container text", "the Engine's description of container text cannot be read: the response is no JSON"),
        (r#"container \"/nameless\""#, "its entry in the Engine's list cannot be read: it has no Id"),
        (r#"container \"/odd-id\""#, "its entry in the Engine's list cannot be read: its Id is"),
    ] {
        let is_named = |line: &&str| line.contains(part) && line.contains(name) && line.contains("level=error");
        assert_eq!(log.lines().filter(is_named).count(), 1, "{name}: {part:?} in\n{log}");
    }
}
