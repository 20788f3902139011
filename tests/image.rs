//! The image: small, with nothing in it but the program, which behaves as a container's first process should.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::docker::{Engine, ringway_image};
use support::{docker_or_skip, project, run, stdout_of, wait_for};

/// Of an image that is not optimized at link time; that of a release is smaller by a fifth.
const SIZE_BYTES_MAX: u64 = 28 * 1024 * 1024;
const START_SECS_MAX: u64 = 20;
/// Longer than the stop command takes, shorter than the drain's limit.
const SLOW_MILLIS: u64 = 3000;
/// The time that the engine itself takes for stopping a container, on a busy machine.
const STOP_SLACK_SECS: u64 = 4;
const SOCKET: &str = "/var/run/docker.sock:/var/run/docker.sock";

const CONFIG: &str = r#"
[entryPoints.http]
address = ":80"
[ping]
entryPoint = "http"
[file]
[backends.named.servers.one]
url = "http://@name@:8000"
[frontends.all]
backend = "named"
[frontends.all.routes.one]
rule = "PathPrefix:/"
"#;

#[test]
fn image_is_small_and_labelled() {
    if !docker_or_skip() {
        return;
    }
    let image = ringway_image();
    let inspect = |format: &str| stdout_of("docker", &["image", "inspect", "--format", format, &image]);
    let size: u64 = inspect("{{.Size}}").parse().expect("a size");
    assert!(size < SIZE_BYTES_MAX, "{size} bytes");
    assert_eq!(inspect("{{json .Config.Entrypoint}}"), r#"["/ringway"]"#);
    assert_eq!(inspect("{{json .Config.ExposedPorts}}"), r#"{"80/tcp":{}}"#);
    assert_eq!(inspect("{{.Config.WorkingDir}}"), "/");
    let version = stdout_of("docker", &["run", "--rm", "--network", "none", &image, "version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let by_old_name = ["run", "--rm", "--network", "none", "--entrypoint", "/traefik", &image, "version"];
    assert_eq!(stdout_of("docker", &by_old_name), version, "the name that existing compose files use");
}

#[test]
fn image_contains_its_sbom() {
    if !docker_or_skip() {
        return;
    }
    let image = ringway_image();
    let label = ["image", "inspect", "--format", "{{index .Config.Labels \"ringway.sbom\"}}", &image];
    let place = stdout_of("docker", &label);
    let work = tempfile::tempdir().expect("a folder");
    let copy = work.path().join("sbom").to_string_lossy().into_owned();
    let mut engine = Engine::new("rw-sbom");
    let container = engine.create("made", &[&image]);
    stdout_of("docker", &["cp", &format!("{container}:{place}"), &copy]);
    let bill = fs::read(&copy).expect("the bill of materials");
    let bill: serde_json::Value = serde_json::from_slice(&bill).expect("JSON");
    assert_eq!(bill["metadata"]["component"]["version"], env!("CARGO_PKG_VERSION"));
    let components = bill["components"].as_array().expect("components");
    assert!(components.iter().any(|one| one["name"] == "rustls"), "{} crates", components.len());
}

#[test]
fn pid_1_drains_at_sigterm_and_exits_with_0() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let mut proxied = Proxied::start(work.path());
    let (engine, container) = (&mut proxied.engine, &proxied.container);
    let top = stdout_of("docker", &["exec", container, "/ringway", "version"]);
    assert!(top.contains("Version:"), "a second process in the container: {top}");
    let pid = stdout_of("docker", &["inspect", "--format", "{{.State.Pid}}", container]);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the first process (the test runs as root)");
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("its ids");
    assert_eq!(inside.split_whitespace().last(), Some("1"), "{inside}");

    let slow = format!("http://{}/slow/{SLOW_MILLIS}", proxied.address);
    let started = Instant::now();
    let request = Command::new("curl").args(["-sSi", "-m", "20", &slow]).stdout(std::process::Stdio::piped()).spawn();
    let request = request.expect("curl starts");
    std::thread::sleep(Duration::from_millis(SLOW_MILLIS / 6));
    let mut stop = Command::new("docker").args(["stop", "-t", "30", container]).spawn().expect("docker starts");
    // The exit time of the process itself: a busy engine takes seconds more for its network.
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(started.elapsed() < Duration::from_secs(40), "the first process does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let took = started.elapsed();
    assert!(stop.wait().expect("docker ends").success());

    let reply = request.wait_with_output().expect("curl ends");
    let reply = String::from_utf8_lossy(&reply.stdout).into_owned();
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.contains("GET /slow/"), "the active request is cut: {reply}");
    let window = Duration::from_millis(SLOW_MILLIS)..Duration::from_millis(SLOW_MILLIS + STOP_SLACK_SECS * 1000);
    assert!(window.contains(&took), "the stop waits for the request and no longer: {took:?}");
    let code = stdout_of("docker", &["inspect", "--format", "{{.State.ExitCode}}", container]);
    assert_eq!(code, "0", "{}", engine.logs(container));
}

#[test]
fn engine_health_check_runs_the_program() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let mut proxied = Proxied::start(work.path());
    assert_eq!(
        stdout_of("docker", &["exec", &proxied.container, "/ringway", "healthcheck"]),
        "OK: http://127.0.0.1:80/ping"
    );

    // The exec form: the image has no shell, and ping is off unless the configuration enables it.
    let check = r#"HEALTHCHECK --interval=1s --timeout=5s --retries=2 CMD ["/ringway","healthcheck"]"#;
    let image = proxied.engine.derived_image("checked", &proxied.container, check);
    let healthy = proxied.engine.run("healthy", &["--network", &proxied.network, "-v", &proxied.mount, &image]);
    let unhealthy = proxied.engine.run("unhealthy", &["--network", &proxied.network, &image]);
    for (container, wanted) in [(healthy, "healthy"), (unhealthy, "unhealthy")] {
        wait_for(&format!("a container that is {wanted}"), Duration::from_secs(START_SECS_MAX), || {
            let health = stdout_of("docker", &["inspect", "--format", "{{json .State.Health}}", &container]);
            let status: serde_json::Value = serde_json::from_str(&health).map_err(|e| format!("{e} in {health}"))?;
            if status["Status"] == wanted { Ok(()) } else { Err(health) }
        });
    }
}

#[test]
fn mounted_docker_socket_is_sufficient() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let mut engine = Engine::new("rw-socket");
    let whoami = engine.whoami_image(work.path());
    let image = ringway_image();
    let proxy = engine.run("proxy", &["-v", SOCKET, &image, "--docker", "--docker.domain=socket.test", "--api"]);
    let labelled = engine.run("app", &["--expose", "80", &whoami, "--name", "app", "--port", "80"]);
    let address = engine.address(&proxy, "bridge");
    let host = format!("Host: {labelled}.socket.test");
    let reply = wait_for("the container's default route", Duration::from_secs(START_SECS_MAX), || {
        curl(&["-sSf", "-m", "2", "-H", &host, &format!("http://{address}/")])
    });
    assert!(reply.contains("Name: app\n"), "{reply}");
    let page = curl(&["-sSf", "-m", "5", &format!("http://{address}:8080/dashboard/")]).expect("the dashboard");
    assert!(page.to_lowercase().contains("<html"), "{page}");
}

#[test]
fn dockerfile_builds_without_a_registry() {
    let dockerfile = fs::read_to_string(project().join("Dockerfile")).expect("the Dockerfile");
    let (build, last) = dockerfile.split_once("FROM scratch\n").expect("a last stage FROM scratch");
    assert!(build.contains("scripts/rootfs.sh ") && last.contains("COPY --from=build /rootfs/ /\n"), "{dockerfile}");
    assert!(last.contains("ENTRYPOINT [\"/ringway\"]\n"), "{last}");
    // scripts/image.sh passes these instructions to the engine and knows no others.
    let known = ["COPY ", "ENTRYPOINT ", "CMD ", "EXPOSE ", "WORKDIR ", "ENV ", "LABEL ", "USER ", "#"];
    for line in last.lines().filter(|line| !line.is_empty()) {
        assert!(known.iter().any(|start| line.starts_with(start)), "scripts/image.sh would leave out: {line}");
    }
}

/// A proxy with one server that has a host name, which the image must resolve with only its own files.
struct Proxied {
    engine: Engine,
    network: String,
    mount: String,
    container: String,
    address: String,
}

impl Proxied {
    fn start(work: &Path) -> Self {
        let mut engine = Engine::new("rw-image");
        let network = engine.network("net");
        let whoami = engine.whoami_image(work);
        let server = engine.run("server", &["--network", &network, &whoami, "--name", "server", "--port", "8000"]);
        let config = work.join("traefik.toml");
        fs::write(&config, CONFIG.replace("@name@", &server)).expect("traefik.toml");
        let mount = format!("{}:/traefik.toml", config.display());
        let container = engine.run("proxy", &["--network", &network, "-v", &mount, &ringway_image()]);
        let address = engine.address(&container, &network);
        let url = format!("http://{address}/");
        let reply = wait_for("the server that is known by name", Duration::from_secs(START_SECS_MAX), || {
            curl(&["-sSf", "-m", "2", &url])
        });
        assert!(reply.contains("Name: server\n"), "{reply}");
        Proxied { engine, network, mount, container, address }
    }
}

fn curl(arguments: &[&str]) -> Result<String, String> {
    let output = run("curl", arguments);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
