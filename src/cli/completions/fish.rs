//! The script for fish 3 and later.

use std::fmt::Write;

use super::candidates::{first_words, flags_of, second_words, topics, value_rules};
use crate::cli::commands::{COMMANDS, CommandSpec, FlagSet};
use crate::cli::flags::FlagSpec;
use crate::cli::values::Values;

const FUNCTIONS: &str = r#"
# The paths that complete a text, each behind a prefix.
function __ringway_paths
    for path in (__fish_complete_path $argv[2] | string replace -r '\t.*' '')
        printf '%s%s\n' $argv[1] $path
    end
end

function __ringway_folders
    for path in (__fish_complete_directories $argv[2] '' | string replace -r '\t.*' '')
        printf '%s%s\n' $argv[1] $path
    end
end

function __ringway_users
    for user in (__fish_complete_users | string replace -r '\t.*' '')
        printf '%s%s\n' $argv[1] $user
    end
end

function __ringway
    set -l token (commandline -ct)
    set -l words (commandline -opc)
    if string match -qr -- '^--[^=]*=' $token
        set -l name (string replace -r -- '=.*' '=' $token)
        __ringway_value (string lower -- $name) $name (string replace -r -- '^[^=]*=' '' $token)
        return 0
    end
    if __ringway_value $words[-1] '' $token
        return 0
    end
    __ringway_command $words[2..]
end
"#;

pub(super) fn script(flags: &[FlagSpec]) -> String {
    let mut text = "# Completions of ringway for fish, written by `ringway completions fish`.\n".to_owned();
    let all: Vec<&FlagSpec> = flags.iter().collect();
    let _ =
        writeln!(text, "\nfunction __ringway_flags\n    printf '%s\\n' \\\n{}\nend", candidates(&all).join(" \\\n"));
    let topics: Vec<String> = topics(flags).iter().map(|topic| quoted(topic)).collect();
    let _ = writeln!(text, "\nfunction __ringway_topics\n    printf '%s\\n' $argv[1]{{{}}}\nend", topics.join(","));
    text.push_str(FUNCTIONS);
    text.push_str(&value_function(flags));
    text.push_str(&command_function(flags));
    text.push_str("\ncomplete -c ringway -f -a '(__ringway)'\n");
    text
}

/// Lines of flags with their descriptions, quoted. A flag that needs a value ends with its equals sign.
fn candidates(flags: &[&FlagSpec]) -> Vec<String> {
    let line = |flag: &&FlagSpec| {
        let equals = if flag.form.may_be_bare { "" } else { "=" };
        quoted(&format!("--{}{equals}\t{}", flag.key, flag.summary))
    };
    flags.iter().map(line).collect()
}

fn value_function(flags: &[FlagSpec]) -> String {
    let mut text =
        "\n# Prints the values of a flag or option, each behind a prefix; fails if nothing is known of it.\n"
            .to_owned();
    text.push_str("function __ringway_value\n    switch $argv[1]\n");
    for rule in value_rules(flags) {
        let (name, equals) = if rule.is_joined { (rule.name.to_ascii_lowercase(), "=") } else { (rule.name, "") };
        if let Some(action) = action(rule.values) {
            let _ = writeln!(text, "        case {}\n            {action}", quoted(&format!("{name}{equals}")));
        }
    }
    text.push_str("        case '*'\n            return 1\n    end\nend\n");
    text
}

/// A command that prints values behind the prefix `$argv[2]`; `$argv[3]` is what is typed of the value.
fn action(values: Values) -> Option<String> {
    Some(match values {
        Values::Words(words) => format!(
            "printf '%s%s\\n' {}",
            words.iter().map(|word| format!("$argv[2] {}", quoted(word))).collect::<Vec<_>>().join(" ")
        ),
        Values::File => "__ringway_paths $argv[2] $argv[3]".to_owned(),
        Values::Folder => "__ringway_folders $argv[2] $argv[3]".to_owned(),
        Values::User => "__ringway_users $argv[2]".to_owned(),
        Values::Topic => "__ringway_topics $argv[2]".to_owned(),
        Values::Text => return None,
    })
}

fn command_function(flags: &[FlagSpec]) -> String {
    let mut text = "\n# Prints what may follow some words.\nfunction __ringway_command\n".to_owned();
    text.push_str("    switch \"$argv[1] $argv[2]\"\n        case ' '\n            printf '%s\\n' \\\n");
    let words: Vec<String> =
        first_words().iter().map(|(word, summary)| quoted(&format!("{word}\t{summary}"))).collect();
    let _ = writeln!(text, "{}\n            __ringway_flags", words.join(" \\\n"));
    for spec in COMMANDS.iter().filter(|spec| spec.words.len() > 1) {
        write_case(&mut text, spec, &quoted(&spec.name()), flags);
    }
    for (word, _) in first_words().iter().filter(|(word, _)| !second_words(word).is_empty()) {
        let lines: Vec<String> = COMMANDS
            .iter()
            .filter(|spec| spec.words[0] == *word)
            .filter_map(|spec| Some(quoted(&format!("{}\t{}", spec.words.get(1)?, spec.summary))))
            .collect();
        let _ = writeln!(text, "        case '{word} *'\n            printf '%s\\n' {}", lines.join(" "));
    }
    for spec in COMMANDS.iter().filter(|spec| spec.words.len() == 1) {
        write_case(&mut text, spec, &format!("'{} *'", spec.name()), flags);
    }
    text.push_str("        case '*'\n            __ringway_flags\n    end\nend\n");
    text
}

fn write_case(text: &mut String, spec: &CommandSpec, pattern: &str, flags: &[FlagSpec]) {
    let _ = writeln!(text, "        case {pattern}");
    let mut lines: Vec<String> =
        spec.options.iter().map(|option| quoted(&format!("{}\t{}", option.name, option.summary))).collect();
    if spec.flags == FlagSet::All {
        text.push_str("            __ringway_flags\n");
    } else {
        lines.extend(candidates(&flags_of(spec, flags)));
    }
    if !lines.is_empty() {
        let _ = writeln!(text, "            printf '%s\\n' {}", lines.join(" "));
    }
    if let Some(argument) = &spec.argument {
        match argument.values {
            Values::Words(words) => {
                let _ = writeln!(text, "            printf '%s\\n' {}", words.join(" "));
            }
            Values::Topic => text.push_str("            __ringway_topics ''\n"),
            _ => {}
        }
    }
}

/// A text in single quotes, in which fish reads only `\\` and `\'`; a tab stands for itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
