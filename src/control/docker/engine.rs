//! The Engine's API as far as the provider needs it: list, inspect, events. Only GET requests.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptions, ListContainersOptionsBuilder,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};

use super::events::StopFacts;
use super::failure::{explain, is_broken_connection};
use super::{DockerProviderSettings, exited, inspected, transport};
use crate::config::labels::ContainerFacts;

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
                Inspection::Done(inspected) => return Ok(Some(inspected::read(*inspected).0)),
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
            Some(Inspection::Done(inspected)) => Some((id, Some(inspected::read(*inspected)))),
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
