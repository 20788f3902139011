//! Hetzner: zones of the Cloud API. The API of the former DNS console was shut down in May 2026.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::{RecordIds, Task};

const BASE: &str = "https://api.hetzner.cloud/v1";

/// The client.
pub struct Hetzner {
    pub(super) api: Api,
    token: String,
    timing: Timing,
    /// The actions that the service has not carried out yet.
    actions: RecordIds,
}

impl Hetzner {
    /// Reads `HETZNER_...`.
    pub fn new(variables: &mut Variables<'_>) -> (Hetzner, Timing) {
        let defaults = Timing { propagation_timeout: Duration::from_secs(120), ..Timing::default() };
        let timing = variables.timing(&["HETZNER_"], defaults);
        if variables.first(&["HETZNER_API_TOKEN"]).is_none() && variables.first(&["HETZNER_API_KEY"]).is_some() {
            variables.problem(
                "HETZNER_API_KEY belongs to the DNS console, which was shut down in May 2026: move the zone to the Hetzner Console \
                 and make a token there"
                    .to_owned(),
            );
        }
        let token = variables.required(&["HETZNER_API_TOKEN"]);
        let api = Api::new("hetzner", BASE, timing.http_timeout, &[&token]);
        (Hetzner { api, token, timing, actions: RecordIds::default() }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let set = set_path(task).await?;
        let body = json!({"ttl": self.timing.ttl_secs, "records": [{"value": quoted(task)}]});
        let call = self.sign(Call::json(Method::POST, format!("{set}/actions/add_records"), &body));
        let reply = self.api.send(&call).await?;
        if reply.is_success() {
            if let Some(id) = self.running(&reply.json()["action"])? {
                self.actions.remember(task, id);
            }
            return Ok(());
        }
        // Left by an earlier try of the same challenge.
        match self.has_value(&set, task).await? {
            true => Ok(()),
            false => Err(self.api.refusal(&call, &reply)),
        }
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let set = set_path(task).await?;
        let body = json!({"records": [{"value": quoted(task)}]});
        let call = self.sign(Call::json(Method::POST, format!("{set}/actions/remove_records"), &body));
        let reply = self.api.expect(&call).await?;
        self.running(&reply.json()["action"]).map(drop)
    }

    async fn has_value(&self, set: &str, task: &Task<'_>) -> Result<bool, DnsError> {
        let found = self.api.send(&self.sign(Call::new(Method::GET, set.to_owned()))).await?.json();
        let records = found["rrset"]["records"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(records.iter().any(|record| record["value"] == quoted(task)))
    }

    /// Waits until the service has carried out the addition of the record.
    pub async fn settle(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let mut action = self.actions.take(task);
        while let Some(id) = action {
            tokio::time::sleep(self.timing.polling_interval).await;
            let call = self.sign(Call::new(Method::GET, format!("/actions/{id}")));
            action = self.running(&self.api.expect(&call).await?.json()["action"])?;
        }
        Ok(())
    }

    /// The identifier of an action that is not carried out yet.
    fn running(&self, action: &Value) -> Result<Option<String>, DnsError> {
        match action["status"].as_str() {
            Some("error") => {
                let reason = action["error"]["message"].as_str().unwrap_or("no reason is given");
                Err(self.api.error(&format!("the change failed: {reason}")))
            }
            Some("running") => Ok(action["id"].as_u64().map(|id| id.to_string())),
            _ => Ok(None),
        }
    }

    fn sign(&self, call: Call) -> Call {
        call.header("Authorization", format!("Bearer {}", self.token))
    }
}

async fn set_path(task: &Task<'_>) -> Result<String, DnsError> {
    let (zone, name) = task.zone().await?;
    Ok(format!("/zones/{}/rrsets/{}/TXT", escape(&zone), escape(&name)))
}

fn quoted(task: &Task<'_>) -> String {
    format!("\"{}\"", task.value)
}
