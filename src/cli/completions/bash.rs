//! The script for bash 4 and later.

use std::fmt::Write;

use super::candidates::{first_words, flags_of, quoted, second_words, topics, value_rules};
use crate::cli::commands::{COMMANDS, CommandSpec, FlagSet};
use crate::cli::flags::FlagSpec;
use crate::cli::values::Values;

/// Functions without names of flags. Bash parts words at an equals sign, if `COMP_WORDBREAKS` has one, and then replaces only what follows.
const FUNCTIONS: &str = r#"
# Adds the lines of the first argument that begin with the current word, in any case.
_ringway_match() {
    local word
    while IFS= read -r word; do
        if [[ -n $word && ${word,,} == "${cur,,}"* ]]; then COMPREPLY+=("$prefix$word"); fi
    done <<<"$1"
    # A value follows.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}

_ringway_paths() {
    local path
    compopt -o filenames 2>/dev/null
    while IFS= read -r path; do COMPREPLY+=("$prefix$path"); done < <(compgen "$1" -- "$cur")
}

_ringway() {
    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} prefix='' name=''
    COMPREPLY=()
    if [[ $cur == "=" ]]; then
        name=$before= cur=''
    elif [[ $before == "=" && $COMP_CWORD -ge 2 ]]; then
        name=${COMP_WORDS[COMP_CWORD - 2]}=
    elif [[ $cur == --*=* ]]; then
        name=${cur%%=*}= prefix=${cur%%=*}= cur=${cur#*=}
    elif [[ $before == -* ]]; then
        name=$before
    fi
    if [[ -n $name ]] && _ringway_value "${name,,}"; then return; fi
    # The value of a flag that nothing is known of.
    if [[ $name == *= ]]; then return; fi
    _ringway_command
}
"#;

pub(super) fn script(flags: &[FlagSpec]) -> String {
    let mut text = "# Completions of ringway for bash, written by `ringway completions bash`.\n".to_owned();
    let all: Vec<String> = flags.iter().map(candidate).collect();
    let _ = writeln!(text, "\n_ringway_flags={}", quoted(&all.join("\n")));
    let _ = writeln!(text, "_ringway_topics={}", quoted(&topics(flags).join("\n")));
    text.push_str(FUNCTIONS);
    text.push_str(&value_function(flags));
    text.push_str(&command_function(flags));
    text.push_str("\ncomplete -F _ringway ringway\n");
    text
}

/// A flag that needs a value ends with its equals sign.
fn candidate(flag: &FlagSpec) -> String {
    let equals = if flag.form.may_be_bare { "" } else { "=" };
    format!("--{}{equals}", flag.key)
}

fn value_function(flags: &[FlagSpec]) -> String {
    let mut text =
        "\n# Completes the value of a flag or option; fails if it has none.\n_ringway_value() {\n    case $1 in\n"
            .to_owned();
    for rule in value_rules(flags) {
        let equals = if rule.is_joined { "=" } else { "" };
        if let Some(action) = action(rule.values) {
            let _ = writeln!(text, "        {}{equals}) {action} ;;", rule.name.to_ascii_lowercase());
        }
    }
    text.push_str("        *) return 1 ;;\n    esac\n}\n");
    text
}

fn action(values: Values) -> Option<String> {
    Some(match values {
        Values::Words(words) => format!("_ringway_match {}", quoted(&words.join("\n"))),
        Values::File => "_ringway_paths -f".to_owned(),
        Values::Folder => "_ringway_paths -d".to_owned(),
        Values::User => "_ringway_match \"$(compgen -u)\"".to_owned(),
        Values::Topic => "_ringway_match \"$_ringway_topics\"".to_owned(),
        Values::Text => return None,
    })
}

fn command_function(flags: &[FlagSpec]) -> String {
    let mut text = "\n# Completes a command, or what a command takes.\n_ringway_command() {\n".to_owned();
    let words: Vec<&str> = first_words().iter().map(|(word, _)| *word).collect();
    let _ = writeln!(
        text,
        "    if [[ $COMP_CWORD -eq 1 && $cur != -* ]]; then\n        _ringway_match {}\n        return\n    fi",
        quoted(&words.join("\n"))
    );
    text.push_str("    local first=${COMP_WORDS[1]} second=\n");
    text.push_str("    if [[ $COMP_CWORD -gt 2 ]]; then second=${COMP_WORDS[2]}; fi\n    case \"$first $second\" in\n");
    for spec in COMMANDS.iter().filter(|spec| spec.words.len() > 1) {
        let _ = writeln!(text, "        {})", quoted(&spec.name()));
        write_candidates(&mut text, spec, flags);
    }
    for (word, _) in first_words().iter().filter(|(word, _)| !second_words(word).is_empty()) {
        let _ = writeln!(
            text,
            "        {}*) _ringway_match {} ;;",
            quoted(&format!("{word} ")),
            quoted(&second_words(word).join("\n"))
        );
    }
    for spec in COMMANDS.iter().filter(|spec| spec.words.len() == 1) {
        let _ = writeln!(text, "        {}*)", quoted(&format!("{} ", spec.name())));
        write_candidates(&mut text, spec, flags);
    }
    text.push_str("        *) _ringway_match \"$_ringway_flags\" ;;\n    esac\n}\n");
    text
}

fn write_candidates(text: &mut String, spec: &CommandSpec, flags: &[FlagSpec]) {
    let options: Vec<String> = spec.options.iter().map(|option| option.name.to_owned()).collect();
    let mut lines = options;
    if spec.flags != FlagSet::All {
        lines.extend(flags_of(spec, flags).into_iter().map(candidate));
    }
    if !lines.is_empty() {
        let _ = writeln!(text, "            _ringway_match {}", quoted(&lines.join("\n")));
    }
    if spec.flags == FlagSet::All {
        text.push_str("            _ringway_match \"$_ringway_flags\"\n");
    }
    if let Some(action) = spec.argument.as_ref().and_then(|argument| action(argument.values)) {
        let _ = writeln!(text, "            {action}");
    }
    text.push_str("            ;;\n");
}
