//! The requests to the Engine's API that the provider needs: list, inspect, events. All are GET.

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
use super::settings::DockerProviderSettings;
use super::{exited, inspected, transport};
use crate::config::labels::ContainerFacts;

/// How many containers are inspected at the same time. If this many inspections of one listing time out, the Engine itself counts as
/// failed.
const INSPECTIONS_MAX: usize = 8;

/// How long a listing waits for the inspection of one container. An Engine does not answer an inspection while it starts that container
/// or takes its network down, which takes seconds on a busy host. The routes of other containers must not wait for that.
const INSPECTION_WAIT_MAX: Duration = Duration::from_secs(3);

/// How many recently exited containers are inspected. If there are more, the oldest are ignored.
const EXITED_MAX: usize = 250;

/// The client's timeout for the event stream. The timeout also covers the wait for the response head, which some Engines send only with
/// the first event, so the timeout must be practically unlimited.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(u32::MAX as u64);

/// The API client of an Engine with which an API version has been negotiated.
pub struct Engine {
    endpoint: String,
    timeout: Duration,
    requests: Docker,
    events: Docker,
}

/// All running containers by id, in Docker's order. `None` if the inspection timed out, failed in the Engine, or was skipped.
pub type Listing = Vec<(String, Option<(ContainerFacts, StopFacts)>)>;

/// The result of an inspection.
enum Inspection {
    Done(Box<ContainerInspectResponse>),
    /// The container does not exist any more, or the Engine answered with another error below 500 or with malformed JSON.
    Gone,
    /// The Engine did not answer within the timeout.
    TimedOut,
    /// The Engine answered with a 5xx, which says nothing about the container.
    Failed(String),
}

impl Engine {
    /// Connects and negotiates an API version. The error says what to do.
    pub async fn connect(settings: &DockerProviderSettings) -> Result<Engine, String> {
        let (endpoint, timeout) = (settings.endpoint.clone(), settings.request_timeout);
        let client = transport::client(settings)?;
        let requests = limited(timeout, &endpoint, "negotiate the API version", client.negotiate_version()).await?;
        let events = requests.clone().with_timeout(EVENTS_TIMEOUT);
        Ok(Engine { endpoint, timeout, requests, events })
    }

    /// The negotiated version of the API as written in request paths: `v1.41`.
    pub fn api_version(&self) -> String {
        let version = self.requests.client_version();
        format!("v{}.{}", version.major_version, version.minor_version)
    }

    /// Lists the running containers and inspects all but the `skipped` ones, waiting at most [`INSPECTION_WAIT_MAX`] for each. Containers
    /// that are gone by then are not in the listing.
    pub async fn list_skipping_slow(&self, skipped: &HashSet<String>) -> Result<Listing, String> {
        self.list(skipped, INSPECTION_WAIT_MAX.min(self.timeout)).await
    }

    /// Like [`Engine::list_skipping_slow`], but inspects all containers and waits the full request timeout for each.
    pub async fn list_all(&self) -> Result<Listing, String> {
        self.list(&HashSet::new(), self.timeout).await
    }

    /// Inspects the containers in order and gives the first one that exists. The error names the container whose inspection timed out or
    /// failed.
    pub async fn inspect_first(&self, ids: &[String]) -> Result<Option<ContainerFacts>, String> {
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

    async fn list(&self, skipped: &HashSet<String>, wait: Duration) -> Result<Listing, String> {
        let listed = self.requests.list_containers(None::<ListContainersOptions>);
        let listed = limited(self.timeout, &self.endpoint, "list containers", listed).await?;
        let ids = listed.into_iter().filter_map(|container| container.id);
        let facts = |(id, inspection)| match inspection {
            Some(Inspection::Done(inspected)) => Some((id, Some(inspected::read(*inspected)))),
            Some(Inspection::TimedOut | Inspection::Failed(_)) | None => Some((id, None)),
            Some(Inspection::Gone) => None,
        };
        Ok(self.inspect_all(ids, skipped, wait).await?.into_iter().filter_map(facts).collect())
    }

    /// The containers that exited less than `grace` ago, each with the time since its exit.
    pub async fn recently_exited(
        &self,
        grace: Duration,
        since_1970: Duration,
    ) -> Result<Vec<(ContainerFacts, Duration)>, String> {
        let filters = HashMap::from([("status", vec!["exited"])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.requests.list_containers(Some(options));
        let listed = limited(self.timeout, &self.endpoint, "list exited containers", listed).await?;
        let recent = listed
            .into_iter()
            .filter(|c| exited::may_have_exited_within(c.status.as_deref().unwrap_or_default(), grace));
        let ids = recent.filter_map(|container| container.id).take(EXITED_MAX);
        let inspections = self.inspect_all(ids, &HashSet::new(), self.timeout).await?;
        let with_age = inspections.into_iter().filter_map(|(_, inspection)| {
            let Some(Inspection::Done(inspected)) = inspection else { return None };
            let age = exited::age(&inspected, since_1970).filter(|age| *age < grace)?;
            Some((exited::facts(*inspected), age))
        });
        Ok(with_age.collect())
    }

    /// The endless stream of container and network events from `since` (seconds since 1970) on.
    pub fn events(&self, since: i64) -> impl Stream<Item = Result<EventMessage, Error>> + use<> {
        let filters = HashMap::from([("type", vec!["container", "network"])]);
        let options = EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build();
        self.events.events(Some(options))
    }

    /// The error's text: what failed, where, and what to do.
    pub fn explain(&self, doing: &str, error: &Error) -> String {
        explain(&self.endpoint, doing, error)
    }

    /// Inspects all containers but the `skipped` ones. The results are in the order of the ids; `None` for a skipped container.
    async fn inspect_all(
        &self,
        ids: impl Iterator<Item = String>,
        skipped: &HashSet<String>,
        wait: Duration,
    ) -> Result<Vec<(String, Option<Inspection>)>, String> {
        let inspect_unless_skipped = async |id: String| {
            let inspection = if skipped.contains(&id) { None } else { Some(self.inspect(&id, wait).await?) };
            Ok::<_, String>((id, inspection))
        };
        let mut inspections = pin!(stream::iter(ids.map(inspect_unless_skipped)).buffered(INSPECTIONS_MAX));
        let (mut all, mut timed_out) = (Vec::new(), 0);
        while let Some((id, inspection)) = inspections.try_next().await? {
            timed_out += usize::from(matches!(inspection, Some(Inspection::TimedOut)));
            if timed_out == INSPECTIONS_MAX {
                return Err(self.explain("inspect containers", &Error::RequestTimeoutError));
            }
            all.push((id, inspection));
        }
        Ok(all)
    }

    async fn inspect(&self, id: &str, wait: Duration) -> Result<Inspection, String> {
        let response = self.requests.inspect_container(id, None::<InspectContainerOptions>);
        match tokio::time::timeout(wait, response).await {
            Ok(Ok(inspected)) => Ok(Inspection::Done(Box::new(inspected))),
            Ok(Err(Error::DockerResponseServerError { status_code: 404, .. })) => Ok(Inspection::Gone),
            Ok(Err(Error::RequestTimeoutError)) | Err(_) => Ok(Inspection::TimedOut),
            Ok(Err(error)) if is_broken_connection(&error) => Err(self.explain(&inspecting(id), &error)),
            Ok(Err(error)) => {
                let reason = self.explain(&inspecting(id), &error);
                if matches!(error, Error::DockerResponseServerError { status_code: 500.., .. }) {
                    return Ok(Inspection::Failed(reason));
                }
                tracing::warn!(provider = "docker", container = %id, "{reason}; container rejected");
                Ok(Inspection::Gone)
            }
        }
    }
}

fn inspecting(id: &str) -> String {
    format!("inspect container {id}")
}

/// Applies the timeout to the whole response. The client's own timeout covers only the wait for the response head.
async fn limited<T>(
    timeout: Duration,
    endpoint: &str,
    doing: &str,
    response: impl Future<Output = Result<T, Error>>,
) -> Result<T, String> {
    let response = tokio::time::timeout(timeout, response).await.unwrap_or(Err(Error::RequestTimeoutError));
    response.map_err(|error| explain(endpoint, doing, &error))
}
