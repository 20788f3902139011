//! Compiles the access log of a frontend (docs/reference/logs.md#logs-of-frontends).

use std::path::{Component, Path};
use std::sync::Arc;

use super::CompileContext;
use crate::config::dynamic::{self, FrontendAccessLog};
use crate::config::snapshot::FrontendLog;
use crate::diagnostics::{Code, Diagnostic};

/// The provider whose paths are the operator's own: containers and others must not choose files of the proxy's machine.
const FILE_PROVIDER: &str = "file";

/// The access log of a frontend that has options for it.
pub fn access_log(
    ctx: &CompileContext,
    provider: &str,
    written: &dynamic::Frontend,
    warnings: &mut Vec<Diagnostic>,
) -> Option<Arc<FrontendLog>> {
    let written = written.access_log.as_deref()?;
    let Some(folder) = &ctx.access_log_folder else {
        if written.enabled {
            let text = "accessLog ignored: there is no access log; add [accessLog] to the main configuration";
            warnings.push(Diagnostic::new(Code::AccessLogOption, "accessLog", text));
        }
        return None;
    };
    warnings.extend(unknown_modes(written));
    let file = match written.file_path.as_str() {
        "" => None,
        path => match resolved(folder, provider, path) {
            Ok(path) => Some(path),
            Err(reason) => {
                let text =
                    format!("accessLog.filePath {path} ignored, its lines go to the common access log: {reason}");
                warnings.push(Diagnostic::new(Code::AccessLogOption, "accessLog.filePath", text));
                None
            }
        },
    };
    Some(Arc::new(FrontendLog { written: written.clone(), file }))
}

/// The file of a frontend's log.
fn resolved(folder: &str, provider: &str, path: &str) -> Result<Arc<Path>, String> {
    let written = Path::new(path);
    if written.is_absolute() && provider == FILE_PROVIDER {
        return Ok(written.into());
    }
    if !written.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err("name a file below accessLog.folder, as in shop/access.log".to_owned());
    }
    if folder.is_empty() {
        return Err(
            "accessLog.folder is not set, and accessLog.filePath names no file whose folder could be used; set it"
                .to_owned(),
        );
    }
    Ok(Path::new(folder).join(written).into())
}

/// The modes of fields that are no modes.
fn unknown_modes(written: &FrontendAccessLog) -> Vec<Diagnostic> {
    let Some(fields) = &written.fields else { return Vec::new() };
    let own =
        fields.names.iter().map(|(name, mode)| (name.as_str(), mode)).chain([("defaultMode", &fields.default_mode)]);
    let headers = fields.headers.iter().flat_map(|headers| {
        let names = headers.names.iter().map(|(name, mode)| (name.as_str(), mode));
        names.chain([("headers.defaultMode", &headers.default_mode)])
    });
    let is_known =
        |mode: &str, is_header: bool| matches!(mode, "" | "keep" | "drop") || (is_header && mode == "redact");
    let own = own.filter(|(_, mode)| !is_known(mode, false));
    let headers = headers.filter(|(_, mode)| !is_known(mode, true));
    let diagnostic = |(name, mode): (&str, &String)| {
        let text =
            format!("accessLog.fields: mode {mode:?} of {name} ignored: use keep or drop; redact for header fields");
        Diagnostic::new(Code::AccessLogOption, "accessLog.fields", text)
    };
    own.chain(headers).map(diagnostic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_files_below_the_folder_only() {
        let path = |folder, provider, path| resolved(folder, provider, path).map(|path| path.display().to_string());
        assert_eq!(path("/var/log", "docker", "shop/a.log").as_deref(), Ok("/var/log/shop/a.log"));
        assert_eq!(path("/var/log", "file", "/srv/a.log").as_deref(), Ok("/srv/a.log"));
        for bad in ["/etc/cron.d/x", "../x", "a/../../x", "./x"] {
            assert!(path("/var/log", "docker", bad).is_err(), "{bad}");
        }
        assert!(path("", "docker", "a.log").unwrap_err().contains("accessLog.folder"));
    }
}
