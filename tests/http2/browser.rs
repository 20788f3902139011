//! Debian's Chromium loads a page with a hundred images through one connection of HTTP/2.

use std::collections::BTreeSet;
use std::process::Command;

use crate::peers::Peer;
use crate::proxy::{Entry, Proxy};
use crate::support::ringway::DRIVERS;
use crate::support::{installed, tool_or_skip};
use crate::tools::{output_of, python_or_skip};

const IMAGES: usize = 100;
/// Chromium asks no host but the proxy: not for updates, not for the time, not for a proxy's configuration.
const FLAGS: [&str; 16] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--metrics-recording-only",
    "--ignore-certificate-errors",
    "--virtual-time-budget=20000",
    "--dump-dom",
];

#[test]
fn chromium_loads_a_hundred_images_over_one_connection() {
    if !tool_or_skip("chromium", installed("chromium")) || !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        let before = proxy.access_log(1).len();
        let url = format!("https://a.test:{}/many/{IMAGES}", proxy.port(Entry::Tls));
        let profile = format!("--user-data-dir={}", proxy.process.file("profile").display());
        let mut command = Command::new("timeout");
        command.args(["60", "chromium"]).args(FLAGS).args([&profile, "--host-resolver-rules=MAP * 127.0.0.1", &url]);
        let (_, text) = output_of(&mut command);
        assert_eq!(text.matches("<img ").count(), IMAGES, "({driver}): {text}");
        let lines = proxy.access_log(before + 1 + IMAGES);
        let field = |line: &str, name: &str| {
            let value: serde_json::Value = serde_json::from_str(line).expect("a line of json");
            value[name].as_str().unwrap_or_default().to_owned()
        };
        let lines: Vec<&String> =
            lines[before..].iter().filter(|line| !field(line, "RequestPath").contains("favicon")).collect();
        let pictures = lines.iter().filter(|line| field(line, "RequestPath").starts_with("/picture/")).count();
        assert_eq!(pictures, IMAGES, "({driver}): {lines:?}");
        let versions: BTreeSet<String> = lines.iter().map(|line| field(line, "RequestProtocol")).collect();
        assert_eq!(versions, BTreeSet::from(["HTTP/2.0".to_owned()]), "({driver})");
        let clients: BTreeSet<String> = lines.iter().map(|line| field(line, "ClientAddr")).collect();
        assert_eq!(clients.len(), 1, "({driver}): more than one connection: {clients:?}");
    }
}
