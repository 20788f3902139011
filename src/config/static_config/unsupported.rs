//! The list of options that are read and checked, but ignored: they are not implemented yet, or refused (COMPAT.md says which).
//! Remove an option's row when the option takes effect.

use super::StaticConfig;

/// An option's path, and whether it is set.
type Row = (&'static str, fn(&StaticConfig) -> bool);

const OPTIONS: [Row; 3] = [
    ("cluster", |config| config.cluster.is_some()),
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
        let text = "[mesos]\nendpoint='x'\n[cluster]";
        let mut config = read::<StaticConfig>(text, "t").expect("valid").value;
        config.resolve();
        assert_eq!(unsupported_options(&config), ["cluster"]);
    }
}
