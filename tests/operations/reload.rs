//! Thousands of route tables under load: no request fails, none sees two tables, and the memory is released.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::support::http::Client;
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::wait_for;

const CONFIG: &str = r#"
providersThrottleDuration = "0s"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[rest]
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

const SWAPS: usize = 3000;
/// Reloads before the first memory measurement: then buffers, pools and the allocator have their size.
const WARM_UP: usize = 500;
/// Growth that the allocator may keep.
const GROWTH_KIB_MAX: u64 = 12 * 1024;

#[test]
fn thousands_of_reloads_under_load_fail_no_request() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        let mut admin = Client::to(proxy.api);
        put(&mut admin, 0, origin.address.port());
        wait_for("the first table is in force", Duration::from_secs(5), || {
            let answer = Client::to(proxy.http).get("generation.test", "/");
            answer.field("X-Down").map(drop).ok_or_else(|| format!("{answer:?}"))
        });
        let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
        let (before, after) = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Client::to(proxy.http);
                    while !stop.load(SeqCst) {
                        let answer = client.get("generation.test", "/");
                        assert_eq!(answer.status, 200, "{driver}: {answer:?}");
                        // The origin returns the request's head: the table's number is in a request field of it, and in a response field
                        // beside it.
                        let up = answer.body.lines().find_map(|line| line.strip_prefix("X-Up: ")).map(str::to_owned);
                        assert_eq!(up.as_deref(), answer.field("X-Down"), "{driver}: half a table");
                        assert!(up.is_some(), "{driver}: {answer:?}");
                        asked.fetch_add(1, SeqCst);
                    }
                });
            }
            let swap = |admin: &mut Client, from, to| (from..to).for_each(|n| put(admin, n, origin.address.port()));
            swap(&mut admin, 1, WARM_UP);
            let before = proxy.resident_kib();
            swap(&mut admin, WARM_UP, SWAPS);
            thread::sleep(Duration::from_millis(500));
            stop.store(true, SeqCst);
            (before, proxy.resident_kib())
        });
        let last = Client::to(proxy.http).get("generation.test", "/");
        assert_eq!(last.field("X-Down"), Some(&*(SWAPS - 1).to_string()), "{driver}: the last table is in force");
        println!("{driver}: {SWAPS} tables, {} requests, {before} KiB, then {after} KiB", asked.load(SeqCst));
        assert!(asked.load(SeqCst) > SWAPS / 4, "{driver}: {} requests are no load", asked.load(SeqCst));
        assert!(after < before + GROWTH_KIB_MAX, "{driver}: {before} KiB grew to {after} KiB");
    }
}

/// Puts table number `n`: the number is in a request field and a response field, and a hundred frontends make the table costly to build.
fn put(admin: &mut Client, n: usize, origin: u16) {
    let others: Vec<String> = (0..100)
        .map(|at| format!(r#""other{at}":{{"backend":"b","routes":{{"r":{{"rule":"Host:other{at}.test"}}}}}}"#))
        .collect();
    let document = format!(
        r#"{{"backends":{{"b":{{"servers":{{"s":{{"url":"http://127.0.0.1:{origin}"}}}}}}}},"frontends":{{"f":{{"backend":"b",
        "headers":{{"customRequestHeaders":{{"X-Up":"{n}"}},"customResponseHeaders":{{"X-Down":"{n}"}}}},
        "routes":{{"r":{{"rule":"Host:generation.test"}}}}}},{}}}}}"#,
        others.join(",")
    );
    let answer = admin.send("PUT", "traefik", "/api/providers/rest", &document);
    assert_eq!(answer.status, 200, "table {n}: {answer:?}");
}
