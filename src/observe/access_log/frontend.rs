//! The access logs that frontends have of their own (docs/reference/logs.md#logs-of-frontends).

use std::path::Path;
use std::sync::Arc;

use super::{AccessLogFormat, AccessLogSettings};
use crate::config::snapshot::FrontendLog;

/// How the requests of one frontend are logged.
pub struct FrontendFormat {
    /// `None`: they have no line.
    pub format: Option<AccessLogFormat>,
    /// `None`: their lines go to the common log.
    pub file: Option<Arc<Path>>,
}

impl FrontendFormat {
    /// Compiles the options of a frontend; `common` has those of all others.
    pub fn new(own: &FrontendLog, common: &AccessLogSettings) -> Self {
        let written = &own.written;
        if !written.enabled {
            return FrontendFormat { format: None, file: None };
        }
        let mut settings = common.clone();
        match written.format.as_str() {
            "json" => settings.json = true,
            "common" => settings.json = false,
            _ => {}
        }
        if let Some(fields) = &written.fields {
            settings.fields_default_mode.clone_from(&fields.default_mode);
            settings.fields.clone_from(&fields.names);
            if let Some(headers) = &fields.headers {
                settings.headers_default_mode.clone_from(&headers.default_mode);
                settings.headers.clone_from(&headers.names);
            }
        }
        let (format, warnings) = AccessLogFormat::new(&settings);
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        FrontendFormat { format: Some(format), file: own.file.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{AccessLogFields, FrontendAccessLog};
    use crate::observe::access_log::LogField;

    fn format_of(written: FrontendAccessLog) -> FrontendFormat {
        let common = AccessLogSettings { status_codes: vec!["500-599".into()], ..AccessLogSettings::default() };
        FrontendFormat::new(&FrontendLog { written, file: Some(Path::new("/a").into()) }, &common)
    }

    #[test]
    fn options_of_a_frontend_replace_those_of_all_and_filters_stay() {
        let off = format_of(FrontendAccessLog { enabled: false, ..FrontendAccessLog::default() });
        assert!(off.format.is_none());
        let names = [("ClientUsername".to_owned(), "drop".to_owned())].into();
        let fields = Some(AccessLogFields { names, ..AccessLogFields::default() });
        let own = format_of(FrontendAccessLog { format: "json".into(), fields, ..FrontendAccessLog::default() });
        let format = own.format.expect("a format");
        assert!(format.json && !format.keeps(LogField::ClientUsername) && format.keeps(LogField::Duration));
        assert!(format.passes(502, 0, 0) && !format.passes(200, 0, 0));
        assert_eq!(own.file.as_deref(), Some(Path::new("/a")));
    }
}
