//! The static configuration in a key-value store, and the command `storeconfig`, which writes it there
//! (docs/reference/key-value-stores.md#static-configuration).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{fail, read_config};
use crate::cli::{CliError, Command, Invocation};
use crate::config::dynamic::DynamicConfig;
use crate::config::kv::{compress, dynamic_keys, static_keys, static_node};
use crate::config::static_config::{DYNAMIC_TABLES, StaticConfig};
use crate::config::text;
use crate::config::text::shape::Shape;
use crate::config::text::tree::{Node, Value};
use crate::control::acme::stored_account;
use crate::control::file::{FileSettings, RoutesLocation};
use crate::control::kv::{StoreSettings, StoredKeys, read_static, write_keys};
use crate::diagnostics::{Code, Finding, Level};

/// The settings of all stores, with `CONSUL_HTTP_TOKEN`.
pub fn settings(config: &StaticConfig) -> Vec<StoreSettings> {
    StoreSettings::all(config, std::env::var("CONSUL_HTTP_TOKEN").ok().as_deref())
}

/// Lays the configuration of the first store over that of file and flags, for the command that runs the proxy and no other, as in Traefik.
/// Waits until the store answers.
pub fn with_stored(invocation: Invocation) -> Result<Invocation, String> {
    if invocation.command != Command::Run {
        return Ok(invocation);
    }
    let stores = settings(&invocation.static_config);
    let Some(store) = stores.first() else { return Ok(invocation) };
    let keys = read_static(store, &|problem| eprintln!("{problem}"))?;
    let mut unknown = Vec::new();
    let node = static_node(&keys.below(""), &StaticConfig::shape(), &mut unknown);
    let node =
        node.map_err(|problem| format!("{} key {}/{}: {}", store.provider, store.prefix, problem.key, problem.reason))?;
    let mut invocation = invocation.with_stored(node).map_err(|error: CliError| error.to_string())?;
    invocation.findings.extend(unknown.into_iter().map(|problem| {
        let message = format!("{}: {}", store.provider, problem.reason);
        Finding::new(Level::Warning, Code::IgnoredKey, message)
    }));
    Ok(invocation)
}

/// Writes the static configuration, the file provider's routes, and the ACME account to the store that the flags name.
pub fn run(invocation: &Invocation) -> ExitCode {
    let stores = settings(&invocation.static_config);
    let Some(store) = stores.first() else {
        return fail(
            "Error running storeconfig: no key-value store is defined: add a flag such as --etcd --etcd.endpoint=host:2379",
        );
    };
    let written = stored_keys(invocation).and_then(|stored| write_keys(store, stored));
    match written {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(error) => fail(&format!("Error running storeconfig: {error}")),
    }
}

fn stored_keys(invocation: &Invocation) -> Result<StoredKeys, String> {
    // The table [file] is not stored: its routes are, and the store provides them from then on.
    let without: Vec<&str> = DYNAMIC_TABLES.into_iter().chain(["file"]).collect();
    let mut keys = static_keys(&invocation.tree, &StaticConfig::shape(), &without);
    if let Some(file) = &invocation.static_config.file {
        let location = FileSettings::new(file, invocation.file.as_deref());
        let location = location
            .map(|settings| settings.location)
            .ok_or("[file] names no file, and there is no configuration file")?;
        keys.extend(dynamic_keys(&documents(&location)?, &Shape::of::<DynamicConfig>()));
    }
    let mut stored = StoredKeys { keys, objects: Vec::new(), removed: Vec::new() };
    if let Some(acme) = option(&invocation.tree, "acme") {
        store_account(acme, &mut stored)?;
    }
    Ok(stored)
}

/// The documents of the file provider, in the order in which they are merged.
fn documents(location: &RoutesLocation) -> Result<Vec<Node>, String> {
    let read = |path: PathBuf| {
        let text = read_config(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let name = path.display().to_string();
        let document = match location {
            RoutesLocation::Main(_) => text::parse(&text, &name),
            RoutesLocation::File(_) | RoutesLocation::Directory(_) => text::parse_dedicated(&text, &name),
        };
        document.map_err(|error| error.to_string())
    };
    location.files().map_err(|error| error.to_string())?.into_iter().map(read).collect()
}

/// The account and the certificates of `acme.storageFile`, as the object that Traefik v1 keeps below `acme.storage`. The option
/// `storageFile` is not stored.
fn store_account(acme: &Node, stored: &mut StoredKeys) -> Result<(), String> {
    let text = |name: &str| match option(acme, name).map(|node| &node.value) {
        Some(Value::Text(text)) => text.trim_matches('/').to_owned(),
        _ => String::new(),
    };
    stored.keys.remove("acme/storagefile");
    stored.removed.push("acme/storagefile".to_owned());
    let file = match option(acme, "storageFile").map(|node| &node.value) {
        Some(Value::Text(file)) if !file.is_empty() => file,
        _ => return Ok(()),
    };
    let key = text("storage");
    if key.is_empty() {
        return Err("acme.storage is empty: name the key of the account, as \"traefik/acme/account\"".to_owned());
    }
    let json = stored_account(Path::new(file))?;
    let object = compress(json.as_bytes()).map_err(|error| error.to_string())?;
    let replaces = matches!(option(acme, "overrideCertificates").map(|node| &node.value), Some(Value::Bool(true)));
    stored.objects.push((format!("{key}/object"), object, replaces));
    Ok(())
}

fn option<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.as_table()?.option(name)
}
