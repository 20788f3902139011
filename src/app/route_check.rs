//! The part of `ringway check` that compiles the file provider's routes and lists what is rejected or ignored
//! (docs/reference/command-line.md#commands).

use std::path::Path;

use super::bootstrap::Components;
use crate::config::compile::compile;
use crate::config::dynamic::Documents;
use crate::config::snapshot::Snapshot;
use crate::config::static_config::StaticConfig;
use crate::config::{Rejected, Severity};
use crate::control::file::{self, FileSettings};

/// The routes of the file provider that are rejected, or not applied as written, each as a line. Empty without a file provider.
///
/// # Errors
/// The files cannot be read: no route of the file provider is served until they can.
pub fn rejected_routes(
    config: &StaticConfig,
    main: Option<&Path>,
    components: &mut Components,
) -> Result<Vec<String>, String> {
    let Some(settings) = config.file.as_ref().and_then(|table| FileSettings::new(table, main)) else {
        return Ok(Vec::new());
    };
    let merged = file::load(&settings.location).map_err(|error| error.to_string())?;
    let documents = Documents::from([(file::PROVIDER.to_owned(), merged.dynamic.into())]);
    let before = Snapshot::empty(components.compile_context.entry_points.len());
    let ctx = &components.compile_context;
    let snapshot = compile(ctx, &documents, &merged.rejected, &before, &mut components.endpoints);
    Ok(snapshot.rejected.iter().map(line).collect())
}

fn line(rejected: &Rejected) -> String {
    let Rejected { name, reason, severity, .. } = rejected;
    match severity {
        Severity::Rejected => format!("{name} is rejected: {reason}"),
        Severity::Partial => format!("{name}: {reason}"),
    }
}
