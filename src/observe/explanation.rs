//! The explanation of a request or connection: what the proxy would do with it, and why (docs/reference/api.md#explain). The API writes it as
//! JSON, and the command line reads that JSON.

use serde::{Deserialize, Serialize};

/// An explanation. Each part is absent if the request does not get so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Explanation {
    pub request: AskedRequest,
    pub outcome: Outcome,
    /// Assumptions that were made, and remarks.
    pub notes: Vec<String>,
    pub entry_point: Option<EntryPointFacts>,
    pub certificate: Option<CertificateFacts>,
    /// The middlewares in the order in which the request passes them.
    pub steps: Vec<Step>,
    pub route: Option<RouteFacts>,
    pub near_misses: Vec<NearMiss>,
    pub path: Option<PathFacts>,
    pub fields: FieldChanges,
    pub backend: Option<BackendFacts>,
}

/// The request that is asked about, after all defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AskedRequest {
    pub url: String,
    /// Empty for TCP and UDP.
    pub method: String,
    pub host: String,
    /// Path and query; empty for TCP and UDP.
    pub target: String,
    pub from: String,
    /// The name in the TLS handshake; `None` without TLS, or if the client sends none.
    pub sni: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// The result: `forwarded` to a server, `answered` by the proxy itself, `connected` (TCP and UDP), or `closed` without a response.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    pub kind: String,
    /// The status of the proxy's own response.
    pub status: Option<u16>,
    /// The Location of that response.
    pub location: Option<String>,
    /// The URL of the server that gets the request.
    pub server: Option<String>,
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryPointFacts {
    pub name: String,
    pub address: String,
    pub tls: bool,
    /// Whether the client's X-Forwarded-* fields count.
    pub trusts_client: bool,
    /// Why the request arrives there.
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateFacts {
    pub names: Vec<String>,
    pub not_after_secs: i64,
    pub is_default: bool,
    /// Whether the certificate covers the name that the client asks for, and is valid now.
    pub is_valid: bool,
    pub why: String,
}

/// A middleware, and what it does with the request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    /// `entry point`, `frontend` (once per request) or `attempt` (once per attempt).
    pub chain: String,
    /// The key of the configuration that makes the middleware.
    pub middleware: String,
    /// `passes`, `answers` or `asks` (another server; the explanation assumes that it allows the request).
    pub verdict: String,
    /// The status of its response.
    pub status: Option<u16>,
    pub why: String,
    /// The fields of the request that it changes.
    pub changes: Vec<FieldChange>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteFacts {
    pub frontend: String,
    pub provider: String,
    /// The rule as written; of several rules each.
    pub rules: Vec<String>,
    pub priority: i64,
    /// The position among the routes of the entry point; the first one that matches wins.
    pub rank: usize,
    pub why: String,
    pub conditions: Vec<ConditionFacts>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionFacts {
    pub text: String,
    pub met: bool,
    /// The part of the request that differs; empty for a condition that is met.
    pub why: String,
}

/// A route that does not get the request, although it is close to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NearMiss {
    pub frontend: String,
    pub provider: String,
    pub rules: Vec<String>,
    pub priority: i64,
    /// `None` for a route that is not in the table of the entry point.
    pub rank: Option<usize>,
    /// Why it does not get the request.
    pub why: String,
    pub conditions: Vec<ConditionFacts>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathFacts {
    /// Path and query as the client sends them.
    pub received: String,
    /// Path and query as the server gets them.
    pub forwarded: String,
}

/// The differences between the fields that arrive and those that are sent on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldChanges {
    /// From the client's request to the server's.
    pub request: Vec<FieldChange>,
    /// From a server's response with status 200 to the client's.
    pub response: Vec<FieldChange>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldChange {
    /// `added`, `removed` or `replaced`.
    pub change: String,
    pub name: String,
    /// Empty for a field that is removed.
    pub value: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendFacts {
    pub name: String,
    pub provider: String,
    /// `wrr` or `drr`.
    pub method: String,
    /// The name of the sticky cookie; of TCP and UDP `client address`; `None` without stickiness.
    pub stickiness: Option<String>,
    /// The name of the server that would get the request.
    pub picked: Option<String>,
    pub why: String,
    pub servers: Vec<ServerFacts>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerFacts {
    pub name: String,
    pub url: String,
    /// The weight in use.
    pub weight: u32,
    /// `up`, `down` (its health check fails) or `ejected` (it could not be connected to).
    pub state: String,
    /// Requests in flight.
    pub active: u32,
    /// The addresses to which its name leads; empty if the name is unknown.
    pub addresses: Vec<String>,
    pub picked: bool,
    /// Why it is picked or not.
    pub why: String,
}
