//! Tests of `config/static_config/resolve`.

use crate::config::duration::GoDuration;
use crate::config::static_config::StaticConfig;
use crate::config::text::read;

fn resolved(text: &str) -> (StaticConfig, Vec<String>) {
    let mut config = read::<StaticConfig>(text, "t").unwrap_or_else(|error| panic!("{error}")).value;
    let warnings = config.resolve();
    let mut again = config.clone();
    again.resolve();
    assert_eq!(again, config, "resolving twice changes nothing");
    (config, warnings)
}

#[test]
fn empty_config_gets_port_80_and_trusts_every_peer() {
    let (config, warnings) = resolved("defaultEntryPoints = ['other']");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(config.entry_points.keys().collect::<Vec<_>>(), ["http"]);
    assert_eq!(config.entry_points["http"].address, ":80");
    assert_eq!(config.default_entry_points, ["http"]);
    assert!(config.entry_points["http"].forwarded_headers.as_ref().is_some_and(|headers| headers.insecure));
}

#[test]
fn empty_forwarded_headers_table_trusts_no_peer() {
    let (config, _) = resolved("[entryPoints.http.forwardedHeaders]");
    assert!(config.entry_points["http"].forwarded_headers.as_ref().is_some_and(|headers| !headers.insecure));
}

#[test]
fn internal_entry_point_is_added_when_used() {
    for text in ["[api]", "[ping]", "[rest]", "[metrics.prometheus]"] {
        let (config, _) = resolved(text);
        assert_eq!(config.entry_points["traefik"].address, ":8080", "{text}");
    }
    for text in ["[metrics]", "[ping]\nentryPoint = 'http'", "[metrics.statsd]"] {
        assert!(!resolved(text).0.entry_points.contains_key("traefik"), "{text}");
    }
    let (config, _) = resolved("[api]\n[entryPoints.traefik]\naddress = ':9'");
    assert_eq!(config.entry_points["traefik"].address, ":9");
}

#[test]
fn deprecated_options_move_to_current_ones() {
    let (config, warnings) = resolved(
        "graceTimeOut = 7\nidleTimeout = '8s'\naccessLogsFile = 'a.log'\ntraefikLogsFile = 't.log'\n[accessLog]\nformat = 'json'\n",
    );
    assert_eq!(config.life_cycle.grace_time_out, GoDuration::from_secs(7));
    assert_eq!(config.responding_timeouts.idle_timeout, GoDuration::from_secs(8));
    let log = config.access_log.expect("set");
    assert_eq!((log.file_path.as_str(), log.format.as_str()), ("a.log", "common"));
    assert_eq!(config.traefik_log.expect("set").file_path, "t.log");
    assert_eq!(warnings.len(), 4);
}

#[test]
fn deprecated_entry_point_options_move_to_current_ones() {
    let (config, warnings) = resolved(
        "[entryPoints.a]\nwhitelistSourceRange = ['10.0.0.0/8']\n[entryPoints.a.tls]\nclientCAFiles = ['old.pem']\n\
         [entryPoints.a.tls.clientCA]\nfiles = ['new.pem']\noptional = true\n\
         [entryPoints.b]\nwhitelistSourceRange = ['10.0.0.0/8']\n[entryPoints.b.whiteList]\nsourceRange = ['::1']\n",
    );
    let (a, b) = (&config.entry_points["a"], &config.entry_points["b"]);
    assert_eq!(a.white_list.as_ref().expect("set").source_range, ["10.0.0.0/8"]);
    assert_eq!(b.white_list.as_ref().expect("set").source_range, ["::1"]);
    let ca = a.tls.as_ref().and_then(|tls| tls.client_ca.as_ref()).expect("set");
    assert_eq!((ca.files.as_slice(), ca.optional), (["old.pem".to_owned()].as_slice(), false));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn web_becomes_api_ping_and_metrics() {
    let (config, _) = resolved(
        "[web]\naddress = ':9'\npath = '/pp'\ncertFile = 'c'\nkeyFile = 'k'\n[web.statistics]\n[web.metrics.prometheus]\n\
         [web.auth.basic]\nusers = ['a:b']\n",
    );
    let internal = &config.entry_points["traefik"];
    assert_eq!(internal.address, ":9");
    assert_eq!(internal.tls.as_ref().expect("set").certificates[0].cert_file, "c");
    assert!(internal.auth.is_some() && config.ping.is_some() && config.rest.is_none());
    assert_eq!(config.api.expect("set").statistics.expect("set").recent_errors, 10);
    assert!(config.metrics.expect("set").prometheus.is_some());
    assert_eq!(config.web.expect("kept for its path").path, "/pp/");
    assert!(config.entry_points.contains_key("http"));
    let (config, warnings) = resolved("[web]\naddress = ':9'\n[ping]\n");
    assert_eq!(config.entry_points["traefik"].address, ":8080");
    assert!(warnings[0].starts_with("[web] is ignored"), "{warnings:?}");
}

#[test]
fn acme_keeps_one_challenge_and_uncovered_names() {
    let (config, warnings) = resolved(
        "[acme]\nstorageFile = 'old.json'\ncaServer = 'https://acme-v01.api.letsencrypt.org/directory'\ndnsProvider = 'x'\n\
         delayDontCheckDNS = 5\n[acme.httpChallenge]\nentryPoint = 'http'\n[acme.tlsChallenge]\n\
         [[acme.domains]]\nmain = 'Local.Test.'\nsans = ['a.wild.test', 'B.local.test']\n[[acme.domains]]\nmain = '*.wild.test'\n\
         [[acme.domains]]\nmain = 'local.test'\n[[acme.domains]]\nmain = 'b.wild.test'\n",
    );
    let acme = config.acme.expect("set");
    assert_eq!(acme.storage, "old.json");
    assert_eq!(acme.ca_server, "https://acme-v02.api.letsencrypt.org/directory");
    let dns = acme.dns_challenge.expect("set");
    assert_eq!((dns.provider.as_str(), dns.delay_before_check), ("x", GoDuration::from_secs(5)));
    assert!(acme.http_challenge.is_none() && acme.tls_challenge.is_none());
    let domains: Vec<_> = acme.domains.iter().map(|domain| (domain.main.as_str(), domain.sans.join(" "))).collect();
    assert_eq!(domains, [("local.test", "b.local.test".to_owned()), ("*.wild.test", String::new())]);
    assert_eq!(warnings.len(), 8, "{warnings:#?}");
}

#[test]
fn zero_and_unknown_values_get_defaults() {
    let (config, warnings) = resolved(
        "debug = true\nmaxIdleConnsPerHost = 0\n[api]\n[docker]\nswarmModeRefreshSeconds = -1\nfilename = 'x'\ntemplateVersion = 3\n\
         [metrics.statsd]\npushInterval = '10'\n[accessLog]\nformat = 'clf'\n[mesos]\n",
    );
    assert_eq!(config.max_idle_conns_per_host, 2);
    assert!(config.api.expect("set").debug);
    let docker = config.docker.expect("set");
    assert_eq!((docker.swarm_mode_refresh_seconds, docker.template_version), (15, 1));
    assert_eq!(config.metrics.expect("set").statsd.expect("set").push_interval, "10s");
    assert!(config.access_log.is_none());
    assert_eq!(warnings.len(), 3, "{warnings:#?}");
}
