//! The commands `ringway certificates list` and `ringway certificates export`, and what `ringway check` says about certificates
//! (docs/reference/command-line.md#certificates). None of them changes `acme.json`, which a running proxy may be using.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use super::fail;
use crate::cli::Invocation;
use crate::config::compile::host_rules;
use crate::config::pem;
use crate::config::static_config::StaticConfig;
use crate::control::acme::store::{Store, Stored};
use crate::control::file::{self, FileSettings};
use crate::control::watched_files::read_text;
use crate::diagnostics::Code;
use crate::tls::certificate::Certificate;

/// A certificate with its source.
struct Found {
    source: String,
    certificate: Certificate,
}

/// Prints one line for each certificate: names, source, days left.
pub fn list(config: &StaticConfig) -> ExitCode {
    let (stored, notes) = stored(config);
    notes.iter().for_each(|note| eprintln!("{note}"));
    let now = now_secs();
    for Found { source, certificate } in of_files(config).into_iter().chain(readable(&stored)) {
        let days = (certificate.not_after_secs - now).div_euclid(86_400);
        let left = if certificate.not_after_secs < now { "expired".to_owned() } else { format!("{days} days left") };
        println!("{}\t{source}\t{left}", certificate.names.join(", "));
    }
    if notes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes `NAME.crt` (the chain) and `NAME.key` for each certificate of `acme.json`; NAME is the main name, with `_` for a star. A file is
/// replaced as a whole, so that another service never reads half of it.
pub fn export(config: &StaticConfig, folder: &Path) -> ExitCode {
    let (stored, notes) = stored(config);
    if let Some(note) = notes.first() {
        return fail(note);
    }
    if let Err(e) = fs::create_dir_all(folder) {
        return fail(&format!("{}: {e}", folder.display()));
    }
    for certificate in &stored {
        let Some(name) = file_name(&certificate.main) else {
            eprintln!("{} is no name for a file: not written", certificate.main);
            continue;
        };
        for (ending, content) in [("key", &certificate.key), ("crt", &certificate.certificate)] {
            let file = folder.join(format!("{name}.{ending}"));
            if let Err(e) = replace(&file, content) {
                return fail(&format!("{}: {e}", file.display()));
            }
        }
        println!("{}", folder.join(format!("{name}.crt")).display());
    }
    ExitCode::SUCCESS
}

/// The remarks about the names that need a certificate: those of `[[acme.domains]]`, and of the file provider's rules on
/// `acme.entryPoint`. Rules of containers are not known here.
pub fn remarks(invocation: &Invocation) -> Vec<(Code, String)> {
    let config = &invocation.static_config;
    let names = names(invocation);
    let (stored, unreadable) = stored(config);
    let mut remarks: Vec<(Code, String)> = unreadable.into_iter().map(|note| (Code::AcmeStorage, note)).collect();
    let certificates: Vec<Found> = of_files(config).into_iter().chain(readable(&stored)).collect();
    let is_covered = |name: &str| certificates.iter().any(|found| found.certificate.covers(name));
    let without = names.iter().filter(|name| !is_covered(name));
    remarks.extend(without.map(|name| (Code::MissingCertificate, format!("{name} has no certificate yet"))));
    if invocation.options.dns {
        let is_name = |name: &&String| !name.contains('*') && name.parse::<std::net::IpAddr>().is_err();
        let elsewhere = names.iter().filter(is_name).filter_map(|name| leads_elsewhere(name));
        remarks.extend(elsewhere.map(|remark| (Code::NameLeadsElsewhere, remark)));
    }
    remarks
}

fn names(invocation: &Invocation) -> BTreeSet<String> {
    let config = &invocation.static_config;
    let Some(acme) = &config.acme else { return BTreeSet::new() };
    let domains = acme.domains.iter().flat_map(|domain| std::iter::once(&domain.main).chain(&domain.sans));
    let mut names: BTreeSet<String> = domains.cloned().collect();
    let routes = config.file.as_ref().and_then(|table| FileSettings::new(table, invocation.file.as_deref()));
    let document = routes.and_then(|settings| file::load(&settings.location).ok());
    if let Some(document) = document.filter(|_| acme.on_host_rule) {
        let rules = host_rules(&document.dynamic, &acme.entry_point, &config.default_entry_points);
        names.extend(rules.into_iter().flatten().map(|name| name.trim_end_matches('.').to_ascii_lowercase()));
    }
    names.remove("");
    names
}

/// A remark if a name does not resolve to an address of this machine. An address is this machine's if a socket that is connected to it has it
/// too; nothing is sent.
fn leads_elsewhere(name: &str) -> Option<String> {
    let addresses: Vec<SocketAddr> = match (name, 443).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(e) => return Some(format!("{name} has no address: {e}")),
    };
    let is_own = |address: &SocketAddr| {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        // Without a socket nothing is known, and nothing is said.
        let Ok(socket) = UdpSocket::bind(any) else { return true };
        socket.connect(address).and_then(|()| socket.local_addr()).is_ok_and(|own| own.ip() == address.ip())
    };
    if addresses.iter().any(is_own) {
        return None;
    }
    let shown: BTreeSet<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let shown: Vec<String> = shown.into_iter().collect();
    Some(format!(
        "{name} leads to {}, which is no address of this machine: right only behind a router or load balancer",
        shown.join(", ")
    ))
}

/// The entries of `acme.json`, or a note why they cannot be read.
fn stored(config: &StaticConfig) -> (Vec<Stored>, Vec<String>) {
    let storage = config.acme.as_ref().map(|acme| acme.storage.as_str()).filter(|storage| !storage.is_empty());
    match storage.map(|storage| Store::read_certificates(Path::new(storage))) {
        Some(Ok(stored)) => (stored, Vec::new()),
        Some(Err(note)) => (Vec::new(), vec![note]),
        None => (Vec::new(), Vec::new()),
    }
}

fn readable(stored: &[Stored]) -> Vec<Found> {
    let read = |stored: &Stored| Certificate::from_pem(&stored.certificate, &stored.key).ok();
    stored.iter().filter_map(read).map(|certificate| Found { source: "acme".to_owned(), certificate }).collect()
}

/// The certificates of `acme.json` that can be read.
pub fn of_acme(config: &StaticConfig) -> Vec<Certificate> {
    readable(&stored(config).0).into_iter().map(|found| found.certificate).collect()
}

/// The certificates that entry points name. Those that cannot be read are reported by the check of the configuration.
fn of_files(config: &StaticConfig) -> Vec<Found> {
    let entry_points =
        config.entry_points.iter().filter_map(|(name, entry_point)| Some((name, entry_point.tls.as_ref()?)));
    let all = entry_points.flat_map(|(name, tls)| {
        tls.certificates.iter().chain(&tls.default_certificate).map(move |files| (name, files))
    });
    all.filter_map(|(name, files)| {
        let certificate = pem::certificate(files, &read_text).ok()?;
        Some(Found { source: format!("entry point {name}"), certificate })
    })
    .collect()
}

/// The file's name for a certificate; `None` for text that is no name.
fn file_name(main: &str) -> Option<String> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '*');
    let is_name = !main.is_empty() && !main.starts_with('.') && main.chars().all(is_safe);
    is_name.then(|| main.replace('*', "_").replace(':', "-"))
}

/// Writes a file with mode 600 under another name and renames it.
fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("ringway-new");
    // A file that an earlier, interrupted export has left would keep its mode.
    if let Err(e) = fs::remove_file(&temporary)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    new.write_all(content)?;
    new.sync_all()?;
    fs::rename(&temporary, file)
}

fn now_secs() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_leave_no_folder() {
        assert_eq!(file_name("a.example").as_deref(), Some("a.example"));
        assert_eq!(file_name("*.a.example").as_deref(), Some("_.a.example"));
        assert_eq!(file_name("2001:db8::1").as_deref(), Some("2001-db8--1"));
        for name in ["", "../x", "a/b", ".hidden", "a\0b"] {
            assert_eq!(file_name(name), None, "{name}");
        }
    }

    #[test]
    fn name_of_this_machine_leads_here() {
        assert_eq!(leads_elsewhere("localhost"), None);
        assert!(leads_elsewhere("nothing.invalid").is_some_and(|remark| remark.contains("has no address")));
    }
}
