//! The documents that inputs need, and the JSON and SARIF documents of `check`.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use ringway::diagnostics::Code;
use serde_json::Value;

use crate::case::{Case, can_isolate, names};

/// Makes `NAME.crt` and `NAME.key` as a line says: `NAME names=A,B from=YEAR to=YEAR key=other order=...`.
pub fn make_certificate(folder: &Path, line: &str) {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a name");
    let option = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let year = |key: &str, default: i32| option(key).map_or(default, |year| year.parse().expect("a year"));
    let names: Vec<String> = option("names").unwrap_or_default().split(',').map(str::to_owned).collect();
    let (root, intermediate) = (authority("root", None), authority("intermediate", Some("root")));
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = date_time_ymd(year("from", 2024), 1, 1);
    params.not_after = date_time_ymd(year("to", 2099), 1, 1);
    let leaf = params.signed_by(&key, &intermediate.1).expect("signed").pem();
    let chain = match option("order") {
        Some("issuer-first") => [intermediate.0.pem(), leaf, root.0.pem()],
        Some("root-before-intermediate") => [leaf, root.0.pem(), intermediate.0.pem()],
        _ => [leaf, intermediate.0.pem(), root.0.pem()],
    };
    let key = if option("key") == Some("other") { KeyPair::generate().expect("a key") } else { key };
    fs::write(folder.join(format!("{name}.crt")), chain.concat()).expect("written");
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
}

fn authority(name: &str, issuer: Option<&str>) -> (Certificate, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2015, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = match issuer {
        None => params.self_signed(&key).expect("signed"),
        Some(issuer) => params.signed_by(&key, &authority(issuer, None).1).expect("signed"),
    };
    (certificate, Issuer::new(params, key))
}

/// The parts of SARIF 2.1.0 that its schema requires and that readers rely on (sections 3.13 to 3.30 of the specification).
#[test]
fn sarif_output_has_the_structure_of_its_schema_for_every_input() {
    if !can_isolate() {
        return;
    }
    for name in names() {
        let case = Case::prepare(&name);
        let output = case.check(&["--format=sarif"]);
        if output.status.code() == Some(2) {
            continue;
        }
        let log: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().is_some_and(|schema| schema.ends_with("sarif-2.1.0.json")));
        let [run] = log["runs"].as_array().expect("runs").as_slice() else { panic!("{name}: one run") };
        let driver = &run["tool"]["driver"];
        assert_eq!((&driver["name"], &run["columnKind"]), (&"ringway check".into(), &"unicodeCodePoints".into()));
        let rules = driver["rules"].as_array().expect("rules");
        for rule in rules {
            let texts = [&rule["id"], &rule["shortDescription"]["text"], &rule["help"]["text"]];
            assert!(texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty())), "{name}: {rule}");
        }
        for result in run["results"].as_array().expect("results") {
            let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
            assert_eq!(rules[index]["id"], result["ruleId"], "{name}");
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().expect("a level")), "{name}");
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            for location in result["locations"].as_array().expect("locations") {
                assert_location(&name, location);
            }
        }
    }
}

fn assert_location(name: &str, location: &Value) {
    let physical = &location["physicalLocation"];
    if physical.is_null() {
        let [logical] = location["logicalLocations"].as_array().expect("a place").as_slice() else { panic!("{name}") };
        assert!(logical["fullyQualifiedName"].as_str().is_some_and(|text| !text.is_empty()), "{name}: {logical}");
        return;
    }
    let uri = physical["artifactLocation"]["uri"].as_str().expect("a file");
    assert!(!uri.is_empty() && !uri.contains(' '), "{name}: {uri}");
    if physical["region"].is_null() {
        return;
    }
    let number = |key: &str| physical["region"][key].as_u64().unwrap_or_else(|| panic!("{name}: {physical}"));
    assert!(number("startLine") >= 1 && number("startColumn") >= 1, "{name}: {physical}");
    assert!(number("endColumn") > number("startColumn"), "{name}: {physical}");
}

#[test]
fn every_code_stands_on_its_page_with_meaning_and_help_and_no_other_one() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/check.md"));
    let page = page.expect("the page");
    let codes = page.split("\n## Codes").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let documented: Vec<&str> = codes.lines().filter(|line| line.starts_with("| `")).collect();
    let expected = Code::ALL.iter().map(|code| {
        let cell = |text: &str| text.replace('|', "\\|");
        format!("| `{}` | {} | {} |", code.name(), cell(code.meaning()), cell(code.help()))
    });
    assert_eq!(documented, expected.collect::<Vec<_>>());
}

/// Codes that only a state of this machine causes, or that need a swarm or a key-value store (tests/kv): no input has them.
const WITHOUT_INPUT: [Code; 11] = [
    Code::CannotStart,
    Code::EngineWarning,
    Code::IgnoredKey,
    Code::InvalidKey,
    Code::Environment,
    Code::InvalidRedirect,
    Code::MustStaple,
    Code::NameLeadsElsewhere,
    Code::ServerTls,
    Code::StoreApi,
    Code::TooManyLabels,
];

#[test]
fn every_code_is_caused_by_an_input() {
    let outputs =
        std::fs::read_dir(crate::case::golden()).expect("the inputs").map(|file| file.expect("readable").path());
    let outputs = outputs.filter(|path| path.extension().is_some_and(|extension| extension == "out"));
    let all: String = outputs.map(|path| std::fs::read_to_string(path).expect("an output")).collect();
    let is_missing = |code: &&Code| !all.contains(&format!("[{}]: ", code.name())) && !WITHOUT_INPUT.contains(code);
    let missing: Vec<&str> = Code::ALL.iter().filter(is_missing).map(|code| code.name()).collect();
    assert!(missing.is_empty(), "codes without an input in tests/check/golden: {missing:?}");
}
