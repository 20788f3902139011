//! What an operator reads: local times in the logs, fields of responses, gauges of requests in flight, counters of failed reloads.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{stdout_of, wait_for};
use crate::traffic::certificate;

const CONFIG: &str = r#"
@level@
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[api]
[rest]
[metrics.prometheus]
[accessLog]
filePath = "@dir@/access.log"
@log@
[file]
filename = "@dir@/routes.toml"
watch = true
"#;

const ROUTES: &str = r#"
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
[frontends.all.headers.customResponseHeaders]
X-Added = "by the proxy"
[frontends.closed]
backend = "one"
[frontends.closed.routes.r]
rule = "PathPrefix:/closed"
[frontends.closed.whiteList]
sourceRange = ["192.0.2.1"]
"#;

const LOCAL: &str = "[accessLog.fields.names]\nStartUTC = \"drop\"";

fn setup(driver: &str, origin: &Origin, log: &str) -> Setup {
    let routes = ROUTES.replace("@origin@", &origin.address.to_string());
    Setup::new(driver, CONFIG).fill("@log@", log).fill("@level@", "logLevel = \"INFO\"").file("routes.toml", routes)
}

/// The first line of the access log with this text.
fn line_with(proxy: &Ringway, text: &str) -> String {
    wait_for("a line", Duration::from_secs(5), || {
        let log = fs::read_to_string(proxy.file("access.log")).unwrap_or_default();
        log.lines().find(|line| line.contains(text)).map(str::to_owned).ok_or(log.clone())
    })
}

/// The value of the first series of `/metrics` that begins with this text.
fn figure(proxy: &Ringway, start: &str) -> Option<f64> {
    let page = proxy.page("/metrics");
    page.lines().find(|line| line.starts_with(start))?.rsplit(' ').next()?.parse().ok()
}

fn await_figure(proxy: &Ringway, start: &str, wanted: f64) {
    wait_for(start, Duration::from_secs(30), || match figure(proxy, start) {
        Some(value) if value == wanted => Ok(()),
        other => Err(format!("{other:?}, not {wanted}: {}", proxy.log())),
    });
}

#[test]
fn logs_are_in_the_zone_of_tz() {
    for driver in DRIVERS {
        let origin = Origin::start();
        for (zone, common, iso) in [
            ("Asia/Kathmandu", " +0545] ", "+05:45"),
            ("<-03>3", " -0300] ", "-03:00"),
            (":Asia/Kolkata", " +0530] ", "+05:30"),
            ("", " +0000] ", "Z"),
        ] {
            let proxy = setup(driver, &origin, LOCAL).env("TZ", zone).start();
            assert!(line_with(&proxy, "GET / ").contains(common), "{zone}: {}", line_with(&proxy, "GET / "));
            let first = proxy.log().lines().next().expect("a line").to_owned();
            assert!(first.contains(&format!("{iso}\" level=info")), "{zone}: {first}");
        }
        let zoned = setup(driver, &origin, "format = \"json\"").env("TZ", "Asia/Kathmandu").start();
        let line: serde_json::Value = serde_json::from_str(&line_with(&zoned, "\"GET\"")).expect("JSON");
        let text = |key: &str| line[key].as_str().expect(key).to_owned();
        assert!(text("StartLocal").ends_with("+05:45") && text("time").ends_with("+05:45"), "{line}");
        assert!(text("StartUTC").ends_with('Z'), "{line}");
    }
}

#[test]
fn unknown_zone_is_named_at_the_default_level() {
    let origin = Origin::start();
    let setup = setup("epoll", &origin, LOCAL).fill("logLevel = \"INFO\"", "").env("TZ", "Mars/Olympus");
    let proxy = setup.start();
    proxy.await_log("level=warning msg=\"TZ=\\\"Mars/Olympus\\\" is neither a known time zone nor a rule", 1);
    assert!(line_with(&proxy, "GET / ").contains(" +0000] "));
}

#[test]
fn log_shows_response_fields_as_the_client_got_them() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = setup(driver, &origin, "format = \"json\"").start();
        let line = |path: &str| -> serde_json::Value {
            proxy.curl(&[&proxy.url(path)]);
            serde_json::from_str(&line_with(&proxy, &format!("\"RequestPath\":\"{path}\""))).expect("JSON")
        };
        let forwarded = line("/forwarded");
        assert_eq!((&forwarded["origin_X-Origin"], &forwarded["downstream_X-Origin"]), (&"yes".into(), &"yes".into()));
        assert_eq!(forwarded["downstream_X-Added"], "by the proxy");
        assert!(forwarded.get("origin_X-Added").is_none(), "{forwarded}");
        let refused = line("/closed");
        assert_eq!(
            (&refused["DownstreamStatus"], &refused["downstream_Content-Length"]),
            (&403.into(), &"9".into()),
            "{refused}"
        );
        assert!(!refused.as_object().expect("an object").keys().any(|key| key.starts_with("origin_")), "{refused}");
    }
}

#[test]
fn requests_in_flight_are_counted_by_backend() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = setup(driver, &origin, "").start();
        let gauge = "traefik_backend_open_connections{backend=\"one\",method=\"GET\",protocol=\"http\"}";
        await_figure(&proxy, gauge, 0.0);
        thread::scope(|scope| {
            scope.spawn(|| proxy.curl(&[&proxy.url("/slow")]));
            scope.spawn(|| proxy.curl(&[&proxy.url("/slow")]));
            await_figure(&proxy, gauge, 2.0);
        });
        await_figure(&proxy, gauge, 0.0);
        // A reply without a server belongs to no backend.
        proxy.curl(&[&proxy.url("/closed")]);
        await_figure(&proxy, gauge, 0.0);
    }
}

#[test]
fn configurations_that_cannot_be_read_are_counted() {
    let origin = Origin::start();
    let proxy = setup("epoll", &origin, "").start();
    let (failures, last) = ("traefik_config_reloads_failure_total ", "traefik_config_last_reload_failure ");
    assert_eq!((figure(&proxy, failures), figure(&proxy, last)), (Some(0.0), Some(0.0)));
    fs::write(proxy.file("routes.toml"), "[frontends").expect("written");
    await_figure(&proxy, failures, 1.0);
    assert!(figure(&proxy, last).is_some_and(|at| at > 1e9));
    proxy.await_status("a.test", "200");
    let url = format!("http://127.0.0.1:{}/api/providers/rest", proxy.api);
    assert_eq!(proxy.curl(&["-X", "PUT", "-d", "{", "-o", "/dev/null", "-w", "%{http_code}", &url]), "400");
    await_figure(&proxy, failures, 2.0);
    let good = format!("[[tls]]\n[tls.certificate]\ncertFile = \"/nowhere\"\nkeyFile = \"/nowhere\"\n{}", "");
    fs::write(proxy.file("routes.toml"), good).expect("written");
    await_figure(&proxy, failures, 3.0);
}

#[test]
fn client_without_sni_gets_the_certificate_of_the_address() {
    let origin = Origin::start();
    for driver in DRIVERS {
        let tls = "[entryPoints.https]\naddress = \"127.0.0.1:@https@\"\n[entryPoints.https.tls]\n\
            [[entryPoints.https.tls.certificates]]\ncertFile = \"@dir@/name.pem\"\nkeyFile = \"@dir@/name.key\"\n\
            [[entryPoints.https.tls.certificates]]\ncertFile = \"@dir@/address.pem\"\nkeyFile = \"@dir@/address.key\"\n[api]";
        let setup = setup(driver, &origin, "").fill("[api]", tls);
        certificate(setup.folder.path(), "name", "DNS:a.test");
        certificate(setup.folder.path(), "address", "IP:127.0.0.1");
        let proxy = setup.start();
        let at = format!("127.0.0.1:{}", proxy.https);
        let shown = stdout_of(
            "sh",
            &[
                "-c",
                &format!(
                    "openssl s_client -connect {at} -noservername </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
                ),
            ],
        );
        assert!(shown.contains("IP Address:127.0.0.1"), "{driver}: {shown}");
    }
}
