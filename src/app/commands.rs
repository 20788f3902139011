//! Commands that read no configuration: help and man page, and the refusal of a command line.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{fail, print};
use crate::cli::{self, CliError, Style};
use crate::observe::time_format::Timestamp;

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Prints the help, with colours on a terminal.
pub fn help(topic: Option<&str>, env: Env<'_>) -> ExitCode {
    match cli::help(topic, Style::of(io::stdout().is_terminal(), env)) {
        Ok(text) => print(&text),
        Err(e) => refuse(&e, env),
    }
}

/// Reports a command line that cannot be used, with its first line in red on a terminal.
pub fn refuse(error: &CliError, env: Env<'_>) -> ExitCode {
    let style = Style::of(io::stderr().is_terminal(), env);
    let text = error.to_string();
    match text.split_once('\n') {
        Some((first, rest)) => fail(&format!("{}\n{rest}", style.error(first))),
        None => fail(&style.error(&text)),
    }
}

/// The date of the man page: that of `SOURCE_DATE_EPOCH`, if a package is built reproducibly, or today.
pub fn page_date(env: Env<'_>) -> String {
    let given = env("SOURCE_DATE_EPOCH").and_then(|secs| secs.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let mut text = Vec::new();
    Timestamp::utc(given.unwrap_or_else(now).saturating_mul(1_000_000_000)).push_rfc3339(&mut text);
    text.truncate("2026-01-01".len());
    String::from_utf8_lossy(&text).into_owned()
}
