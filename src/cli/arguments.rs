//! Splitting arguments into flags (docs/reference/command-line.md#flags).

use super::CliError;
use crate::config::suggest::did_you_mean;
use crate::config::text::shape::Shape;

/// One flag as given.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flag {
    /// The long name in lower case, without dashes.
    pub name: String,
    /// `None` for a bare flag.
    pub value: Option<String>,
    /// As the user wrote it, without the value.
    pub shown: String,
}

/// What a flag's name leads to.
#[derive(Debug, PartialEq)]
pub(super) struct Target<'s> {
    /// Proper spelling of each step.
    pub path: Vec<String>,
    pub shape: &'s Shape,
}

/// Flags that are no options of the configuration.
const APART: [&str; 2] = ["configfile", "help"];

const SHORT: [(char, &str); 5] =
    [('c', "configfile"), ('d', "debug"), ('g', "gracetimeout"), ('l', "loglevel"), ('h', "help")];

pub(super) fn split(args: &[String], shape: &Shape, warnings: &mut Vec<String>) -> Result<Vec<Flag>, CliError> {
    let mut flags = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if let Some(long) = arg.strip_prefix("--").filter(|long| !long.is_empty()) {
            flags.push(long_flag(long, shape)?);
        } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty() && !short.starts_with('-')) {
            short_flags(short, &mut args, &mut flags)?;
        } else {
            warnings
                .push(format!("the argument {arg:?} is ignored: a flag's value follows an equals sign, --name=value"));
        }
    }
    Ok(flags)
}

/// Finds the option that a flag's lower-case dotted name means.
pub(super) fn target<'s>(name: &str, root: &'s Shape) -> Option<Target<'s>> {
    let mut path = Vec::new();
    let mut shape = root;
    for step in name.split('.') {
        if shape.is_raw_table() {
            path.push(step.to_owned());
            continue;
        }
        let (spelling, inner) = shape.field(step)?;
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
    let shown = format!("--{name}");
    let name = name.to_ascii_lowercase();
    let may_be_bare = if APART.contains(&name.as_str()) {
        name == "help"
    } else {
        let Some(target) = target(&name, shape) else { return Err(unknown(&name, &shown, shape)) };
        switches(target.shape)
    };
    if value.is_none() && !may_be_bare {
        return Err(CliError::Usage(format!(
            "flag needs an argument: write {shown}=value; a space does not join them"
        )));
    }
    Ok(Flag { name, value, shown })
}

/// Whether the bare flag makes sense: it sets a bool, or turns a table on.
fn switches(shape: &Shape) -> bool {
    matches!(shape, Shape::Bool | Shape::Table(_)) || shape.is_raw_table()
}

fn unknown(name: &str, shown: &str, shape: &Shape) -> CliError {
    if name.starts_with("entrypoints.") {
        let message = format!(
            "unknown flag: {shown}: entry points are written in one text, --entryPoints='Name:http Address::80 Compress:true'"
        );
        return CliError::Usage(message);
    }
    let known = super::help::flag_names(shape);
    let known = known.iter().map(String::as_str).chain(APART);
    CliError::Usage(match did_you_mean(name, known) {
        Some(near) => format!("unknown flag: {shown}: did you mean --{near}?"),
        None => format!("unknown flag: {shown}"),
    })
}

/// Short flags may be joined, `-dc file`; the last one may have its value joined too, `-cfile`.
fn short_flags<'a>(
    short: &str,
    args: &mut impl Iterator<Item = &'a String>,
    flags: &mut Vec<Flag>,
) -> Result<(), CliError> {
    for (at, letter) in short.char_indices() {
        let shown = format!("-{letter}");
        let Some((_, name)) = SHORT.iter().find(|(known, _)| *known == letter) else {
            let message = format!("unknown flag: {shown} in -{short}: long flags take two dashes, --{short}");
            return Err(CliError::Usage(message));
        };
        let name = (*name).to_owned();
        let rest = &short[at + letter.len_utf8()..];
        if name == "debug" || name == "help" {
            if rest.starts_with('=') {
                return Err(CliError::Usage(format!("{shown} takes no value: write --{name}{rest}")));
            }
            flags.push(Flag { name, value: None, shown });
            continue;
        }
        let joined = rest.strip_prefix('=').unwrap_or(rest);
        let value = if rest.is_empty() { args.next().cloned() } else { Some(joined.to_owned()) };
        if value.is_none() {
            return Err(CliError::Usage(format!("flag needs an argument: write {shown} value")));
        }
        flags.push(Flag { name, value, shown });
        return Ok(());
    }
    Ok(())
}
