//! A real Docker Engine as a server behind the proxy: `docker exec` and `docker run` ask for an upgrade with a body, and send what follows
//! on the same connection.

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::docker::Engine;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::{docker_or_skip, stdout_of, wait_for};

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
[backends.engine.servers.one]
url = "http://127.0.0.1:@relay@"
[frontends.engine]
backend = "engine"
[frontends.engine.routes.all]
rule = "PathPrefix:/"
"#;
/// Copies its standard input to its standard output.
const CAT: &str = "fn main() { let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::stdout()); }";

/// The engine's socket on a port of this machine.
fn relay() -> u16 {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let engine = UnixStream::connect(&socket).expect("the engine's socket");
            std::thread::spawn(move || connect(client, engine));
        }
    });
    port
}

fn connect(client: TcpStream, engine: UnixStream) {
    let (mut from_client, mut to_client) = (client.try_clone().expect("a half"), client);
    let (mut from_engine, mut to_engine) = (engine.try_clone().expect("a half"), engine);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut from_engine, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Write);
}

/// An image with the program `/cat` and nothing else.
fn cat_image(engine: &mut Engine, work: &Path) -> String {
    let root = work.join("root");
    std::fs::create_dir_all(&root).expect("a folder");
    let source = work.join("cat.rs");
    std::fs::write(&source, CAT).expect("a source file");
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let (program, source) = (root.join("cat"), source.to_string_lossy().into_owned());
    stdout_of(&compiler, &["-O", "-C", "target-feature=+crt-static", "-o", &program.to_string_lossy(), &source]);
    let (tarball, root) = (work.join("cat.tar"), root.to_string_lossy().into_owned());
    let tarball = tarball.to_string_lossy();
    stdout_of("tar", &["-C", &root, "-cf", &tarball, "."]);
    engine.imported_image("cat", &tarball, &["ENTRYPOINT [\"/cat\"]"])
}

/// Runs the Docker client with `input` as its standard input; returns its standard output.
fn docker_with_input(host: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("docker");
    command.args(["-H", host]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the Docker client");
    let mut stdin = child.stdin.take().expect("a pipe");
    let bytes = input.to_vec();
    let sending = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().expect("its output");
    sending.join().expect("the sender").expect("sent");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {}: {errors}", output.status);
    output.stdout
}

#[test]
fn docker_exec_and_run_carry_their_input_through_the_proxy() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut engine = Engine::new("ringway-exec");
    let image = cat_image(&mut engine, work.path());
    let container = engine.run("cat", &["-i", &image]);
    let long: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    for driver in DRIVERS {
        let proxy = Setup::new(driver, CONFIG).fill("@relay@", relay()).spawn();
        let host = format!("tcp://127.0.0.1:{}", proxy.http);
        wait_for("the engine answers through the proxy", Duration::from_secs(15), || {
            let asked = Command::new("docker").args(["-H", &host, "version"]).output().expect("the Docker client");
            if asked.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&asked.stderr).into_owned()) }
        });
        for input in [&b"hello"[..], b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n", &long] {
            let echoed = docker_with_input(&host, &["exec", "-i", &container, "/cat"], input);
            assert!(echoed == input, "docker exec ({driver}): {} of {} bytes came back", echoed.len(), input.len());
            let echoed = docker_with_input(&host, &["run", "-i", "--rm", &image], input);
            assert!(echoed == input, "docker run ({driver}): {} of {} bytes came back", echoed.len(), input.len());
        }
    }
}
