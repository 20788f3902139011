//! Tests of `config/fixed/resolve`.

use crate::config::duration::GoDuration;
use crate::config::static_config::StaticConfig;
use crate::config::text::read;

fn resolved(text: &str) -> (StaticConfig, Vec<String>) {
    let mut fixed = read::<StaticConfig>(text, "t").unwrap_or_else(|error| panic!("{error}")).value;
    let notes = fixed.resolve();
    let mut again = fixed.clone();
    again.resolve();
    assert_eq!(again, fixed, "resolving twice changes nothing");
    (fixed, notes)
}

#[test]
fn nothing_written_gives_port_80_and_trust_in_everybody() {
    let (fixed, notes) = resolved("defaultEntryPoints = ['other']");
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(fixed.entry_points.keys().collect::<Vec<_>>(), ["http"]);
    assert_eq!(fixed.entry_points["http"].address, ":80");
    assert_eq!(fixed.default_entry_points, ["http"]);
    assert!(fixed.entry_points["http"].forwarded_headers.as_ref().is_some_and(|headers| headers.insecure));
}

#[test]
fn an_empty_forwarded_headers_table_trusts_nobody() {
    let (fixed, _) = resolved("[entryPoints.http.forwardedHeaders]");
    assert!(fixed.entry_points["http"].forwarded_headers.as_ref().is_some_and(|headers| !headers.insecure));
}

#[test]
fn the_internal_entry_point_appears_when_used() {
    for text in ["[api]", "[ping]", "[rest]", "[metrics.prometheus]"] {
        let (fixed, _) = resolved(text);
        assert_eq!(fixed.entry_points["traefik"].address, ":8080", "{text}");
    }
    for text in ["[metrics]", "[ping]\nentryPoint = 'http'", "[metrics.statsd]"] {
        assert!(!resolved(text).0.entry_points.contains_key("traefik"), "{text}");
    }
    let (fixed, _) = resolved("[api]\n[entryPoints.traefik]\naddress = ':9'");
    assert_eq!(fixed.entry_points["traefik"].address, ":9");
}

#[test]
fn deprecated_options_become_current_ones() {
    let (fixed, notes) = resolved(
        "graceTimeOut = 7\nidleTimeout = '8s'\naccessLogsFile = 'a.log'\ntraefikLogsFile = 't.log'\n[accessLog]\nformat = 'json'\n",
    );
    assert_eq!(fixed.life_cycle.grace_time_out, GoDuration::from_secs(7));
    assert_eq!(fixed.responding_timeouts.idle_timeout, GoDuration::from_secs(8));
    let log = fixed.access_log.expect("set");
    assert_eq!((log.file_path.as_str(), log.format.as_str()), ("a.log", "common"));
    assert_eq!(fixed.traefik_log.expect("set").file_path, "t.log");
    assert_eq!(notes.len(), 4);
}

#[test]
fn deprecated_options_of_entry_points() {
    let (fixed, notes) = resolved(
        "[entryPoints.a]\nwhitelistSourceRange = ['10.0.0.0/8']\n[entryPoints.a.tls]\nclientCAFiles = ['old.pem']\n\
         [entryPoints.a.tls.clientCA]\nfiles = ['new.pem']\noptional = true\n\
         [entryPoints.b]\nwhitelistSourceRange = ['10.0.0.0/8']\n[entryPoints.b.whiteList]\nsourceRange = ['::1']\n",
    );
    let (a, b) = (&fixed.entry_points["a"], &fixed.entry_points["b"]);
    assert_eq!(a.white_list.as_ref().expect("set").source_range, ["10.0.0.0/8"]);
    assert_eq!(b.white_list.as_ref().expect("set").source_range, ["::1"]);
    let ca = a.tls.as_ref().and_then(|tls| tls.client_ca.as_ref()).expect("set");
    assert_eq!((ca.files.as_slice(), ca.optional), (["old.pem".to_owned()].as_slice(), false));
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn web_becomes_api_ping_and_metrics() {
    let (fixed, _) = resolved(
        "[web]\naddress = ':9'\npath = '/pp'\ncertFile = 'c'\nkeyFile = 'k'\n[web.statistics]\n[web.metrics.prometheus]\n\
         [web.auth.basic]\nusers = ['a:b']\n",
    );
    let internal = &fixed.entry_points["traefik"];
    assert_eq!(internal.address, ":9");
    assert_eq!(internal.tls.as_ref().expect("set").certificates[0].cert_file, "c");
    assert!(internal.auth.is_some() && fixed.ping.is_some() && fixed.rest.is_none());
    assert_eq!(fixed.api.expect("set").statistics.expect("set").recent_errors, 10);
    assert!(fixed.metrics.expect("set").prometheus.is_some());
    assert_eq!(fixed.web.expect("kept for its path").path, "/pp/");
    assert!(fixed.entry_points.contains_key("http"));
    let (fixed, notes) = resolved("[web]\naddress = ':9'\n[ping]\n");
    assert_eq!(fixed.entry_points["traefik"].address, ":8080");
    assert!(notes[0].starts_with("[web] is ignored"), "{notes:?}");
}

#[test]
fn acme_is_tidied() {
    let (fixed, notes) = resolved(
        "[acme]\nstorageFile = 'old.json'\ncaServer = 'https://acme-v01.api.letsencrypt.org/directory'\ndnsProvider = 'x'\n\
         delayDontCheckDNS = 5\n[acme.httpChallenge]\nentryPoint = 'http'\n[acme.tlsChallenge]\n\
         [[acme.domains]]\nmain = 'Local.Test.'\nsans = ['a.wild.test', 'B.local.test']\n[[acme.domains]]\nmain = '*.wild.test'\n\
         [[acme.domains]]\nmain = 'local.test'\n[[acme.domains]]\nmain = 'b.wild.test'\n",
    );
    let acme = fixed.acme.expect("set");
    assert_eq!(acme.storage, "old.json");
    assert_eq!(acme.ca_server, "https://acme-v02.api.letsencrypt.org/directory");
    let dns = acme.dns_challenge.expect("set");
    assert_eq!((dns.provider.as_str(), dns.delay_before_check), ("x", GoDuration::from_secs(5)));
    assert!(acme.http_challenge.is_none() && acme.tls_challenge.is_none());
    let domains: Vec<_> = acme.domains.iter().map(|domain| (domain.main.as_str(), domain.sans.join(" "))).collect();
    assert_eq!(domains, [("local.test", "b.local.test".to_owned()), ("*.wild.test", String::new())]);
    assert_eq!(notes.len(), 8, "{notes:#?}");
}

#[test]
fn small_defaults() {
    let (fixed, notes) = resolved(
        "debug = true\nmaxIdleConnsPerHost = 0\n[api]\n[docker]\nswarmModeRefreshSeconds = -1\nfilename = 'x'\ntemplateVersion = 3\n\
         [metrics.statsd]\npushInterval = '10'\n[accessLog]\nformat = 'clf'\n[etcd]\n",
    );
    assert_eq!(fixed.max_idle_conns_per_host, 2);
    assert!(fixed.api.expect("set").debug);
    let docker = fixed.docker.expect("set");
    assert_eq!((docker.swarm_mode_refresh_seconds, docker.template_version), (15, 1));
    assert_eq!(fixed.metrics.expect("set").statsd.expect("set").push_interval, "10s");
    assert!(fixed.access_log.is_none());
    assert_eq!(notes.len(), 3, "{notes:#?}");
}
