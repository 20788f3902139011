//! An HTTP server of the operator that writes the record (lego's provider `httpreq`).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::{Method, Uri};
use serde_json::json;

use crate::control::acme::dns::api::{Api, Call};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::Task;

/// The client.
pub struct HttpReq {
    api: Api,
    authorization: Option<String>,
    /// `HTTPREQ_MODE=RAW`: the server gets the token and the key authorisation instead of the record.
    pub is_raw: bool,
}

impl HttpReq {
    /// Reads `HTTPREQ_...`.
    pub fn new(variables: &mut Variables<'_>) -> (HttpReq, Timing) {
        let timing = variables.timing(&["HTTPREQ_"], Timing::default());
        let endpoint = variables.required(&["HTTPREQ_ENDPOINT"]);
        let is_url = endpoint.parse::<Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && uri.query().is_none()
        });
        if !endpoint.is_empty() && !is_url {
            variables.problem("HTTPREQ_ENDPOINT is no URL: write http://host:port or https://host/path".to_owned());
        }
        let is_raw = variables.first(&["HTTPREQ_MODE"]).as_deref() == Some("RAW");
        let user = variables.first(&["HTTPREQ_USERNAME"]);
        let password = variables.first(&["HTTPREQ_PASSWORD"]);
        let secret = password.clone().unwrap_or_default();
        // As in lego, one without the other is not sent.
        let pair = user.zip(password).map(|(user, password)| BASE64_STANDARD.encode(format!("{user}:{password}")));
        let api = Api::new("httpreq", &endpoint, timing.http_timeout, &[&secret]);
        (HttpReq { api, authorization: pair.map(|pair| format!("Basic {pair}")), is_raw }, timing)
    }

    /// Sends the record to `/present` or `/cleanup`.
    pub async fn post(&self, path: &str, task: &Task<'_>) -> Result<(), DnsError> {
        let record = task.record;
        let body = match self.is_raw {
            true => json!({"domain": record.domain, "token": record.token, "keyAuth": record.key_authorization}),
            false => json!({"fqdn": task.fqdn, "value": task.value}),
        };
        let mut call = Call::json(Method::POST, path.to_owned(), &body).header("Accept", "application/json");
        if let Some(authorization) = &self.authorization {
            call = call.header("Authorization", authorization.clone());
        }
        self.api.expect(&call).await.map(drop)
    }
}
