//! Hetzner: zones of the Cloud API. The API of the former DNS console was shut down in May 2026.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::control::acme::dns::DnsError;
use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::variables::{Timing, Variables};

use super::Task;

const BASE: &str = "https://api.hetzner.cloud/v1";

/// The client.
pub struct Hetzner {
    pub(super) api: Api,
    token: String,
    timing: Timing,
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
        (Hetzner { api, token, timing }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let set = set_path(task).await?;
        let body = json!({"ttl": self.timing.ttl_secs, "records": [{"value": quoted(task)}]});
        let call = self.sign(Call::json(Method::POST, format!("{set}/actions/add_records"), &body));
        let reply = self.api.send(&call).await?;
        if reply.is_success() {
            return self.finished(&reply.json()).await;
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
        self.finished(&reply.json()).await
    }

    async fn has_value(&self, set: &str, task: &Task<'_>) -> Result<bool, DnsError> {
        let found = self.api.send(&self.sign(Call::new(Method::GET, set.to_owned()))).await?.json();
        let records = found["rrset"]["records"].as_array().map_or(&[][..], Vec::as_slice);
        Ok(records.iter().any(|record| record["value"] == quoted(task)))
    }

    /// Waits until the service has carried out an action.
    async fn finished(&self, started: &Value) -> Result<(), DnsError> {
        let end = Instant::now() + self.timing.propagation_timeout;
        let mut action = started["action"].clone();
        loop {
            match action["status"].as_str() {
                Some("error") => {
                    let reason = action["error"]["message"].as_str().unwrap_or("no reason is given");
                    return Err(self.api.error(&format!("the change failed: {reason}")));
                }
                Some("running") => {}
                _ => return Ok(()),
            }
            let Some(id) = action["id"].as_u64() else { return Err(self.api.error("the action has no id")) };
            if Instant::now() >= end {
                let secs = self.timing.propagation_timeout.as_secs();
                return Err(self.api.error(&format!("the change is not carried out after {secs} s")));
            }
            tokio::time::sleep(self.timing.polling_interval).await;
            let call = self.sign(Call::new(Method::GET, format!("/actions/{id}")));
            action = self.api.expect(&call).await?.json()["action"].take();
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
