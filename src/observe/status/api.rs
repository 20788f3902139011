//! The API's JSON (docs/reference/api.md#configuration-json, docs/reference/api.md#paths).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::StatusInputs;
use crate::config::Rejected;
use crate::config::dynamic::{Documents, DynamicConfig, Frontend};
use crate::http::percent;
use crate::observe::go_json::to_json;
use crate::observe::metrics::ServerSample;

pub(super) fn version(inputs: &StatusInputs) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Version<'a> {
        version: &'a str,
        codename: &'a str,
    }
    to_json(&Version { version: inputs.version, codename: inputs.codename })
}

pub(super) fn runtime(inputs: &StatusInputs) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Runtime<'a> {
        version: &'a str,
        codename: &'a str,
        driver: &'a str,
        driver_reason: &'a str,
        stopping: bool,
    }
    to_json(&Runtime {
        version: inputs.version,
        codename: inputs.codename,
        driver: inputs.driver,
        driver_reason: inputs.driver_reason,
        stopping: inputs.stopping,
    })
}

pub(super) fn rejected(rejected: &[Rejected]) -> Vec<u8> {
    to_json(rejected)
}

pub(super) fn servers(servers: &[ServerSample]) -> Vec<u8> {
    #[derive(Serialize)]
    struct Server<'a> {
        provider: &'a str,
        backend: &'a str,
        server: &'a str,
        url: &'a str,
        health: &'static str,
    }
    let rows = servers.iter().map(|state| Server {
        provider: &state.provider,
        backend: &state.backend,
        server: &state.server,
        url: &state.url,
        health: state.health.name(),
    });
    to_json(&rows.collect::<Vec<_>>())
}

pub(super) fn providers(providers: &Documents) -> Vec<u8> {
    let shown: BTreeMap<&str, ShownConfig> =
        providers.iter().map(|(name, dynamic)| (name.as_str(), ShownConfig(dynamic))).collect();
    to_json(&shown)
}

/// Whether a path behind `/api/providers/` has a form that can name an object; all other paths are left to the frontends.
pub(super) fn is_provider_path(path: &[u8]) -> bool {
    let mut segments = path.split(|&b| b == b'/');
    if segments.clone().any(<[u8]>::is_empty) || segments.clone().count() > SEGMENTS_MAX {
        return false;
    }
    segments.next();
    let (kind, _, inner) = (segments.next(), segments.next(), segments.next());
    matches!(
        (kind, inner),
        (None, _) | (Some(b"backends"), None | Some(b"servers")) | (Some(b"frontends"), None | Some(b"routes"))
    )
}

/// The most segments of a path behind `/api/providers/`: those of `{provider}/backends/{backend}/servers/{server}`.
const SEGMENTS_MAX: usize = 5;

/// The JSON of the object that the path names, or `None` if an id in the path is unknown.
pub(super) fn provider(providers: &Documents, path: &[u8]) -> Option<Vec<u8>> {
    let mut ids = path.split(|&b| b == b'/').map(decoded_id);
    let mut next = move || ids.next();
    let name = next()?;
    // The API shows the REST provider under its old name `web`; paths may use its new name `rest` too
    // (docs/reference/api.md#provider-names).
    let name = if name == "rest" && !providers.contains_key("rest") { Cow::Borrowed("web") } else { name };
    let dynamic = providers.get(&*name)?;
    match next().as_deref() {
        None => Some(to_json(&ShownConfig(dynamic))),
        Some("backends") => backend(dynamic, next),
        Some("frontends") => frontend(dynamic, next),
        Some(_) => None,
    }
}

fn backend<'p>(dynamic: &DynamicConfig, mut next: impl FnMut() -> Option<Cow<'p, str>>) -> Option<Vec<u8>> {
    let Some(id) = next() else { return Some(to_json(&dynamic.backends)) };
    let backend = dynamic.backends.get(&*id)?;
    match (next().as_deref(), next()) {
        (None, _) => Some(to_json(backend)),
        (Some("servers"), None) => Some(to_json(&backend.servers)),
        (Some("servers"), Some(server)) => backend.servers.get(&server).map(to_json),
        _ => None,
    }
}

fn frontend<'p>(dynamic: &DynamicConfig, mut next: impl FnMut() -> Option<Cow<'p, str>>) -> Option<Vec<u8>> {
    let Some(id) = next() else { return Some(to_json(&ShownFrontends(&dynamic.frontends))) };
    let frontend = dynamic.frontends.get(&*id)?;
    match (next().as_deref(), next()) {
        (None, _) => Some(to_json(&*without_users(frontend))),
        (Some("routes"), None) => Some(to_json(&frontend.routes)),
        (Some("routes"), Some(route)) => frontend.routes.get(&route).map(to_json),
        _ => None,
    }
}

/// Serializes a provider's configuration as the API shows it.
struct ShownConfig<'a>(&'a DynamicConfig);

struct ShownFrontends<'a>(&'a BTreeMap<String, Frontend>);

impl Serialize for ShownConfig<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.0.backends.is_empty() {
            map.serialize_entry("backends", &self.0.backends)?;
        }
        if !self.0.frontends.is_empty() {
            map.serialize_entry("frontends", &ShownFrontends(&self.0.frontends))?;
        }
        map.end()
    }
}

impl Serialize for ShownFrontends<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, frontend)| (id, without_users(frontend))))
    }
}

/// The frontend without the users of the deprecated `basicAuth` list. User lines hold password hashes, which the API never shows
/// (docs/reference/api.md#hidden-values); the configuration's own serializer hides those of all other options.
fn without_users(frontend: &Frontend) -> Cow<'_, Frontend> {
    if frontend.basic_auth.is_empty() {
        return Cow::Borrowed(frontend);
    }
    Cow::Owned(Frontend { basic_auth: Vec::new(), ..frontend.clone() })
}

/// An id of the path without its percent escapes. An id that is not UTF-8 then names no object.
fn decoded_id(id: &[u8]) -> Cow<'_, str> {
    match percent::decoded(id) {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_in_the_forms_of_the_api_are_accepted() {
        let accepted = [
            "p",
            "p/backends",
            "p/backends/b",
            "p/backends/b/servers",
            "p/backends/b/servers/s",
            "p/frontends/f/routes/r",
        ];
        for path in accepted {
            assert!(is_provider_path(path.as_bytes()), "{path}");
        }
        for path in
            ["", "p/", "p//b", "p/other", "p/backends/b/routes", "p/frontends/f/servers", "p/backends/b/servers/s/x"]
        {
            assert!(!is_provider_path(path.as_bytes()), "{path}");
        }
    }
}
