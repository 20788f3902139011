//! The requests to the Engine's API that the provider needs: list, inspect, events. All are GET.

use std::collections::{BTreeSet, HashSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::time::timeout;

use super::event_stream::{self, ReadEvent};
use super::failure::RequestError;
use super::fields::{Fields, elements};
use super::inspected::{self, InspectedContainer};
use super::settings::DockerProviderSettings;
use super::transport::Client;
use super::{exited, ingress, stopped, version};
use crate::config::labels::{ContainerFacts, ContainerReport, PROVIDER, rejection};
use crate::config::{Rejected, Severity};

/// How many containers are inspected at the same time. If this many inspections of one listing time out, the Engine itself counts as
/// failed.
const INSPECTIONS_MAX: usize = 8;

/// How long a listing waits for the inspection of one container. An Engine does not answer an inspection while it starts that container
/// or takes its network down, which takes seconds on a busy host. The routes of other containers must not wait for that.
const INSPECTION_WAIT_MAX: Duration = Duration::from_secs(3);

/// How many recently exited containers are inspected. If there are more, the oldest are ignored.
const EXITED_MAX: usize = 250;

/// `filters={"type":["container","network"]}`. Kinds of events are filtered here and not there: some Engines expect other names of actions
/// in their filters than they send.
const CONTAINERS_AND_NETWORKS: &str = "filters=%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";
/// `filters={"status":["exited"]}`.
const EXITED: &str = "filters=%7B%22status%22%3A%5B%22exited%22%5D%7D";

/// The API client of an Engine with which an API version has been negotiated.
pub struct Engine {
    client: Client,
    /// The beginning of request paths: `/v1.41`.
    prefix: String,
}

/// The result of an inspection.
#[derive(Debug, Clone, PartialEq)]
pub enum Inspection {
    Done(Box<InspectedContainer>),
    /// The container does not exist any more.
    Gone,
    /// The description cannot be read, and why.
    Unreadable(Rejected),
    /// The Engine did not answer within the timeout.
    TimedOut,
    /// The Engine answered with a 5xx, which says nothing about the container.
    Failed(String),
    /// The container was not inspected.
    Skipped,
}

/// The containers of a listing or of single inspections.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inspections {
    /// Containers by id, in Docker's order.
    pub containers: Vec<(String, Inspection)>,
    /// Entries of the listing that cannot be read.
    pub rejected: Vec<Rejected>,
    /// Messages for the log.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Connects and negotiates an API version. The error says what to do.
    pub async fn connect(settings: &DockerProviderSettings) -> Result<Engine, String> {
        let client = Client::new(settings)?;
        let negotiated = version::choose(&client.get_to("negotiate the API version", "/version").await?);
        if let Some(warning) = &negotiated.warning {
            tracing::warn!(provider = PROVIDER, endpoint = settings.endpoint, "{warning}");
        }
        Ok(Engine { client, prefix: negotiated.prefix() })
    }

    /// The client, and the beginning of request paths: `/v1.41`.
    pub fn api(&self) -> (&Client, &str) {
        (&self.client, &self.prefix)
    }

    /// Lists the running containers and inspects all but the `skipped` ones, waiting at most [`INSPECTION_WAIT_MAX`] for each.
    pub async fn list_skipping_slow(&self, skipped: &HashSet<String>) -> Result<Inspections, String> {
        self.list(skipped, self.short_wait()).await
    }

    /// Like [`Engine::list_skipping_slow`], but inspects all containers and waits the full request timeout for each.
    pub async fn list_all(&self) -> Result<Inspections, String> {
        self.list(&HashSet::new(), self.client.timeout()).await
    }

    /// Inspects these containers alone, waiting at most [`INSPECTION_WAIT_MAX`] for each.
    pub async fn read(&self, ids: Vec<String>) -> Result<Inspections, String> {
        let containers = self.inspect_all(ids.into_iter(), &HashSet::new(), self.short_wait()).await?;
        self.with_ingress(Inspections { containers, ..Inspections::default() }).await
    }

    /// Inspects the containers in order and gives the first one that exists. The error names the container whose inspection timed out or
    /// failed. With a container that cannot be read, the second result is a message for the log.
    pub async fn inspect_first(&self, ids: &[String]) -> Result<(Option<ContainerFacts>, Option<String>), String> {
        for id in ids {
            match self.inspect(id, self.short_wait()).await? {
                Inspection::Done(inspected) => return Ok((Some(inspected.facts), None)),
                Inspection::Unreadable(reason) => {
                    return Ok((None, Some(format!("{}: {}", reason.name, reason.reason))));
                }
                Inspection::Gone | Inspection::Skipped => {}
                Inspection::TimedOut => return Err(self.client.explain(&inspecting(id), &RequestError::TimedOut)),
                Inspection::Failed(reason) => return Err(reason),
            }
        }
        Ok((None, None))
    }

    async fn list(&self, skipped: &HashSet<String>, wait: Duration) -> Result<Inspections, String> {
        let (listed, rejected) = self.listed("list containers", "/containers/json").await?;
        let ids = listed.into_iter().map(|(id, _)| id);
        let containers = self.inspect_all(ids, skipped, wait).await?;
        self.with_ingress(Inspections { containers, rejected, ..Inspections::default() }).await
    }

    /// The ids and states of a listing's containers, and the entries that cannot be read.
    async fn listed(&self, doing: &str, path: &str) -> Result<(Vec<(String, String)>, Vec<Rejected>), String> {
        let response = self.client.get_to(doing, &format!("{}{path}", self.prefix)).await?;
        let entries =
            elements(&response).map_err(|reason| self.client.explain(doing, &RequestError::Content(reason)))?;
        let (mut listed, mut rejected) = (Vec::new(), Vec::new());
        for entry in entries {
            let mut fields = Fields::default();
            let id = fields.text(entry, &["Id"]);
            // A status that cannot be read rules nothing out.
            let status = Fields::default().text(entry, &["Status"]);
            match fields.finish() {
                Ok(()) if !id.is_empty() => listed.push((id, status)),
                outcome => rejected.push(unreadable_entry(entry, outcome.err())),
            }
        }
        Ok((listed, rejected))
    }

    /// The reports on the stopped containers.
    pub async fn stopped(&self) -> Result<Vec<ContainerReport>, String> {
        let doing = "list stopped containers";
        let path = format!("{}/containers/json?{}", self.prefix, stopped::STOPPED);
        let response = self.client.get_to(doing, &path).await?;
        let entries =
            elements(&response).map_err(|reason| self.client.explain(doing, &RequestError::Content(reason)))?;
        Ok(stopped::reports(entries))
    }

    /// The containers that exited less than `grace` ago, each with the time since its exit.
    pub async fn recently_exited(
        &self,
        grace: Duration,
        since_1970: Duration,
    ) -> Result<Vec<(ContainerFacts, Duration)>, String> {
        let path = format!("/containers/json?all=true&{EXITED}");
        let (listed, _) = self.listed("list exited containers", &path).await?;
        let recent = listed.into_iter().filter(|(_, status)| exited::may_have_exited_within(status, grace));
        let ids = recent.map(|(id, _)| id).take(EXITED_MAX);
        let inspections = self.inspect_all(ids, &HashSet::new(), self.client.timeout()).await?;
        let with_age = inspections.into_iter().filter_map(|(_, inspection)| {
            let Inspection::Done(inspected) = inspection else { return None };
            let age = exited::age(&inspected, since_1970).filter(|age| *age < grace)?;
            Some((exited::facts(*inspected), age))
        });
        Ok(with_age.collect())
    }

    /// The endless stream of container and network events from `since` (seconds since 1970) on.
    pub fn events(&self, since: u64) -> impl Stream<Item = Result<ReadEvent, RequestError>> + use<> {
        let path = format!("{}/events?since={since}&{CONTAINERS_AND_NETWORKS}", self.prefix);
        event_stream::follow(self.client.clone(), path)
    }

    fn short_wait(&self) -> Duration {
        INSPECTION_WAIT_MAX.min(self.client.timeout())
    }

    /// Marks the swarm's ingress network in containers that are in several networks. Only swarm tasks are in it, so for other containers
    /// the Engine is not asked.
    async fn with_ingress(&self, mut inspections: Inspections) -> Result<Inspections, String> {
        let done = inspections.containers.iter_mut().filter_map(|(_, inspection)| match inspection {
            Inspection::Done(inspected) if ingress::may_be_in(&inspected.facts) => Some(&mut inspected.facts),
            _ => None,
        });
        let mut tasks: Vec<&mut ContainerFacts> = done.collect();
        if tasks.is_empty() {
            return Ok(inspections);
        }
        let doing = "list the swarm's networks";
        let response = self.client.get_to(doing, &format!("{}/networks?{}", self.prefix, ingress::SWARM_SCOPE)).await;
        let (ids, warning): (BTreeSet<String>, _) = match response {
            Ok(networks) => (ingress::ids_of(&networks), None),
            Err(reason) => {
                let outcome = "the network with the name `ingress` counts as the swarm's ingress network";
                (ingress::ids_by_name(&tasks), Some(format!("{reason}; {outcome}")))
            }
        };
        tasks.iter_mut().for_each(|facts| ingress::mark(facts, &ids));
        inspections.warnings.extend(warning);
        Ok(inspections)
    }

    /// Inspects all containers but the `skipped` ones. The results are in the order of the ids.
    async fn inspect_all(
        &self,
        ids: impl Iterator<Item = String>,
        skipped: &HashSet<String>,
        wait: Duration,
    ) -> Result<Vec<(String, Inspection)>, String> {
        let inspect_unless_skipped = async |id: String| {
            let inspection = if skipped.contains(&id) { Inspection::Skipped } else { self.inspect(&id, wait).await? };
            Ok::<_, String>((id, inspection))
        };
        let mut inspections = pin!(stream::iter(ids.map(inspect_unless_skipped)).buffered(INSPECTIONS_MAX));
        let (mut all, mut timed_out) = (Vec::new(), 0);
        while let Some((id, inspection)) = inspections.try_next().await? {
            timed_out += usize::from(matches!(inspection, Inspection::TimedOut));
            if timed_out == INSPECTIONS_MAX {
                return Err(self.client.explain("inspect containers", &RequestError::TimedOut));
            }
            all.push((id, inspection));
        }
        Ok(all)
    }

    async fn inspect(&self, id: &str, wait: Duration) -> Result<Inspection, String> {
        let path = format!("{}/containers/{id}/json", self.prefix);
        let response = timeout(wait, self.client.get(&path)).await.unwrap_or(Err(RequestError::TimedOut));
        Ok(match response {
            Ok(json) => match inspected::read(id, &json) {
                Ok(inspected) => Inspection::Done(Box::new(inspected)),
                Err(reason) => Inspection::Unreadable(unreadable(id, &json, &reason)),
            },
            Err(RequestError::Status { code: 404, .. }) => Inspection::Gone,
            Err(RequestError::TimedOut) => Inspection::TimedOut,
            Err(error) if error.ends_session() => return Err(self.client.explain(&inspecting(id), &error)),
            Err(error @ RequestError::Status { code: 500.., .. }) => {
                Inspection::Failed(self.client.explain(&inspecting(id), &error))
            }
            Err(error) => Inspection::Unreadable(unreadable(id, &Value::Null, &error.to_string())),
        })
    }
}

fn inspecting(id: &str) -> String {
    format!("inspect container {id}")
}

fn unreadable(id: &str, json: &Value, reason: &str) -> Rejected {
    let name = Fields::default().text(json, &["Name"]);
    let name = if name.is_empty() { id } else { name.trim_start_matches('/') };
    let reason = format!(
        "the Engine's description of container {id} cannot be read: {reason}; container rejected: see what `docker inspect` says"
    );
    rejection(format!("container {name}"), reason, Severity::Rejected)
}

fn unreadable_entry(entry: &Value, reason: Option<String>) -> Rejected {
    let names: Vec<String> = Fields::default().items(entry, &["Names"]).map(Value::to_string).collect();
    let name = if names.is_empty() { "without a name".to_owned() } else { names.join(", ") };
    let reason = format!(
        "its entry in the Engine's list cannot be read: {}; container rejected: see what `docker ps` shows",
        reason.unwrap_or_else(|| "it has no Id".to_owned())
    );
    rejection(format!("container {name}"), reason, Severity::Rejected)
}
