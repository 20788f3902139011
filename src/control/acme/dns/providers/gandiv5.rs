//! Gandi: LiveDNS, whose API writes all records of a name and type at once.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::Task;

const BASE: &str = "https://api.gandi.net/v5/livedns";
const TTL_SECS_MIN: u32 = 300;

/// The client.
pub struct Gandi {
    pub(super) api: Api,
    authorization: String,
    ttl_secs: u32,
    /// Held from reading the records of a name until they are written.
    change: Mutex<()>,
}

impl Gandi {
    /// Reads `GANDIV5_...`.
    pub fn new(variables: &mut Variables<'_>) -> (Gandi, Timing) {
        let defaults = Timing {
            propagation_timeout: Duration::from_secs(20 * 60),
            polling_interval: Duration::from_secs(20),
            ttl_secs: TTL_SECS_MIN,
            http_timeout: Duration::from_secs(10),
            ..Timing::default()
        };
        let timing = variables.timing(&["GANDIV5_"], defaults);
        if timing.ttl_secs < TTL_SECS_MIN {
            variables.problem(format!("GANDIV5_TTL is {}: at least {TTL_SECS_MIN} is allowed", timing.ttl_secs));
        }
        let old_key = match variables.first(&["GANDIV5_PERSONAL_ACCESS_TOKEN"]) {
            Some(_) => None,
            None => variables.first(&["GANDIV5_API_KEY"]),
        };
        let (kind, secret) = match old_key {
            Some(key) => ("Apikey", key),
            None => ("Bearer", variables.required(&["GANDIV5_PERSONAL_ACCESS_TOKEN"])),
        };
        let api = Api::new("gandiv5", BASE, timing.http_timeout, &[&secret]);
        let authorization = format!("{kind} {secret}");
        (Gandi { api, authorization, ttl_secs: timing.ttl_secs, change: Mutex::new(()) }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let path = records_path(task).await?;
        let _change = self.change.lock().await;
        let mut values = self.values(&path).await?;
        if values.iter().any(|value| is_value(value, task.value)) {
            return Ok(());
        }
        values.push(task.value.to_owned());
        self.write(path, &values).await
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let path = records_path(task).await?;
        let _change = self.change.lock().await;
        let values = self.values(&path).await?;
        let others: Vec<String> = values.iter().filter(|value| !is_value(value, task.value)).cloned().collect();
        if others.len() == values.len() {
            return Ok(());
        }
        if others.is_empty() {
            return self.api.expect(&self.sign(Call::new(Method::DELETE, path))).await.map(drop);
        }
        self.write(path, &others).await
    }

    async fn values(&self, path: &str) -> Result<Vec<String>, DnsError> {
        let call = self.sign(Call::new(Method::GET, path.to_owned()));
        let reply = self.api.send(&call).await?;
        match reply.status {
            404 => Ok(Vec::new()),
            _ if reply.is_success() => {
                let json = reply.json();
                let values = json["rrset_values"].as_array().map_or(&[][..], Vec::as_slice);
                Ok(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => Err(self.api.refusal(&call, &reply)),
        }
    }

    async fn write(&self, path: String, values: &[String]) -> Result<(), DnsError> {
        let body = json!({"rrset_ttl": self.ttl_secs, "rrset_values": values});
        self.api.expect(&self.sign(Call::json(Method::PUT, path, &body))).await.map(drop)
    }

    fn sign(&self, call: Call) -> Call {
        call.header("Authorization", self.authorization.clone())
    }
}

async fn records_path(task: &Task<'_>) -> Result<String, DnsError> {
    let (zone, name) = task.zone().await?;
    Ok(format!("/domains/{}/records/{}/TXT", escape(&zone), escape(&name)))
}

/// The service returns the texts in quotes.
fn is_value(written: &str, value: &str) -> bool {
    written.trim_matches('"') == value
}
