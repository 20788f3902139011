//! Negotiates the version of the Engine's API, at every connection again: the Engine may have been upgraded or downgraded meanwhile
//! (docs/reference/providers.md#api-version).

use std::fmt;

use serde_json::Value;

use super::fields::Fields;

/// The newest version whose responses the provider knows.
const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 53 };

/// A version of the API: `1.41`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    major: u32,
    minor: u32,
}

impl ApiVersion {
    fn parse(text: &str) -> Option<ApiVersion> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(ApiVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The result of a negotiation.
#[derive(Debug, Clone, PartialEq)]
pub struct Negotiated {
    /// The version to ask for; `None`: paths have none, and the Engine answers in its own.
    pub version: Option<ApiVersion>,
    /// A message for the log if the versions of the two do not overlap, or are not known.
    pub warning: Option<String>,
}

impl Negotiated {
    /// The beginning of request paths: `/v1.41`, or nothing.
    pub fn prefix(&self) -> String {
        self.version.map(|version| format!("/v{version}")).unwrap_or_default()
    }
}

/// Chooses the newest version that both know from the Engine's response to `GET /version`. An Engine that refuses all known versions is
/// asked in its oldest one: the few fields that the provider reads have been there for many versions.
pub fn choose(response: &Value) -> Negotiated {
    let mut fields = Fields::default();
    let newest = fields.text(response, &["ApiVersion"]);
    let oldest = ApiVersion::parse(&fields.text(response, &["MinAPIVersion"]));
    let Some(newest) = ApiVersion::parse(&newest) else {
        let warning = format!(
            "the Engine gives {newest:?} as its ApiVersion; requests are sent without a version: check that the endpoint is the address \
             of a Docker Engine"
        );
        return Negotiated { version: None, warning: Some(warning) };
    };
    match oldest.filter(|oldest| *oldest > NEWEST) {
        Some(oldest) => {
            let warning = format!(
                "the Engine refuses API versions below {oldest}, and this proxy knows those up to {NEWEST}; version {oldest} is used: upgrade \
                 the proxy if containers are missing"
            );
            Negotiated { version: Some(oldest), warning: Some(warning) }
        }
        None => Negotiated { version: Some(newest.min(NEWEST)), warning: None },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn newest_version_that_both_know_is_chosen() {
        for (response, prefix, has_warning) in [
            (json!({"ApiVersion": "1.41", "MinAPIVersion": "1.12"}), "/v1.41", false),
            (json!({"ApiVersion": "1.24"}), "/v1.24", false),
            (json!({"ApiVersion": "1.57", "MinAPIVersion": "1.44"}), "/v1.53", false),
            (json!({"ApiVersion": "1.9", "MinAPIVersion": null}), "/v1.9", false),
            (json!({"ApiVersion": "1.80", "MinAPIVersion": "1.60"}), "/v1.60", true),
            (json!({"ApiVersion": 1.41}), "/v1.41", false),
            (json!({"ApiVersion": "next"}), "", true),
            (json!({}), "", true),
            (json!("1.41"), "", true),
        ] {
            let negotiated = choose(&response);
            assert_eq!(
                (negotiated.prefix().as_str(), negotiated.warning.is_some()),
                (prefix, has_warning),
                "{response}"
            );
        }
    }
}
