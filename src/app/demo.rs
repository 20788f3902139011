//! `ringway demo`: a working proxy with nothing else installed. Two built-in backends, http and https on loopback ports, the dashboard,
//! and the Docker provider if the Docker socket exists.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use super::{RunOptions, fail, run, whoami};
use crate::cli::Invocation;
use crate::config::dynamic::{Backend, DynamicConfig, Frontend, Route, Server};
use crate::config::static_config::{
    Api, Docker, EntryPoint, INTERNAL_ENTRY_POINT, Ping, StaticConfig, Statistics, Tls,
};
use crate::control::update::ProviderUpdate;

const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Runs the demo until Ctrl-C.
pub fn run_demo(mut invocation: Invocation, release_memory: fn()) -> ExitCode {
    let prepared = ports().and_then(|ports| Ok((ports, whoami::start("whoami-1")?, whoami::start("whoami-2")?)));
    let (ports, one, two) = match prepared {
        Ok(prepared) => prepared,
        Err(e) => return fail(&format!("the demo cannot open its loopback ports: {e}")),
    };
    let has_docker = Path::new(DOCKER_SOCKET).exists();
    invocation.static_config = demo_config(&invocation.static_config, &ports, has_docker);
    invocation.file = None;
    let announcement = announcement(&ports, has_docker);
    let initial = vec![routes(&[one.to_string(), two.to_string()])];
    run(invocation, RunOptions { initial, announce: Some(announcement), release_memory })
}

struct Ports {
    http: u16,
    https: u16,
    dashboard: u16,
}

/// The ports 8000, 8443 and 8080, each replaced by any free port if it is taken.
fn ports() -> io::Result<Ports> {
    let free = |wanted: u16| -> io::Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", wanted)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
        Ok(listener.local_addr()?.port())
    };
    Ok(Ports { http: free(8000)?, https: free(8443)?, dashboard: free(8080)? })
}

fn demo_config(given: &StaticConfig, ports: &Ports, has_docker: bool) -> StaticConfig {
    let entry_point = |port: u16| EntryPoint::on(&format!("127.0.0.1:{port}"));
    let mut config = StaticConfig {
        driver: given.driver.clone(),
        workers: given.workers,
        log_level: "INFO".to_owned(),
        ..StaticConfig::default()
    };
    if !given.log_level.is_empty() {
        config.log_level.clone_from(&given.log_level);
    }
    config.entry_points.insert("http".to_owned(), entry_point(ports.http));
    config
        .entry_points
        .insert("https".to_owned(), EntryPoint { tls: Some(Tls::default()), ..entry_point(ports.https) });
    config.entry_points.insert(INTERNAL_ENTRY_POINT.to_owned(), entry_point(ports.dashboard));
    config.default_entry_points = vec!["http".to_owned(), "https".to_owned()];
    config.api = Some(Api { statistics: Some(Statistics::default()), ..Api::default() });
    config.ping = Some(Ping::default());
    if has_docker {
        config.docker = Some(Docker { domain: "docker.localhost".to_owned(), ..Docker::default() });
    }
    config
}

fn routes(addresses: &[String]) -> ProviderUpdate {
    let server = |address: &String| Server { url: format!("http://{address}"), weight: 1 };
    let named = addresses.iter().enumerate().map(|(n, address)| (format!("whoami-{}", n + 1), server(address)));
    let backend = Backend { servers: named.collect(), ..Backend::default() };
    let frontend = |rule: &str| Frontend {
        backend: "whoami".to_owned(),
        pass_host_header: true,
        routes: [("rule".to_owned(), Route { rule: rule.to_owned() })].into(),
        ..Frontend::default()
    };
    let frontends = [("whoami", "Host:whoami.localhost"), ("everything-else", "PathPrefix:/")];
    let dynamic = DynamicConfig {
        backends: [("whoami".to_owned(), backend)].into(),
        frontends: frontends.into_iter().map(|(name, rule)| (name.to_owned(), frontend(rule))).collect(),
        tls: Vec::new(),
    };
    ProviderUpdate { provider: "demo", dynamic, rejected: Vec::new() }
}

fn announcement(ports: &Ports, has_docker: bool) -> String {
    let Ports { http, https, dashboard } = ports;
    let docker = if has_docker {
        format!(
            "Containers of this machine appear as http://NAME.docker.localhost:{http}/ as soon as they run:\n\n  \
             docker run -d --name hello nginx\n  curl -H 'Host: hello.docker.localhost' http://127.0.0.1:{http}/"
        )
    } else {
        "There is no Docker socket on this machine; with one, its containers would appear by themselves.".to_owned()
    };
    format!(
        "\nRingway is running. Try:\n\n  curl http://127.0.0.1:{http}/                 two backends take turns\n  \
         curl -H 'Host: whoami.localhost' 'http://127.0.0.1:{http}/hello?x=1'\n  \
         curl -k https://127.0.0.1:{https}/           the same over TLS, with a generated certificate\n  \
         http://127.0.0.1:{dashboard}/dashboard/       the dashboard\n\n{docker}\n\nCtrl-C stops it.\n"
    )
}
