//! Containers of one service replaced one after the other under load, on a real engine: no request may fail. Traefik 1.7 loses some hundred
//! requests (an application that exits at once) to more than a thousand.

mod support;

use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use support::docker::Engine;
use support::load::Load;
use support::ringway::{DRIVERS, Ringway, Setup};
use support::{docker_or_skip, project, stdout_of, wait_for};

const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[docker]
unavailableGrace = "@grace@"
constraints = ["tag==@tag@"]
"#;
const RUNS: usize = 3;
/// Minimum of requests per second; with fewer the test proves nothing.
const RATE_MIN: f64 = 1000.0;

#[test]
fn app_that_exits_at_once_loses_no_request() {
    replace("at-once");
}

#[test]
fn app_that_drains_loses_no_request() {
    replace("finishes");
}

fn replace(application: &str) {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-replace");
    let image = engine.imported_image("app", &built(work.path()), &["ENTRYPOINT [\"/app\"]", "EXPOSE 80"]);
    for n in 0..3 {
        let name = engine.prefix.clone();
        engine.run(&n.to_string(), &service(&name, &image, application).iter().map(String::as_str).collect::<Vec<_>>());
    }
    for driver in DRIVERS {
        let proxy = proxy(driver, &engine, "6s");
        for round in 0..RUNS {
            let load = Load::start(proxy.http, "replaced.test");
            for n in 0..3 {
                let name = format!("{}-{n}", engine.prefix);
                stdout_of("docker", &["stop", "-t", "5", &name]);
                stdout_of("docker", &["rm", &name]);
                let options = service(&engine.prefix, &image, application);
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                stdout_of("docker", &[&["run", "-d", "--name", &name], &options[..]].concat());
                thread::sleep(Duration::from_millis(500));
            }
            let done = load.stop();
            println!("{application}, {driver}, run {}: {done}", round + 1);
            assert!(done.failures.is_empty(), "{application} ({driver}): {done}: {:?}", done.failures.first());
            assert!(done.rate() > RATE_MIN, "{application} ({driver}): {done} is no load");
        }
    }
}

/// Each way to go down and to come back, by what a client observes.
#[test]
fn name_of_a_down_container_gets_503_until_it_is_back() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-down");
    let check = "HEALTHCHECK --interval=1s --retries=1 CMD [\"/app\",\"probe\"]";
    let image = engine.imported_image("app", &built(work.path()), &["ENTRYPOINT [\"/app\"]", "EXPOSE 80", check]);
    // The container ignores this signal, as some applications do while they finish.
    let options = service(&engine.prefix, &image, "finishes");
    let options: Vec<&str> =
        ["--stop-signal", "SIGWINCH"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let sick = work.path().join("sick");
    fs::write(&sick, "").expect("written");
    let sick = sick.to_string_lossy().into_owned();
    let (at_once, checked) = (Duration::from_secs(2), Duration::from_secs(8));
    for driver in DRIVERS {
        let name = engine.run("one", &options);
        let proxy = proxy(driver, &engine, "6s");
        let docker = |action: &[&str], expected: &str, limit| {
            stdout_of("docker", action);
            await_answer(&proxy, expected, limit, &format!("{driver}: docker {}", action[0]));
        };
        // A request in flight waits with the paused container, and gets its response after the unpause.
        thread::scope(|scope| {
            let slow = scope.spawn(|| proxy.curl(&["-H", "Host: replaced.test", &proxy.url("/slow")]));
            thread::sleep(Duration::from_millis(300));
            docker(&["pause", &name], "503", at_once);
            thread::sleep(Duration::from_secs(1));
            assert!(!slow.is_finished(), "{driver}: the case proves nothing if the response came before");
            docker(&["unpause", &name], "200", checked);
            assert_eq!(slow.join().expect("an answer"), "ok", "{driver}");
        });
        docker(&["cp", &sick, &format!("{name}:/sick")], "503", checked);
        docker(&["restart", "-t", "1", &name], "503", at_once);
        docker(&["rm", "-f", &name], "503", at_once);
        docker(&[&["run", "-d", "--name", &name], &options[..]].concat(), "200", checked);
        docker(&["kill", "-s", "SIGKILL", &name], "503", at_once);
        docker(&["start", &name], "200", checked);
        docker(&["kill", "-s", "SIGWINCH", &name], "503", at_once);
        docker(&["rm", "-f", &name], "503", at_once);
        // unavailableGrace has elapsed.
        docker(&["version"], "404", checked);
    }
}

/// A process that has never seen the container run knows its name all the same.
#[test]
fn process_started_while_the_container_is_down_sends_503() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-ended");
    let image = engine.imported_image("app", &built(work.path()), &["ENTRYPOINT [\"/app\"]", "EXPOSE 80"]);
    let options = service(&engine.prefix, &image, "at-once");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let limit = Duration::from_secs(10);
    for driver in DRIVERS {
        let name = engine.run(driver, &options);
        let mut proxy = proxy(driver, &engine, "60s");
        stdout_of("docker", &["stop", &name]);
        proxy.restart();
        await_answer(&proxy, "503", limit, &format!("{driver}: a restart"));
        proxy.signal("USR2");
        let successor = proxy.successor(1);
        proxy.wait(limit);
        await_answer(&proxy, "503", limit, &format!("{driver}: a hand-over"));
        stdout_of("docker", &["start", &name]);
        await_answer(&proxy, "200", limit, &format!("{driver}: docker start"));
        stdout_of("docker", &["rm", "-f", &name]);
        successor.signal("TERM");
        successor.wait();
    }
}

/// Waits for the status, with a Retry-After where it is 503. A known name never gets a 404 before.
fn await_answer(proxy: &Ringway, expected: &str, limit: Duration, what: &str) {
    wait_for(&format!("{expected} after {what}"), limit, || {
        let reply = answer(proxy);
        let (status, rest) = reply.split_once(' ').unwrap_or((&reply, ""));
        assert!(status != "404" || expected == "404", "{what}: {reply}");
        if status == expected && (status != "503" || rest.contains("5")) { Ok(()) } else { Err(reply) }
    });
}

/// Status and Retry-After.
fn answer(proxy: &Ringway) -> String {
    let format = "%{http_code} %header{retry-after}";
    proxy.curl(&["--max-time", "1", "-o", "/dev/null", "-w", format, "-H", "Host: replaced.test", &proxy.url("/")])
}

/// Options and image of one container of the service.
fn service(tag: &str, image: &str, application: &str) -> Vec<String> {
    let labels = [
        format!("traefik.tags={tag}"),
        "traefik.frontend.rule=Host:replaced.test".to_owned(),
        "traefik.backend=replaced".to_owned(),
    ];
    let labels = labels.into_iter().flat_map(|label| ["--label".to_owned(), label]);
    labels.chain([image.to_owned(), application.to_owned()]).collect()
}

fn built(work: &Path) -> String {
    let (app, tarball) = (work.join("app"), work.join("app.tar"));
    let source = project().join("tests/rolling_replacement/app.c");
    let (app, source, tarball) = (app.to_string_lossy(), source.to_string_lossy(), tarball.to_string_lossy());
    stdout_of("gcc", &["-static", "-O2", "-pthread", "-o", &app, &source]);
    stdout_of("tar", &["-C", &work.to_string_lossy(), "-cf", &tarball, "app"]);
    tarball.into_owned()
}

fn proxy(driver: &str, engine: &Engine, grace: &str) -> Ringway {
    let proxy = Setup::new(driver, CONFIG).fill("@tag@", &engine.prefix).fill("@grace@", grace).spawn();
    proxy.await_status("replaced.test", "200");
    proxy
}
