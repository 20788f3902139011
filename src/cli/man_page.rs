//! The man page ringway(8), made from the tables of commands and flags and from the reference.

use std::fmt::Write;

use super::commands::COMMANDS;
use super::flags;
use super::help::{INTRODUCTION, PRECEDENCE, SYNTAX};
use super::manual::{Manual, table};
use super::values::Values;

const COMMAND_LINE: &str = include_str!("../../docs/reference/command-line.md");

const FILES: [(&str, &str); 3] = [
    ("/etc/ringway/ringway.toml", "the configuration of the Debian package's service"),
    ("/etc/traefik/traefik.toml", "the configuration if no file is named"),
    ("/var/lib/ringway", "the folder of the Debian package's service for acme.json"),
];

/// The page for a version, with the date at its foot.
pub fn man_page(version: &str, date: &str) -> String {
    let mut page = format!(".TH RINGWAY 8 {date} \"Ringway {version}\" \"System Administration\"\n");
    page.push_str(".SH NAME\nringway \\- reverse proxy with Traefik v1's configuration\n");
    page.push_str(".SH SYNOPSIS\n.B ringway\n.RI [ command ]\n.RI [ \\-\\-flag = value ]...\n");
    let _ = write!(page, ".SH DESCRIPTION\n{}\n.PP\n{}\n", roff(INTRODUCTION), roff(PRECEDENCE));
    page.push_str(".SH COMMANDS\n");
    for spec in COMMANDS {
        item(&mut page, &spec.usage(), &[&format!("{}.", spec.summary)]);
        for option in spec.options {
            page.push_str(".RS\n");
            item(&mut page, &option.usage(), &[&format!("{}.", option.summary)]);
            page.push_str(".RE\n");
        }
    }
    let _ = write!(page, ".SH OPTIONS\nFlags: {}.\n", roff(SYNTAX));
    write_flags(&mut page);
    write_table(&mut page, "SIGNALS", "signal");
    write_table(&mut page, "EXIT STATUS", "exit code");
    write_table(&mut page, "ENVIRONMENT", "variable");
    page.push_str(".SH FILES\n");
    for (file, text) in FILES {
        item(&mut page, file, &[text]);
    }
    page.push_str(".SH SEE ALSO\n.BR systemd.socket (5),\n.BR docker (1)\n");
    page
}

fn write_flags(page: &mut String) {
    let manual = Manual::read();
    for flag in flags::all() {
        let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
        let name = format!("{short}{}", flag.usage());
        let Some(row) = manual.row(&flag.key) else {
            item(page, &name, &[&flag.summary]);
            continue;
        };
        let mut lines = vec![row.text.clone()];
        if let Values::Words(words) = flag.values
            && !flag.form.may_be_bare
        {
            lines.push(format!("Values: {}.", words.join(", ")));
        }
        if !row.default.is_empty() {
            lines.push(format!("Default: {}.", row.default));
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        item(page, &name, &lines);
    }
}

/// A section with the rows of a table of the reference's page about the command line.
fn write_table(page: &mut String, section: &str, header: &str) {
    let _ = writeln!(page, ".SH {}", quoted(section));
    for (name, text) in table(COMMAND_LINE, header) {
        item(page, &name, &[&text]);
    }
}

fn item(page: &mut String, name: &str, lines: &[&str]) {
    let _ = writeln!(page, ".TP\n.B {}", roff(name));
    for (at, line) in lines.iter().enumerate() {
        let _ = writeln!(page, "{}{}", if at > 0 { ".br\n" } else { "" }, roff(line));
    }
}

fn quoted(text: &str) -> String {
    if text.contains(' ') { format!("\"{text}\"") } else { text.to_owned() }
}

/// A text without characters that roff gives a meaning.
fn roff(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for (at, line) in text.lines().enumerate() {
        if at > 0 {
            escaped.push('\n');
        }
        // A line that begins with a dot or a quote would be a request.
        if line.starts_with(['.', '\'']) {
            escaped.push_str("\\&");
        }
        for letter in line.chars() {
            match letter {
                '\\' => escaped.push_str("\\e"),
                '-' => escaped.push_str("\\-"),
                '\'' => escaped.push_str("\\(aq"),
                '`' => escaped.push_str("\\(ga"),
                '^' => escaped.push_str("\\(ha"),
                '~' => escaped.push_str("\\(ti"),
                '"' => escaped.push_str("\\(dq"),
                _ if letter.is_ascii() => escaped.push(letter),
                _ => {
                    let _ = write!(escaped, "\\[u{:04X}]", u32::from(letter));
                }
            }
        }
    }
    escaped
}
