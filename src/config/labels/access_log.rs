//! Reads `traefik.frontend.accessLog` and `traefik.frontend.accessLog.*` (docs/reference/labels.md#frontend-labels).

use std::collections::BTreeMap;

use super::values::{InvalidLabel, Labels};
use crate::config::dynamic::{AccessLogFields, AccessLogHeaders, FrontendAccessLog};

const LOG: &str = "traefik.frontend.accessLog";

/// The options of the access log; `None` if no label names it.
pub fn access_log(labels: &Labels) -> Result<Option<FrontendAccessLog>, InvalidLabel> {
    if !labels.any(LOG) {
        return Ok(None);
    }
    let headers = modes(labels, ".fields.headers")?;
    let fields = modes(labels, ".fields")?;
    let headers = headers.map(|(default_mode, names)| AccessLogHeaders { default_mode, names });
    let fields = match (fields, headers) {
        (None, None) => None,
        (fields, headers) => {
            let (default_mode, names) = fields.unwrap_or_default();
            Some(AccessLogFields { default_mode, names, headers })
        }
    };
    Ok(Some(FrontendAccessLog {
        enabled: labels.flag(LOG, true),
        file_path: labels.text(&format!("{LOG}.filePath"))?,
        format: labels.text(&format!("{LOG}.format"))?,
        fields,
    }))
}

/// The default mode, and the modes by name.
type Modes = (String, BTreeMap<String, String>);

/// The modes that labels name; `None` if none does.
fn modes(labels: &Labels, part: &str) -> Result<Option<Modes>, InvalidLabel> {
    let default_mode = labels.text(&format!("{LOG}{part}.defaultMode"))?;
    let prefix = format!("{LOG}{part}.names.");
    let names =
        labels.starting(&prefix).map(|(label, mode)| (label[prefix.len()..].to_owned(), mode.trim().to_owned()));
    let names: BTreeMap<String, String> = names.collect();
    Ok((!default_mode.is_empty() || !names.is_empty()).then_some((default_mode, names)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> Option<FrontendAccessLog> {
        let map: BTreeMap<String, String> =
            labels.iter().map(|(label, value)| (format!("{LOG}{label}"), (*value).to_owned())).collect();
        access_log(&Labels::whole(&map)).expect("valid")
    }

    #[test]
    fn labels_switch_the_log_off_or_give_it_a_file_and_fields() {
        assert_eq!(read(&[]), None);
        let off = read(&[("", "false")]).expect("a log");
        assert!(!off.enabled && off.fields.is_none());
        let own = read(&[
            (".filePath", "shop.log"),
            (".format", "json"),
            (".fields.defaultMode", "drop"),
            (".fields.names.ClientHost", "keep"),
            (".fields.headers.names.User-Agent", "redact"),
        ]);
        let own = own.expect("a log");
        assert_eq!((own.enabled, own.file_path.as_str(), own.format.as_str()), (true, "shop.log", "json"));
        let fields = own.fields.expect("fields");
        assert_eq!((fields.default_mode.as_str(), fields.names["ClientHost"].as_str()), ("drop", "keep"));
        assert_eq!(fields.headers.expect("headers").names["User-Agent"], "redact");
    }
}
