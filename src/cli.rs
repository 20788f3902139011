//! Parses the command line, with Traefik v1's flags and their precedence: flags over file over defaults
//! (docs/reference/command-line.md#sources-and-precedence).
//!
//! [`parse`] does no I/O of its own: closures look up environment variables and read files.

mod arguments;
mod entry_points;
mod error;
mod help;
mod overlay;
mod search;

use std::io;
use std::path::{Path, PathBuf};

use crate::config::static_config::{DYNAMIC_TABLES, StaticConfig};
use crate::config::suggest::did_you_mean;
use crate::config::text;
use crate::config::text::tree::Node;

pub use arguments::kept_quotes;
pub use error::CliError;
pub use help::help;

use arguments::Flag;

/// The command to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run the proxy.
    Run,
    /// Read and check the configuration, print all warnings and errors, and exit.
    Check,
    /// Print the certificates of the configuration and of `acme.json`.
    CertificatesList,
    /// Write the certificates of `acme.json` as PEM files.
    CertificatesExport,
    /// Request `/ping` from the running proxy.
    Healthcheck,
    /// Run the proxy with two example backends.
    Demo,
    /// Print the version; no configuration is read.
    Version,
    /// Print [`help`]; no configuration is read.
    Help,
}

/// Options of commands, which are no flags of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOptions {
    /// `certificates export --dir`
    pub dir: Option<PathBuf>,
    /// `check --dns`
    pub dns: bool,
}

/// A parsed command line, with the configuration that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    pub command: Command,
    pub options: CommandOptions,
    /// The resolved static configuration, before [`check`](crate::config::static_config::check).
    pub static_config: StaticConfig,
    /// Full sentences for the user, in the order in which they were found.
    pub warnings: Vec<String>,
    /// The configuration file in use.
    pub file: Option<PathBuf>,
    /// The configuration file's text; empty without a file.
    pub file_text: String,
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
    let (command, args) = command(args)?;
    let (options, args) = options(command, args)?;
    let args = args.as_slice();
    let shape = StaticConfig::shape();
    let mut warnings = Vec::new();
    let flags = arguments::split(args, &shape, &mut warnings)?;
    if flags.iter().any(|flag| flag.is("help")) {
        return Ok(Invocation::without_config(Command::Help));
    }
    if command == Command::Version {
        return match flags.first() {
            Some(flag) => Err(CliError::Usage(format!("version takes no flags: remove {}", flag.display_name))),
            None => Ok(Invocation::without_config(Command::Version)),
        };
    }
    let config_file = flags.iter().rev().find(|flag| flag.is("configfile")).and_then(|flag| flag.value.as_deref());
    let found = search::find(config_file, env, read, &mut warnings)?;
    let (file, file_text) = found.map_or((None, String::new()), |(file, text)| (Some(file), text));
    let name = file.as_deref().map_or_else(String::new, |file| file.display().to_string());

    let mut root = match &file {
        Some(_) => text::parse(&file_text, &name)?,
        None => Node::empty(),
    };
    overlay::apply_flags(&flags, &shape, &mut root, &mut warnings)?;
    let parsed = text::read_tree::<StaticConfig>(&root, &file_text, &name, &DYNAMIC_TABLES)?;
    warnings.extend(parsed.warnings.iter().map(ToString::to_string));
    let mut config = parsed.value;
    warnings.extend(ignored_routes(&root, &config, &name));
    warnings.extend(config.resolve());
    Ok(Invocation { command, options, static_config: config, warnings, file, file_text })
}

impl Invocation {
    fn without_config(command: Command) -> Self {
        let (file, file_text) = (None, String::new());
        let (options, warnings) = (CommandOptions::default(), Vec::new());
        Invocation { command, options, static_config: StaticConfig::default(), warnings, file, file_text }
    }
}

/// The first argument is a command unless it starts with a dash.
fn command(args: &[String]) -> Result<(Command, &[String]), CliError> {
    const COMMANDS: [(&str, Command); 6] = [
        ("version", Command::Version),
        ("healthcheck", Command::Healthcheck),
        ("check", Command::Check),
        ("demo", Command::Demo),
        ("run", Command::Run),
        ("help", Command::Help),
    ];
    let Some((first, rest)) = args.split_first().filter(|(first, _)| !first.starts_with('-')) else {
        return Ok((Command::Run, args));
    };
    if first == "certificates" {
        return match rest.split_first().map(|(second, rest)| (second.as_str(), rest)) {
            Some(("list", rest)) => Ok((Command::CertificatesList, rest)),
            Some(("export", rest)) => Ok((Command::CertificatesExport, rest)),
            _ => Err(CliError::Usage("certificates needs one of: list, export --dir FOLDER".to_owned())),
        };
    }
    if let Some((_, command)) = COMMANDS.iter().find(|(name, _)| name == first) {
        return Ok((*command, rest));
    }
    Err(CliError::Usage(match first.as_str() {
        "storeconfig" => "storeconfig writes to a key-value store, and Ringway has none: keep the toml file".to_owned(),
        "bug" => "bug opens Traefik's issue form: report what you see to Ringway's issue tracker".to_owned(),
        _ => match did_you_mean(first, COMMANDS.iter().map(|(name, _)| *name)) {
            Some(near) => format!("command {first} not found: did you mean {near}?"),
            None => format!("command {first} not found: flags start with --"),
        },
    }))
}

/// Takes a command's own options out of the arguments. All others are flags of the configuration.
fn options(command: Command, args: &[String]) -> Result<(CommandOptions, Vec<String>), CliError> {
    let (mut options, mut flags) = (CommandOptions::default(), Vec::new());
    let mut args = args.iter();
    while let Some(argument) = args.next() {
        match (command, argument.as_str()) {
            (Command::Check, "--dns") => options.dns = true,
            (Command::CertificatesExport, "--dir") => options.dir = args.next().map(PathBuf::from),
            (Command::CertificatesExport, given) if given.starts_with("--dir=") => {
                options.dir = given.strip_prefix("--dir=").map(PathBuf::from);
            }
            _ => flags.push(argument.clone()),
        }
    }
    let has_no_folder = options.dir.as_ref().is_none_or(|dir| dir.as_os_str().is_empty());
    if command == Command::CertificatesExport && has_no_folder {
        return Err(CliError::Usage("certificates export needs a folder: add --dir FOLDER".to_owned()));
    }
    Ok((options, flags))
}

/// A warning about routes in the main file that are ignored. They take effect only if `[file]` is present and names neither a file
/// nor a directory (docs/reference/static-configuration.md#toml), which is easy to miss.
fn ignored_routes(root: &Node, config: &StaticConfig, file: &str) -> Option<String> {
    let table = root.as_table()?;
    let present: Vec<&str> = DYNAMIC_TABLES.into_iter().filter(|name| table.option(name).is_some()).collect();
    if present.is_empty() || config.file.as_ref().is_some_and(|file| file.is_inline()) {
        return None;
    }
    let tables = present.join(", ");
    Some(match &config.file {
        None => format!("{file}: {tables} are ignored without [file]: add an empty [file] table"),
        Some(_) => {
            format!("{file}: {tables} are ignored, because [file] sets filename or directory: move them there")
        }
    })
}

impl Flag {
    fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

#[cfg(test)]
mod tests;
