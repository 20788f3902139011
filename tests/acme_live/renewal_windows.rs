//! Renewal windows and profiles, by a front over pebble, which has neither.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ringway::control::acme::AcmeSettings;
use serde_json::{Value, json};

use crate::authority::Authority;
use crate::running::*;
use crate::support::{Background, free_port, wait_for_port};

struct Front {
    process: Background,
    port: u16,
    state: PathBuf,
}

impl Front {
    fn start(authority: &Authority, state: &Value) -> Front {
        let (port, state_file) = (free_port(), authority.path("front.json"));
        fs::write(&state_file, state.to_string()).unwrap();
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/acme_live/front.py"));
        command.args([port.to_string(), authority.port.to_string()]);
        command.args([authority.path("server.pem"), authority.path("server.key"), state_file.clone()]);
        let process = Background::start(command, authority.path("front.log"));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(20));
        Front { process, port, state: state_file }
    }

    fn settings(&self, authority: &Authority, storage: &str) -> AcmeSettings {
        let ca_server = format!("https://127.0.0.1:{}/dir", self.port);
        AcmeSettings { ca_server, ..authority.settings(&authority.path(storage)) }
    }

    fn lines(&self) -> Vec<Value> {
        self.process.log_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn orders(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line.get("replaces").is_some()).collect()
    }
}

#[test]
fn certificate_is_renewed_in_the_window_of_the_authority() {
    let Some(authority) = Authority::start() else { return };
    let later = json!({ "start": 86_400, "end": 90_000, "retryAfter": 1, "profiles": [] });
    let front = Front::start(&authority, &later);
    let acme_run =
        RunningAcme::start(front.settings(&authority, "acme.json"), want(&[&["a.example"]]), &authority.web.table);
    assert_eq!(acme_run.obtained(), ["a.example"]);
    acme_run.assert_quiet();
    assert_eq!(front.orders().len(), 1, "the window is tomorrow");
    // The authority wants the certificate replaced at once, as before a revocation.
    let now = json!({ "start": -3600, "end": -1800, "retryAfter": 3600, "profiles": [] });
    fs::write(&front.state, now.to_string()).unwrap();
    assert_eq!(acme_run.obtained(), ["a.example"]);
    acme_run.stop().unwrap();
    let asked = front.lines().into_iter().find_map(|line| line.get("asked").cloned());
    let orders = front.orders();
    assert_eq!(orders[0]["replaces"], Value::Null);
    assert_eq!(Some(&orders[1]["replaces"]), asked.as_ref(), "the order names the certificate that it replaces");
}

#[test]
fn profile_is_ordered_and_an_unknown_one_costs_no_certificate() {
    let Some(authority) = Authority::start() else { return };
    let state = json!({ "start": 86_400, "end": 90_000, "retryAfter": 3600, "profiles": ["shortlived"] });
    let front = Front::start(&authority, &state);
    for (profile, ordered) in [("shortlived", json!("shortlived")), ("gone", Value::Null)] {
        let settings =
            AcmeSettings { profile: profile.to_owned(), ..front.settings(&authority, &format!("{profile}.json")) };
        let acme_run = RunningAcme::start(settings, want(&[&["a.example"]]), &authority.web.table);
        assert_eq!(acme_run.obtained(), ["a.example"]);
        acme_run.stop().unwrap();
        assert_eq!(front.orders().last().unwrap()["profile"], ordered);
    }
    assert!(front.lines().iter().any(|line| line["refused"] == "gone"));
}
