//! Labels of containers behind Podman's Docker-compatible socket (docs/reference/providers.md#podman), with a real Podman.

use std::time::Duration;

use crate::support::podman::{IMAGE, Podman, podman_or_skip};
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::wait_for;

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[api]
[docker]
endpoint = "@endpoint@"
exposedByDefault = false
unavailableGrace = "1m"
"#;

const LIMIT: Duration = Duration::from_secs(30);

/// The labels of a container that serves a host name.
fn labels(host: &str) -> [String; 3] {
    [
        format!("--label=traefik.frontend.rule=Host:{host}"),
        "--label=traefik.enable=true".to_owned(),
        "--label=traefik.port=80".to_owned(),
    ]
}

fn start(podman: &Podman, name: &str, options: &[&str]) {
    let labels = labels(&format!("{name}.test"));
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    podman.container(name, &[&labels[..], options].concat());
}

fn address(podman: &Podman, name: &str, network: &str) -> String {
    podman.run(&[
        "inspect",
        "--format",
        &format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}"),
        name,
    ])
}

/// Waits until the provider's configuration has, or has not, this server.
fn await_server(proxy: &Ringway, url: &str, is_there: bool) {
    wait_for(&format!("{url} is {is_there} a server"), LIMIT, || {
        let page = proxy.page("/api/providers/docker");
        if page.contains(url) == is_there { Ok(()) } else { Err(page) }
    });
}

#[test]
fn podman_containers_are_served_through_their_life() {
    if !podman_or_skip() {
        return;
    }
    let mut podman = Podman::start();
    for driver in DRIVERS {
        podman.run(&["network", "create", "two"]);
        // States that Docker does not know must not spoil the list.
        podman.run(&["create", "--name", "created", IMAGE]);
        podman.container("ended", &[]);
        podman.run(&["stop", "-t", "0", "ended"]);
        start(&podman, "early", &[]);
        let proxy = Setup::new(driver, CONFIG).fill("@endpoint@", podman.endpoint()).spawn();
        proxy.await_status("early.test", "200");
        let served = |host: &str| proxy.curl(&["-H", &format!("Host: {host}"), &proxy.url("/")]);
        assert!(served("early.test").contains(&address(&podman, "early", "podman")), "{}", served("early.test"));

        start(&podman, "late", &["--network=two"]);
        proxy.await_status("late.test", "200");
        podman.run(&["pause", "late"]);
        proxy.await_status("late.test", "503");
        podman.run(&["unpause", "late"]);
        proxy.await_status("late.test", "200");
        podman.run(&["stop", "-t", "0", "late"]);
        proxy.await_status("late.test", "503");
        podman.run(&["start", "late"]);
        proxy.await_status("late.test", "200");

        // No timer runs the check here, so the container stays `starting` until then.
        start(&podman, "checked", &["--health-cmd", r#"["/app","probe"]"#]);
        proxy.await_status("checked.test", "503");
        podman.run(&["healthcheck", "run", "checked"]);
        proxy.await_status("checked.test", "200");

        start(&podman, "moved", &["--label=traefik.docker.network=two"]);
        proxy.await_status("moved.test", "200");
        podman.run(&["network", "connect", "two", "moved"]);
        let (inside, outside) = (address(&podman, "moved", "two"), address(&podman, "moved", "podman"));
        await_server(&proxy, &format!("http://{inside}:80"), true);
        podman.run(&["network", "disconnect", "two", "moved"]);
        await_server(&proxy, &format!("http://{outside}:80"), true);

        // A network without IPv4.
        podman.run(&["network", "create", "--subnet=fd00:7e57::/64", "six"]);
        let six = labels("six.test");
        let options = ["run", "-d", "--name=six", "--network=six", &six[0], &six[1], &six[2], IMAGE];
        podman.run(&[&options[..], &["--address", "::"]].concat());
        let inside = podman.run(&["inspect", "--format", "{{.NetworkSettings.Networks.six.GlobalIPv6Address}}", "six"]);
        await_server(&proxy, &format!("http://[{inside}]:80"), true);
        proxy.await_status("six.test", "200");

        start(&podman, "host", &["--network=host", "--label=traefik.port=1"]);
        await_server(&proxy, "http://127.0.0.1:1", true);

        podman.run(&["pod", "create", "--name", "pod", "--infra-image", IMAGE, "--infra-command", "/whoami"]);
        // The pod's first container holds its network, and port 80 in it.
        let labels = labels("member.test");
        let options =
            ["run", "-d", "--pod=pod", "--name=member", &labels[0], &labels[1], "--label=traefik.port=81", IMAGE];
        podman.run(&[&options[..], &["--port", "81"]].concat());
        proxy.await_status("member.test", "200");

        // The service ends and comes back: what happened meanwhile is seen.
        podman.stop_service();
        podman.run(&["rm", "-f", "-t", "0", "early"]);
        start(&podman, "meanwhile", &[]);
        podman.serve();
        proxy.await_status("meanwhile.test", "200");
        proxy.await_status("early.test", "503");
        drop(proxy);
        podman.run(&["pod", "rm", "-fa"]);
        podman.run(&["rm", "-fa", "-t", "0"]);
        podman.run(&["network", "rm", "two", "six"]);
    }
}
