//! Swarm mode against a single-node swarm that the test creates on the Engine and leaves again (docs/reference/providers.md#swarm).

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::socket_filter::Listed;
use super::*;

/// Marks the node of a swarm that a test created, so that the next test can remove what a killed test left behind.
const MARK: &str = "ringway-test";

struct Swarm {
    case: Case,
    network: String,
    services: Vec<String>,
}

impl Swarm {
    /// `None` when the Engine is in a swarm already, which the test must not change.
    fn new() -> Option<Swarm> {
        let state = docker(&["info", "--format", "{{.Swarm.LocalNodeState}}"]).unwrap();
        if state != "inactive" {
            let mark = format!("{{{{index .Spec.Labels {MARK:?}}}}}");
            let is_ours = docker(&["node", "inspect", "self", "--format", &mark]).is_ok_and(|value| value == "yes");
            if !is_ours {
                let required = std::env::var("RINGWAY_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
                assert!(!required, "the Engine is in a swarm ({state}) that this test did not make");
                println!("skipped: the Engine is in a swarm ({state})");
                return None;
            }
            docker(&["swarm", "leave", "--force"]).unwrap();
        }
        docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]).unwrap();
        let node = docker(&["info", "--format", "{{.Swarm.NodeID}}"]).unwrap();
        docker(&["node", "update", "--label-add", &format!("{MARK}=yes"), &node]).unwrap();
        let case = Case::new("swarm");
        let network = case.name("net");
        let swarm = Swarm { case, network, services: Vec::new() };
        docker(&["network", "create", "-d", "overlay", &swarm.network]).unwrap();
        Some(swarm)
    }

    fn service(&mut self, name: &str, options: &[&str]) {
        let (name, image) = (self.case.name(name), self.case.image(IMAGE));
        let tags = format!("traefik.tags={}", self.case.tag);
        let network = format!("traefik.docker.network={}", self.network);
        let base = ["service", "create", "--detach", "--no-resolve-image", "--name", &name, "--network", &self.network];
        let labels = ["--label", &tags, "--label", &network, "--label", "traefik.port=80"];
        self.services.push(name.clone());
        docker(&[&base[..], &labels, options, &[image.as_str()]].concat()).unwrap();
    }

    /// The addresses of a service's running tasks, as in the API.
    fn task_urls(&self, name: &str) -> Vec<String> {
        let filter = format!("service={}", self.case.name(name));
        let tasks = docker(&["service", "ps", "-q", "-f", "desired-state=running", &self.case.name(name)]);
        let tasks = tasks.unwrap_or_else(|error| panic!("{filter}: {error}"));
        let format = "{{range .NetworksAttachments}}{{index .Addresses 0}}{{end}}";
        let addresses = tasks.lines().map(|task| docker(&["inspect", "--format", format, task]).unwrap());
        let mut urls: Vec<String> =
            addresses.map(|address| format!("http://{}:80", address.split('/').next().unwrap_or_default())).collect();
        urls.sort();
        urls
    }

    /// The address of a service's only task in the network of the test.
    fn task_url_in_network(&self, name: &str) -> String {
        let task = docker(&["service", "ps", "-q", "-f", "desired-state=running", &self.case.name(name)]).unwrap();
        let (is_own, address) = (format!("eq .Network.Spec.Name {:?}", self.network), "{{index .Addresses 0}}");
        let format = format!("{{{{range .NetworksAttachments}}}}{{{{if {is_own}}}}}{address}{{{{end}}}}{{{{end}}}}");
        let address = docker(&["inspect", "--format", &format, &task]).unwrap();
        format!("http://{}:80", address.split('/').next().unwrap_or_default())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for service in &self.services {
            let _ = docker(&["service", "rm", service]);
        }
        // Leaving removes the tasks' containers and the network; after that the image is unused.
        let _ = docker(&["swarm", "leave", "--force"]);
        let filter = format!("ancestor={}", self.case.name(IMAGE));
        let end = Instant::now() + TIME_LIMIT;
        while docker(&["ps", "-aq", "--filter", &filter]).is_ok_and(|left| !left.is_empty()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The filter's response to a request that the provider never sends.
fn asked(place: &Path, target: &str) -> String {
    let mut stream = std::os::unix::net::UnixStream::connect(place).unwrap();
    // In one segment, as the filter reads it.
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn sorted_urls(update: &ProviderUpdate, backend: &str) -> Vec<String> {
    let mut urls = urls(&update.dynamic, backend);
    urls.sort();
    urls
}

#[tokio::test]
async fn services_are_added_scaled_and_removed() {
    if !engine_answers() {
        return;
    }
    let Some(mut swarm) = Swarm::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("filter.sock");
    let seen = socket_filter::start(&place, &socket());
    let mut settings =
        DockerProviderSettings { endpoint: format!("unix://{}", place.display()), ..swarm.case.settings() };
    settings.labels.swarm_mode = true;
    settings.swarm_refresh = Duration::from_millis(500);
    let mut updates = follow(settings);
    until(&mut updates, "nothing", |update| update.dynamic == DynamicConfig::default()).await;

    swarm.service("web", &["--replicas", "2"]);
    let web = swarm.case.backend("web");
    let update = until(&mut updates, "both tasks", |update| urls(&update.dynamic, &web).len() == 2).await;
    assert_eq!(sorted_urls(&update, &web), swarm.task_urls("web"));
    let frontend = update.dynamic.frontends.values().next().expect("the service's frontend");
    let rule = frontend.routes.values().next().expect("its rule").rule.clone();
    assert_eq!(rule, format!("Host:{}.live", swarm.case.name("web")));

    docker(&["service", "scale", "--detach", &format!("{}=1", swarm.case.name("web"))]).unwrap();
    let update = until(&mut updates, "one task", |update| urls(&update.dynamic, &web).len() == 1).await;
    assert_eq!(sorted_urls(&update, &web), swarm.task_urls("web"));

    swarm.service("agent", &["--mode", "global"]);
    let agent = swarm.case.backend("agent");
    let update = until(&mut updates, "the global service", serves(&agent)).await;
    assert_eq!(sorted_urls(&update, &agent), swarm.task_urls("agent"));

    swarm.service("vip", &["--label", "traefik.backend.loadbalancer.swarm=true"]);
    let vip = swarm.case.backend("vip");
    let update = until(&mut updates, "the virtual address", serves(&vip)).await;
    let [url] = &urls(&update.dynamic, &vip)[..] else { panic!("one server: {:?}", urls(&update.dynamic, &vip)) };
    assert!(!swarm.task_urls("vip").contains(url), "{url} is a task's own");

    // A published port attaches the service to the swarm's ingress network as well, whose name comes before the other's.
    swarm.service("published", &["--label", "traefik.docker.network=", "--publish", "target=80"]);
    let published = swarm.case.backend("published");
    let update = until(&mut updates, "the published service", serves(&published)).await;
    assert_eq!(urls(&update.dynamic, &published), [swarm.task_url_in_network("published")]);

    swarm.service("round", &["--endpoint-mode", "dnsrr", "--label", "traefik.backend.loadbalancer.swarm=true"]);
    let name = format!("service {}", swarm.case.name("round"));
    let is_rejected = |update: &ProviderUpdate| update.rejected.iter().any(|rejected| rejected.name == name);
    until(&mut updates, "the rejected service", is_rejected).await;

    docker(&["service", "rm", &swarm.case.name("web")]).unwrap();
    let update = until(&mut updates, "no web service", lacks(&web)).await;
    assert!(serves(&agent)(&update) && serves(&vip)(&update), "the others stay");

    // The whole test ran behind a filter that passes only the documented requests; and swarm mode needs each of those.
    assert_eq!(seen.refused(), [""; 0]);
    let listed = Listed::read();
    let needed = listed.paths("`swarmMode`");
    assert!(needed.len() == 3 && needed.iter().all(|path| seen.has_passed(path)), "{needed:?}");
    assert!(asked(&place, "/v1.41/nodes").starts_with("HTTP/1.1 403 "));
    assert_eq!(seen.refused(), ["GET /v1.41/nodes HTTP/1.1"]);
}
