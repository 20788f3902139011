//! The running proxy with the default log level.

use std::fmt::Write;
use std::time::Duration;

use crate::base::ringway::{Ringway, Setup};
use crate::base::{run, wait_for};

const CONFIG: &str = r#"
workers = 2
providersThrottleDuration = "100ms"
@fixed@
[file]
filename = "@dir@/rules.toml"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
@client@
"#;

/// A route: its host, its server, and keys of the frontend.
pub type Route<'a> = (&'a str, String, String);

/// Starts a proxy with top-level keys, keys of the TLS entry point, and routes. No log level is set.
pub fn start(driver: &str, fixed: &str, client: &str, routes: &[Route<'_>]) -> Ringway {
    let mut rules = String::new();
    for (host, url, frontend) in routes {
        let name = host.replace('.', "-");
        let frontend = frontend.replace("[F.", &format!("[frontends.{name}."));
        write!(
            rules,
            "[backends.{name}.servers.s]\nurl={url:?}\n[frontends.{name}]\nentryPoints=[\"http\",\"https\"]\nbackend={name:?}\n\
             [frontends.{name}.routes.r]\nrule=\"Host:{host}\"\n{frontend}\n"
        )
        .expect("text");
    }
    let setup = Setup::new(driver, CONFIG).fill("@fixed@", fixed).fill("@client@", client);
    let process = setup.file("rules.toml", rules).spawn();
    process.await_port(process.http);
    process
}

/// The number of log lines of this kind, once there is one. Lines are written by a thread of their own, so later ones get a moment.
pub fn count_lines(proxy: &Ringway, what: &str, is_line: impl Fn(&str) -> bool) -> usize {
    let count = || proxy.log().lines().filter(|line| is_line(line)).count();
    wait_for(&format!("a line about {what}"), Duration::from_secs(20), || match count() {
        0 => Err(proxy.log()),
        _ => Ok(()),
    });
    std::thread::sleep(Duration::from_millis(300));
    count()
}

/// The status of the host's page over plain HTTP.
pub fn status(proxy: &Ringway, host: &str) -> String {
    let host = format!("Host: {host}");
    proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &host, &proxy.url("/")])
}

/// The status of the host's page over TLS with a client certificate and its key, or curl's error text.
pub fn status_with(proxy: &Ringway, host: &str, identity: Option<(&str, &str)>) -> String {
    let (port, url) = (proxy.https, format!("https://{host}:{}/", proxy.https));
    let resolve = format!("{host}:{port}:127.0.0.1");
    let mut arguments =
        vec!["-sSk", "--max-time", "20", "--resolve", &resolve, "-o", "/dev/null", "-w", "%{http_code}", &url];
    // With HTTP/2 curl sends at once, and reports that the connection is closed instead of the alert that closes it.
    arguments.push("--http1.1");
    if let Some((certificate, key)) = identity {
        arguments.extend(["--cert", certificate, "--key", key]);
    }
    let output = run("curl", &arguments);
    match output.status.success() {
        true => String::from_utf8_lossy(&output.stdout).into_owned(),
        false => String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
