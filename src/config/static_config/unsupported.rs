//! The list of options that are read and checked, but ignored: they are not implemented yet, or refused (COMPAT.md says which).
//! Remove an option's row when the option takes effect.

use super::StaticConfig;

/// An option's path, and whether it is set.
type Row = (&'static str, fn(&StaticConfig) -> bool);

const OPTIONS: [Row; 8] = [
    ("metrics.datadog", |config| config.metrics.as_ref().is_some_and(|metrics| metrics.datadog.is_some())),
    ("metrics.statsd", |config| config.metrics.as_ref().is_some_and(|metrics| metrics.statsd.is_some())),
    ("metrics.influxdb", |config| config.metrics.as_ref().is_some_and(|metrics| metrics.influxdb.is_some())),
    ("tracing", |config| config.tracing.is_some()),
    ("cluster", |config| config.cluster.is_some()),
    ("hostResolver", |config| config.host_resolver.is_some()),
    ("acme.overrideCertificates", |config| config.acme.as_ref().is_some_and(|acme| acme.override_certificates)),
    ("file.constraints", |config| config.file.as_ref().is_some_and(|file| !file.constraints.is_empty())),
];

/// The paths of the options that a resolved configuration sets and Ringway ignores. [`StaticConfig::resolve`] reports the tables of
/// providers that Ringway does not support.
pub fn unsupported_options(config: &StaticConfig) -> Vec<String> {
    OPTIONS.iter().filter(|(_, is_set)| is_set(config)).map(|(key, _)| (*key).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::read;

    #[test]
    fn only_options_that_are_set_are_listed() {
        let mut plain = StaticConfig::default();
        plain.resolve();
        assert_eq!(unsupported_options(&plain), Vec::<String>::new());
        let text = "[tracing]\n[etcd]\nendpoint='x'\n[hostResolver]";
        let mut config = read::<StaticConfig>(text, "t").expect("valid").value;
        config.resolve();
        assert_eq!(unsupported_options(&config), ["tracing", "hostResolver"]);
    }
}
