//! The DNS-01 challenge against Debian's name server Knot: signed updates, every name server of a zone, CNAMEs, programs and HTTP servers of
//! the operator. Without Knot, or without the rights for port 53, the tests print "skipped"; with RINGWAY_REQUIRE_TOOLS=1 they fail.

mod authority;
mod name_servers;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use name_servers::{ALGORITHMS, NameServers, SECRET, write_program};
use ringway::control::acme::dns::{ChallengeRecord, DnsChallenge, DnsError, DnsOptions};

fn in_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The challenge with this provider and these variables; the primary is the resolver.
fn challenge(servers: &NameServers, provider: &str, set: &[(&str, &str)]) -> Result<DnsChallenge, DnsError> {
    let options =
        DnsOptions { provider: provider.into(), resolvers: vec![servers.primary.clone()], ..Default::default() };
    DnsChallenge::new(options, &|name| {
        set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

fn rfc2136(servers: &NameServers, more: &[(&str, &str)]) -> DnsChallenge {
    let mut set = vec![
        ("RFC2136_NAMESERVER", servers.primary.as_str()),
        ("RFC2136_TSIG_KEY", "hmac-sha256"),
        ("RFC2136_TSIG_ALGORITHM", "hmac-sha256."),
        ("RFC2136_TSIG_SECRET", SECRET),
        ("RFC2136_POLLING_INTERVAL", "1"),
    ];
    set.splice(0..0, more.iter().copied());
    challenge(servers, "rfc2136", &set).unwrap()
}

fn record(domain: &str, token: &str) -> ChallengeRecord {
    ChallengeRecord::new(domain, token, &format!("{token}.thumbprint"))
}

#[test]
fn rfc2136_record_is_awaited_at_every_name_server_of_the_zone() {
    let Some(mut servers) = NameServers::start() else { return };
    in_runtime(async {
        let (base, wildcard) = (record("ring.test", "base"), record("*.ring.test", "wildcard"));
        let dns = rfc2136(&servers, &[("RFC2136_PROPAGATION_TIMEOUT", "3")]);
        dns.present(&base).await.unwrap();
        dns.present(&wildcard).await.unwrap();
        let mut both = vec![base.value(), wildcard.value()];
        both.sort();
        assert_eq!(servers.texts("_acme-challenge.ring.test"), both);

        // The second name server does not run yet.
        let message = dns.wait_until_visible(&base).await.unwrap_err().0;
        assert!(message.contains("ns2.ring.test.") && !message.contains("ns1.ring.test."), "{message}");

        servers.start_secondary();
        let dns = rfc2136(&servers, &[("RFC2136_PROPAGATION_TIMEOUT", "20")]);
        tokio::join!(dns.wait_until_visible(&base), dns.wait_until_visible(&wildcard)).0.unwrap();

        dns.clean_up(&base).await.unwrap();
        assert_eq!(servers.texts("_acme-challenge.ring.test"), [wildcard.value()]);
        dns.clean_up(&wildcard).await.unwrap();
        assert!(servers.texts("_acme-challenge.ring.test").is_empty());
    });
}

#[test]
fn missing_record_is_an_error_at_the_end_of_the_time() {
    let Some(mut servers) = NameServers::start() else { return };
    servers.start_secondary();
    in_runtime(async {
        let dns = rfc2136(&servers, &[("RFC2136_PROPAGATION_TIMEOUT", "2")]);
        let start = Instant::now();
        let message = dns.wait_until_visible(&record("none.ring.test", "a")).await.unwrap_err().0;
        for part in ["_acme-challenge.none.ring.test.", "ns1.ring.test.", "ns2.ring.test.", "NXDOMAIN", "after 2 s"] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn rfc2136_updates_are_accepted_with_every_algorithm() {
    let Some(servers) = NameServers::start() else { return };
    in_runtime(async {
        for algorithm in ALGORITHMS {
            let key = [("RFC2136_TSIG_KEY", algorithm), ("RFC2136_TSIG_ALGORITHM", algorithm)];
            let (dns, record) = (rfc2136(&servers, &key), record("alg.acme.test", algorithm));
            dns.present(&record).await.unwrap_or_else(|e| panic!("{algorithm}: {e}"));
            // A second time, as after a restart in the middle of an order.
            dns.present(&record).await.unwrap();
            assert_eq!(servers.texts("_acme-challenge.alg.acme.test"), [record.value()], "{algorithm}");
            dns.clean_up(&record).await.unwrap();
        }
        let file = servers.key_file().display().to_string();
        let by_file =
            challenge(&servers, "rfc2136", &[("RFC2136_NAMESERVER", &servers.primary), ("RFC2136_TSIG_FILE", &file)]);
        by_file.unwrap().present(&record("file.acme.test", "a")).await.unwrap();
        assert_eq!(servers.texts("_acme-challenge.file.acme.test").len(), 1);
    });
}

#[test]
fn refused_update_says_why_without_the_secret() {
    let Some(servers) = NameServers::start() else { return };
    in_runtime(async {
        let record = record("ring.test", "a");
        let other_secret = "b3RoZXItc2VjcmV0LW9mLWV4YWN0bHktMzItYnl0ZXM=";
        for (variables, reason) in [
            ([("RFC2136_TSIG_SECRET", other_secret), ("", "")], "BADSIG"),
            ([("RFC2136_TSIG_KEY", "unknown"), ("", "")], "unknown. with hmac-sha256 (BADKEY)"),
            ([("RFC2136_TSIG_ALGORITHM", "hmac-sha512"), ("", "")], "BADKEY"),
        ] {
            let message = rfc2136(&servers, &variables).present(&record).await.unwrap_err().0;
            assert!(message.contains(reason) && message.contains(&servers.primary), "{message} lacks {reason}");
            assert!(!message.contains(other_secret) && !message.contains(SECRET), "{message}");
        }
        let unsigned = challenge(&servers, "rfc2136", &[("RFC2136_NAMESERVER", &servers.primary)]).unwrap();
        let message = unsigned.present(&record).await.unwrap_err().0;
        assert!(message.contains("is refused (NOTAUTH)") && message.contains("RFC2136_TSIG_KEY"), "{message}");
        let message = rfc2136(&servers, &[]).present(&self::record("elsewhere.example", "a")).await.unwrap_err().0;
        assert!(
            message.contains("no zone is found") && message.contains("_acme-challenge.elsewhere.example."),
            "{message}"
        );
    });
}

#[test]
fn record_of_a_delegated_name_is_written_where_its_cname_leads() {
    let Some(servers) = NameServers::start() else { return };
    in_runtime(async {
        let record = record("eu.shop.ring.test", "a");
        let dns = rfc2136(&servers, &[]);
        dns.present(&record).await.unwrap();
        assert_eq!(servers.texts("shop.acme.test"), [record.value()]);
        // Only the first server has the zone acme.test: the other one is not asked.
        dns.wait_until_visible(&record).await.unwrap();
        dns.clean_up(&record).await.unwrap();
        assert!(servers.texts("shop.acme.test").is_empty());

        let dns = rfc2136(&servers, &[("LEGO_DISABLE_CNAME_SUPPORT", "true")]);
        dns.present(&record).await.unwrap();
        assert!(servers.texts("shop.acme.test").is_empty());
    });
}

#[test]
fn program_writes_and_removes_the_record() {
    let Some(servers) = NameServers::start() else { return };
    in_runtime(async {
        let program = servers.program().display().to_string();
        let dns = challenge(&servers, "exec", &[("EXEC_PATH", &program)]).unwrap();
        let record = record("eu.shop.ring.test", "a");
        dns.present(&record).await.unwrap();
        assert_eq!(servers.texts("shop.acme.test"), [record.value()]);
        dns.wait_until_visible(&record).await.unwrap();
        dns.clean_up(&record).await.unwrap();
        assert!(servers.texts("shop.acme.test").is_empty());
    });
}

#[test]
fn program_in_raw_mode_gets_the_token() {
    let Some(servers) = NameServers::start() else { return };
    let (program, output) = (servers.folder.path().join("raw"), servers.folder.path().join("arguments"));
    write_program(&program, &format!("#!/bin/sh\nprintf '%s|' \"$@\" >> {}\n", output.display()));
    let program = program.display().to_string();
    in_runtime(async {
        let dns = challenge(&servers, "exec", &[("EXEC_PATH", &program), ("EXEC_MODE", "RAW")]).unwrap();
        let record = record("*.eu.shop.ring.test", "a");
        dns.present(&record).await.unwrap();
        dns.clean_up(&record).await.unwrap();
    });
    let expected = "present|--|eu.shop.ring.test|a|a.thumbprint|cleanup|--|eu.shop.ring.test|a|a.thumbprint|";
    assert_eq!(fs::read_to_string(output).unwrap(), expected);
}

#[test]
fn failure_of_the_program_has_its_status_and_last_line() {
    let Some(servers) = NameServers::start() else { return };
    let program = servers.folder.path().join("failing");
    // A process that is left behind and keeps the output open does not hold up the challenge.
    write_program(&program, "#!/bin/sh\nsleep 20 &\necho first\necho 'no such zone' >&2\nexit 3\n");
    let path = program.display().to_string();
    in_runtime(async {
        let dns = challenge(&servers, "exec", &[("EXEC_PATH", &path)]).unwrap();
        let start = Instant::now();
        let message = dns.present(&record("ring.test", "a")).await.unwrap_err().0;
        assert!(message.contains(&path) && message.contains("exit status: 3"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(10));
        write_program(&program, "#!/bin/sh\necho first\necho 'no such zone' >&2\nexit 3\n");
        let message = dns.present(&record("ring.test", "a")).await.unwrap_err().0;
        assert!(message.ends_with("no such zone"), "{message}");
    });
    let message = challenge(&servers, "exec", &[("EXEC_PATH", "/nowhere/program")]).err().unwrap().0;
    assert!(message.contains("/nowhere/program"), "{message}");
}
