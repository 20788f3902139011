//! The Docker provider against a real Engine. Skipped, with a message, where no engine responds; with RINGWAY_REQUIRE_DOCKER=1 that is a
//! failure. A constraint limits each case to its own containers.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ringway::config::dynamic::DynamicConfig;
use ringway::control::docker::{DockerProviderSettings, run};
use ringway::control::update::{self, ProviderUpdate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

#[path = "docker_live/ended.rs"]
mod ended;
#[path = "support/socket_filter.rs"]
mod socket_filter;
#[path = "docker_live/swarm.rs"]
mod swarm;
#[path = "docker_live/table.rs"]
mod table;

const TIME_LIMIT: Duration = Duration::from_secs(20);
/// Well below the time that a slow container takes to stop.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The image with the test program; each case has its own tag for it.
const IMAGE: &str = "plain";
/// The same image without an exposed port.
const BARE_IMAGE: &str = "bare";
/// The same image with a health check.
const IMAGE_WITH_CHECK: &str = "checked";

fn socket() -> String {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").to_owned()
}

/// Prints how long a step took, so that a slow run shows what it waited for: the Engine's own work, or the provider.
fn tell(step: &str, started: Instant) {
    println!("{:6.1} s: {step}", started.elapsed().as_secs_f64());
}

/// Runs the docker command; returns its output, or its error output.
fn docker(args: &[&str]) -> Result<String, String> {
    let started = Instant::now();
    let output = Command::new("docker").args(args).output().map_err(|error| format!("docker: {error}"))?;
    tell(&format!("docker {}", args[..args.len().min(2)].join(" ")), started);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr))),
    }
}

/// The content of the images, built once; the error is the reason why the live tests are skipped.
fn prepared() -> &'static Result<tempfile::TempDir, String> {
    static PREPARED: OnceLock<Result<tempfile::TempDir, String>> = OnceLock::new();
    PREPARED.get_or_init(|| {
        docker(&["version", "--format", "{{.Server.Version}}"])?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/docker_live/app.c");
        shell(Command::new("gcc").args(["-static", "-Os", "-o", &path("app"), source]))?;
        shell(Command::new("tar").args(["-C", &path(""), "-cf", &path("image.tar"), "app"]))?;
        Ok(dir)
    })
}

fn shell(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// False when there is no Engine and none is required.
fn engine_answers() -> bool {
    match prepared() {
        Ok(_) => true,
        Err(reason) if std::env::var("RINGWAY_REQUIRE_DOCKER").is_ok_and(|value| value == "1") => {
            panic!("RINGWAY_REQUIRE_DOCKER=1, but: {reason}")
        }
        Err(reason) => {
            println!("skipped: no Docker Engine to test against: {reason}");
            false
        }
    }
}

/// Containers, networks and images of one test, removed at its end.
struct Case {
    tag: String,
    created: Mutex<Vec<[String; 2]>>,
}

impl Case {
    fn new(name: &str) -> Case {
        // By this label scripts/test.sh finds the leftovers of a killed test.
        let run = std::env::var("RINGWAY_RUN").map(|run| format!("-{run}")).unwrap_or_default();
        Case { tag: format!("ringway-live-{name}{run}-{}", std::process::id()), created: Mutex::default() }
    }

    fn settings(&self) -> DockerProviderSettings {
        let mut settings = DockerProviderSettings { endpoint: format!("unix://{}", socket()), ..Default::default() };
        settings.labels.domain = "live".to_owned();
        settings.labels.constraints = vec![format!("tag=={}", self.tag)];
        settings
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// Starts a container of the case; the docker options come before the image.
    fn start(&self, name: &str, options: &[&str], image: &str, args: &[&str]) {
        let (name, tags) = (self.name(name), format!("traefik.tags={}", self.tag));
        let image = self.image(image);
        self.created.lock().unwrap().push(["rm".to_owned(), name.clone()]);
        let base = ["run", "-d", "--name", &name, "--label", &tags];
        docker(&[&base, options, &[image.as_str()], args].concat()).unwrap();
    }

    /// The case's own tag of an image, made at its first use: with a shared tag no case could remove the image.
    fn image(&self, kind: &str) -> String {
        let image = self.name(kind);
        let entry = ["rmi".to_owned(), image.clone()];
        let mut created = self.created.lock().unwrap();
        if created.contains(&entry) {
            return image;
        }
        let content = prepared().as_ref().unwrap().path().join("image.tar").to_string_lossy().into_owned();
        let base = ["import", "--change", "ENTRYPOINT [\"/app\"]"];
        let check = ["--change", "EXPOSE 80", "--change", "HEALTHCHECK --interval=1s CMD [\"/app\",\"probe\"]"];
        let more = match kind {
            IMAGE_WITH_CHECK => &check[..],
            BARE_IMAGE => &[],
            _ => &check[..2],
        };
        docker(&[&base, more, &[&content, &image]].concat()).unwrap();
        created.push(entry);
        image
    }

    fn network(&self, name: &str) -> String {
        let name = self.name(name);
        docker(&["network", "create", &name]).unwrap();
        self.created.lock().unwrap().push(["network".to_owned(), name.clone()]);
        name
    }

    fn backend(&self, name: &str) -> String {
        format!("backend-{}", self.name(name))
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let created = self.created.lock().unwrap();
        for [kind, name] in created.iter().filter(|[kind, _]| kind == "rm") {
            let _ = docker(&[kind, "-f", name]);
        }
        for [kind, name] in created.iter().filter(|[kind, _]| kind == "network") {
            let _ = docker(&[kind, "rm", name]);
        }
        for [kind, name] in created.iter().filter(|[kind, _]| kind == "rmi") {
            let _ = docker(&[kind, name]);
        }
    }
}

fn follow(settings: DockerProviderSettings) -> UnboundedReceiver<ProviderUpdate> {
    let (send, receive) = update::channel();
    tokio::spawn(run(settings, send));
    receive
}

/// Waits for an update with the property; skips others.
async fn until(
    updates: &mut UnboundedReceiver<ProviderUpdate>,
    what: &str,
    wanted: impl Fn(&ProviderUpdate) -> bool,
) -> ProviderUpdate {
    let started = Instant::now();
    let mut last = None;
    while let Ok(update) = timeout(TIME_LIMIT.saturating_sub(started.elapsed()), updates.recv()).await {
        let update = update.expect("the provider ended");
        if wanted(&update) {
            tell(&format!("the provider's update with {what}"), started);
            return update;
        }
        last = Some(update.dynamic);
    }
    panic!("no update with {what}; the last one was {last:#?}");
}

fn urls(dynamic: &DynamicConfig, backend: &str) -> Vec<String> {
    let servers = dynamic.backends.get(backend).into_iter().flat_map(|backend| backend.servers.values());
    servers.map(|server| server.url.clone()).collect()
}

fn serves(backend: &str) -> impl Fn(&ProviderUpdate) -> bool {
    move |update| !urls(&update.dynamic, backend).is_empty()
}

fn lacks(backend: &str) -> impl Fn(&ProviderUpdate) -> bool {
    move |update| !update.dynamic.backends.contains_key(backend)
}

async fn in_background(args: &[&str]) -> tokio::task::JoinHandle<Result<String, String>> {
    let args: Vec<String> = args.iter().map(|arg| arg.to_string()).collect();
    tokio::task::spawn_blocking(move || docker(&args.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[tokio::test]
async fn start_new_labels_and_stop() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("life");
    let mut updates = follow(case.settings());
    until(&mut updates, "nothing", |update| update.dynamic == DynamicConfig::default()).await;
    case.start("c", &[], IMAGE, &[]);
    let update = until(&mut updates, "the new container", serves(&case.backend("c"))).await;
    let ip = docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &case.name("c")]).unwrap();
    assert_eq!(urls(&update.dynamic, &case.backend("c")), [format!("http://{ip}:80")]);

    docker(&["rm", "-f", &case.name("c")]).unwrap();
    until(&mut updates, "no container", lacks(&case.backend("c"))).await;
    case.start("c", &["--label", "traefik.frontend.rule=Path:/new"], IMAGE, &[]);
    let update = until(&mut updates, "the new label", serves(&case.backend("c"))).await;
    assert!(update.dynamic.frontends.contains_key("frontend-Path-new-0"), "{:?}", update.dynamic.frontends);

    docker(&["stop", "-t", "5", &case.name("c")]).unwrap();
    until(&mut updates, "no stopped container", lacks(&case.backend("c"))).await;
}

#[tokio::test]
async fn slowly_stopping_container_gets_no_requests_after_its_signal() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("slow");
    case.start("c", &[], IMAGE, &["6"]);
    let mut updates = follow(case.settings());
    until(&mut updates, "the container", serves(&case.backend("c"))).await;

    docker(&["kill", "-s", "HUP", &case.name("c")]).unwrap();
    case.start("other", &[], IMAGE, &[]);
    let update = until(&mut updates, "the other container", serves(&case.backend("other"))).await;
    assert!(serves(&case.backend("c"))(&update), "a signal that ends nothing must change nothing");

    let started = Instant::now();
    let stop = in_background(&["stop", "-t", "15", &case.name("c")]).await;
    until(&mut updates, "no stopping container", lacks(&case.backend("c"))).await;
    assert!(started.elapsed() < AT_ONCE, "it took {:?}", started.elapsed());
    let running = docker(&["inspect", "-f", "{{.State.Running}}", &case.name("c")]).unwrap();
    assert_eq!(running, "true", "the case proves nothing if the container has ended already");
    stop.await.unwrap().unwrap();

    docker(&["start", &case.name("c")]).unwrap();
    until(&mut updates, "the container again", serves(&case.backend("c"))).await;
}

#[tokio::test]
async fn container_stopping_before_the_start_gets_no_requests() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("late");
    case.start("c", &[], IMAGE, &["6"]);
    let stop = in_background(&["stop", "-t", "15", &case.name("c")]).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut updates = follow(case.settings());
    until(&mut updates, "no stopping container", lacks(&case.backend("c"))).await;
    let running = docker(&["inspect", "-f", "{{.State.Running}}", &case.name("c")]).unwrap();
    assert_eq!(running, "true", "the case proves nothing if the container has ended already");
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn paused_container_gets_no_requests_until_unpaused() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("pause");
    case.start("c", &[], IMAGE, &[]);
    let mut updates = follow(case.settings());
    until(&mut updates, "the container", serves(&case.backend("c"))).await;
    docker(&["pause", &case.name("c")]).unwrap();
    until(&mut updates, "no paused container", lacks(&case.backend("c"))).await;
    docker(&["unpause", &case.name("c")]).unwrap();
    until(&mut updates, "the container again", serves(&case.backend("c"))).await;
}

#[tokio::test]
async fn container_joining_its_network_is_routed_there() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("net");
    let network = case.network("n");
    case.start("c", &["--label", &format!("traefik.docker.network={network}")], IMAGE, &[]);
    let mut updates = follow(case.settings());
    let first = until(&mut updates, "an address elsewhere", serves(&case.backend("c"))).await;
    let before = urls(&first.dynamic, &case.backend("c"));
    docker(&["network", "connect", &network, &case.name("c")]).unwrap();
    let changed = |update: &ProviderUpdate| {
        serves(&case.backend("c"))(update) && urls(&update.dynamic, &case.backend("c")) != before
    };
    let update = until(&mut updates, "another address", changed).await;
    let format = format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}");
    let ip = docker(&["inspect", "-f", &format, &case.name("c")]).unwrap();
    assert_eq!(urls(&update.dynamic, &case.backend("c")), [format!("http://{ip}:80")]);
    docker(&["network", "disconnect", &network, &case.name("c")]).unwrap();
    until(&mut updates, "the first address", |update| urls(&update.dynamic, &case.backend("c")) == before).await;
}

#[tokio::test]
async fn bad_label_rejects_only_its_container() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("bad");
    case.start("bad", &["--label", "traefik.frontend.rule=Path:/\\d"], IMAGE, &[]);
    let mut updates = follow(case.settings());
    until(&mut updates, "the rejection", |update| update.rejected.len() == 1).await;
    case.start("good", &[], IMAGE, &[]);
    let update = until(&mut updates, "the good container", serves(&case.backend("good"))).await;
    assert_eq!(update.dynamic.backends.len(), 1);
    assert_eq!(update.rejected[0].name, format!("container {}", case.name("bad")));
    assert!(update.rejected[0].reason.contains("traefik.frontend.rule"), "{}", update.rejected[0].reason);
    docker(&["rm", "-f", &case.name("bad")]).unwrap();
    until(&mut updates, "no rejection", |update| update.rejected.is_empty()).await;
}

#[tokio::test]
async fn container_is_routed_once_it_is_healthy() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("health");
    let mut updates = follow(case.settings());
    until(&mut updates, "nothing", lacks(&case.backend("c"))).await;
    case.start("c", &[], IMAGE_WITH_CHECK, &[]);
    until(&mut updates, "no starting container", lacks(&case.backend("c"))).await;
    until(&mut updates, "the healthy container", serves(&case.backend("c"))).await;
    let health = docker(&["inspect", "-f", "{{.State.Health.Status}}", &case.name("c")]).unwrap();
    assert_eq!(health, "healthy");
}

#[tokio::test]
async fn watch_disabled_lists_once() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("once");
    case.start("c", &[], IMAGE, &[]);
    let mut updates = follow(DockerProviderSettings { watch: false, ..case.settings() });
    until(&mut updates, "the container", serves(&case.backend("c"))).await;
    let end = timeout(TIME_LIMIT, updates.recv()).await.expect("the provider must end");
    assert!(end.is_none());
}

/// A socket between the provider and the Engine: it can be closed, can cut connections, and records all requests.
struct Gate {
    path: PathBuf,
    open: Arc<AtomicBool>,
    /// Incremented to cut all connections.
    cuts: tokio::sync::watch::Sender<usize>,
    requests: Arc<Mutex<Vec<String>>>,
    event_streams: Arc<AtomicUsize>,
    _dir: tempfile::TempDir,
}

impl Gate {
    fn new() -> Gate {
        let dir = tempfile::tempdir().unwrap();
        Gate {
            path: dir.path().join("docker.sock"),
            open: Arc::default(),
            cuts: tokio::sync::watch::channel(0).0,
            requests: Arc::default(),
            event_streams: Arc::default(),
            _dir: dir,
        }
    }

    fn settings(&self, case: &Case) -> DockerProviderSettings {
        DockerProviderSettings { endpoint: format!("unix://{}", self.path.display()), ..case.settings() }
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        if self.path.exists() {
            return;
        }
        let listener = UnixListener::bind(&self.path).unwrap();
        let (open, requests, streams) = (self.open.clone(), self.requests.clone(), self.event_streams.clone());
        let cuts = self.cuts.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if open.load(Ordering::SeqCst) {
                    tokio::spawn(carry(client, cuts.clone(), requests.clone(), streams.clone()));
                }
            }
        });
    }

    fn close(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(
    mut client: UnixStream,
    mut cuts: tokio::sync::watch::Receiver<usize>,
    requests: Arc<Mutex<Vec<String>>>,
    streams: Arc<AtomicUsize>,
) {
    cuts.mark_unchanged();
    let mut engine = UnixStream::connect(socket()).await.unwrap();
    // The provider sends one request on each connection, in one segment.
    let mut head = vec![0; 8192];
    let length = client.read(&mut head).await.unwrap_or(0);
    let line = String::from_utf8_lossy(&head[..length]).lines().next().unwrap_or_default().to_owned();
    streams.fetch_add(usize::from(line.contains("/events?")), Ordering::SeqCst);
    requests.lock().unwrap().push(line);
    let _ = engine.write_all(&head[..length]).await;
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut engine) => {}
        _ = cuts.changed() => {}
    }
}

#[tokio::test]
async fn provider_reconnects_to_a_late_or_restarted_engine() {
    if !engine_answers() {
        return;
    }
    let (case, gate) = (Case::new("gate"), Gate::new());
    case.start("a", &[], IMAGE, &[]);
    let mut updates = follow(gate.settings(&case));
    assert!(timeout(Duration::from_secs(1), updates.recv()).await.is_err(), "nothing can be known without an Engine");
    gate.open();
    until(&mut updates, "the first container", serves(&case.backend("a"))).await;

    gate.close();
    case.start("b", &[], IMAGE, &[]);
    docker(&["rm", "-f", &case.name("a")]).unwrap();
    let nothing = timeout(Duration::from_secs(1), updates.recv()).await;
    assert!(nothing.is_err(), "the last configuration must stay, got {:?}", nothing.unwrap().unwrap().dynamic);
    gate.open();
    let update = until(&mut updates, "what happened meanwhile", serves(&case.backend("b"))).await;
    assert!(lacks(&case.backend("a"))(&update));
    let requests = gate.requests.lock().unwrap();
    assert!(requests.len() > 4 && requests.iter().all(|line| line.starts_with("GET ")), "{requests:?}");
}

#[tokio::test]
async fn event_stream_outlives_the_request_timeout() {
    if !engine_answers() {
        return;
    }
    let (case, gate) = (Case::new("idle"), Gate::new());
    gate.open();
    let settings = DockerProviderSettings { request_timeout: Duration::from_secs(1), ..gate.settings(&case) };
    let mut updates = follow(settings);
    until(&mut updates, "nothing", lacks(&case.backend("c"))).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    case.start("c", &[], IMAGE, &[]);
    until(&mut updates, "the container", serves(&case.backend("c"))).await;
    assert_eq!(gate.event_streams.load(Ordering::SeqCst), 1, "the stream must not have been cut");
}

#[tokio::test]
async fn provider_without_socket_stops_with_its_receiver() {
    let settings = DockerProviderSettings { endpoint: "unix:///nowhere/docker.sock".to_owned(), ..Default::default() };
    let (send, receive) = update::channel();
    let provider = tokio::spawn(run(settings, send));
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(receive);
    timeout(TIME_LIMIT, provider).await.expect("the provider must notice that its receiver is dropped").unwrap();
}
