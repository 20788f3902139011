//! Containers of one service replaced one after the other under load, on a real engine: not one request may fail. For Traefik 1.7 the
//! same loses some hundred (an application that ends at once) to more than a thousand.

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
unavailableGrace = "6s"
constraints = ["tag==@tag@"]
"#;
const RUNS: usize = 3;
/// Requests a second at the least, or the test proves nothing.
const RATE_MIN: f64 = 1000.0;

#[test]
fn an_application_that_ends_at_once_loses_no_request() {
    replace("at-once");
}

#[test]
fn an_application_that_finishes_what_it_has_loses_no_request() {
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
        let proxy = proxy(driver, &engine);
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

/// Each way to go down and to come back, by what a client sees of it.
#[test]
fn a_name_whose_only_container_is_down_is_answered_503_until_it_is_back() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-down");
    let check = "HEALTHCHECK --interval=1s --retries=1 CMD [\"/app\",\"probe\"]";
    let image = engine.imported_image("app", &built(work.path()), &["ENTRYPOINT [\"/app\"]", "EXPOSE 80", check]);
    // It ignores this signal, as some applications ignore theirs while they finish.
    let options = service(&engine.prefix, &image, "finishes");
    let options: Vec<&str> =
        ["--stop-signal", "SIGWINCH"].into_iter().chain(options.iter().map(String::as_str)).collect();
    let name = engine.run("one", &options);
    let proxy = proxy(DRIVERS[0], &engine);
    let sick = work.path().join("sick");
    fs::write(&sick, "").expect("written");
    let (sick, inside) = (sick.to_string_lossy().into_owned(), format!("{name}:/sick"));
    let again = [&["run", "-d", "--name", &name], &options[..]].concat();
    let (at_once, checked) = (Duration::from_secs(2), Duration::from_secs(8));
    for (action, expected, limit) in [
        (vec!["pause", &name], "503", at_once),
        (vec!["unpause", &name], "200", checked),
        (vec!["cp", &sick, &inside], "503", checked),
        (vec!["restart", "-t", "1", &name], "503", at_once),
        (vec!["rm", "-f", &name], "503", at_once),
        (again, "200", checked),
        (vec!["kill", "-s", "SIGKILL", &name], "503", at_once),
        (vec!["start", &name], "200", checked),
        (vec!["kill", "-s", "SIGWINCH", &name], "503", at_once),
        (vec!["rm", "-f", &name], "503", at_once),
        // unavailableGrace is over.
        (vec!["version"], "404", checked),
    ] {
        stdout_of("docker", &action);
        wait_for(&format!("{expected} after docker {}", action[0]), limit, || {
            let reply = answer(&proxy);
            let (status, rest) = reply.split_once(' ').unwrap_or((&reply, ""));
            if status == expected && (status != "503" || rest.contains("5")) { Ok(()) } else { Err(reply) }
        });
    }
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
    let source = project().join("tests/replacement/app.c");
    let (app, source, tarball) = (app.to_string_lossy(), source.to_string_lossy(), tarball.to_string_lossy());
    stdout_of("gcc", &["-static", "-O2", "-pthread", "-o", &app, &source]);
    stdout_of("tar", &["-C", &work.to_string_lossy(), "-cf", &tarball, "app"]);
    tarball.into_owned()
}

fn proxy(driver: &str, engine: &Engine) -> Ringway {
    let proxy = Setup::new(driver, CONFIG).fill("@tag@", &engine.prefix).spawn();
    proxy.await_status("replaced.test", "200");
    proxy
}
