//! The list of all flags, made from the configuration's types, which the parser reads flags by, and from the reference, which describes them.

use super::manual::Manual;
use super::values::Values;
use crate::config::static_config::StaticConfig;
use crate::config::text::shape::Shape;

/// A flag of the configuration.
pub(super) struct FlagSpec {
    /// The key in its proper spelling, without dashes.
    pub key: String,
    pub form: Form,
    pub values: Values,
    /// The description in one line.
    pub summary: String,
    /// The one-letter flag for the same key.
    pub short: Option<char>,
}

/// How the value of a flag is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    /// The name of the value in help texts; empty for a table, which has none.
    pub value: &'static str,
    /// Whether the flag may be bare.
    pub may_be_bare: bool,
    /// Whether a further flag adds to what the flag gave before.
    pub may_repeat: bool,
}

/// Flags of one letter, each with its long flag.
pub(super) const SHORT_FLAGS: [(char, &str); 5] =
    [('c', "configFile"), ('d', "debug"), ('g', "graceTimeOut"), ('l', "logLevel"), ('h', "help")];

/// Short flags that have no value.
pub(super) const BARE_SHORT_FLAGS: [&str; 2] = ["debug", "help"];

/// Flags that set no option of the configuration.
pub(super) const OTHERS: [(&str, Form, &str); 2] = [
    ("configFile", TEXT, "the configuration file, or the folder of a traefik.toml"),
    (
        "help",
        Form { value: "TABLE", may_be_bare: true, may_repeat: false },
        "print this text, or what is known of one table",
    ),
];

const TEXT: Form = Form { value: "text", may_be_bare: false, may_repeat: false };

/// Every flag, in alphabetical order.
pub(super) fn all() -> Vec<FlagSpec> {
    let manual = Manual::read();
    let mut flags = Vec::new();
    collect(&StaticConfig::shape(), "", &manual, &mut flags);
    flags.extend(OTHERS.iter().map(|(key, form, summary)| FlagSpec {
        key: (*key).to_owned(),
        form: *form,
        values: if *key == "help" { Values::Topic } else { Values::of_flag(key, false) },
        summary: (*summary).to_owned(),
        short: short_flag(key),
    }));
    flags.sort_by_cached_key(|flag| flag.key.to_ascii_lowercase());
    flags
}

fn collect(shape: &Shape, prefix: &str, manual: &Manual, flags: &mut Vec<FlagSpec>) {
    let Shape::Table(fields) = shape else { return };
    for (name, shape) in fields {
        let key = format!("{prefix}{name}");
        let summary = match (manual.row(&key), shape) {
            _ if shape.is_raw_table() => "a provider that Ringway does not have; ignored".to_owned(),
            (Some(row), _) => row.summary(),
            (None, Shape::Table(_)) => format!("table: the keys below {key}"),
            (None, _) => String::new(),
        };
        let values = Values::of_flag(&key, *shape == Shape::Bool);
        let short = short_flag(&key);
        flags.push(FlagSpec { form: form(shape), values, summary, short, key: key.clone() });
        collect(shape, &format!("{key}."), manual, flags);
    }
}

/// The keys of all options, in their proper spelling.
pub(super) fn keys(shape: &Shape) -> Vec<String> {
    let Shape::Table(fields) = shape else { return Vec::new() };
    let of_field = |(name, shape): &(&str, Shape)| {
        let below = keys(shape).into_iter().map(move |key| format!("{name}.{key}")).collect::<Vec<_>>();
        std::iter::once((*name).to_owned()).chain(below).collect::<Vec<_>>()
    };
    fields.iter().flat_map(of_field).collect()
}

fn short_flag(key: &str) -> Option<char> {
    SHORT_FLAGS.iter().find(|(_, long)| *long == key).map(|(short, _)| *short)
}

fn form(shape: &Shape) -> Form {
    match shape {
        _ if shape.is_raw_table() => Form { value: "", may_be_bare: true, may_repeat: false },
        Shape::Bool => Form { value: "true|false", may_be_bare: true, may_repeat: false },
        Shape::Integer | Shape::Float => Form { value: "number", ..TEXT },
        Shape::Text => TEXT,
        Shape::Duration => Form { value: "duration", ..TEXT },
        Shape::List(_) => Form { value: "a,b", may_repeat: true, ..TEXT },
        // Entry points in one text, and maps.
        Shape::Map(_) => Form { may_repeat: true, ..TEXT },
        Shape::Table(_) => Form { value: "", may_be_bare: true, may_repeat: false },
    }
}

impl FlagSpec {
    /// The flag as help texts show it: `--debug[=true|false]`.
    pub(super) fn usage(&self) -> String {
        let Form { value, may_be_bare, .. } = self.form;
        match (value, may_be_bare) {
            ("", _) => format!("--{}", self.key),
            (value, true) => format!("--{}[={value}]", self.key),
            (value, false) => format!("--{}={value}", self.key),
        }
    }

    /// Whether the flag sets the key itself or one below it.
    pub(super) fn belongs_to(&self, table: &str) -> bool {
        let (key, table) = (self.key.to_ascii_lowercase(), table.to_ascii_lowercase());
        key.strip_prefix(&table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_summary() {
        let missing: Vec<String> =
            all().into_iter().filter(|flag| flag.summary.is_empty()).map(|flag| flag.key).collect();
        assert!(missing.is_empty(), "no row in docs/reference describes these flags: {missing:#?}");
    }
}
