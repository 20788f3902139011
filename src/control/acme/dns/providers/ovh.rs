//! OVH: requests are signed with an application's secret, or carry an access token.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::Method;
use serde_json::json;
use sha1::{Digest, Sha1};

use crate::control::acme::dns::api::{Api, Call, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::{RecordIds, Task};

/// The values of `OVH_ENDPOINT`: the API, and where access tokens are made.
const ENDPOINTS: [(&str, &str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0", "https://www.ovh.com"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0", "https://ca.ovh.com"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0", "https://us.ovhcloud.com"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0", ""),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0", ""),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0", ""),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0", ""),
];

/// The client.
pub struct Ovh {
    api: Api,
    access: Access,
    ttl_secs: u32,
    ids: RecordIds,
    /// Seconds by which the service's clock is ahead.
    clock_ahead: OnceLock<i64>,
}

enum Access {
    Application { key: String, secret: String, consumer: String },
    Token(String),
    Client { tokens: Box<Api>, id: String, secret: String },
}

impl Ovh {
    /// Reads `OVH_...`.
    pub fn new(variables: &mut Variables<'_>) -> (Ovh, Timing) {
        let timing =
            variables.timing(&["OVH_"], Timing { http_timeout: Duration::from_secs(180), ..Timing::default() });
        let endpoint = variables.first(&["OVH_ENDPOINT"]).unwrap_or_else(|| "ovh-eu".to_owned());
        let (base, token_base) = match ENDPOINTS.iter().find(|(name, ..)| *name == endpoint) {
            Some((_, base, token_base)) => ((*base).to_owned(), (*token_base).to_owned()),
            // As in OVH's own clients, a URL of the API.
            None if endpoint.contains("://") => (endpoint.clone(), endpoint),
            None => {
                let names = ENDPOINTS.map(|(name, ..)| name).join(", ");
                variables.problem(format!("OVH_ENDPOINT is {endpoint:?}: use one of {names}"));
                (endpoint, String::new())
            }
        };
        let access = access(variables, &token_base, &timing);
        let api = Api::new("ovh", &base, timing.http_timeout, &access.secrets());
        let (ttl_secs, ids, clock_ahead) = (timing.ttl_secs, RecordIds::default(), OnceLock::new());
        (Ovh { api, access, ttl_secs, ids, clock_ahead }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let (zone, name) = task.zone().await?;
        let (zone, name) = (escape(&zone), if name == "@" { "" } else { &name });
        let body = json!({"fieldType": "TXT", "subDomain": name, "target": task.value, "ttl": self.ttl_secs});
        let call = Call::json(Method::POST, format!("/domain/zone/{zone}/record"), &body);
        let reply = self.api.expect(&self.sign(call).await?).await?.json();
        match reply["id"].as_u64() {
            Some(id) => self.ids.remember(task, id.to_string()),
            None => return Err(self.api.error("the response has no id")),
        }
        self.refresh(&zone).await
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let Some(id) = self.ids.take(task) else { return Ok(()) };
        let zone = escape(&task.zone().await?.0);
        let call = Call::new(Method::DELETE, format!("/domain/zone/{zone}/record/{id}"));
        self.api.expect(&self.sign(call).await?).await?;
        self.refresh(&zone).await
    }

    /// Puts changed records into effect.
    async fn refresh(&self, zone: &str) -> Result<(), DnsError> {
        let call = Call::new(Method::POST, format!("/domain/zone/{zone}/refresh"));
        self.api.expect(&self.sign(call).await?).await.map(drop)
    }

    async fn sign(&self, call: Call) -> Result<Call, DnsError> {
        match &self.access {
            Access::Token(token) => Ok(call.header("Authorization", format!("Bearer {token}"))),
            Access::Client { tokens, id, secret } => {
                let token = client_token(tokens, id, secret).await?;
                Ok(call.header("Authorization", format!("Bearer {token}")))
            }
            Access::Application { key, secret, consumer } => {
                let time = self.service_secs().await?.to_string();
                let url = format!("{}{}", self.api.base, call.path);
                let signature = signature(secret, consumer, call.method.as_str(), &url, &call.body, &time);
                Ok(call
                    .header("X-Ovh-Application", key.clone())
                    .header("X-Ovh-Consumer", consumer.clone())
                    .header("X-Ovh-Timestamp", time)
                    .header("X-Ovh-Signature", signature))
            }
        }
    }

    /// The service's time in seconds since 1970; a signature of another time is refused.
    async fn service_secs(&self) -> Result<i64, DnsError> {
        let own = unix_secs();
        if let Some(ahead) = self.clock_ahead.get() {
            return Ok(own.saturating_add(*ahead));
        }
        let reply = self.api.expect(&Call::new(Method::GET, "/auth/time".to_owned())).await?;
        let service: i64 =
            reply.body.trim().parse().map_err(|_| self.api.error("/auth/time does not answer with a time"))?;
        let _ = self.clock_ahead.set(service.saturating_sub(own));
        Ok(service)
    }
}

fn access(variables: &mut Variables<'_>, token_base: &str, timing: &Timing) -> Access {
    let token = variables.first(&["OVH_ACCESS_TOKEN"]);
    let client = (variables.first(&["OVH_CLIENT_ID"]), variables.first(&["OVH_CLIENT_SECRET"]));
    let names = ["OVH_APPLICATION_KEY", "OVH_APPLICATION_SECRET", "OVH_CONSUMER_KEY"];
    let has_key = names.iter().any(|name| variables.first(&[name]).is_some());
    let has_client = client.0.is_some() || client.1.is_some();
    if [token.is_some(), has_client, has_key].into_iter().filter(|is_set| *is_set).count() > 1 {
        variables.problem(
            "OVH_ACCESS_TOKEN, OVH_CLIENT_ID and OVH_APPLICATION_KEY exclude each other: set one of them".to_owned(),
        );
    }
    if let Some(token) = token {
        return Access::Token(token);
    }
    if has_client {
        let (id, secret) = (variables.required(&["OVH_CLIENT_ID"]), variables.required(&["OVH_CLIENT_SECRET"]));
        if token_base.is_empty() {
            variables.problem(
                "OVH_CLIENT_ID cannot be used with this OVH_ENDPOINT: use ovh-eu, ovh-ca or ovh-us".to_owned(),
            );
        }
        let tokens = Box::new(Api::new("ovh", token_base, timing.http_timeout, &[&secret]));
        return Access::Client { tokens, id, secret };
    }
    let [key, secret, consumer] = names.map(|name| variables.required(&[name]));
    Access::Application { key, secret, consumer }
}

impl Access {
    fn secrets(&self) -> Vec<&str> {
        match self {
            Access::Application { secret, consumer, .. } => vec![secret, consumer],
            Access::Token(secret) | Access::Client { secret, .. } => vec![secret],
        }
    }
}

/// Gets an access token by OAuth 2 (RFC 6749 4.4). One token for each request: they are few.
async fn client_token(tokens: &Api, id: &str, secret: &str) -> Result<String, DnsError> {
    let (id, secret) = (escape(id), escape(secret));
    let body = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=all");
    let content_type = "application/x-www-form-urlencoded";
    let call = Call { body, content_type, ..Call::new(Method::POST, "/auth/oauth2/token".to_owned()) };
    let reply = tokens.expect(&call).await?.json();
    let token = reply["access_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| tokens.error("the response has no access_token"))
}

/// The signature of a request, as OVH's guide describes it.
fn signature(secret: &str, consumer: &str, method: &str, url: &str, body: &str, time: &str) -> String {
    let digest = Sha1::digest(format!("{secret}+{consumer}+{method}+{url}+{body}+{time}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("$1${hex}")
}

fn unix_secs() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| i64::try_from(elapsed.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_example_in_the_guide() {
        let signed = signature(
            "EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF",
            "MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1",
            "GET",
            "https://eu.api.ovh.com/1.0/domains/",
            "",
            "1366560945",
        );
        assert_eq!(signed, "$1$d3705e8afb27a0d2970a322b96550abfc67bb798");
    }
}
