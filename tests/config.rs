//! Compatibility as pairs: each `tests/config/NAME.toml` is read as the main configuration file, and Ringway's messages about the file must
//! be `NAME.expected`. `RINGWAY_BLESS=1` rewrites the expected files; read the difference before committing it.

use std::io;
use std::path::{Path, PathBuf};

use ringway::cli;
use ringway::config::Rejected;
use ringway::config::compile::{CompileContext, EndpointInterner, EntryPointInfo, compile};
use ringway::config::dynamic::Documents;
use ringway::config::snapshot::Snapshot;
use ringway::config::static_config::{check, unsupported_options};

#[path = "support/compile_context.rs"]
mod compile_context;
#[path = "config/layer4.rs"]
mod layer4;
#[path = "config/reuse.rs"]
mod reuse;

#[test]
fn check_prints_the_expected_lines_for_each_file() {
    compare("tests/config", 9, judge);
}

/// The routes in the main file, compiled: what is rejected or not applied as written.
#[test]
fn compiled_routes_cause_the_expected_lines_for_each_file() {
    compare("tests/config/routes", 2, judge_routes);
}

fn compare(folder: &str, least: usize, judge: fn(&str) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("tests/config exists")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= least, "the cases are missing");
    let bless = std::env::var_os("RINGWAY_BLESS").is_some();
    let mut wrong = Vec::new();
    for file in files {
        let said = judge(&std::fs::read_to_string(&file).expect("a readable case"));
        let expected = file.with_extension("expected");
        if bless {
            std::fs::write(&expected, &said).expect("written");
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        if said != wanted {
            wrong.push(format!("{}:\n--- expected\n{wanted}--- said\n{said}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All messages for the user, one after the other.
fn judge(text: &str) -> String {
    let read = |file: &Path| match file.to_str() {
        Some("traefik.toml") => Ok(text.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let invocation = match cli::parse(&["--configFile=traefik.toml".to_owned()], &|_| None, &read) {
        Ok(invocation) => invocation,
        Err(error) => return format!("{error}\n"),
    };
    let warnings = invocation.findings.iter().map(|warning| format!("warning: {warning}\n"));
    let problems = check(&invocation.static_config);
    let problems =
        problems.iter().map(|problem| format!("{}: {problem}\n", if problem.fatal { "fatal" } else { "warning" }));
    let pending = unsupported_options(&invocation.static_config);
    let pending = pending.iter().map(|key| format!("not yet: {key}\n"));
    warnings.chain(problems).chain(pending).collect()
}

/// All messages about the routes, one after the other.
fn judge_routes(text: &str) -> String {
    let snapshot = compiled(text, &Snapshot::empty(0));
    let line = |rejected: &Rejected| format!("{:?} {}: {}\n", rejected.severity, rejected.name, rejected.reason);
    snapshot.rejected.iter().map(line).collect()
}

/// The routes of a main file, compiled for its entry points.
fn compiled(text: &str, previous: &Snapshot) -> Snapshot {
    let read = |file: &Path| match file.to_str() {
        Some("traefik.toml") => Ok(text.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let invocation = cli::parse(&["--configFile=traefik.toml".to_owned()], &|_| None, &read).expect("valid");
    assert_eq!(invocation.findings, []);
    let config = invocation.static_config;
    let routes = ringway::config::text::inline(text, "traefik.toml").expect("valid");
    assert_eq!(routes.warnings, []);
    let context = CompileContext {
        access_log_folder: None,
        entry_points: config.entry_points.iter().map(|(name, written)| EntryPointInfo::new(name, written)).collect(),
        default_entry_points: config.default_entry_points.clone(),
        ..compile_context::compile_context()
    };
    let documents = Documents::from([("file".to_owned(), routes.value.into())]);
    compile(&context, &documents, &[], previous, &mut EndpointInterner::default())
}

/// Routes that a Traefik v1 served must be read without a message.
#[test]
fn routes_of_a_running_traefik_cause_no_warnings() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases/observed-rules.toml");
    let Ok(text) = std::fs::read_to_string(&file) else {
        println!("skipped: no shared cases");
        return;
    };
    let read = ringway::config::text::dedicated(&text, "observed-rules.toml").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read.warnings, []);
    assert!(read.value.frontends.len() > 10 && !read.value.backends.is_empty());
}
