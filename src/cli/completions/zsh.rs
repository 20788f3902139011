//! The script for zsh.

use std::fmt::Write;

use super::candidates::{first_words, flags_of, quoted, second_words, topics};
use crate::cli::commands::{COMMANDS, CommandSpec, FlagSet};
use crate::cli::flags::FlagSpec;
use crate::cli::values::Values;

const MAIN: &str = r#"
# Completes the arguments of a command with the specifications that follow the number of its words.
_ringway_arguments() {
    local -i skipped=$1
    shift
    words=("${(@)words[skipped + 1, -1]}")
    (( CURRENT -= skipped ))
    _arguments -S -M 'm:{a-zA-Z}={A-Za-z}' "$@"
}

_ringway_topic() {
    compadd -M 'm:{a-zA-Z}={A-Za-z}' -a _ringway_topics
}

_ringway() {
    if (( CURRENT > 3 )); then
        _ringway_two_words "$words[2] $words[3]" && return
    fi
    if (( CURRENT > 2 )); then
        _ringway_one_word "$words[2]" && return
    fi
    _arguments -S -M 'm:{a-zA-Z}={A-Za-z}' "$_ringway_flags[@]" '1:command:_ringway_commands'
}
"#;

pub(super) fn script(flags: &[FlagSpec]) -> String {
    let mut text =
        "#compdef ringway\n# Completions of ringway for zsh, written by `ringway completions zsh`.\n".to_owned();
    text.push_str("\ntypeset -ga _ringway_flags _ringway_topics\n_ringway_flags=(\n");
    for flag in flags {
        flag_specs(flag).iter().for_each(|spec| text.push_str(&format!("    {}\n", quoted(spec))));
    }
    let _ = writeln!(text, ")\n_ringway_topics=({})", topics(flags).join(" "));
    text.push_str("\n_ringway_commands() {\n    local -a commands=(\n");
    for (word, summary) in first_words() {
        let _ = writeln!(text, "        {}", quoted(&format!("{word}:{summary}")));
    }
    text.push_str("    )\n    _describe -t commands command commands\n}\n");
    let is_pair = |spec: &&CommandSpec| spec.words.len() > 1;
    text.push_str(&cases("_ringway_two_words", COMMANDS.iter().filter(is_pair), flags, &[]));
    let groups: Vec<&str> =
        first_words().iter().map(|(word, _)| *word).filter(|word| !second_words(word).is_empty()).collect();
    text.push_str(&cases("_ringway_one_word", COMMANDS.iter().filter(|spec| !is_pair(spec)), flags, &groups));
    text.push_str(MAIN);
    // As a file of `fpath` the script runs as the function; read by `source` it only defines it.
    text.push_str(
        "\nif [[ $funcstack[1] == _ringway ]]; then\n    _ringway \"$@\"\nelse\n    compdef _ringway ringway\nfi\n",
    );
    text
}

/// A function that completes the commands of a list, and fails for others.
fn cases<'s>(name: &str, specs: impl Iterator<Item = &'s CommandSpec>, flags: &[FlagSpec], groups: &[&str]) -> String {
    let mut text = format!("\n{name}() {{\n    case \"$1\" in\n");
    for spec in specs {
        let _ = writeln!(text, "        ({})", quoted(&spec.name()));
        let mut arguments: Vec<String> = spec
            .options
            .iter()
            .map(|option| match option.value {
                Some((name, values)) => {
                    quoted(&format!("{}=[{}]:{name}:{}", option.name, described(option.summary), action(values)))
                }
                None => quoted(&format!("{}[{}]", option.name, described(option.summary))),
            })
            .collect();
        match spec.flags {
            FlagSet::All => arguments.push("\"$_ringway_flags[@]\"".to_owned()),
            _ => arguments.extend(flags_of(spec, flags).into_iter().flat_map(flag_specs).map(|spec| quoted(&spec))),
        }
        if let Some(argument) = &spec.argument {
            arguments.push(quoted(&format!("1:{}:{}", argument.name, action(argument.values))));
        }
        let _ = writeln!(text, "            _ringway_arguments {} {}", spec.words.len(), arguments.join(" "));
        text.push_str("            return 0 ;;\n");
    }
    for group in groups {
        let words: Vec<String> = COMMANDS
            .iter()
            .filter(|spec| spec.words[0] == *group)
            .filter_map(|spec| Some(quoted(&format!("{}:{}", spec.words.get(1)?, spec.summary))))
            .collect();
        let _ = writeln!(
            text,
            "        ({group})\n            local -a commands=({})\n            _describe -t commands command commands\n            return 0 ;;",
            words.join(" ")
        );
    }
    text.push_str("    esac\n    return 1\n}\n");
    text
}

/// The specifications of a flag, and of its short form.
fn flag_specs(flag: &FlagSpec) -> Vec<String> {
    let many = if flag.form.may_repeat { "*" } else { "" };
    let (summary, action) = (described(&flag.summary), action(flag.values));
    let value = flag.form.value.replace(':', "\\:");
    let long = match (flag.form.value, flag.form.may_be_bare) {
        ("", _) => format!("--{}[{summary}]", flag.key),
        (_, true) => format!("--{}=-[{summary}]::{value}:{action}", flag.key),
        (_, false) => format!("{many}--{}=-[{summary}]:{value}:{action}", flag.key),
    };
    let short = flag.short.map(|short| match flag.form.may_be_bare {
        true => format!("-{short}[{summary}]"),
        false => format!("-{short}+[{summary}]:{value}:{action}"),
    });
    std::iter::once(long).chain(short).collect()
}

/// A description in brackets.
fn described(summary: &str) -> String {
    summary.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}

fn action(values: Values) -> String {
    match values {
        Values::Words(words) => format!("({})", words.join(" ")),
        Values::File => "_files".to_owned(),
        Values::Folder => "_files -/".to_owned(),
        Values::User => "_users".to_owned(),
        Values::Topic => "_ringway_topic".to_owned(),
        Values::Text => " ".to_owned(),
    }
}
