//! Splits arguments into flags (docs/reference/command-line.md#flags).

use super::error::CliError;
use super::flags::{self, BARE_SHORT_FLAGS, OTHERS, SHORT_FLAGS};
use crate::config::text::shape::Shape;
use crate::diagnostics::suggest::did_you_mean;

/// A flag as the user gave it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flag {
    /// The long name in lower case, without dashes.
    pub name: String,
    /// `None` for a bare flag.
    pub value: Option<String>,
    /// As the user wrote it, without the value.
    pub display_name: String,
}

/// The option that a flag's name denotes.
#[derive(Debug, PartialEq)]
pub(super) struct Target<'s> {
    /// The keys from the root to the option, in their proper spelling.
    pub path: Vec<String>,
    pub shape: &'s Shape,
}

/// Splits arguments into flags and those that are none.
pub(super) fn split(
    args: &[String],
    shape: &Shape,
    warnings: &mut Vec<String>,
) -> Result<(Vec<Flag>, Vec<String>), CliError> {
    let (mut flags, mut plain) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if let Some(long) = arg.strip_prefix("--").filter(|long| !long.is_empty()) {
            flags.push(long_flag(long, shape)?);
        } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty() && !short.starts_with('-')) {
            short_flags(short, &mut args, &mut flags)?;
        } else {
            plain.push(arg.clone());
        }
    }
    // The texts of entry points and of maps may be in quotes.
    let keeps_quotes = |flag: &&Flag| {
        flag.name != "entrypoints" && !matches!(target(&flag.name, shape), Some(Target { shape: Shape::Map(_), .. }))
    };
    for flag in flags.iter().filter(keeps_quotes) {
        warnings.extend(flag.value.as_deref().and_then(|value| kept_quotes(&flag.display_name, value)));
    }
    Ok((flags, plain))
}

/// Whether the argument is a short flag whose value is the next argument: `-c`.
pub(super) fn takes_next(arg: &str) -> bool {
    let mut letters = arg.strip_prefix('-').unwrap_or_default().chars();
    // `-dc`: every letter but the last one has no value.
    letters.next_back().is_some_and(|last| is_valued(last) == Some(true))
        && letters.all(|letter| is_valued(letter) == Some(false))
}

/// Whether a short flag has a value; `None` if there is no such flag.
fn is_valued(letter: char) -> Option<bool> {
    let name = SHORT_FLAGS.iter().find(|(short, _)| *short == letter)?.1;
    Some(!BARE_SHORT_FLAGS.contains(&name))
}

/// A warning about a value in quotes. In a list of arguments (`command:` of compose, `ExecStart=` of systemd with quotes in the middle of a
/// word) no shell removes them.
pub fn kept_quotes(name: &str, value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|first| ['"', '\''].contains(first))?;
    let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
    let is_secret = inner.contains(":$") || inner.contains("PRIVATE KEY");
    let (shown, better) = if is_secret { ("...", "...") } else { (value, inner) };
    Some(format!(
        "{name}={shown} keeps its quotes, which become a part of the value: write {name}={better}, because no shell removes them here"
    ))
}

/// Finds the option that a flag's lower-case dotted name means.
pub(super) fn target<'s>(name: &str, root: &'s Shape) -> Option<Target<'s>> {
    let mut path = Vec::new();
    let mut shape = root;
    for key in name.split('.') {
        if shape.is_raw_table() {
            path.push(key.to_owned());
            continue;
        }
        let (spelling, inner) = shape.field(key)?;
        path.push(spelling.to_owned());
        shape = inner;
    }
    Some(Target { path, shape })
}

fn long_flag(long: &str, shape: &Shape) -> Result<Flag, CliError> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (long, None),
    };
    let display_name = format!("--{name}");
    let name = name.to_ascii_lowercase();
    let may_be_bare = if let Some((_, form, _)) = OTHERS.iter().find(|(other, ..)| other.eq_ignore_ascii_case(&name)) {
        form.may_be_bare
    } else {
        let Some(target) = target(&name, shape) else { return Err(unknown_flag(&name, &display_name, shape)) };
        allows_bare_flag(target.shape)
    };
    if value.is_none() && !may_be_bare {
        return Err(CliError::Usage(format!(
            "flag needs an argument: write {display_name}=value; a space does not join them"
        )));
    }
    Ok(Flag { name, value, display_name })
}

/// Whether a flag of this shape may have no value: it then sets a bool to true, or turns a table on.
fn allows_bare_flag(shape: &Shape) -> bool {
    matches!(shape, Shape::Bool | Shape::Table(_)) || shape.is_raw_table()
}

fn unknown_flag(name: &str, display_name: &str, shape: &Shape) -> CliError {
    if name.starts_with("entrypoints.") {
        let message = format!(
            "unknown flag: {display_name}: entry points are written in one text, --entryPoints='Name:http Address::80 Compress:true'"
        );
        return CliError::Usage(message);
    }
    let names: Vec<String> = flags::keys(shape).iter().map(|key| key.to_ascii_lowercase()).collect();
    let names = names.iter().map(String::as_str).chain(["configfile", "help"]);
    CliError::Usage(match did_you_mean(name, names) {
        Some(near) => format!("unknown flag: {display_name}: did you mean --{near}?"),
        None => format!("unknown flag: {display_name}"),
    })
}

/// Splits joined short flags, `-dc file`. The value of the last one may be joined, too: `-cfile`.
fn short_flags<'a>(
    short: &str,
    args: &mut impl Iterator<Item = &'a String>,
    flags: &mut Vec<Flag>,
) -> Result<(), CliError> {
    for (at, letter) in short.char_indices() {
        let display_name = format!("-{letter}");
        let Some((_, name)) = SHORT_FLAGS.iter().find(|(short_letter, _)| *short_letter == letter) else {
            let message = format!("unknown flag: {display_name} in -{short}: long flags take two dashes, --{short}");
            return Err(CliError::Usage(message));
        };
        let name = name.to_ascii_lowercase();
        let rest = &short[at + letter.len_utf8()..];
        if is_valued(letter) == Some(false) {
            if rest.starts_with('=') {
                return Err(CliError::Usage(format!("{display_name} takes no value: write --{name}{rest}")));
            }
            flags.push(Flag { name, value: None, display_name });
            continue;
        }
        let joined = rest.strip_prefix('=').unwrap_or(rest);
        let value = if rest.is_empty() { args.next().cloned() } else { Some(joined.to_owned()) };
        if value.is_none() {
            return Err(CliError::Usage(format!("flag needs an argument: write {display_name} value")));
        }
        flags.push(Flag { name, value, display_name });
        return Ok(());
    }
    Ok(())
}
