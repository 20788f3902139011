//! The texts of `--help`: the commands and all flags, or what is known of one table, flag, entry point or command.

use std::fmt::Write;

use super::commands::{COMMANDS, CommandSpec, FlagSet};
use super::error::CliError;
use super::flags::{self, FlagSpec};
use super::manual::Manual;
use super::style::Style;
use super::values::Values;
use crate::diagnostics::suggest::did_you_mean;

pub(super) const INTRODUCTION: &str = "Ringway: a reverse proxy on io_uring with Traefik v1's toml and label contract.";
pub(super) const PRECEDENCE: &str = "\
Flags win over the file, the file wins over defaults. The file is the first of --configFile,
/etc/traefik/traefik.toml, $HOME/.traefik/traefik.toml and ./traefik.toml.";
pub(super) const SYNTAX: &str =
    "names in any case; a value follows an equals sign; a bare table flag turns the table on with its defaults";

/// The key of entry points; they have a description for each key below them, but one flag for all.
const ENTRY_POINTS: &str = "entryPoints";
/// Columns of a help text.
const WIDTH: usize = 110;

/// The help text: all of it, or of one topic.
///
/// # Errors
/// A topic that is no table, flag or command.
pub fn help(topic: Option<&str>, style: Style) -> Result<String, CliError> {
    let Some(topic) = topic else { return Ok(overview(style)) };
    let topic = topic.trim_start_matches('-');
    let commands: Vec<&CommandSpec> =
        COMMANDS.iter().filter(|spec| spec.words[0] == topic || spec.name() == topic).collect();
    if !commands.is_empty() {
        return Ok(commands.iter().map(|spec| command_text(spec, style)).collect::<Vec<_>>().join("\n"));
    }
    let flags = flags::all();
    let of_topic: Vec<&FlagSpec> = flags.iter().filter(|flag| flag.belongs_to(topic)).collect();
    if of_topic.is_empty() {
        let names = flags.iter().map(|flag| flag.key.clone()).chain(COMMANDS.iter().map(|spec| spec.name()));
        return Err(CliError::Usage(match did_you_mean(topic, names) {
            Some(near) => format!("no table, flag or command is named {topic}: did you mean {near}?"),
            None => format!("no table, flag or command is named {topic}: --help lists all"),
        }));
    }
    Ok(table_text(&of_topic, style))
}

fn overview(style: Style) -> String {
    let mut text = format!("{INTRODUCTION}\n\n{} ringway [command] [--flag=value]...\n\n", style.heading("Usage:"));
    let _ = writeln!(text, "{}", style.heading("Commands:"));
    for spec in COMMANDS {
        write_item(&mut text, &spec.usage(), spec.summary, 33, style);
        for option in spec.options.iter().filter(|option| !option.is_required) {
            write_item(&mut text, &format!("  {}", option.usage()), option.summary, 33, style);
        }
    }
    let short: Vec<String> = flags::SHORT_FLAGS
        .iter()
        .map(|(short, long)| format!("{} {long}", style.literal(&format!("-{short}"))))
        .collect();
    let _ = write!(
        text,
        "\n{} {}.\n{PRECEDENCE}\n{} tells more about one table, flag or command.\n\n{} ({SYNTAX}):\n",
        style.heading("Short flags:"),
        short.join(", "),
        style.literal("ringway help NAME"),
        style.heading("Flags")
    );
    for flag in flags::all() {
        write_item(&mut text, &flag.usage(), &flag.summary, 48, style);
    }
    text
}

/// A name and its description, side by side if the name leaves room.
fn write_item(text: &mut String, name: &str, summary: &str, column: usize, style: Style) {
    let padding = " ".repeat(column.saturating_sub(name.chars().count()));
    let _ = writeln!(text, "  {}{padding} {summary}", style.literal(name));
}

fn command_text(spec: &CommandSpec, style: Style) -> String {
    let flags = if spec.flags == FlagSet::None { "" } else { " [--flag=value]..." };
    let mut text = format!("{} ringway {}{flags}\n", style.heading("Usage:"), spec.usage());
    let _ = writeln!(text, "\n{}.", first_upper(spec.summary));
    if !spec.options.is_empty() {
        let _ = writeln!(text, "\n{}", style.heading("Options:"));
        for option in spec.options {
            write_item(&mut text, &option.usage(), option.summary, 33, style);
        }
    }
    if let Some(words) = spec.argument.as_ref().and_then(|argument| argument.values.words()) {
        let _ = writeln!(text, "\nOne of: {}.", words.join(", "));
    }
    match spec.flags {
        FlagSet::All => text.push_str("\nThe flags are those of the configuration: ringway --help lists them.\n"),
        FlagSet::Only(flags) => {
            let _ = writeln!(text, "\nThese flags have an effect: --{}.", flags.join(", --"));
        }
        FlagSet::None => {}
    }
    text
}

/// Everything that the reference's tables say about some flags.
fn table_text(flags: &[&FlagSpec], style: Style) -> String {
    let manual = Manual::read();
    let mut text = String::new();
    for flag in flags {
        let _ = writeln!(text, "{}", style.literal(&flag.usage()));
        match manual.row(&flag.key) {
            Some(row) => {
                write_wrapped(&mut text, &row.text);
                write_wrapped(&mut text, &format!("Default: {}", or_dash(&row.default)));
                write_wrapped(&mut text, &format!("A wrong value: {}", or_dash(&row.wrong_value)));
            }
            None => write_wrapped(&mut text, &flag.summary),
        }
        if let Values::Words(words) = flag.values {
            write_wrapped(&mut text, &format!("Values: {}", words.join(", ")));
        }
        if let Some(short) = flag.short {
            write_wrapped(&mut text, &format!("Short: -{short}"));
        }
        text.push('\n');
    }
    if flags.iter().any(|flag| flag.key == ENTRY_POINTS) {
        text.push_str(&entry_point_text(&manual, style));
    }
    text
}

/// The keys below an entry point, which have no flags of their own.
fn entry_point_text(manual: &Manual, style: Style) -> String {
    let mut text = format!(
        "{}\n\n",
        style.heading("Items of the text, and keys below [entryPoints.NAME]: Name:http Address::80 TLS:cert,key ...")
    );
    for (key, row) in manual.below("entryPoints.NAME") {
        let _ = writeln!(text, "{}", style.literal(key));
        write_wrapped(&mut text, &row.text);
    }
    text
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Appends an indented paragraph.
fn write_wrapped(text: &mut String, paragraph: &str) {
    const INDENT: &str = "    ";
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if column == 0 || column + 1 + length > WIDTH {
            text.push_str(if column == 0 { INDENT } else { "\n    " });
            column = INDENT.len() + length;
        } else {
            text.push(' ');
            column += 1 + length;
        }
        text.push_str(word);
    }
    text.push('\n');
}
