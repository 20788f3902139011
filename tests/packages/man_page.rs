//! The man page and the help, as their readers see them.

use std::fs;
use std::process::Command;

use crate::{PROGRAM, has, support};

#[test]
fn man_page_has_no_warnings_of_man_and_of_mandoc() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("ringway.8");
    fs::write(&page, support::stdout_of(PROGRAM, &["man"]) + "\n").expect("the page");
    if has("mandoc") {
        let output = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(&page).output().expect("mandoc");
        assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    if has("man") {
        let mut man = Command::new("man");
        let output = man
            .args(["--warnings=w", "--local-file"])
            .arg(&page)
            .env("MANWIDTH", "100")
            .env("LC_ALL", "C.UTF-8")
            .output();
        let output = output.expect("man");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        for part in
            ["--docker.exposedByDefault[=true|false]", "certificates export --dir FOLDER", "SIGUSR2", "EXIT STATUS"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}

/// The output of the program's help on a terminal.
fn help_on_a_terminal(variables: &[(&str, &str)]) -> String {
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &format!("{} help ping", PROGRAM), "/dev/null"]);
    script.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    let output = script.output().expect("script");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn help_has_colours_on_a_terminal_and_none_with_no_color_or_in_a_pipe() {
    if !has("script") {
        return;
    }
    assert!(help_on_a_terminal(&[]).contains("\x1b[36m--ping\x1b[0m"));
    assert!(!help_on_a_terminal(&[("NO_COLOR", "1")]).contains('\x1b'));
    assert!(!help_on_a_terminal(&[("TERM", "dumb")]).contains('\x1b'));
    let piped = support::stdout_of(PROGRAM, &["help", "ping"]);
    assert!(piped.contains("--ping.entryPoint=text") && !piped.contains('\x1b'), "{piped}");
}
