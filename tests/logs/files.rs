//! Logs of frontends, and rotation by the process.

use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::wait_for;

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[accessLog]
filePath = "@dir@/logs/access.log"
[accessLog.rotation]
maxBytes = 65536
keep = 2
[file]
[backends.one.servers.one]
url = "http://127.0.0.1:@server@"
[frontends.common]
backend = "one"
[frontends.common.routes.all]
rule = "PathPrefix:/"
[frontends.quiet]
backend = "one"
[frontends.quiet.accessLog]
enabled = false
[frontends.quiet.routes.host]
rule = "Host:quiet.test"
[frontends.own]
backend = "one"
[frontends.own.accessLog]
filePath = "own/shop.log"
format = "json"
[frontends.own.accessLog.fields]
defaultMode = "drop"
[frontends.own.accessLog.fields.names]
RequestPath = "keep"
[frontends.own.accessLog.fields.headers]
defaultMode = "drop"
[frontends.own.accessLog.fields.headers.names]
Server = "keep"
Accept = "redact"
[frontends.own.routes.host]
rule = "Host:own.test"
[frontends.outside]
backend = "one"
[frontends.outside.accessLog]
filePath = "../outside.log"
[frontends.outside.routes.host]
rule = "Host:outside.test"
"#;

fn proxy(driver: &str) -> (Ringway, Origin) {
    let origin = Origin::start();
    (Setup::new(driver, CONFIG).fill("@server@", origin.address.port()).start(), origin)
}

fn text(proxy: &Ringway, name: &str) -> String {
    std::fs::read_to_string(proxy.file(name)).unwrap_or_default()
}

fn get(proxy: &Ringway, host: &str, path: &str) {
    let status =
        proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Host: {host}"), &proxy.url(path)]);
    assert_eq!(status, "200", "{host}{path}: {}", proxy.log());
}

#[test]
fn frontends_have_lines_of_their_own_or_none() {
    for driver in DRIVERS {
        let (proxy, _origin) = proxy(driver);
        get(&proxy, "quiet.test", "/quiet");
        get(&proxy, "own.test", "/own");
        get(&proxy, "outside.test", "/outside");
        get(&proxy, "common.test", "/common");
        wait_for("the lines", Duration::from_secs(20), || {
            let (common, own) = (text(&proxy, "logs/access.log"), text(&proxy, "logs/own/shop.log"));
            if common.contains("/common") && common.contains("/outside") && !own.is_empty() {
                Ok(())
            } else {
                Err(common)
            }
        });
        let common = text(&proxy, "logs/access.log");
        assert!(!common.contains("/quiet") && !common.contains("\"GET /own"), "({driver}): {common}");
        let own = text(&proxy, "logs/own/shop.log");
        assert_eq!(own.lines().count(), 1, "({driver}): {own}");
        assert!(
            own.starts_with("{\"RequestPath\":\"/own\",") && own.contains("\"request_Accept\":\"REDACTED\""),
            "({driver}): {own}"
        );
        assert!(!own.contains("User-Agent") && !own.contains("ClientHost"), "({driver}): {own}");
        assert!(!proxy.folder.path().join("outside.log").exists());
        assert!(
            proxy.log().contains("frontend outside: accessLog.filePath ../outside.log ignored"),
            "({driver}): {}",
            proxy.log()
        );
    }
}

#[test]
fn process_rotates_its_log_and_loses_no_line() {
    let (proxy, _origin) = proxy("io_uring");
    let path = format!("/{}", "p".repeat(1500));
    // Each line has more than 1,500 bytes: 64 KiB hold about forty.
    for n in 0..100 {
        get(&proxy, "common.test", &format!("{path}{n}"));
    }
    let files = ["logs/access.log", "logs/access.log.1", "logs/access.log.2"];
    wait_for("a hundred lines in three files", Duration::from_secs(20), || {
        let all: String = files.iter().map(|name| text(&proxy, name)).collect();
        let lines = all.lines().filter(|line| line.contains("/ppp")).count();
        if lines == 100 { Ok(()) } else { Err(format!("{lines} lines")) }
    });
    for name in files {
        let length = text(&proxy, name).len();
        assert!(length > 0 && length <= 65_536, "{name} has {length} bytes");
    }
    assert!(!proxy.file("logs/access.log.3").exists());
    std::fs::remove_file(proxy.file("logs/access.log")).expect("removed");
    proxy.signal("USR1");
    wait_for("SIGUSR1 opens the file again", Duration::from_secs(20), || {
        get(&proxy, "common.test", "/after");
        if text(&proxy, "logs/access.log").contains("/after") { Ok(()) } else { Err(text(&proxy, "logs/access.log")) }
    });
}
