//! The variables of the environment that configure a provider, named as in lego. The value of `NAME` may also stand in the file that `NAME_FILE`
//! names.

use std::str::FromStr;
use std::time::Duration;

use crate::config::duration::GoDuration;
use crate::control::watched_files::read_text;

use super::error::{DnsError, Environment};

/// lego's defaults for most providers.
const PROPAGATION_TIMEOUT_SECS: u64 = 60;
const POLLING_INTERVAL_SECS: u64 = 2;
const TTL_SECS: u32 = 120;
const HTTP_TIMEOUT_SECS: u64 = 30;
const SEQUENCE_INTERVAL_SECS: u64 = 60;
/// A bound for every time: a day.
const TIME_SECS_MAX: u64 = 86_400;

/// The time-outs of a provider and the lifetime of its records, from `PREFIX_PROPAGATION_TIMEOUT` and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The longest wait for the zone's name servers.
    pub propagation_timeout: Duration,
    /// The pause between two looks.
    pub polling_interval: Duration,
    /// The lifetime of the TXT record in seconds.
    pub ttl_secs: u32,
    /// The time-out of one request to the service.
    pub http_timeout: Duration,
    /// The pause between two records of one name, for providers that hold one record only.
    pub sequence_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            propagation_timeout: Duration::from_secs(PROPAGATION_TIMEOUT_SECS),
            polling_interval: Duration::from_secs(POLLING_INTERVAL_SECS),
            ttl_secs: TTL_SECS,
            http_timeout: Duration::from_secs(HTTP_TIMEOUT_SECS),
            sequence_interval: Duration::from_secs(SEQUENCE_INTERVAL_SECS),
        }
    }
}

/// Reads variables and collects everything that is wrong with them, so that one error names all.
pub struct Variables<'a> {
    environment: Environment<'a>,
    missing: Vec<String>,
    problems: Vec<String>,
}

impl<'a> Variables<'a> {
    /// Variables of this environment.
    pub fn new(environment: Environment<'a>) -> Variables<'a> {
        Variables { environment, missing: Vec::new(), problems: Vec::new() }
    }

    /// The value of the first of `names` that is set and not empty, from the variable or its file.
    pub fn first(&mut self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.value(name))
    }

    /// As [`Variables::first`]; if none is set, the first name counts as missing.
    pub fn required(&mut self, names: &[&str]) -> String {
        self.first(names).unwrap_or_else(|| {
            self.missing.push(names.join(" or "));
            String::new()
        })
    }

    /// The value of one variable that may not stand in a file.
    pub fn plain(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// A variable that is true for `1`, `t`, `true` in any letter case, and false for `0`, `f`, `false`, as in Go.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.value(name).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => default,
            Some("1" | "t" | "true") => true,
            Some("0" | "f" | "false") => false,
            Some(other) => {
                self.problems.push(format!("{name} is {other:?}: write true or false"));
                default
            }
        }
    }

    /// A number.
    pub fn number<T: FromStr>(&mut self, names: &[&str], default: T) -> T {
        let Some(value) = self.first(names) else { return default };
        value.trim().parse().unwrap_or_else(|_| {
            self.problems.push(format!("{} is {value:?}, which is no number", names[0]));
            default
        })
    }

    /// A time in seconds, `60`, or as Go writes it, `1m`.
    pub fn seconds(&mut self, names: &[&str], default: Duration) -> Duration {
        let Some(value) = self.first(names) else { return default };
        let written = value.trim();
        let parsed = match written.parse::<u64>() {
            Ok(secs) => Some(Duration::from_secs(secs)),
            Err(_) => GoDuration::parse_with_unit(written).ok().and_then(GoDuration::positive),
        };
        parsed.filter(|time| time.as_secs() <= TIME_SECS_MAX).unwrap_or_else(|| {
            self.problems.push(format!("{} is {value:?}: write a number of seconds, a day at most", names[0]));
            default
        })
    }

    /// The times of a provider whose variables begin with one of `prefixes`.
    pub fn timing(&mut self, prefixes: &[&str], defaults: Timing) -> Timing {
        let names =
            |suffix: &str| -> Vec<String> { prefixes.iter().map(|prefix| format!("{prefix}{suffix}")).collect() };
        let mut seconds = |suffix: &str, default: Duration| {
            let names = names(suffix);
            self.seconds(&names.iter().map(String::as_str).collect::<Vec<&str>>(), default)
        };
        let propagation_timeout = seconds("PROPAGATION_TIMEOUT", defaults.propagation_timeout);
        let polling_interval = seconds("POLLING_INTERVAL", defaults.polling_interval);
        let http_timeout = seconds("HTTP_TIMEOUT", defaults.http_timeout);
        let sequence_interval = seconds("SEQUENCE_INTERVAL", defaults.sequence_interval);
        let ttl = names("TTL");
        let ttl_secs = self.number(&ttl.iter().map(String::as_str).collect::<Vec<&str>>(), defaults.ttl_secs);
        // A pause of zero would ask without end.
        let polling_interval = polling_interval.max(Duration::from_millis(100));
        Timing { propagation_timeout, polling_interval, ttl_secs, http_timeout, sequence_interval }
    }

    /// Records that a value cannot be used.
    pub fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// One sentence with all missing variables and all values that cannot be used.
    pub fn finish(self, provider: &str) -> Result<(), DnsError> {
        let mut sentences = self.problems;
        if !self.missing.is_empty() {
            let names = self.missing.join(", ");
            sentences.insert(
                0,
                format!(
                    "these variables of the environment are not set: {names} (or the same names with _FILE, for files)"
                ),
            );
        }
        if sentences.is_empty() {
            return Ok(());
        }
        Err(DnsError(format!("acme.dnsChallenge.provider {provider}: {}", sentences.join("; "))))
    }

    fn value(&mut self, name: &str) -> Option<String> {
        if let Some(value) = self.plain(name) {
            return Some(value);
        }
        let file_variable = format!("{name}_FILE");
        let path = self.plain(&file_variable)?;
        match read_text(&path) {
            Ok(text) => Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty()),
            Err(error) => {
                self.problems.push(format!("{file_variable}: {path} cannot be read: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        let set = [
            ("ONE", "1"),
            ("EMPTY", ""),
            ("P_TTL", "300"),
            ("P_PROPAGATION_TIMEOUT", "90"),
            ("Q_POLLING_INTERVAL", "1m"),
            ("P_HTTP_TIMEOUT", "soon"),
            ("FLAG", "True"),
            ("BAD_FILE", "/nowhere/secret"),
        ];
        set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn missing_variables_are_all_named_in_one_error() {
        let mut variables = Variables::new(&environment);
        assert_eq!(variables.required(&["ONE"]), "1");
        variables.required(&["EMPTY"]);
        variables.required(&["TWO", "OLD_TWO"]);
        variables.required(&["BAD"]);
        let message = variables.finish("example").unwrap_err().0;
        for part in ["example", "EMPTY", "TWO or OLD_TWO", "BAD_FILE: /nowhere/secret cannot be read"] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }

    #[test]
    fn variable_is_read_from_its_file_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, " secret \r\n\n").unwrap();
        let path = path.to_string_lossy().into_owned();
        let environment = |name: &str| (name == "TOKEN_FILE").then(|| path.clone());
        let mut variables = Variables::new(&environment);
        assert_eq!(variables.required(&["TOKEN"]), " secret ");
        assert_eq!(variables.finish("example"), Ok(()));
    }

    #[test]
    fn times_are_seconds_or_go_durations_and_others_are_named() {
        let mut variables = Variables::new(&environment);
        let timing = variables.timing(&["P_", "Q_"], Timing::default());
        assert_eq!(timing.propagation_timeout, Duration::from_secs(90));
        assert_eq!(timing.polling_interval, Duration::from_secs(60));
        assert_eq!((timing.ttl_secs, timing.http_timeout), (300, Duration::from_secs(30)));
        assert!(variables.flag("FLAG", false));
        let message = variables.finish("example").unwrap_err().0;
        assert!(message.contains("P_HTTP_TIMEOUT is \"soon\""), "{message}");
    }
}
