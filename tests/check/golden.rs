//! The whole output of each input.

use std::fs;

use crate::case::{Case, can_isolate, golden, names};

#[test]
fn check_prints_the_expected_text_for_every_input() {
    if !can_isolate() {
        return;
    }
    let names = names();
    assert!(names.len() >= 60, "the inputs are missing");
    let bless = std::env::var_os("RINGWAY_BLESS").is_some();
    let mut wrong = Vec::new();
    for name in &names {
        let case = Case::prepare(name);
        let output = case.check(&[]);
        let text = [&output.stdout[..], &output.stderr].concat();
        let code = output.status.code().unwrap_or(-1);
        let said = format!("{}exit code {code}\n", case.stable(&String::from_utf8_lossy(&text)));
        let file = golden().join(format!("{name}.out"));
        if bless {
            fs::write(&file, &said).expect("written");
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        if said != wanted {
            wrong.push(format!("{name}:\n--- expected\n{wanted}--- said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_output_belongs_to_an_input() {
    let names = names();
    for file in fs::read_dir(golden()).expect("the inputs") {
        let path = file.expect("readable").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(names.contains(&name), "{}", path.display());
    }
}

#[test]
fn exit_code_tells_a_clean_file_from_one_with_mistakes_and_from_a_check_that_cannot_run() {
    if !can_isolate() {
        return;
    }
    let code = |name: &str, more: &[&str]| Case::prepare(name).check(more).status.code();
    assert_eq!(code("clean", &[]), Some(0));
    assert_eq!(code("keys-unknown", &[]), Some(0), "warnings alone are no failure");
    assert_eq!(code("keys-unknown", &["--strict"]), Some(1));
    assert_eq!(code("backend-missing", &[]), Some(1));
    assert_eq!(code("toml-broken", &["--format=json"]), Some(1));
    assert_eq!(code("clean", &["--format=xml"]), Some(2));
    assert_eq!(code("clean", &["--docker", "--docker.endpoint=unix:///nowhere.sock"]), Some(2));
    assert_eq!(code("clean", &["--nothing.like.this=1"]), Some(2));
}
