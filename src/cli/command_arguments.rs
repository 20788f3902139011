//! Reads from the arguments which command they name, its own options and its argument, by the table of commands.

use super::arguments;
use super::command::CommandOptions;
use super::commands::{COMMANDS, CommandSpec, OptionSpec};
use super::error::CliError;
use super::values::Values;
use crate::diagnostics::suggest::did_you_mean;

/// Finds the command that the first arguments name; returns also the arguments behind them. Without a command the proxy runs.
pub(super) fn find(args: &[String]) -> Result<(&'static CommandSpec, &[String]), CliError> {
    let Some(first) = args.first().filter(|first| !first.starts_with('-')) else {
        return Ok((&COMMANDS[0], args));
    };
    let is_named = |spec: &&CommandSpec| {
        spec.words.len() <= args.len() && spec.words.iter().zip(args).all(|(word, arg)| word == arg)
    };
    if let Some(spec) = COMMANDS.iter().find(is_named) {
        return Ok((spec, &args[spec.words.len()..]));
    }
    let group: Vec<&CommandSpec> = COMMANDS.iter().filter(|spec| spec.words[0] == first).collect();
    if !group.is_empty() {
        // `certificates --help` is about all of them.
        if args.iter().any(|arg| arg == "--help" || arg == "-h") {
            return Ok((&COMMANDS[0], args));
        }
        let prefix = format!("{first} ");
        let usages: Vec<String> = group.iter().map(|spec| spec.usage().replacen(&prefix, "", 1)).collect();
        return Err(CliError::Usage(format!("{first} needs one of: {}", usages.join(", "))));
    }
    Err(CliError::Usage(match first.as_str() {
        "bug" => "bug opens Traefik's issue form: report what you see to Ringway's issue tracker".to_owned(),
        _ => match did_you_mean(first, COMMANDS.iter().map(|spec| spec.words[0])) {
            Some(near) => format!("command {first} not found: did you mean {near}?"),
            None => format!("command {first} not found: flags start with --"),
        },
    }))
}

/// Takes a command's own options and its argument out of the arguments. All others are flags of the configuration.
pub(super) fn take_options(spec: &CommandSpec, args: &[String]) -> Result<(CommandOptions, Vec<String>), CliError> {
    let mut options = CommandOptions::default();
    let (mut given, mut rest): (Vec<&str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, joined) = match arg.split_once('=') {
            Some((name, value)) if arg.starts_with("--") => (name, Some(value)),
            _ => (arg.as_str(), None),
        };
        let is_option = |option: &&OptionSpec| option.name == name && !(option.is_flag && joined.is_some());
        if let Some(option) = spec.options.iter().find(is_option) {
            let text = option_value(option, joined, || args.next())?;
            given.push(option.name);
            (option.set)(&mut options, text);
        } else if let Some(argument) =
            spec.argument.as_ref().filter(|argument| !arg.starts_with('-') && !given.contains(&argument.name))
        {
            check_value(&spec.name(), argument.values, arg)?;
            given.push(argument.name);
            (argument.set)(&mut options, arg);
        } else {
            rest.push(arg.clone());
            if arguments::takes_next(arg) {
                rest.extend(args.next().cloned());
            }
        }
    }
    let wants_help = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    match first_missing(spec, &given) {
        Some(usage) if !wants_help => Err(missing(spec, &usage)),
        _ => Ok((options, rest)),
    }
}

/// The value of an option: `joined` stands behind `=`, else it is the next argument. Empty for an option without a value.
fn option_value<'a>(
    option: &OptionSpec,
    joined: Option<&'a str>,
    next: impl FnOnce() -> Option<&'a String>,
) -> Result<&'a str, CliError> {
    let name = option.name;
    match (option.value, joined) {
        (Some((_, values)), _) => {
            let text = joined.or_else(|| next().map(String::as_str)).unwrap_or_default();
            check_value(name, values, text)?;
            Ok(text)
        }
        (None, None) => Ok(""),
        (None, Some(_)) => Err(CliError::Usage(format!("{name} takes no value: write {name}"))),
    }
}

/// The first required option or argument that is not among the given ones, as a user writes it.
fn first_missing(spec: &CommandSpec, given: &[&str]) -> Option<String> {
    let options = spec.options.iter().filter(|option| option.is_required).map(|option| (option.name, option.usage()));
    let argument = spec.argument.iter().filter(|argument| argument.is_required);
    let mut required = options.chain(argument.map(|argument| (argument.name, argument.name.to_owned())));
    required.find(|(name, _)| !given.contains(name)).map(|(_, usage)| usage)
}

fn missing(spec: &CommandSpec, usage: &str) -> CliError {
    let name = spec.name();
    let words = spec.argument.as_ref().and_then(|argument| argument.values.words());
    CliError::Usage(match words {
        Some(words) => format!("{name} needs one of: {}", words.join(", ")),
        None => format!("{name} needs a {}: add {usage}", usage.rsplit(' ').next().unwrap_or(usage).to_lowercase()),
    })
}

fn check_value(name: &str, values: Values, text: &str) -> Result<(), CliError> {
    match values.words() {
        Some(words) if !words.contains(&text) => {
            Err(CliError::Usage(format!("{name}: {text:?} is unknown: use one of {}", words.join(", "))))
        }
        None if text.is_empty() => Err(CliError::Usage(format!("{name} needs a value: write {name} VALUE"))),
        _ => Ok(()),
    }
}
