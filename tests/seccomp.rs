//! The shipped seccomp profile: with it the proxy has its ring; without the three io_uring calls it serves on epoll.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;
use support::docker::{Engine, ringway_image};
use support::{docker_or_skip, project, run, stdout_of, wait_for};

const CONFIG: &str = r#"
[entryPoints.http]
address = ":80"
[ping]
entryPoint = "http"
"#;
const RING_CALLS: [&str; 3] = ["io_uring_setup", "io_uring_enter", "io_uring_register"];
const START_SECS_MAX: u64 = 15;

#[test]
fn shipped_profile_allows_io_uring() {
    if !docker_or_skip() {
        return;
    }
    let profile = project().join("docs/seccomp-ringway.json");
    let (has_ring, log) = serve_under(&profile, &["--logLevel=info"]);
    assert!(has_ring, "the shipped profile keeps io_uring from the proxy: {log}");
    assert!(log.contains(" on io_uring ("), "the log does not name the driver: {log}");
}

#[test]
fn profile_without_io_uring_calls_falls_back_to_epoll() {
    if !docker_or_skip() {
        return;
    }
    let shipped = fs::read_to_string(project().join("docs/seccomp-ringway.json")).expect("the profile");
    let mut profile: serde_json::Value = serde_json::from_str(&shipped).expect("the profile is JSON");
    for group in profile["syscalls"].as_array_mut().expect("the profile has groups") {
        let names = group["names"].as_array_mut().expect("a group has names");
        names.retain(|name| !RING_CALLS.iter().any(|call| name == call));
    }
    let groups = profile["syscalls"].as_array_mut().expect("the profile has groups");
    groups.retain(|group| group["names"].as_array().is_some_and(|names| !names.is_empty()));
    assert!(RING_CALLS.iter().all(|call| shipped.contains(call) && !profile.to_string().contains(call)));
    let work = tempfile::tempdir().expect("a folder for the test");
    let file = work.path().join("denied.json");
    fs::write(&file, profile.to_string()).expect("the narrower profile");
    // At the default level, which shows errors only: this message has to be shown all the same.
    let (has_ring, log) = serve_under(&file, &[]);
    assert!(!has_ring, "a ring in spite of the profile");
    assert!(
        log.contains(" on epoll (") && log.contains("seccomp profile denies it"),
        "the log does not say why: {log}"
    );
}

#[test]
fn example_backend_runs_under_the_shipped_profile() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let mut engine = Engine::new("rw-seccomp");
    let image = engine.whoami_image(work.path());
    let network = engine.network("net");
    let profile = format!("seccomp={}", project().join("docs/seccomp-ringway.json").display());
    let container = engine.run("whoami", &["--security-opt", &profile, "--network", &network, &image]);
    answers(&format!("http://{}/", engine.address(&container, &network)));
}

/// Starts the image under a profile, waits until it responds, and returns whether the process holds a ring, and its log.
fn serve_under(profile: &Path, flags: &[&str]) -> (bool, String) {
    let work = tempfile::tempdir().expect("a folder for the test");
    let config = work.path().join("traefik.toml");
    fs::write(&config, CONFIG).expect("traefik.toml");
    let mut engine = Engine::new("rw-seccomp");
    let network = engine.network("net");
    let (option, mount) = (format!("seccomp={}", profile.display()), format!("{}:/traefik.toml", config.display()));
    let image = ringway_image();
    // No limit is raised: an engine inside a container may not raise any, and Ringway then uses smaller rings.
    let arguments = ["--security-opt", &option, "--network", &network, "-v", &mount, &image];
    let arguments = [&arguments[..], flags].concat();
    let container = engine.run("proxy", &arguments);
    answers(&format!("http://{}/ping", engine.address(&container, &network)));
    let pid = stdout_of("docker", &["inspect", "--format", "{{.State.Pid}}", &container]);
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process's open files (the test runs as root)");
    let mut targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    let has_ring = targets.any(|target| target.to_string_lossy() == "anon_inode:[io_uring]");
    (has_ring, engine.logs(&container))
}

fn answers(url: &str) {
    wait_for(&format!("an answer from {url}"), Duration::from_secs(START_SECS_MAX), || {
        let output = run("curl", &["-sSf", "-m", "2", url]);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    });
}
