//! Behind a proxy in front of the engine's socket that passes what docs/socket-proxy.md lists, and nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::docker::Engine;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::{docker_or_skip, project, stdout_of};

const CONFIG: &str = r#"
[entryPoints.http]
address = "127.0.0.1:@http@"
[docker]
endpoint = "unix://@socket@"
constraints = ["tag==@tag@"]
unavailableGrace = "2s"
"#;

/// The paths of the page, each with the keys of its query.
fn listed() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(project().join("docs/socket-proxy.md")).expect("the page");
    let row = |line: &str| {
        let (path, rest) = line.strip_prefix("| `/")?.split_once("` |")?;
        let keys = rest.split('|').next()?.split(',').map(|key| key.trim().trim_matches('`').to_owned());
        Some((format!("/{path}"), keys.collect()))
    };
    let paths: Vec<_> = page.lines().filter_map(row).collect();
    assert!(paths.len() > 4, "{paths:?}");
    paths
}

/// Whether the request is a GET of a listed path, with or without the API's version in front.
fn is_listed(line: &str, listed: &[(String, Vec<String>)]) -> bool {
    let Some((target, _)) = line.strip_prefix("GET /").and_then(|rest| rest.split_once(' ')) else { return false };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let is_version = |piece: &str| piece.strip_prefix('v').is_some_and(|rest| rest.parse::<f32>().is_ok());
    let is_id = |piece: &str| piece.len() == 64 && piece.bytes().all(|b| b.is_ascii_hexdigit());
    let path = path.split_once('/').filter(|(first, _)| is_version(first)).map_or(path, |(_, rest)| rest);
    let general: Vec<&str> = path.split('/').map(|piece| if is_id(piece) { "ID" } else { piece }).collect();
    let general = format!("/{}", general.join("/"));
    let mut keys = query.split('&').filter_map(|pair| pair.split('=').next()).filter(|key| !key.is_empty());
    let row = listed.iter().find(|(path, _)| *path == general);
    row.is_some_and(|(_, listed)| keys.all(|key| listed.iter().any(|known| known == key)))
}

/// Passes listed requests on, one per connection; everything else is refused and written down.
fn filter(place: &Path, engine: String) -> Arc<Mutex<Vec<String>>> {
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let (listener, told, listed) = (UnixListener::bind(place).expect("a socket"), Arc::clone(&refused), listed());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (engine, told, listed) = (engine.clone(), Arc::clone(&told), listed.clone());
            thread::spawn(move || carry(client, &engine, &told, &listed));
        }
    });
    refused
}

fn carry(
    mut client: UnixStream,
    engine: &str,
    refused: &Mutex<Vec<String>>,
    listed: &[(String, Vec<String>)],
) -> io::Result<()> {
    let mut head = vec![0; 8192];
    let length = client.read(&mut head)?;
    if length == 0 {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
    if !is_listed(&line, listed) {
        refused.lock().expect("the list").push(line);
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut engine = UnixStream::connect(engine)?;
    engine.write_all(&head[..length])?;
    let (mut from_engine, mut to_client) = (engine.try_clone()?, client.try_clone()?);
    let answers = thread::spawn(move || {
        let _ = io::copy(&mut from_engine, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    // A second request on the connection would pass unread: none comes, or it is refused like a method that writes.
    if client.read(&mut head)? > 0 {
        refused.lock().expect("the list").push("a second request on one connection".to_owned());
    }
    engine.shutdown(Shutdown::Both)?;
    answers.join().map_or(Ok(()), |ended| ended)
}

#[test]
fn containers_are_served_behind_a_filter_that_passes_the_listed_requests_only() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-filtered");
    let image = engine.whoami_image(work.path());
    let place = work.path().join("filter.sock");
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let refused = filter(&place, host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned());
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
    assert_eq!(*refused.lock().expect("the list"), [""; 0]);
}

#[test]
fn the_filter_refuses_what_is_not_listed() {
    let listed = listed();
    assert!(is_listed("GET /v1.41/containers/json HTTP/1.1", &listed));
    assert!(is_listed("GET /v1.41/events?since=1&filters=%7B%7D HTTP/1.1", &listed));
    for line in [
        "POST /v1.41/containers/create HTTP/1.1",
        "GET /v1.41/images/json HTTP/1.1",
        "GET /v1.41/events?until=1 HTTP/1.1",
        "DELETE /version HTTP/1.1",
        "",
    ] {
        assert!(!is_listed(line, &listed), "{line}");
    }
}
