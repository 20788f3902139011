//! One proxy for the containers of two real Engines: the machine's and one of the test.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::own_engine::{OwnEngine, own_engine_or_skip};
use crate::support::docker::Engine;
use crate::support::http::Client;
use crate::support::load::Load;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{free_port, stdout_of, wait_for};

const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[docker]
constraints = ["tag==@tag@"]
[[docker.hosts]]
name = "near"
endpoint = "unix:///var/run/docker.sock"
[[docker.hosts]]
name = "far"
endpoint = "@endpoint@"
address = "127.0.0.1"
"#;
const HOST: &str = "page.test";
/// Requests that show which servers are in use. There are four at most, and other clients take turns with these requests.
const SAMPLES: usize = 32;
const SERVED_SECS_MAX: u64 = 20;
/// The servers of a lost host leave after three seconds; the rest is the load of the machine.
const LEFT_SECS_MAX: u64 = 8;

/// The two Engines, with the image of the whoami example on both.
struct Engines {
    near: Engine,
    near_image: String,
    far: OwnEngine,
    far_image: String,
}

impl Engines {
    /// Runs a container on each Engine, with names that end in `name`.
    fn run(&mut self, name: &str) {
        let labels =
            ["backend=page".to_owned(), format!("frontend.rule=Host:{HOST}"), format!("tags={}", self.near.prefix)];
        let labels: Vec<String> =
            labels.iter().flat_map(|label| ["--label".to_owned(), format!("traefik.{label}")]).collect();
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let (near, far, port) = (format!("near-{name}"), format!("far-{name}"), free_port().to_string());
        let own = ["--label", "traefik.port=80", &self.near_image, "--port", "80", "--name", &near];
        self.near.run(&near, &[&labels[..], &own].concat());
        // Without iptables this Engine's own network has no routes: the container is in the network of the host.
        let (label, network) = (format!("traefik.port={port}"), ["--network", "host"]);
        let own = ["--label", &label, &self.far_image, "--port", &port, "--name", &far];
        self.far.docker(&[&["run", "-d", "--name", &far][..], &network, &labels, &own].concat());
    }

    fn stop(&self, name: &str) {
        let near = format!("{}-near-{name}", self.near.prefix);
        stdout_of("docker", &["stop", "-t", "2", &near]);
        self.far.docker(&["stop", "-t", "2", &format!("far-{name}")]);
    }
}

/// Waits until requests reach exactly the containers with these names.
fn await_servers(proxy: &Ringway, names: &[&str], limit: Duration) {
    let wanted: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    wait_for(&format!("requests reach {names:?}"), limit, || {
        let mut client = Client::to(proxy.http);
        let bodies = (0..SAMPLES).map(|_| client.get(HOST, "/").body);
        let reached: BTreeSet<String> = bodies
            .filter_map(|body| body.lines().find_map(|line| Some(line.strip_prefix("Name: ")?.to_owned())))
            .collect();
        if reached == wanted { Ok(()) } else { Err(format!("{reached:?}")) }
    });
}

#[test]
fn replacement_across_two_engines_and_the_loss_of_one_lose_no_request() {
    if !own_engine_or_skip() {
        return;
    }
    let (folder, work) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut near = Engine::new("ringway-hosts");
    let near_image = near.whoami_image(work.path());
    let far = OwnEngine::start(folder.path());
    let far_image = far.whoami_image();
    let mut engines = Engines { near, near_image, far, far_image };
    let served = Duration::from_secs(SERVED_SECS_MAX);
    for driver in DRIVERS {
        let name = |round: usize| format!("{driver}-{round}");
        let of_round = |round: usize| [format!("near-{}", name(round)), format!("far-{}", name(round))];
        engines.run(&name(0));
        let setup =
            Setup::new(driver, CONFIG).fill("@endpoint@", engines.far.host()).fill("@tag@", &engines.near.prefix);
        let proxy = setup.spawn();
        proxy.await_port(proxy.http);
        let names = of_round(0);
        await_servers(&proxy, &[&names[0], &names[1]], served);
        let load = Load::start(proxy.http, HOST);
        for round in 1..=2 {
            engines.run(&name(round));
            let (old, new) = (of_round(round - 1), of_round(round));
            await_servers(&proxy, &[&old[0], &old[1], &new[0], &new[1]], served);
            engines.stop(&name(round - 1));
            await_servers(&proxy, &[&new[0], &new[1]], served);
        }
        // The containers of the lost Engine go on, but the proxy cannot know what becomes of them.
        let last = of_round(2);
        engines.far.down();
        let lost = Instant::now();
        await_servers(&proxy, &[&last[0]], Duration::from_secs(LEFT_SECS_MAX));
        println!("{driver}: the servers of the lost host left after {:?}", lost.elapsed());
        engines.far.up();
        await_servers(&proxy, &[&last[0], &last[1]], served);
        let done = load.stop();
        println!("{driver}: {done}");
        assert!(done.failures.is_empty(), "{driver}: {done}: {:?}", done.failures.first());
        assert!(done.rate() > 100.0, "{driver}: {done} is no load");
        engines.stop(&name(2));
    }
}
