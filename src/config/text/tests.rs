//! Tests of `config/text`.

use super::shape::Shape;
use super::*;
use crate::config::duration::GoDuration;
use crate::config::dynamic::DynamicConfig;
use crate::config::static_config::StaticConfig;

fn parsed(text: &str) -> ParsedConfig<StaticConfig> {
    read(text, "traefik.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn parse_error(text: &str) -> InvalidConfig {
    read::<StaticConfig>(text, "traefik.toml").expect_err(text)
}

#[test]
fn option_names_match_in_any_case_and_map_keys_keep_case() {
    let read = parsed("DEBUG = true\nkeeptrailingslash = true\n[ENTRYPOINTS.Web]\nADDRESS = ':1'\n[entryPoints.web]\n");
    assert_eq!(read.warnings, []);
    assert!(read.value.debug && read.value.keep_trailing_slash);
    assert_eq!(read.value.entry_points["Web"].address, ":1");
    assert!(read.value.entry_points.contains_key("web"));
}

#[test]
fn empty_table_enables_feature_but_no_nested_table() {
    let read = parsed("[api]\n[accessLog]\n[metrics]\n[docker]\nwatch = false\n");
    let api = read.value.api.expect("named");
    assert!(api.dashboard && api.entry_point == "traefik" && api.statistics.is_none());
    assert_eq!(read.value.access_log.expect("named").filters, None);
    assert!(read.value.metrics.expect("named") == crate::config::static_config::Metrics::default());
    let docker = read.value.docker.expect("named");
    assert!(!docker.watch && docker.exposed_by_default && docker.unavailable_grace == GoDuration::from_secs(300));
    assert!(read.value.ping.is_none());
}

#[test]
fn unknown_keys_warn_with_line_path_and_suggestion() {
    let text = "debug = true\n\n[entryPoints.http]\naddres = ':80'\n[entryPoints.http.transport]\nx = 1\n[frontend]\n";
    let read = read_part::<StaticConfig>(text, "traefik.toml", &["frontends"]).expect("valid");
    let warnings: Vec<String> = read.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "traefik.toml line 4: unknown key entryPoints.http.addres: did you mean address?",
            "traefik.toml line 5: unknown key entryPoints.http.transport: it is ignored",
            "traefik.toml line 7: unknown key frontend: did you mean frontends?",
        ]
    );
    let read = super::read::<DynamicConfig>("[[tls]]\n[tls.certificate]\ncertfil = 'x'\n", "r.toml").expect("valid");
    assert_eq!(read.warnings[0].key, "tls[0].certificate.certfil");
}

#[test]
fn wrong_type_error_points_at_value() {
    for (text, line, column, message) in [
        ("debug = 'yes'", 1, 9, "debug: expected true or false, found the text \"yes\""),
        ("\n  workers = 1.5", 2, 13, "workers: expected a whole number, found the fraction 1.5"),
        ("logLevel = 3", 1, 12, "logLevel: expected a text, found the number 3"),
        ("api = true", 1, 7, "api: expected a table, found true"),
        ("[debug]", 1, 1, "debug: expected true or false, found a table"),
        ("defaultEntryPoints = 'http'", 1, 22, "defaultEntryPoints: expected an array, found the text \"http\""),
        ("defaultEntryPoints = ['a', 1]", 1, 28, "defaultEntryPoints[1]: expected a text, found the number 1"),
        ("[entryPoints]\nhttp = ':80'", 2, 8, "entryPoints.http: expected a table, found the text \":80\""),
        ("graceTimeOut = 1.5", 1, 16, "graceTimeOut: expected a duration: "),
        ("# ä\nidleTimeout = '10 s'", 2, 15, "idleTimeout: \"10 s\" is not a duration: "),
        ("workers = 99999999999999999999", 1, 11, "this number is too large"),
        ("workers = 1\nx = -2e6666", 2, 5, "this number is too large"),
        ("debug = true\nDebug = false", 1, 1, "debug is the same option as Debug"),
    ] {
        let error = parse_error(text);
        assert!(error.message.starts_with(message), "{text}: {}", error.message);
        assert_eq!((error.line, error.column), (line, column), "{text}");
        let shown = error.to_string();
        assert!(shown.contains(&format!("traefik.toml:{line}:{column}")), "{shown}");
        assert!(shown.contains('^') && shown.contains(&error.help), "{shown}");
    }
}

#[test]
fn broken_toml_error_shows_line() {
    for (text, line) in [
        ("debug = ", 1),
        ("[a\nb = 1", 1),
        ("a = 1\na = 2", 2),
        ("[a]\n[a]\n", 2),
        ("x", 1),
        ("a = \"\n", 1),
        ("\u{1}", 1),
    ] {
        let error = parse_error(text);
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.message.starts_with("this is not valid TOML: "), "{error}");
        assert!(error.to_string().contains("traefik.toml:"), "{error}");
    }
}

#[test]
fn durations_parse_in_all_forms() {
    let read = parsed("idleTimeout = 10\ngraceTimeOut = '10'\nprovidersThrottleDuration = '1m30s'\n");
    assert_eq!(read.value.idle_timeout, GoDuration::from_secs(10));
    assert_eq!(read.value.grace_time_out, GoDuration::from_secs(10));
    assert_eq!(read.value.providers_throttle_duration, GoDuration::from_secs(90));
}

#[test]
fn fractions_parse_in_all_forms() {
    let read = parsed("[metrics.prometheus]\nbuckets = [0.5, 1_000.2_5, 2e2, 3, 1e308, inf, -inf]\n");
    let buckets = read.value.metrics.and_then(|metrics| metrics.prometheus).map(|table| table.buckets);
    assert_eq!(buckets, Some(vec![0.5, 1000.25, 200.0, 3.0, 1e308, f64::INFINITY, f64::NEG_INFINITY]));
}

#[test]
fn shape_of_static_config_has_every_option() {
    let shape = StaticConfig::shape();
    let at = |path: &str| {
        let mut shape = &shape;
        for name in path.split('.') {
            shape = shape.field(name).unwrap_or_else(|| panic!("{path}")).1;
        }
        shape.clone()
    };
    assert_eq!(at("DEBUG"), Shape::Bool);
    assert_eq!(at("lifecycle.gracetimeout"), Shape::Duration);
    assert_eq!(at("metrics.prometheus.buckets"), Shape::List(Box::new(Shape::Float)));
    assert_eq!(at("accesslog.fields.headers.names"), Shape::Map(Box::new(Shape::Text)));
    assert_eq!(at("acme.httpchallenge.entrypoint"), Shape::Text);
    assert!(at("kubernetes").is_raw_table());
    assert!(matches!(at("acme.domains"), Shape::List(_)));
    assert_eq!(shape.fields().count(), 55);
}

#[test]
fn unsupported_provider_table_is_kept_whole() {
    let read = parsed("[kubernetes]\nnamespaces = ['a']\n[kubernetes.x]\ny = 1.5\nz = 2026-01-01\n");
    assert_eq!(read.warnings, []);
    assert_eq!(read.value.kubernetes.map(|table| table.len()), Some(2));
}

/// A text that is cut anywhere and continued wrongly must give a value, or an error whose line lies in the text.
#[test]
fn broken_text_never_panics() {
    let good =
        "[entryPoints.\"ä\"]\naddress = ':1' # é\n[[acme.domains]]\nmain = \"\"\"\nx\"\"\"\nsans = [ 'a', 'b' ]\n";
    for cut in (0..good.len()).filter(|cut| good.is_char_boundary(*cut)) {
        for tail in ["", "\"", "[", "\n=", "é", "\u{0}", "{"] {
            let text = format!("{}{tail}", &good[..cut]);
            if let Err(error) = read::<StaticConfig>(&text, "t") {
                assert!(error.line >= 1 && error.line <= text.lines().count() + 1, "{text:?}: {error}");
            }
        }
    }
}

#[test]
fn secret_and_its_line_are_not_shown() {
    let frontend = "[frontends.a.auth.basic]\n";
    for text in [
        format!("{frontend}users = 'admin:$apr1$salt$hash'\n"),
        format!("{frontend}users = ['admin:$apr1$salt$hash'\nusersFile = 1"),
        format!("{frontend}users = [\n'admin:$apr1$salt$hash' 'b',\n]\n"),
        "[frontends.a.auth.digest]\nusers = [\n'test:traefik:hash' 'b',\n]\n".to_owned(),
        "[frontends.a.headers]\ncustomRequestHeaders = { Authorization = 'hash' x }\n".to_owned(),
        "[frontends.a]\nbasicAuth = 'admin:{SHA}hash'\n".to_owned(),
        "[frontends.a.auth]\nbasic = { removeHeader = 1, users = ['admin:$apr1$salt$hash'] }\n".to_owned(),
        "[frontends.a.headers.customRequestHeaders]\nX-A = 'b'\nAuthorization = 'Bearer hash' x\n".to_owned(),
        "[frontends.a]\nheaders.customRequestHeaders.Authorization = 'Bearer hash' x\n".to_owned(),
        "[frontends.a.auth]\ndigest = ['test:traefik:hash']\n".to_owned(),
        "[frontends.a]\nauth = { digest = { users = ['test:traefik:hash'] } } x\n".to_owned(),
        "[backends.b.healthCheck.headers]\nAuthorization = 'Bearer hash' x\n".to_owned(),
        "[backends.b]\nhealthCheck = { path = '/', headers = { Authorization = 'Bearer hash' } } x\n".to_owned(),
        "[backends.b.healthCheck.headers]\nX-Api-Key = 0xdeadbeef\n".to_owned(),
        "[backends.b.servers.s]\nurl = 'http://user:hash@127.0.0.1:1' x\n".to_owned(),
        "[frontends.a.auth.forward.tls]\nkey = ['-----BEGIN PRIVATE KEY-----hash']\n".to_owned(),
    ] {
        let error = read::<DynamicConfig>(&text, "routes.toml").expect_err(&text).to_string();
        assert!(!error.contains("hash") && !error.contains("3735928559"), "{error}");
        assert!(error.contains("routes.toml"), "{error}");
    }
}
