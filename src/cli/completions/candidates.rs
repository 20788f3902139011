//! The words, flags and values that completions offer, for all shells.

use crate::cli::commands::{COMMANDS, CommandSpec, FlagSet};
use crate::cli::flags::FlagSpec;
use crate::cli::values::Values;

/// A value that follows a name: of a flag, of a command's option, or of a short flag.
pub(super) struct ValueRule {
    /// The flag or option with its dashes.
    pub name: String,
    pub values: Values,
    /// Whether an equals sign stands between, rather than a blank.
    pub is_joined: bool,
}

/// All rules of values that a shell can complete.
pub(super) fn value_rules(flags: &[FlagSpec]) -> Vec<ValueRule> {
    let is_known = |values: Values| values != Values::Text;
    let mut rules = Vec::new();
    for flag in flags.iter().filter(|flag| is_known(flag.values)) {
        rules.push(ValueRule { name: format!("--{}", flag.key), values: flag.values, is_joined: true });
        if let Some(short) = flag.short.filter(|_| !flag.form.may_be_bare) {
            rules.push(ValueRule { name: format!("-{short}"), values: flag.values, is_joined: false });
        }
    }
    for option in COMMANDS.iter().flat_map(|spec| spec.options) {
        if let Some((_, values)) = option.value.filter(|(_, values)| is_known(*values)) {
            for is_joined in [true, false] {
                rules.push(ValueRule { name: option.name.to_owned(), values, is_joined });
            }
        }
    }
    rules
}

/// The flags that a command takes.
pub(super) fn flags_of<'f>(spec: &CommandSpec, flags: &'f [FlagSpec]) -> Vec<&'f FlagSpec> {
    let is_taken = |flag: &&FlagSpec| match spec.flags {
        FlagSet::All => true,
        FlagSet::Only(keys) => keys.contains(&flag.key.as_str()),
        FlagSet::None => false,
    };
    flags.iter().filter(is_taken).collect()
}

/// The first words of commands, each with a summary: `certificates` stands for both of its commands.
pub(super) fn first_words() -> Vec<(&'static str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for spec in COMMANDS {
        let Some(&word) = spec.words.first() else { continue };
        match found.iter_mut().find(|(known, _)| *known == word) {
            Some((_, summary)) => *summary = format!("commands: {}", second_words(word).join(", ")),
            None => found.push((word, spec.summary.to_owned())),
        }
    }
    found
}

/// The words behind the first word of a command with two words.
pub(super) fn second_words(first: &str) -> Vec<&'static str> {
    COMMANDS.iter().filter(|spec| spec.words[0] == first).filter_map(|spec| spec.words.get(1).copied()).collect()
}

/// The topics that `help` knows: tables, flags and commands.
pub(super) fn topics(flags: &[FlagSpec]) -> Vec<String> {
    let commands = COMMANDS.iter().filter(|spec| spec.words.len() == 1).map(CommandSpec::name);
    flags.iter().map(|flag| flag.key.clone()).chain(commands).collect()
}

/// A text in single quotes, for bash and zsh.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
