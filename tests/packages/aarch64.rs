//! The binary for aarch64, run under qemu-user: starts, serves, stops.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::has;
use crate::support::{self, Background};

const EMULATOR: &str = "qemu-aarch64-static";

/// The binary that scripts/test.sh has built; `None`, with a note, if no compiler for aarch64 is there.
fn binary() -> Option<String> {
    if !has(EMULATOR) || !has("curl") {
        return None;
    }
    let binary = std::env::var("RINGWAY_AARCH64_BINARY").ok().filter(|file| !file.is_empty());
    if binary.is_none() {
        eprintln!(
            "skipped: RINGWAY_AARCH64_BINARY names no binary; scripts/static-binary.sh aarch64-unknown-linux-gnu dev builds one"
        );
    }
    binary
}

#[test]
fn binary_for_aarch64_is_static_and_serves_under_qemu() {
    let Some(binary) = binary() else { return };
    let head = support::stdout_of("readelf", &["--file-header", "--program-headers", &binary]);
    assert!(head.contains("AArch64") && !head.contains("Requesting program interpreter"), "{head}");
    let version = support::stdout_of(EMULATOR, &[&binary, "version"]);
    assert!(version.contains("linux/aarch64"), "{version}");

    let folder = tempfile::tempdir().expect("a folder");
    let (port, config) = (support::free_port(), folder.path().join("ringway.toml"));
    let text = format!(
        "driver = \"epoll\"\n[entryPoints.http]\naddress = \"127.0.0.1:{port}\"\n[ping]\nentryPoint = \"http\"\n[file]\n\
         [frontends.a]\nbackend = \"a\"\n[frontends.a.routes.a]\nrule = \"Host:site.test\"\n\
         [backends.a.servers.a]\nurl = \"http://127.0.0.1:{port}\"\n"
    );
    fs::write(&config, text).expect("the configuration");
    let mut command = Command::new(EMULATOR);
    command.arg(&binary).arg(format!("--configFile={}", config.display()));
    let mut process = Background::start(command, folder.path().join("log"));
    let ask = |host: &str, path: &str| {
        let url = format!("http://127.0.0.1:{port}{path}");
        let output =
            support::run("curl", &["-sS", "-m", "10", "-H", &format!("Host: {host}"), "-w", " %{http_code}", &url]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    support::wait_for("the emulated proxy answers", Duration::from_secs(60), || match ask("other.test", "/ping") {
        text if text == "OK 200" => Ok(()),
        text => Err(format!("{text}\n{}", process.log_text())),
    });
    // Through a route to the proxy itself, which has none for this path.
    assert!(ask("other.test", "/none").ends_with(" 404"));
    support::stdout_of("kill", &["-TERM", &process.id().to_string()]);
    let status = support::wait_for("the emulated proxy stops", Duration::from_secs(60), || {
        process.status().ok_or_else(|| "it runs".to_owned())
    });
    assert_eq!(status.code(), Some(0), "{}", process.log_text());
}
