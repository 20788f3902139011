//! Parses the command line, with Traefik v1's flags and their precedence: flags over file over defaults
//! (docs/reference/command-line.md#sources-and-precedence).
//!
//! [`parse`] does no I/O of its own: closures look up environment variables and read files.

mod arguments;
mod command;
mod command_arguments;
mod commands;
mod completions;
mod entry_points;
mod error;
mod flags;
mod help;
mod man_page;
mod manual;
mod overlay;
mod search;
mod stored;
mod style;
mod values;

use std::io;
use std::path::{Path, PathBuf};

use crate::config::static_config::{self, DYNAMIC_TABLES, StaticConfig};
use crate::config::text;
use crate::config::text::tree::Node;
use crate::diagnostics::{Code, Finding, Level, Place};

pub use arguments::kept_quotes;
pub use command::{CheckFormat, Command, CommandOptions, Question, asked_check_format};
pub use completions::completions;
pub use error::CliError;
pub use help::help;
pub use man_page::man_page;
pub use style::Style;

use arguments::Flag;
use commands::FlagSet;

/// A parsed command line, with the configuration that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    pub command: Command,
    pub options: CommandOptions,
    /// The resolved static configuration, before [`check`](crate::config::static_config::check).
    pub static_config: StaticConfig,
    /// Warnings and notes, in the order in which they were found.
    pub findings: Vec<Finding>,
    /// The configuration file in use.
    pub file: Option<PathBuf>,
    /// The configuration file's text; empty without a file.
    pub file_text: String,
    /// The parsed file with the flags over it: where each option was written.
    pub tree: Node,
}

/// Parses the arguments (without the program's name), finds and reads the configuration file, and applies the flags to it.
///
/// `env` looks up an environment variable; `read` reads a file as text; an error may be an [`InvalidConfig`](text::InvalidConfig).
///
/// # Errors
/// An unknown command or flag, a flag without its value, a file that cannot be read, broken TOML, a value of the wrong type.
pub fn parse(
    args: &[String],
    env: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Invocation, CliError> {
    let (spec, rest) = command_arguments::find(args)?;
    let (mut options, rest) = command_arguments::take_options(spec, rest)?;
    let shape = StaticConfig::shape();
    let mut warnings = Vec::new();
    let (flags, plain) = arguments::split(&rest, &shape, &mut warnings)?;
    if let Some(flag) = flags.iter().rev().find(|flag| flag.is("help")) {
        // `ringway check --help` is about the command, `ringway --help docker` about the table.
        let named = flag.value.clone().or_else(|| plain.first().cloned());
        options.topic = named.or_else(|| args.first().filter(|first| !first.starts_with('-')).map(|_| spec.name()));
        return Ok(Invocation { options, ..Invocation::without_config(Command::Help) });
    }
    if spec.flags == FlagSet::None {
        let command = spec.name();
        return match flags.first().map(|flag| &flag.display_name).or(plain.first()) {
            Some(given) if plain.is_empty() => {
                Err(CliError::Usage(format!("{command} takes no flags: remove {given}")))
            }
            Some(given) => Err(CliError::Usage(format!("{command} takes no further arguments: remove {given}"))),
            None => Ok(Invocation { options, ..Invocation::without_config(spec.command) }),
        };
    }
    warnings.extend(plain.iter().map(|argument| {
        format!("the argument {argument:?} is ignored: a flag's value follows an equals sign, --name=value")
    }));
    let config_file = flags.iter().rev().find(|flag| flag.is("configfile")).and_then(|flag| flag.value.as_deref());
    options.names_file = config_file.is_some();
    let found = search::find(config_file, env, read, &mut warnings)?;
    let (file, file_text) = found.map_or((None, String::new()), |(file, text)| (Some(file), text));
    let name = file.as_deref().map_or_else(String::new, |file| file.display().to_string());

    let mut root = match &file {
        Some(_) => text::parse(&file_text, &name)?,
        None => Node::empty(),
    };
    overlay::apply_flags(&flags, &shape, &mut root, &mut warnings)?;
    let parsed = text::read_tree::<StaticConfig>(&root, &file_text, &name, &DYNAMIC_TABLES)?;
    let of_flag = |warning: &String| Finding::new(Level::Warning, Code::CommandLine, warning.as_str());
    let mut findings: Vec<Finding> = warnings.iter().map(of_flag).collect();
    findings.extend(parsed.warnings.iter().map(text::Warning::finding));
    let mut config = parsed.value;
    if options.docker {
        config.docker.get_or_insert_default();
    }
    findings.extend(
        ignored_routes(&root, &config)
            .map(|(key, text)| Finding::new(Level::Warning, Code::IgnoredRoutes, text).about(key)),
    );
    findings.extend(config.resolve().iter().map(|sentence| static_config::remark(sentence)));
    findings.extend(
        config
            .tracing
            .iter_mut()
            .flat_map(|tracing| tracing.fill_from(env))
            .map(|sentence| static_config::remark(&sentence)),
    );
    let invocation =
        Invocation { command: spec.command, options, static_config: config, findings, file, file_text, tree: root };
    Ok(invocation.with_places())
}

impl Invocation {
    fn without_config(command: Command) -> Self {
        let (file, file_text) = (None, String::new());
        let (options, findings) = (CommandOptions::default(), Vec::new());
        let static_config = StaticConfig::default();
        Invocation { command, options, static_config, findings, file, file_text, tree: Node::empty() }
    }

    fn with_places(mut self) -> Self {
        let findings = std::mem::take(&mut self.findings);
        self.findings = findings.into_iter().map(|finding| self.located(finding)).collect();
        self
    }

    /// The finding with the place where its option was written, unless it has a place.
    pub fn located(&self, finding: Finding) -> Finding {
        if finding.place != Place::Unknown || finding.key.is_empty() {
            return finding;
        }
        let name = self.file.as_deref().map_or_else(String::new, |file| file.display().to_string());
        let locate = if finding.code.is_about_name() { text::locate_name } else { text::locate };
        match locate(&self.tree, &self.file_text, &name, &finding.key) {
            Some(place) => finding.at(place),
            None if self.file.is_some() => finding.at(Place::File(name)),
            None => finding,
        }
    }
}

/// A warning about routes in the main file that are ignored. They take effect only if `[file]` is present and names neither a file
/// nor a directory (docs/reference/static-configuration.md#toml), which is easy to miss.
fn ignored_routes(root: &Node, config: &StaticConfig) -> Option<(&'static str, String)> {
    let table = root.as_table()?;
    let present: Vec<&str> = DYNAMIC_TABLES.into_iter().filter(|name| table.option(name).is_some()).collect();
    if present.is_empty() || config.file.as_ref().is_some_and(|file| file.is_inline()) {
        return None;
    }
    let tables = present.join(", ");
    let text = match &config.file {
        None => format!("{tables} are ignored without [file]: add an empty [file] table"),
        Some(_) => {
            format!("{tables} are ignored, because [file] sets filename or directory: move them there")
        }
    };
    Some((present[0], text))
}

impl Flag {
    fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

#[cfg(test)]
mod tests;
