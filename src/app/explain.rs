//! `ringway explain URL`: what would happen to a request, and why (docs/reference/command-line.md#explain). The running proxy is asked through its
//! API; with `--configFile`, the configuration is compiled from its files as at a start.

mod text;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::bootstrap::{self, Components};
use super::own_pages::OwnPages;
use super::{certificates, fail, print, process};
use crate::cli::{Invocation, Question, Style};
use crate::config::compile::compile;
use crate::config::dynamic::Documents;
use crate::config::snapshot::Snapshot;
use crate::config::static_config::StaticConfig;
use crate::control::file::{self, FileSettings};
use crate::observe::explanation::Explanation;
use crate::tls::challenge::ChallengeTable;
use crate::worker::{Explainer, Now};

/// Prints the explanation. Exit code 0 if there is one, whatever it says.
pub fn run(invocation: &Invocation, env: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let query = query(&invocation.options.question);
    let reads_files = invocation.options.names_file && !invocation.options.question.running;
    let explained = match reads_files {
        true => from_files(invocation, query.as_bytes()),
        false => from_api(&invocation.static_config, invocation.options.api_user.as_deref(), &query),
    };
    let explanation = match explained {
        Ok(explanation) => explanation,
        Err(e) => return fail(&format!("Error explaining {}: {e}", invocation.options.question.url)),
    };
    if invocation.options.question.json {
        return match serde_json::to_string_pretty(&explanation) {
            Ok(json) => print(&(json + "\n")),
            Err(e) => fail(&e.to_string()),
        };
    }
    print(&text::explanation(&explanation, Style::of(io::stdout().is_terminal(), env), now_secs()))
}

/// The question as the query of `/api/explain`.
fn query(question: &Question) -> String {
    let mut query = format!("url={}", encoded(&question.url));
    let mut add = |name: &str, value: &str| query.push_str(&format!("&{name}={}", encoded(value)));
    question.headers.iter().for_each(|header| add("header", header));
    let optional = [
        ("method", &question.method),
        ("from", &question.from),
        ("sni", &question.sni),
        ("entryPoint", &question.entry_point),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            add(name, value);
        }
    }
    query
}

/// A text with all bytes but letters, digits and `-._~` percent-encoded (RFC 3986 2.3).
fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The API of the running proxy, which this configuration describes.
///
/// # Errors
/// There is none.
pub fn api(config: &StaticConfig) -> Result<OwnPages, String> {
    let api = config
        .api
        .as_ref()
        .ok_or("the running proxy is asked through its API, which this configuration does not have: add [api]")?;
    let entry = config
        .entry_points
        .get(&api.entry_point)
        .ok_or_else(|| format!("api.entryPoint {:?} does not exist", api.entry_point))?;
    OwnPages::of(entry, config)
}

/// The header fields of a request to the API.
pub fn api_fields(user: Option<&str>) -> Vec<String> {
    user.map(|user| format!("Authorization: Basic {}", STANDARD.encode(user))).into_iter().collect()
}

fn from_api(config: &StaticConfig, user: Option<&str>, query: &str) -> Result<Explanation, String> {
    let pages = api(config)?;
    let page = format!("api/explain?{query}");
    let unreachable = |e: String| {
        let url = pages.url("api");
        format!("{url} cannot be asked: {e}; start the proxy, or name a file to explain from: --configFile=FILE")
    };
    let (_, answer) = pages.request("GET", &page, &api_fields(user)).map_err(unreachable)?;
    match answer.status.split(' ').next() {
        Some("200") => {
            serde_json::from_slice(&answer.body).map_err(|e| format!("the answer of the API cannot be read: {e}"))
        }
        Some("400") => Err(String::from_utf8_lossy(&answer.body).trim().to_owned()),
        Some("401") => Err("the API asks for a user: add --user NAME:PASSWORD".to_owned()),
        _ => Err(format!("{} answers {}", pages.url("api/explain"), answer.status)),
    }
}

fn from_files(invocation: &Invocation, query: &[u8]) -> Result<Explanation, String> {
    let config = &invocation.static_config;
    let mut components = bootstrap::build(config)?;
    let snapshot = snapshot(invocation, &mut components)?;
    components.certs.set_acme(certificates::of_acme(config).into_iter().map(Arc::new).collect());
    let explainer = Explainer {
        entry_points: &components.entry_points,
        snapshot: &snapshot,
        challenges: &ChallengeTable::default(),
        host_name: &process::host_name(),
        now: Now { mono_nanos: 1, unix_secs: now_secs() },
        flattened_host: "",
        unrouted_containers: &[],
    };
    let mut explanation = explainer.explain(query)?;
    explanation.notes.push("from files: states of servers, limits and counters are those of a start, and names of servers are not looked up".to_owned());
    let others = [("docker", config.docker.is_some()), ("rest", config.rest.is_some())];
    for (provider, _) in others.into_iter().filter(|(_, is_on)| *is_on) {
        explanation
            .notes
            .push(format!("the routes of the provider {provider} are not in files: ask the running proxy for them"));
    }
    Ok(explanation)
}

/// The configuration of the file provider, compiled, with its certificates.
fn snapshot(invocation: &Invocation, components: &mut Components) -> Result<Snapshot, String> {
    let config = &invocation.static_config;
    let before = Snapshot::empty(components.compile_context.entry_points.len());
    let table = config.file.as_ref();
    let Some(settings) = table.and_then(|table| FileSettings::new(table, invocation.file.as_deref())) else {
        return Ok(before);
    };
    let merged = file::load(&settings.location).map_err(|error| error.to_string())?;
    let metrics = bootstrap::metrics(config, components, 1);
    components.certs.set_dynamic(file::PROVIDER, &merged.dynamic.tls, &components.compile_context, &metrics);
    let documents = Documents::from([(file::PROVIDER.to_owned(), merged.dynamic.into())]);
    let Components { compile_context, endpoints, .. } = components;
    Ok(compile(compile_context, &documents, &merged.rejected, &before, endpoints))
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_is_encoded_as_query() {
        let question = Question {
            url: "https://h/a b?c=1&d".to_owned(),
            method: Some("PUT".to_owned()),
            headers: vec!["X-A: 1".to_owned(), "X-B: +".to_owned()],
            sni: Some("ä".to_owned()),
            ..Question::default()
        };
        assert_eq!(
            query(&question),
            "url=https%3A%2F%2Fh%2Fa%20b%3Fc%3D1%26d&header=X-A%3A%201&header=X-B%3A%20%2B&method=PUT&sni=%C3%A4"
        );
    }
}
