//! jq, GoAccess and fail2ban read the access log.

use serde_json::Value;

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{installed, run, stdout_of, tool_or_skip, wait_for};

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
requestId = true
[accessLog]
filePath = "@dir@/access.log"
format = "@format@"
[file]
[backends.one.servers.one]
url = "http://127.0.0.1:@server@"
[frontends.plain]
backend = "one"
[frontends.plain.routes.all]
rule = "PathPrefix:/"
[frontends.guarded]
backend = "one"
[frontends.guarded.auth.basic]
users = ["test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/"]
[frontends.guarded.routes.host]
rule = "Host:guarded.test"
"#;

/// A proxy with five requests in its log, besides those of the start: two plain ones, a body, one with a password, one without.
fn proxy(driver: &str, format: &str) -> (Ringway, Origin) {
    let origin = Origin::start();
    let setup = Setup::new(driver, CONFIG).fill("@server@", origin.address.port()).fill("@format@", format);
    let proxy = setup.start();
    let quotes = "Mozilla/5.0 (X11; Linux x86_64) \"quoted\" Firefox/128.0";
    for arguments in [
        &["-A", quotes, "-H", "X-Request-Id: mine-1", "/one"][..],
        &["-H", "X-Request-Id: not usable", "/two?a=b"],
        &["-d", "12345", "/three"],
        &["-u", "test:test", "-H", "Host: guarded.test", "/secret"],
        &["-u", "mallory:guess", "-H", "Host: guarded.test", "/secret"],
    ] {
        let (path, options) = arguments.split_last().expect("a path");
        let url = proxy.url(path);
        proxy.curl(&[&["-o", "/dev/null"], options, &[url.as_str()]].concat());
    }
    wait_for("five lines in the log", std::time::Duration::from_secs(20), || {
        let text = log(&proxy);
        // Each worker writes its own lines: the last request's line may come first.
        let whole = text.ends_with('\n') && text.matches("/secret").count() >= 2;
        if whole && ["/one", "/two", "/three"].iter().all(|path| text.contains(path)) { Ok(()) } else { Err(text) }
    });
    (proxy, origin)
}

fn log(proxy: &Ringway) -> String {
    std::fs::read_to_string(proxy.file("access.log")).unwrap_or_default()
}

fn path_of(proxy: &Ringway) -> String {
    proxy.file("access.log").display().to_string()
}

#[test]
fn jq_reads_every_json_line_and_finds_request_ids() {
    if !tool_or_skip("jq", installed("jq")) {
        return;
    }
    for driver in DRIVERS {
        let (proxy, _origin) = proxy(driver, "json");
        let lines = log(&proxy).lines().count();
        let path = path_of(&proxy);
        assert_eq!(stdout_of("jq", &["-s", "length", &path]), lines.to_string());
        let ids = stdout_of("jq", &["-r", "select(.RequestPath != \"/\") | .RequestId", &path]);
        let ids: Vec<&str> = ids.lines().collect();
        assert_eq!(ids.len(), 5, "({driver}): {ids:?}");
        // Lines of several workers are not in the order of time.
        assert_eq!(
            ids.iter().filter(|id| **id == "mine-1").count(),
            1,
            "({driver}): a trusted client's id is kept: {ids:?}"
        );
        for id in ids.iter().filter(|id| **id != "mine-1") {
            assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "({driver}): {id}");
        }
        let statuses = stdout_of(
            "jq",
            &["-c", "select(.RequestPath == \"/secret\") | [.DownstreamStatus, .ClientUsername]", &path],
        );
        let mut statuses: Vec<&str> = statuses.lines().collect();
        statuses.sort_unstable();
        assert_eq!(statuses, ["[200,\"test\"]", "[401,\"-\"]"], "({driver})");
    }
}

#[test]
fn server_gets_the_request_id_that_the_log_has() {
    let (proxy, _origin) = proxy("epoll", "json");
    let seen = proxy.curl(&[&proxy.url("/seen")]);
    let id =
        seen.lines().find_map(|line| line.strip_prefix("X-Request-Id: ")).unwrap_or_else(|| panic!("no id: {seen}"));
    wait_for("the line", std::time::Duration::from_secs(20), || {
        let text = log(&proxy);
        if text.contains(&format!("\"RequestId\":\"{id}\"")) { Ok(()) } else { Err(text) }
    });
    let kept = proxy.curl(&["-H", "X-Request-Id: abc", &proxy.url("/kept")]);
    assert_eq!(kept.matches("X-Request-Id").count(), 1, "{kept}");
    assert!(kept.contains("X-Request-Id: abc\r\n"), "{kept}");
    let twice = proxy.curl(&["-H", "X-Request-Id: a", "-H", "X-Request-Id: b", &proxy.url("/twice")]);
    assert_eq!(twice.matches("X-Request-Id").count(), 1, "{twice}");
    assert!(!twice.contains("X-Request-Id: a\r") && !twice.contains("X-Request-Id: b\r"), "{twice}");
}

#[test]
fn goaccess_understands_every_line() {
    if !tool_or_skip("goaccess", installed("goaccess")) {
        return;
    }
    let (proxy, _origin) = proxy("io_uring", "common");
    let lines = log(&proxy).lines().count();
    let report = proxy.file("report.json").display().to_string();
    // docs/reference/logs.md#programs-that-read-the-log shows these options.
    let format = r#"--log-format=%h - %e [%d:%t %^] "%r" %s %b "%R" "%u" %^ "%v" "%^" %Lms"#;
    let times = ["--date-format=%d/%b/%Y", "--time-format=%T"];
    let output = run("goaccess", &[&[&path_of(&proxy), format, "-o", &report, "--no-progress"], &times[..]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(&report).unwrap_or_else(|e| panic!("{e}: {errors}"));
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let general = &report["general"];
    assert_eq!(general["total_requests"], lines, "{general}");
    assert_eq!(general["failed_requests"], 0, "{general}");
    assert!(text.contains("three\"") && text.contains("401"), "{text}");
}

#[test]
fn fail2ban_finds_the_failed_log_in() {
    if !tool_or_skip("fail2ban-regex", installed("fail2ban-regex")) {
        return;
    }
    let (proxy, _origin) = proxy("epoll", "common");
    // The filter of Debian for Traefik. Its normal mode wants the name of a user, which is logged only once its password was right.
    let output = run("fail2ban-regex", &[&path_of(&proxy), "traefik-auth[mode=aggressive]"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("Failregex: 1 total"), "{text}");
    assert!(text.contains("0 ignored, 1 matched"), "{text}");
}
