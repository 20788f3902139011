//! `ringway explain` and `ringway status` against the running program, and `explain` from files.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup, ringway};
use crate::support::wait_for;

const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
  [entryPoints.https.tls]
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[entryPoints.dns]
address = "127.0.0.1:@https@/udp"
[api]
[file]
[backends.shop.servers.a]
url = "http://@origin@"
[backends.shop.servers.b]
url = "http://@origin@/"
weight = 2
[backends.db.servers.a]
url = "tcp://10.9.9.9:5432"
[backends.dns.servers.a]
url = "udp://10.9.9.9:53"
[frontends.all]
backend = "shop"
[frontends.all.routes.r]
rule = "PathPrefix:/;Host:a.test"
[frontends.cart]
backend = "shop"
passHostHeader = true
[frontends.cart.headers.customRequestHeaders]
X-Shop = "1"
[frontends.cart.routes.r]
rule = "Host:shop.test;PathPrefixStrip:/cart"
[frontends.office]
backend = "shop"
[frontends.office.whiteList]
sourceRange = ["10.0.0.0/8"]
[frontends.office.routes.r]
rule = "Host:office.test"
[frontends.secure]
backend = "shop"
entryPoints = ["https"]
[frontends.secure.routes.r]
rule = "Host:secure.test"
[frontends.broken]
backend = "absent"
[frontends.broken.routes.r]
rule = "Host:broken.test"
[frontends.db]
backend = "db"
entryPoints = ["https"]
[frontends.db.routes.r]
rule = "HostSNI:db.test"
[frontends.dns]
backend = "dns"
entryPoints = ["dns"]
[frontends.dns.routes.r]
rule = "HostSNI:*"
"#;

fn start(driver: &str, origin: &Origin) -> Ringway {
    Setup::new(driver, CONFIG).fill("@origin@", origin.address).start()
}

/// The output of a command that asks the running proxy: the configuration is where commands look for it.
fn ask(proxy: &Ringway, arguments: &[&str]) -> Output {
    fs::copy(proxy.config_file(), proxy.file("traefik.toml")).expect("a copy");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.args(arguments).env("HOME", proxy.folder.path());
    command.current_dir(proxy.folder.path()).output().expect("the command runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The status that a request gets.
fn status(proxy: &Ringway, host: &str, path: &str) -> String {
    proxy.curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Host: {host}"), &proxy.url(path)])
}

fn explained(proxy: &Ringway, arguments: &[&str]) -> Value {
    let output = ask(proxy, &[&["explain", "--json"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_str(&text(&output)).expect("JSON")
}

#[test]
fn running_proxy_explains_what_it_then_does() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        let url = format!("http://shop.test:{}/cart/7?q=1", proxy.http);
        let answer = explained(&proxy, &[&url, "--header", "Connection: close"]);
        assert_eq!(answer["outcome"]["kind"], "forwarded", "{answer}");
        assert_eq!((&answer["route"]["frontend"], &answer["entryPoint"]["name"]), (&"cart".into(), &"http".into()));
        assert_eq!(answer["path"]["forwarded"], "/7?q=1");
        let added = answer["fields"]["request"].to_string();
        assert!(added.contains("X-Forwarded-Prefix") && added.contains("X-Shop"), "{added}");
        assert_eq!(answer["backend"]["servers"].as_array().map(Vec::len), Some(2));
        assert_eq!(explained(&proxy, &[&url, "--header", "Connection: close"]), answer, "asking changes nothing");
        assert_eq!(status(&proxy, "shop.test", "/cart/7?q=1"), "200");

        let answer = explained(&proxy, &[&format!("http://office.test:{}/", proxy.http), "--from", "192.0.2.1"]);
        assert_eq!((&answer["outcome"]["status"], &answer["steps"][0]["verdict"]), (&403.into(), &"answers".into()));
        assert_eq!(answer["steps"][0]["why"], "192.0.2.1 is in none of 10.0.0.0/8");
        assert_eq!(status(&proxy, "office.test", "/"), "403");

        for (host, frontend, why) in [
            ("shpo.test", "cart", "Host:shop.test is not met: the host is shpo.test"),
            ("secure.test", "secure", "stands on entry point https"),
            ("broken.test", "broken", "it is rejected: "),
        ] {
            let answer = explained(&proxy, &[&format!("http://{host}:{}/cart", proxy.http)]);
            assert_eq!(answer["outcome"]["status"], 404, "{answer}");
            let miss = &answer["nearMisses"][0];
            assert_eq!(miss["frontend"], frontend, "{answer}");
            assert!(miss["why"].as_str().is_some_and(|text| text.contains(why)), "{miss}");
            assert_eq!(status(&proxy, host, "/cart"), "404");
        }
    }
}

#[test]
fn tls_tcp_and_udp_are_explained() {
    let origin = Origin::start();
    let proxy = start(DRIVERS[1], &origin);
    let answer = explained(&proxy, &[&format!("https://secure.test:{}/", proxy.https)]);
    assert_eq!(answer["outcome"]["kind"], "forwarded", "{answer}");
    assert_eq!((&answer["certificate"]["isDefault"], &answer["request"]["sni"]), (&true.into(), &"secure.test".into()));
    let answer = explained(&proxy, &[&format!("tls://db.test:{}", proxy.https)]);
    assert_eq!(
        (&answer["outcome"]["kind"], &answer["outcome"]["server"]),
        (&"connected".into(), &"tcp://10.9.9.9:5432".into())
    );
    // The name belongs to the TCP route, also for a client that means HTTPS.
    assert_eq!(explained(&proxy, &[&format!("https://db.test:{}", proxy.https)])["outcome"]["kind"], "connected");
    let answer = explained(&proxy, &[&format!("tls://other.test:{}", proxy.https)]);
    assert_eq!(answer["outcome"]["kind"], "closed", "{answer}");
    let answer = explained(&proxy, &[&format!("udp://dns.test:{}", proxy.https)]);
    assert_eq!(
        (&answer["route"]["frontend"], &answer["outcome"]["server"]),
        (&"dns".into(), &"udp://10.9.9.9:53".into())
    );
}

#[test]
fn files_are_explained_without_a_proxy() {
    let origin = Origin::start();
    let mut proxy = start(DRIVERS[1], &origin);
    let asked = format!("--configFile={}", proxy.config_file().display());
    let url = format!("http://shop.test:{}/cart/7", proxy.http);
    let from_api = explained(&proxy, &[&url, &asked, "--running"]);
    let file = format!("--configFile={}", proxy.config_file().display());
    proxy.signal("TERM");
    proxy.wait(Duration::from_secs(30));
    let output = ringway(&["explain", "--json", &url, &file]);
    let from_files: Value = serde_json::from_str(&text(&output)).expect("JSON");
    for part in ["route", "path", "fields", "entryPoint", "nearMisses", "steps"] {
        assert_eq!(from_files[part], from_api[part], "{part}");
    }
    let shown = text(&ringway(&["explain", &url, &file]));
    assert!(shown.contains("outcome      forwarded to http://") && !shown.contains('\x1b'), "{shown}");
    let refused = ask(&proxy, &["explain", &url]);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && message.contains("start the proxy, or name a file"), "{message}");
    let unread = ringway(&["explain", "ftp://h", &file]);
    assert!(!unread.status.success() && String::from_utf8_lossy(&unread.stderr).contains("scheme"), "{unread:?}");
}

#[test]
fn status_shows_the_running_proxy_on_one_screen() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = start(driver, &origin);
        // The history has an entry point from the end of the step in which it had a request.
        let shown = wait_for("the traffic of the first step", Duration::from_secs(30), || {
            let output = ask(&proxy, &["status"]);
            let shown = text(&output);
            let is_complete = output.status.success() && shown.contains("entry points");
            if is_complete { Ok(shown) } else { Err(format!("{output:?}")) }
        });
        assert!(shown.lines().count() <= 40, "{shown}");
        for part in [
            "ringway ",
            "running for",
            driver,
            "last minute",
            "connections",
            "entry points",
            "servers",
            "not applied   frontend broken",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains('\x1b'), "colours without a terminal: {shown}");
    }
}
