//! Two of Debian's name servers (Knot) on loopback addresses: a primary that takes signed updates, and a secondary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::support::{Background, installed, run, stdout_of, tool_or_skip, wait_for};

const LIMIT: Duration = Duration::from_secs(30);
/// The secret of every key, base64.
pub const SECRET: &str = "cmluZ3dheS10ZXN0LXNlY3JldC1vZi0zMi1ieXRlcyE=";
/// A key for each algorithm; its name is that of the algorithm.
pub const ALGORITHMS: [&str; 6] = ["hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"];

static STARTED: AtomicU32 = AtomicU32::new(0);

/// The servers; their processes end when the value is dropped.
pub struct NameServers {
    pub primary: String,
    pub secondary: String,
    pub folder: tempfile::TempDir,
    _primary: Background,
    second: Option<Background>,
}

impl NameServers {
    /// Starts the primary for the zones `ring.test`, whose name servers are both, and `acme.test`, which the primary serves alone.
    /// `_acme-challenge.eu.shop.ring.test` is a CNAME that leads to `acme.test`. `None` if Knot is not installed.
    pub fn start() -> Option<NameServers> {
        let can_run = ["knotd", "knsupdate", "kdig"].into_iter().all(installed) && rustix::process::geteuid().is_root();
        if !tool_or_skip("knotd (knot, knot-dnsutils), as root for port 53,", can_run) {
            return None;
        }
        // Port 53 cannot be chosen, so each test has addresses of its own.
        let (own, started) = (std::process::id(), STARTED.fetch_add(1, Relaxed) % 64);
        let address = |net: u32| format!("127.{}.{}.{}", net + started, own / 254 % 256, own % 254 + 1);
        let (primary, secondary) = (address(64), address(128));
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("primary");
        fs::create_dir(&home).unwrap();
        let head = "$TTL 60\n@ SOA ns1.ring.test. hostmaster.ring.test. 1 3600 600 86400 1\n@ NS ns1.ring.test.\n";
        let ring = format!(
            "{head}@ NS ns2.ring.test.\nns1 A {primary}\nns2 A {secondary}\n_acme-challenge.eu.shop CNAME shop.acme.test.\n\
             _acme-challenge.eu.deep CNAME alias\n"
        );
        fs::write(home.join("ring.zone"), ring).unwrap();
        fs::write(home.join("acme.zone"), head).unwrap();
        let keys = ALGORITHMS.join(", ");
        let zones = format!(
            "remote:\n  - id: second\n    address: {secondary}@53\n    via: {primary}\n\
             acl:\n  - id: update\n    key: [{keys}]\n    action: update\n  - id: transfer\n    address: {secondary}\n    action: transfer\n\
             zone:\n  - domain: ring.test\n    file: ring.zone\n    notify: second\n    acl: [update, transfer]\n  \
             - domain: acme.test\n    file: acme.zone\n    acl: update\n"
        );
        let process = spawn(&home, &primary, &zones);
        let key = format!("key \"hmac-sha256\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n");
        fs::write(folder.path().join("key"), key).unwrap();
        let servers = NameServers { primary, secondary, folder, _primary: process, second: None };
        servers.await_zone(&servers.primary);
        Some(servers)
    }

    /// Starts the secondary.
    pub fn start_secondary(&mut self) {
        let home = self.folder.path().join("secondary");
        fs::create_dir(&home).unwrap();
        let (primary, secondary) = (&self.primary, &self.secondary);
        let zone = format!(
            "remote:\n  - id: first\n    address: {primary}@53\n    via: {secondary}\n\
             acl:\n  - id: notify\n    address: {primary}\n    action: notify\n\
             zone:\n  - domain: ring.test\n    master: first\n    acl: notify\n"
        );
        self.second = Some(spawn(&home, &self.secondary, &zone));
        self.await_zone(&self.secondary);
    }

    /// The values of the TXT records that the primary has.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let found = stdout_of("kdig", &["+short", "+norecurse", &format!("@{}", self.primary), name, "TXT"]);
        let mut texts: Vec<String> = found.lines().map(|line| line.trim_matches('"').to_owned()).collect();
        texts.sort();
        texts
    }

    /// A key file in the form of `tsig-keygen`.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// A program that writes records with `knsupdate`, called as lego calls it. It replaces the values of the name, as simple ones do.
    pub fn program(&self) -> PathBuf {
        let path = self.folder.path().join("program");
        let text = r#"#!/bin/sh
set -eu
case "$1" in
    present) change=$(printf 'del %s TXT\nadd %s 60 TXT "%s"' "$2" "$2" "$3") ;;
    cleanup) change="del $2 TXT \"$3\"" ;;
esac
case "$2" in
    *.acme.test.) zone=acme.test ;;
    *) zone=ring.test ;;
esac
printf 'server @server@ 53\nzone %s\n%s\nsend\n' "$zone" "$change" | knsupdate -y hmac-sha256:hmac-sha256:@secret@
echo "$1 $2 done"
"#;
        let text = text.replace("@server@", &self.primary).replace("@secret@", SECRET);
        write_program(&path, &text);
        path
    }

    /// As [`NameServers::program`], but other values of the name stay.
    pub fn adding_program(&self) -> PathBuf {
        let path = self.program();
        let text = fs::read_to_string(&path).unwrap();
        let adding = text.replace("'del %s TXT\\nadd %s 60 TXT \"%s\"' \"$2\" \"$2\"", "'add %s 60 TXT \"%s\"' \"$2\"");
        assert_ne!(adding, text);
        write_program(&path, &adding);
        path
    }

    fn await_zone(&self, server: &str) {
        wait_for(&format!("{server} serves the zone"), LIMIT, || {
            let found = run("kdig", &["+short", "+time=1", "+retry=0", &format!("@{server}"), "ring.test", "SOA"]);
            let text = String::from_utf8_lossy(&found.stdout).into_owned();
            if text.contains("hostmaster.ring.test.") { Ok(()) } else { Err(text) }
        });
    }
}

/// Writes an executable file.
pub fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn spawn(home: &Path, address: &str, zones: &str) -> Background {
    let keys: String = ALGORITHMS
        .iter()
        .map(|name| format!("  - id: {name}\n    algorithm: {name}\n    secret: {SECRET}\n"))
        .collect();
    let folder = home.display();
    let server = format!(
        "server:\n  listen: {address}@53\n  rundir: {folder}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
         control:\n  listen: {folder}/control\n\
         log:\n  - target: stderr\n    any: debug\n\
         database:\n  storage: {folder}\n  journal-db-max-size: 1M\n  timer-db-max-size: 1M\n\
         template:\n  - id: default\n    storage: {folder}\n    zonefile-sync: -1\n    zonefile-load: whole\n"
    );
    let file = home.join("knot.conf");
    fs::write(&file, format!("{server}key:\n{keys}{zones}")).unwrap();
    let mut command = Command::new("knotd");
    command.arg("-c").arg(&file);
    Background::start(command, home.join("log"))
}
