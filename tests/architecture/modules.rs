//! Which module may use which, and which crate belongs where.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{backquoted, crate_paths, longest_super, names_crate, root, sources};

/// A module, and the modules that it may name by `crate::`. A module may always name itself. `config::snapshot` allows that part only.
/// `main` and the crate's root file stand outside the table; they hold no logic.
const USES: [(&str, &[&str]); 16] = [
    ("limits", &[]),
    ("diagnostics", &["limits"]),
    ("error", &["limits", "diagnostics", "http"]),
    ("http", &["limits", "diagnostics", "error"]),
    ("tls", &["limits", "diagnostics", "error"]),
    ("detect", &["limits", "diagnostics", "error"]),
    ("rule", &["limits", "diagnostics", "error", "http"]),
    ("middleware", &["limits", "diagnostics", "error", "http"]),
    ("backend", &["limits", "diagnostics", "error", "http"]),
    ("config", &["limits", "diagnostics", "error", "rule", "middleware", "backend", "http", "tls", "detect"]),
    ("observe", &["limits", "diagnostics", "error", "config", "http"]),
    ("net", &["limits", "diagnostics", "error", "tls"]),
    (
        "worker",
        &[
            "limits",
            "diagnostics",
            "error",
            "net",
            "config::snapshot",
            "rule",
            "middleware",
            "backend",
            "http",
            "tls",
            "detect",
            "observe",
        ],
    ),
    ("control", &["limits", "diagnostics", "error", "config", "backend", "tls", "detect", "observe", "http"]),
    ("cli", &["limits", "diagnostics", "error", "config"]),
    ("app", &["limits", "diagnostics", "error", "worker", "control", "observe", "config", "net", "tls", "cli"]),
];

/// Crates that belong to one plane, and the modules (or files) that may name them.
const CRATES: [(&str, &[&str]); 10] = [
    ("monoio", &["net", "worker"]),
    ("io_uring", &["net"]),
    ("tokio", &["control", "app.rs"]),
    ("instant_acme", &["control"]),
    ("hyper", &["control"]),
    ("notify", &["control"]),
    ("tonic", &["control"]),
    ("redis", &["control"]),
    ("zookeeper_client", &["control"]),
    ("jiff", &["observe"]),
];

/// Modules that get time, files, connections and random bytes as arguments.
const SANS_IO: [&str; 9] =
    ["diagnostics", "http", "tls", "detect", "rule", "middleware", "backend", "config", "observe"];
const IO_NAMES: [&str; 8] = [
    "Instant::now",
    "SystemTime::now",
    "UNIX_EPOCH.elapsed",
    "TcpStream",
    "UdpSocket",
    "std::fs",
    "File::open",
    "thread::spawn",
];

#[test]
fn modules_use_only_allowed_modules() {
    let mut broken = Vec::new();
    for source in sources() {
        let Some((_, allowed)) = USES.iter().find(|(module, _)| *module == source.module) else {
            if !["lib", "main", "allocator"].contains(&source.module.as_str()) {
                broken.push(format!(
                    "{}: the module {} has no line in tests/architecture/modules.rs",
                    source.path, source.module
                ));
            }
            continue;
        };
        for path in crate_paths(&source.code) {
            let full = path.join("::");
            let named = |entry: &&str| full == **entry || full.starts_with(&format!("{entry}::"));
            if path.first() != Some(&source.module) && !allowed.iter().any(named) {
                broken.push(format!("{}: {} may not use crate::{full}", source.path, source.module));
            }
        }
        if let Some(chain) = longest_super(&source.code).filter(|chain| *chain >= source.depth) {
            broken.push(format!(
                "{}: {chain} times super:: leaves the module; name the other module by crate::",
                source.path
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn runtimes_are_named_only_in_their_modules() {
    let mut broken = Vec::new();
    for source in sources() {
        for (name, modules) in CRATES {
            let file = source.path.trim_start_matches("src/");
            let allowed = modules.contains(&source.module.as_str()) || modules.contains(&file);
            if !allowed && names_crate(&source.code, name) {
                broken.push(format!("{}: {name} belongs to {}", source.path, modules.join(", ")));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn core_modules_do_no_io() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| SANS_IO.contains(&source.module.as_str())) {
        for name in IO_NAMES.iter().filter(|name| source.code.contains(**name)) {
            broken.push(format!("{}: {name} has to come in as an argument", source.path));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn architecture_document_has_the_same_table() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let section =
        text.split("## Modules").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section on modules");
    let documented: Vec<(String, BTreeSet<String>)> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            let module = backquoted(cells[0]).next().unwrap_or_default();
            (module, backquoted(cells[2]).flat_map(|list| words_of(&list)).collect())
        })
        .collect();
    let everybody = ["limits", "diagnostics", "error"];
    let held = USES.map(|(module, uses)| {
        let uses = uses.iter().filter(|name| !everybody.contains(name));
        (module.to_owned(), uses.map(|name| (*name).to_owned()).collect())
    });
    assert_eq!(documented, held, "ARCHITECTURE.md on the left, this file on the right");
}

fn words_of(list: &str) -> Vec<String> {
    list.split(' ').map(str::to_owned).collect()
}
