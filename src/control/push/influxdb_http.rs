//! Writes lines to InfluxDB's HTTP API, and creates a database that does not exist, as Traefik does.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;

use crate::control::acme::dns::api::{Api, Call, escape};

/// The time for one request and its response.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of one request's body.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A client of one database.
pub struct InfluxDbClient {
    api: Api,
    /// The value of Authorization.
    authorization: Option<String>,
    database: String,
    retention_policy: String,
}

impl InfluxDbClient {
    /// A client for the API at `address`, a URL that may have user and password.
    pub fn new(address: &str, database: &str, retention_policy: &str) -> Self {
        let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
        let (user, host) = rest.rsplit_once('@').map_or((None, rest), |(user, host)| (Some(user), host));
        InfluxDbClient {
            api: Api::new("InfluxDB", &format!("{scheme}://{host}"), EXCHANGE_TIMEOUT, &[]),
            authorization: user.map(|user| format!("Basic {}", STANDARD.encode(user))),
            database: database.to_owned(),
            retention_policy: retention_policy.to_owned(),
        }
    }

    /// Writes all lines, in requests of bounded size.
    ///
    /// # Errors
    /// The database cannot be reached, or refuses the lines.
    pub async fn write(&self, lines: &[String]) -> Result<(), String> {
        for body in bodies(lines) {
            let Err(reason) = self.write_body(body.clone()).await else { continue };
            if !reason.contains("database not found") {
                return Err(reason);
            }
            self.create_database().await?;
            self.write_body(body).await?;
        }
        Ok(())
    }

    async fn write_body(&self, body: String) -> Result<(), String> {
        let (database, policy) = (escape(&self.database), escape(&self.retention_policy));
        self.post(&format!("/write?consistency=&db={database}&precision=ns&rp={policy}"), body).await
    }

    async fn create_database(&self) -> Result<(), String> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let mut query = format!("CREATE DATABASE {}", quoted(&self.database));
        if !self.retention_policy.is_empty() {
            query.push_str(&format!(" WITH NAME {}", quoted(&self.retention_policy)));
        }
        self.post(&format!("/query?q={}", escape(&query)), String::new()).await
    }

    async fn post(&self, path: &str, body: String) -> Result<(), String> {
        let mut call =
            Call { body, content_type: "text/plain; charset=utf-8", ..Call::new(Method::POST, path.to_owned()) };
        if let Some(authorization) = &self.authorization {
            call = call.header("Authorization", authorization.as_str());
        }
        let reply = self.api.send_once(&call).await.map_err(|e| e.0)?;
        match reason_in(&reply.body) {
            None if reply.is_success() => Ok(()),
            reason => {
                let (label, status) = (call.label(), reply.status);
                Err(self.api.error(&format!("{label} answers {status}: {}", reason.unwrap_or(reply.body))).0)
            }
        }
    }
}

/// The error in a response. A failed query has the status 200 and its error in the result.
fn reason_in(body: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(body).ok()?;
    let error = json.get("error").or_else(|| json.pointer("/results/0/error"))?;
    error.as_str().map(str::to_owned)
}

/// Joins lines to bodies of [`BODY_BYTES_MAX`].
fn bodies(lines: &[String]) -> Vec<String> {
    let mut bodies: Vec<String> = Vec::new();
    for line in lines {
        match bodies.last_mut() {
            Some(last) if last.len() + line.len() < BODY_BYTES_MAX => last.push_str(line),
            _ => bodies.push(line.clone()),
        }
        if let Some(last) = bodies.last_mut() {
            last.push('\n');
        }
    }
    bodies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_of_the_url_becomes_authorization() {
        let client = InfluxDbClient::new("https://me:pass@db.example:8086/", "d", "");
        assert_eq!(client.api.base, "https://db.example:8086");
        assert_eq!(client.authorization.as_deref(), Some("Basic bWU6cGFzcw=="));
        assert_eq!(InfluxDbClient::new("http://db", "d", "").authorization, None);
    }

    #[test]
    fn errors_are_found_in_responses_of_writes_and_queries() {
        assert_eq!(reason_in(r#"{"error":"database not found: \"x\""}"#).as_deref(), Some("database not found: \"x\""));
        assert_eq!(reason_in(r#"{"results":[{"statement_id":0,"error":"no"}]}"#).as_deref(), Some("no"));
        assert_eq!(reason_in(r#"{"results":[{"statement_id":0}]}"#), None);
        assert_eq!(reason_in(""), None);
    }

    #[test]
    fn bodies_are_bounded_and_lose_no_line() {
        let lines: Vec<String> = (0..5000).map(|n| format!("{n}{}", "x".repeat(100))).collect();
        let bodies = bodies(&lines);
        assert!(bodies.len() > 1 && bodies.iter().all(|body| body.len() <= BODY_BYTES_MAX));
        assert_eq!(bodies.concat().lines().collect::<Vec<_>>(), lines);
    }
}
