//! The Engine's API as far as the provider needs it: list, inspect, events. Only GET requests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerState, EventMessage, PortMap};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptions, ListContainersOptionsBuilder,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::events::{STOPPING_MAX, StopFacts};
use super::{DockerProviderSettings, exited, signal, transport};
use crate::config::labels::{BindingFacts, ContainerFacts, NetworkFacts, PortFacts};

/// How many containers are inspected at the same time. If so many give no answer, it is the Engine that does not.
const INSPECTIONS_MAX: usize = 8;

/// How long a listing waits for the inspection of one container. An Engine answers none while it starts the container or takes its
/// network down, which on a busy host takes seconds: the others' routes do not wait for that.
const INSPECTION_WAIT_MAX: Duration = Duration::from_secs(3);

/// How many containers that ended lately are inspected; of more than that the oldest are left out.
const ENDED_MAX: usize = 250;

/// The client's limit also covers the start of the event stream, which on some Engines answers only with the first event.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

/// A connected Engine.
pub struct Engine {
    endpoint: String,
    timeout: Duration,
    requests: Docker,
    events: Docker,
}

/// All running containers by id, in Docker's order. Nothing is known of those for which there was no answer, or that were not asked for.
pub type Listing = Vec<(String, Option<(ContainerFacts, StopFacts)>)>;

/// What came of an inspection.
enum Inspection {
    Done(Box<ContainerInspectResponse>),
    /// There is no such container any more.
    Gone,
    /// No answer in time.
    TimedOut,
    /// The Engine's own failure, which says nothing of the container.
    Failed(String),
}

impl Engine {
    /// Connects and agrees on an API version; the error says what to do.
    pub async fn connect(settings: &DockerProviderSettings) -> Result<Engine, String> {
        let (endpoint, timeout) = (settings.endpoint.clone(), settings.request_timeout);
        let client = transport::client(settings)?;
        let requests = limited(timeout, &endpoint, "ask for the version", client.negotiate_version()).await?;
        let events = requests.clone().with_timeout(EVENTS_TIMEOUT);
        Ok(Engine { endpoint, timeout, requests, events })
    }

    /// The agreed version of the API, as it stands in paths: `v1.41`.
    pub fn api_version(&self) -> String {
        let version = self.requests.client_version();
        format!("v{}.{}", version.major_version, version.minor_version)
    }

    /// All running containers, each inspected, without a long wait for a single one; those gone meanwhile are left out. `silent` are
    /// those not to be asked for.
    pub async fn list_skipping_slow(&self, silent: &HashSet<String>) -> Result<Listing, String> {
        self.list(silent, INSPECTION_WAIT_MAX.min(self.timeout)).await
    }

    /// As [`Engine::list_quickly`], but waits for each, and asks for all.
    pub async fn list_all(&self) -> Result<Listing, String> {
        self.list(&HashSet::new(), self.timeout).await
    }

    /// The first of these that there is; the error names the one that the Engine gives no answer for.
    pub async fn first_of(&self, ids: &[String]) -> Result<Option<ContainerFacts>, String> {
        for id in ids {
            match self.inspect(id, INSPECTION_WAIT_MAX.min(self.timeout)).await? {
                Inspection::Done(inspected) => return Ok(Some(read(*inspected).0)),
                Inspection::Gone => {}
                Inspection::TimedOut => return Err(self.explain(&inspecting(id), &Error::RequestTimeoutError)),
                Inspection::Failed(reason) => return Err(reason),
            }
        }
        Ok(None)
    }

    async fn list(&self, silent: &HashSet<String>, wait: Duration) -> Result<Listing, String> {
        let listed = self.requests.list_containers(None::<ListContainersOptions>);
        let listed = limited(self.timeout, &self.endpoint, "list containers", listed).await?;
        let ids = listed.into_iter().filter_map(|container| container.id);
        let read = |(id, inspection)| match inspection {
            Some(Inspection::Done(inspected)) => Some((id, Some(read(*inspected)))),
            Some(Inspection::TimedOut | Inspection::Failed(_)) | None => Some((id, None)),
            Some(Inspection::Gone) => None,
        };
        Ok(self.inspect_all(ids, silent, wait).await?.into_iter().filter_map(read).collect())
    }

    /// The containers that have ended within `grace`, each with how long ago that was.
    pub async fn ended(
        &self,
        grace: Duration,
        since_1970: Duration,
    ) -> Result<Vec<(ContainerFacts, Duration)>, String> {
        let filters = HashMap::from([("status", vec!["exited"])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.requests.list_containers(Some(options));
        let listed = limited(self.timeout, &self.endpoint, "list ended containers", listed).await?;
        let lately =
            listed.into_iter().filter(|c| exited::may_be_within(c.status.as_deref().unwrap_or_default(), grace));
        let ids = lately.filter_map(|container| container.id).take(ENDED_MAX);
        let inspections = self.inspect_all(ids, &HashSet::new(), self.timeout).await?;
        let with_age = inspections.into_iter().filter_map(|(_, inspection)| {
            let Some(Inspection::Done(inspected)) = inspection else { return None };
            let age = exited::age(&inspected, since_1970).filter(|age| *age < grace)?;
            Some((exited::facts(*inspected), age))
        });
        Ok(with_age.collect())
    }

    /// Container and network events from `since` (seconds since 1970) on, without an end.
    pub fn events(&self, since: i64) -> impl Stream<Item = Result<EventMessage, Error>> + use<> {
        let filters = HashMap::from([("type", vec!["container", "network"])]);
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        self.events.events(Some(options))
    }

    /// The error as what, where and what to do.
    pub fn explain(&self, doing: &str, error: &Error) -> String {
        explain(&self.endpoint, doing, error)
    }

    /// In the order of the ids; `None` of those that are not asked for.
    async fn inspect_all(
        &self,
        ids: impl Iterator<Item = String>,
        silent: &HashSet<String>,
        wait: Duration,
    ) -> Result<Vec<(String, Option<Inspection>)>, String> {
        let ask = async |id: String| {
            let inspection = if silent.contains(&id) { None } else { Some(self.inspect(&id, wait).await?) };
            Ok::<_, String>((id, inspection))
        };
        let mut inspections = pin!(stream::iter(ids.map(ask)).buffered(INSPECTIONS_MAX));
        let (mut all, mut unanswered) = (Vec::new(), 0);
        while let Some((id, inspection)) = inspections.try_next().await? {
            unanswered += usize::from(matches!(inspection, Some(Inspection::TimedOut)));
            if unanswered == INSPECTIONS_MAX {
                return Err(self.explain("inspect containers", &Error::RequestTimeoutError));
            }
            all.push((id, inspection));
        }
        Ok(all)
    }

    async fn inspect(&self, id: &str, wait: Duration) -> Result<Inspection, String> {
        let answer = self.requests.inspect_container(id, None::<InspectContainerOptions>);
        match tokio::time::timeout(wait, answer).await {
            Ok(Ok(inspected)) => Ok(Inspection::Done(Box::new(inspected))),
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => Ok(Inspection::Gone),
            Ok(Err(Error::RequestTimeoutError)) | Err(_) => Ok(Inspection::TimedOut),
            Ok(Err(error)) if is_broken_connection(&error) => Err(self.explain(&inspecting(id), &error)),
            Ok(Err(error)) => {
                let reason = self.explain(&inspecting(id), &error);
                if matches!(error, Error::DockerResponseServerError { status_code: 500.., .. }) {
                    return Ok(Inspection::Failed(reason));
                }
                tracing::warn!(provider = "docker", container = %id, "{reason}; it is left out");
                Ok(Inspection::Gone)
            }
        }
    }
}

fn inspecting(id: &str) -> String {
    format!("inspect container {id}")
}

/// The client limits only the wait for an answer's head; this limits the whole answer.
async fn limited<T>(
    timeout: Duration,
    endpoint: &str,
    doing: &str,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, String> {
    let answer = tokio::time::timeout(timeout, answer).await.unwrap_or(Err(Error::RequestTimeoutError));
    answer.map_err(|error| explain(endpoint, doing, &error))
}

/// What failed, where, and what to do about it.
pub fn explain(endpoint: &str, doing: &str, error: &Error) -> String {
    let advice = match (error, io_kind(error)) {
        (_, Some(io::ErrorKind::PermissionDenied)) => {
            "permission denied: run the proxy as a user of the group that owns the socket, or correct the socket's mode"
        }
        (_, Some(io::ErrorKind::NotFound)) | (Error::SocketNotFoundError(_), _) => {
            "there is no such socket: start the Docker Engine, or mount its socket into the proxy's container, or correct docker.endpoint"
        }
        (_, Some(io::ErrorKind::ConnectionRefused)) => {
            "nobody listens there: start the Docker Engine or correct docker.endpoint"
        }
        (Error::RequestTimeoutError, _) => {
            "the Docker Engine did not answer in time: check its log and the host's load"
        }
        (Error::DockerResponseServerError { status_code: 401 | 403, .. }, _) => {
            "access refused: allow GET on /version, /events and /containers for the proxy"
        }
        _ => "check that the Docker Engine runs and is reachable",
    };
    format!("cannot {doing} at {endpoint}: {error}: {advice}")
}

fn is_broken_connection(error: &Error) -> bool {
    io_kind(error).is_some() || !matches!(error, Error::DockerResponseServerError { .. } | Error::JsonDataError { .. })
}

fn io_kind(error: &Error) -> Option<io::ErrorKind> {
    if let Error::IOError { err } = error {
        return Some(err.kind());
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        cause = inner.source();
    }
    None
}

/// What is known of a container and of how it is stopped.
pub fn read(inspected: ContainerInspectResponse) -> (ContainerFacts, StopFacts) {
    let config = inspected.config.unwrap_or_default();
    let network = inspected.network_settings.unwrap_or_default();
    let state = inspected.state.unwrap_or_default();
    // Docker takes less than nothing for no end.
    let timeout = |secs| u64::try_from(secs).map_or(STOPPING_MAX, Duration::from_secs).min(STOPPING_MAX);
    let stop = StopFacts {
        signal: config.stop_signal.as_deref().and_then(signal::number),
        timeout: config.stop_timeout.map(timeout),
        started: state.started_at.as_deref().and_then(exited::moment),
    };
    let networks = network.networks.unwrap_or_default().into_iter().map(|(name, endpoint)| {
        let ip = endpoint.ip_address.unwrap_or_default();
        (name, NetworkFacts { id: endpoint.network_id.unwrap_or_default(), ip })
    });
    let facts = ContainerFacts {
        id: inspected.id.unwrap_or_default(),
        name: inspected.name.unwrap_or_default(),
        service: None,
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        running: accepts_requests(&state),
        health: state.health.and_then(|health| health.status).map(|status| status.to_string()),
        network_mode: inspected.host_config.and_then(|host| host.network_mode).unwrap_or_default(),
        networks: networks.collect::<BTreeMap<_, _>>(),
        ports: ports(network.ports.unwrap_or_default()),
        node_ip: None,
    };
    (facts, stop)
}

/// Docker says of paused and restarting containers that they run.
fn accepts_requests(state: &ContainerState) -> bool {
    let is = |flag: Option<bool>| flag.unwrap_or(false);
    is(state.running) && !is(state.paused) && !is(state.restarting) && !is(state.dead)
}

/// `80/tcp` to bindings; what is no port is left out.
fn ports(map: PortMap) -> Vec<PortFacts> {
    let read = |(name, bindings): (String, Option<Vec<_>>)| {
        let (port, protocol) = name.split_once('/').unwrap_or((&name, "tcp"));
        let (port, protocol) = (port.parse().ok()?, protocol.to_owned());
        let binding = |b: bollard::models::PortBinding| BindingFacts {
            host_ip: b.host_ip.unwrap_or_default(),
            host_port: b.host_port.unwrap_or_default(),
        };
        Some(PortFacts { port, protocol, bindings: bindings.unwrap_or_default().into_iter().map(binding).collect() })
    };
    map.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspection_becomes_facts() {
        let text = r#"{"Id":"i","Name":"/c","State":{"Running":true,"StartedAt":"1970-01-01T00:01:40Z","Health":{"Status":"starting"}},
            "HostConfig":{"NetworkMode":"net"},"Config":{"Labels":{"a":"b"},"StopSignal":"SIGQUIT","StopTimeout":90},
            "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"1.2.3.4","HostPort":"81"}],"53/udp":null},
            "Networks":{"net":{"NetworkID":"n1","IPAddress":"10.0.0.2"}}}}"#;
        let (facts, stop) = read(serde_json::from_str(text).unwrap());
        assert!(facts.running);
        assert_eq!(
            (facts.name.as_str(), facts.health.as_deref(), facts.network_mode.as_str()),
            ("/c", Some("starting"), "net")
        );
        assert_eq!(facts.networks["net"], NetworkFacts { id: "n1".into(), ip: "10.0.0.2".into() });
        assert_eq!(facts.ports.len(), 2);
        let (secs, started) = (Duration::from_secs(90), Some(Duration::from_secs(100)));
        assert_eq!(stop, StopFacts { signal: Some(3), timeout: Some(secs), started });
    }

    #[test]
    fn a_stop_time_out_without_an_end_or_beyond_any_clock_is_a_day() {
        for (written, secs) in [("0", 0), ("86400", 86_400), ("-1", 86_400), ("9223372036854775807", 86_400)] {
            let text = format!(r#"{{"Id":"i","Config":{{"StopTimeout":{written}}}}}"#);
            let (_, stop) = read(serde_json::from_str(&text).unwrap());
            assert_eq!(stop.timeout, Some(Duration::from_secs(secs)), "{written}");
        }
    }

    #[test]
    fn paused_and_restarting_containers_accept_nothing() {
        let running = ContainerState { running: Some(true), ..Default::default() };
        assert!(accepts_requests(&running));
        assert!(!accepts_requests(&ContainerState { paused: Some(true), ..running.clone() }));
        assert!(!accepts_requests(&ContainerState { restarting: Some(true), ..running }));
        assert!(!accepts_requests(&ContainerState::default()));
    }

    #[test]
    fn errors_say_what_where_and_what_to_do() {
        let denied = Error::IOError { err: io::Error::from(io::ErrorKind::PermissionDenied) };
        let text = explain("unix:///x.sock", "list containers", &denied);
        for part in ["list containers", "unix:///x.sock", "group that owns the socket"] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }
}
