//! The Docker provider behind a filter of the engine's socket that passes only the requests listed in docs/socket-proxy.md. Swarm mode is
//! tested behind the same filter in tests/docker_live/swarm.rs.

use crate::support::docker::Engine;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::socket_filter::{self, Listed};
use crate::support::{docker_or_skip, stdout_of};

const CONFIG: &str = r#"
[entryPoints.http]
address = "127.0.0.1:@http@"
[docker]
endpoint = "unix://@socket@"
constraints = ["tag==@tag@"]
unavailableGrace = "2s"
"#;

#[test]
fn containers_are_served_through_a_filtering_socket_proxy() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-filtered");
    let image = engine.whoami_image(work.path());
    let place = work.path().join("filter.sock");
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let seen = socket_filter::start(&place, host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock"));
    for driver in DRIVERS {
        let proxy = Setup::new(driver, CONFIG).fill("@socket@", place.display()).fill("@tag@", &engine.prefix).spawn();
        let tag = format!("traefik.tags={}", engine.prefix);
        let labels =
            ["--label", &tag, "--label", "traefik.frontend.rule=Host:filtered.test", "--label", "traefik.port=80"];
        let name = engine.run(driver, &[&labels[..], &[&image]].concat());
        proxy.await_status("filtered.test", "200");
        stdout_of("docker", &["rm", "-f", &name]);
        proxy.await_status("filtered.test", "404");
    }
    assert_eq!(seen.refused(), [""; 0]);
}

#[test]
fn socket_filter_refuses_unlisted_requests() {
    let listed = Listed::read();
    for line in [
        "GET /v1.41/containers/json HTTP/1.1",
        "GET /v1.41/events?since=1&filters=%7B%7D HTTP/1.1",
        "GET /v1.41/services HTTP/1.1",
        "GET /v1.41/tasks?filters=%7B%7D HTTP/1.1",
    ] {
        assert!(listed.passes(line), "{line}");
    }
    for line in [
        "POST /v1.41/containers/create HTTP/1.1",
        "GET /v1.41/images/json HTTP/1.1",
        "GET /v1.41/events?until=1 HTTP/1.1",
        "DELETE /version HTTP/1.1",
        "GET /v1.41/services?status=true HTTP/1.1",
        "GET /v1.41/services/web HTTP/1.1",
        "POST /v1.41/services/create HTTP/1.1",
        "GET /v1.41/secrets HTTP/1.1",
        "GET /v1.41/swarm/unlockkey HTTP/1.1",
        "",
    ] {
        assert!(!listed.passes(line), "{line}");
    }
}
