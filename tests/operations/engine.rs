//! A restart of the Docker Engine: the test has its own engine, whose containers keep running without it.

use std::time::Duration;

use crate::own_engine::{OwnEngine, own_engine_or_skip};
use crate::support::free_port;
use crate::support::load::Load;
use crate::support::ringway::{DRIVERS, Setup};

const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[docker]
endpoint = "@endpoint@"
"#;

#[test]
fn engine_restart_loses_no_request_and_events_resume() {
    if !own_engine_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = OwnEngine::start(folder.path());
    let image = engine.whoami_image();
    for driver in DRIVERS {
        let proxy = Setup::new(driver, CONFIG).fill("@endpoint@", engine.host()).spawn();
        serve(&engine, &format!("first-{driver}"), &image);
        proxy.await_status(&format!("first-{driver}.test"), "200");
        let load = Load::start(proxy.http, &format!("first-{driver}.test"));
        engine.down();
        proxy.await_log("the last configuration stays", 1);
        std::thread::sleep(Duration::from_secs(2));
        engine.up();
        serve(&engine, &format!("second-{driver}"), &image);
        proxy.await_status(&format!("second-{driver}.test"), "200");
        let done = load.stop();
        println!("{driver}: {done}");
        assert!(done.failures.is_empty(), "{driver}: {done}: {:?}", done.failures.first());
        assert!(done.rate() > 100.0, "{driver}: {done} is no load");
    }
}

/// Runs a container in the host's network: without iptables this engine's own network has no routes.
fn serve(engine: &OwnEngine, name: &str, image: &str) {
    let port = free_port().to_string();
    let (rule, label) = (format!("traefik.frontend.rule=Host:{name}.test"), format!("traefik.port={port}"));
    let options = ["run", "-d", "--name", name, "--network", "host", "--label", &rule, "--label", &label, image];
    engine.docker(&[&options[..], &["--name", name, "--port", &port]].concat());
}
