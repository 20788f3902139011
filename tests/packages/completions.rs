//! Completions, typed into bash, zsh and fish.

use std::fs;
use std::process::Command;

use crate::{PROGRAM, has, support};

/// What is typed, with `\t` for the tabulator key, and the arguments that the program then gets.
const CASES: [(&str, &str); 12] = [
    (r"ringway che\t", "<check>"),
    (r"ringway check --dn\t", "<check><--dns>"),
    (r"ringway certificates ex\t", "<certificates><export>"),
    (r"ringway certificates export --dir FOLDER/ro\t", "<certificates><export><--dir><FOLDER/routes>"),
    (r"ringway --driver=ep\t", "<--driver=epoll>"),
    (r"ringway --docker.exposedb\t", "<--docker.exposedByDefault>"),
    (r"ringway --docker.exposedByDefault=f\t", "<--docker.exposedByDefault=false>"),
    (r"ringway run --docker.dom\texample.com", "<run><--docker.domain=example.com>"),
    (r"ringway --configFile=FOLDER/ringw\t", "<--configFile=FOLDER/ringway.toml>"),
    (r"ringway -c FOLDER/ringw\t", "<-c><FOLDER/ringway.toml>"),
    (r"ringway completions z\t", "<completions><zsh>"),
    (r"ringway help acme.dnschallenge.prov\t", "<help><acme.dnsChallenge.provider>"),
];

#[test]
fn keys_typed_into_bash_become_flags_commands_and_values() {
    type_into("bash");
}

#[test]
fn keys_typed_into_zsh_become_flags_commands_and_values() {
    type_into("zsh");
}

#[test]
fn keys_typed_into_fish_become_flags_commands_and_values() {
    type_into("fish");
}

fn type_into(shell: &str) {
    if !has(shell) || !has("python3") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a path").to_owned();
    fs::write(folder.path().join("ringway.toml"), "").expect("a file");
    fs::create_dir(folder.path().join("routes")).expect("a folder");
    let script = folder.path().join("completions");
    let written = support::stdout_of(PROGRAM, &["completions", shell]);
    fs::write(&script, written + "\n").expect("the completions");
    let mut typing = Command::new("python3");
    typing.arg(support::project().join("tests/packages/type_keys.py")).arg(shell).arg(&script);
    typing.args(CASES.iter().map(|(keys, _)| keys.replace("FOLDER", &path)));
    let output = typing.output().expect("python3");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let arguments = |line: &str| Some(line.split_once("GOT<")?.1.trim_end().to_owned());
    // Zsh takes the slash of a folder away again when return is typed.
    let got: Vec<String> =
        text.lines().filter_map(arguments).map(|line| format!("<{}", line.replace("/>", ">"))).collect();
    let expected: Vec<String> = CASES.iter().map(|(_, arguments)| arguments.replace("FOLDER", &path)).collect();
    assert_eq!(got, expected, "{shell} wrote:\n{text}");
}

/// A flag that the parser reads and that no script offers would be a second table.
#[test]
fn every_flag_of_the_help_stands_in_every_script() {
    let help = support::stdout_of(PROGRAM, &["--help"]);
    let flags: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--")?.split(['=', '[', ' ']).next())
        .filter(|flag| !["dns", "help"].contains(flag))
        .collect();
    assert!(flags.len() > 150, "only {} flags", flags.len());
    for shell in ["bash", "zsh", "fish"] {
        let script = support::stdout_of(PROGRAM, &["completions", shell]);
        let missing: Vec<&&str> = flags.iter().filter(|flag| !script.contains(&format!("--{flag}"))).collect();
        assert!(missing.is_empty(), "{shell} does not complete {missing:?}");
    }
}
