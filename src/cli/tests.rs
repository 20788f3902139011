//! Tests of `cli`.

use super::*;
use crate::config::duration::GoDuration;

/// Parses with `toml` in `/etc/traefik/traefik.toml`; without a file if `toml` is empty.
fn parse_with_file(toml: &str, args: &[&str]) -> Result<Invocation, CliError> {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let read = |file: &Path| match file.to_str() {
        Some("/etc/traefik/traefik.toml") if !toml.is_empty() => Ok(toml.to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    parse(&args, &|_| None, &read)
}

fn config(toml: &str, args: &[&str]) -> StaticConfig {
    parse_with_file(toml, args).unwrap_or_else(|error| panic!("{args:?}: {error}")).static_config
}

fn usage_error(args: &[&str]) -> String {
    parse_with_file("", args).expect_err(&format!("{args:?}")).to_string()
}

#[test]
fn long_flags_set_options() {
    let config = config(
        "",
        &[
            "--DEBUG",
            "--logLevel=INFO",
            "--api.statistics.recenterrors=0x10",
            "--respondingtimeouts.idletimeout=180ms",
            "--docker.exposedByDefault=F",
            "--defaultEntryPoints=a,b",
            "--defaultentrypoints=c",
            "--metrics.prometheus.buckets=0.5;2",
            "--acme.domains=m.test,s.test",
            "--acme.domains=n.test",
            "--accesslog.fields.headers.names='A=drop B=redact'",
            "--driver=epoll",
            "--entrypoints=Name:a Address::1",
        ],
    );
    assert!(config.debug && config.level() == crate::config::static_config::LogLevel::Info);
    assert_eq!(config.api.expect("on").statistics.expect("on").recent_errors, 16);
    assert_eq!(config.responding_timeouts.idle_timeout, GoDuration(180_000_000));
    assert!(!config.docker.expect("on").exposed_by_default);
    assert_eq!(config.default_entry_points, ["a", "b", "c"]);
    assert_eq!(config.metrics.expect("on").prometheus.expect("on").buckets, [0.5, 2.0]);
    let domains = config.acme.expect("on").domains;
    assert_eq!(
        (domains.len(), domains[0].main.as_str(), domains[0].sans.join(" ")),
        (2, "m.test", "s.test".to_owned())
    );
    let headers = config.access_log.and_then(|log| log.fields).and_then(|fields| fields.headers).expect("on");
    assert_eq!(headers.names["B"], "redact");
    assert_eq!(config.driver, "epoll");
}

#[test]
fn short_flags_set_options() {
    let config = config("", &["-dl", "warn", "-g7"]);
    assert!(config.debug && config.log_level == "warn");
    assert_eq!(config.life_cycle.grace_time_out, GoDuration::from_secs(7));
    for (args, expected) in [
        (&["-d=false"][..], "--debug=false"),
        (&["-c"], "needs an argument"),
        (&["-debug"], "--debug"),
        (&["-x"], "unknown flag"),
    ] {
        assert!(usage_error(args).contains(expected), "{args:?}: {}", usage_error(args));
    }
}

#[test]
fn option_that_is_on_by_default_is_off_only_for_a_clear_value() {
    let entry_point =
        |item: &str| config("", &[&format!("--entryPoints=Name:a Address::9 {item}")]).entry_points["a"].clone();
    for (value, is_on) in
        [("", true), (":on", true), (":TRUE", true), (":false", false), (":Off", false), (":disable", false)]
    {
        assert_eq!(entry_point(&format!("SanitizePath{value}")).sanitize_path, is_on, "{value:?}");
        assert_eq!(entry_point(&format!("Http2{value}")).http2, is_on, "{value:?}");
    }
    assert!(entry_point("").sanitize_path && entry_point("").http2);
    assert!(!config("[entryPoints.a]\nhttp2 = false", &[]).entry_points["a"].http2);
    assert!(config("[entryPoints.a]\naddress = \":9\"", &[]).entry_points["a"].http2);
}

#[test]
fn usage_error_says_what_to_do() {
    for (args, expected) in [
        (&["--configFile", "foo"][..], "write --configFile=value"),
        (&["--dokcer"], "did you mean --docker?"),
        (&["--docker.domian=x"], "did you mean --docker.domain?"),
        (&["--debug=yes"], "--debug: \"yes\" is neither true nor false"),
        (&["--workers=many"], "--workers: \"many\" is not a whole number"),
        (&["--graceTimeOut=10 s"], "--graceTimeOut: "),
        (&["--entrypoints.http.address=:80"], "--entryPoints='Name:http"),
        (&["--entryPoints=Name:a TLS:x.pem"], "\"x.pem\" is no pair"),
        (&["--entryPoints=Name:a SanitizePath:yes"], "SanitizePath:yes is neither true nor false"),
        (&["--entryPoints=Name:a Http2:never"], "Http2:never is neither true nor false"),
        (&["--accesslog.fields.names=A"], "\"A\" names no mode"),
        (&["bug"], "issue tracker"),
        (&["chekc"], "command chekc not found: did you mean check?"),
        (&["version", "--debug"], "version takes no flags"),
    ] {
        assert!(usage_error(args).contains(expected), "{args:?}: {}", usage_error(args));
    }
    let invocation = parse_with_file("", &["--debug", "false"]).expect("only a warning");
    assert!(
        invocation.static_config.debug && invocation.warnings()[0].contains("\"false\" is ignored"),
        "{:?}",
        invocation.warnings()
    );
}

#[test]
fn first_argument_selects_command() {
    for (args, command) in [
        (&[][..], Command::Run),
        (&["--debug"], Command::Run),
        (&["healthcheck", "--ping"], Command::Healthcheck),
        (&["check"], Command::Check),
        (&["demo"], Command::Demo),
        (&["version"], Command::Version),
        (&["-h"], Command::Help),
        (&["check", "--help"], Command::Help),
        (&["certificates", "--help"], Command::Help),
        (&["completions", "zsh"], Command::Completions),
        (&["man"], Command::Man),
    ] {
        assert_eq!(parse_with_file("", args).map(|invocation| invocation.command), Ok(command), "{args:?}");
    }
    let help = help(None, Style::PLAIN).expect("the help");
    for flag in ["--configFile=text", "--docker.domain=text", "--api.dashboard[=true|false]", "--workers=number"] {
        assert!(help.contains(flag), "{flag} is not in the help");
    }
}

/// The merge rules (docs/reference/command-line.md#merge-rules).
#[test]
fn flags_override_file() {
    let toml = "[api]\nentryPoint = 'x'\ndashboard = false\n[docker]\ndomain = 'd'\nwatch = false\n\
                [entryPoints.a]\naddress = ':1'\ncompress = true\n[entryPoints.b]\naddress = ':2'\n";
    let api = |args: &[&str]| config(toml, args).api.map(|api| (api.entry_point, api.dashboard));
    assert_eq!(api(&["--api"]), Some(("traefik".to_owned(), true)));
    assert_eq!(api(&["--api.dashboard"]), Some(("x".to_owned(), true)));
    assert_eq!(api(&["--api=false"]), Some(("x".to_owned(), false)));
    let docker = config(toml, &["--docker.domain=e", "--DOCKER"]).docker.expect("on");
    assert_eq!((docker.domain.as_str(), docker.watch), ("e", true));
    let merged = config(toml, &["--entryPoints=Name:a Address::9", "--entryPoints=Name:c Address::3"]).entry_points;
    let addresses: Vec<_> =
        merged.iter().map(|(name, point)| (name.as_str(), point.address.as_str(), point.compress)).collect();
    assert_eq!(
        addresses,
        [("a", ":9", false), ("b", ":2", false), ("c", ":3", false), ("traefik", ":8080", false)][..3]
    );
    assert_eq!(config("defaultEntryPoints = ['x']", &["--defaultEntryPoints=y"]).default_entry_points, ["http"]);
    let list = format!("defaultEntryPoints = ['x']\n{toml}");
    assert_eq!(config(&list, &["--defaultEntryPoints=y"]).default_entry_points, ["y"]);
    assert_eq!(config("LOGLEVEL = 'info'", &["--loglevel=debug"]).log_level, "debug");
    assert_eq!(config("", &["--api=false"]).api, None);
}

#[test]
fn missing_config_file_gives_warning() {
    let invocation = parse_with_file("debug = true", &["--configFile=no.toml"]).expect("no error");
    assert_eq!(invocation.file.as_deref(), Some(Path::new("/etc/traefik/traefik.toml")));
    assert!(
        invocation.static_config.debug && invocation.warnings()[0].contains("no.toml names no file"),
        "{:?}",
        invocation.warnings()
    );
    let invocation = parse_with_file("", &["-c", "no.toml"]).expect("no error");
    assert!(
        invocation.file.is_none() && invocation.warnings()[0].contains("the defaults are used"),
        "{:?}",
        invocation.warnings()
    );
    // Docker makes a folder where a mounted file does not exist on the host.
    let folder = |_: &Path| Err(io::ErrorKind::IsADirectory.into());
    let invocation = parse(&[], &|_| None, &folder).expect("no error");
    assert!(
        invocation.file.is_none() && invocation.warnings()[0].contains("/etc/traefik/traefik.toml is a folder"),
        "{:?}",
        invocation.warnings()
    );
}

#[test]
fn config_file_is_searched_in_order() {
    let search = |present: &'static [&'static str], arg: Option<&str>| {
        let read = |file: &Path| match file.to_str() {
            Some("/conf") | Some("/denied") if arg == Some("--configfile=$DIR") => {
                Err(io::ErrorKind::IsADirectory.into())
            }
            Some("/denied") => Err(io::ErrorKind::PermissionDenied.into()),
            Some(name) if present.contains(&name) => Ok(String::new()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let env = |name: &str| match name {
            "HOME" => Some("/root".to_owned()),
            "DIR" => Some("/conf".to_owned()),
            _ => None,
        };
        let args: Vec<String> = arg.into_iter().map(str::to_owned).collect();
        parse(&args, &env, &read).map(|invocation| invocation.file.map(|file| file.display().to_string()))
    };
    let home = "/root/.traefik/traefik.toml";
    assert_eq!(search(&["./traefik.toml"], None), Ok(Some("./traefik.toml".to_owned())));
    assert_eq!(search(&["./traefik.toml", "/root/.traefik/traefik.toml"], None), Ok(Some(home.to_owned())));
    let folder = search(&["/conf/traefik.toml", "./traefik.toml"], Some("--configfile=$DIR"));
    assert_eq!(folder, Ok(Some("/conf/traefik.toml".to_owned())));
    let braces = search(&["/conf/x.toml"], Some("-c${DIR}/x.toml"));
    assert_eq!(braces, Ok(Some("/conf/x.toml".to_owned())));
    assert!(matches!(search(&[], Some("-c/denied")), Err(CliError::Unreadable { .. })));
}

#[test]
fn routes_without_inline_file_table_give_warning() {
    let routes = "[backends.b.servers.s]\nurl = 'http://a'\n";
    let warnings = |file: &str| parse_with_file(&format!("{file}\n{routes}"), &[]).expect("valid").warnings();
    assert!(warnings("")[0].contains("backends are ignored without [file]"));
    assert!(warnings("[file]\nfilename = 'x'")[0].contains("sets filename or directory"));
    assert_eq!(warnings("[file]"), Vec::<String>::new());
    assert_eq!(parse_with_file(routes, &["--file"]).expect("valid").warnings(), Vec::<String>::new());
}

#[test]
fn entry_point_text_sets_all_options() {
    let text = "name:https  ADDRESS:127.0.0.1:443 TLS:a.crt,a.key;b.crt,b.key tls.minversion:VersionTLS12 CA:x,y CA.Optional:ON \
                TLS.SniStrict:yes TLS.DefaultCertificate.Cert:d TLS.DefaultCertificate.Key:k Redirect.Regex:^http://(.*) \
                Redirect.Replacement:https://$1 Redirect.Permanent:true Compress:Enable WhiteList.SourceRange:10.0.0.0/8,::1 \
                ProxyProtocol.Insecure:true ForwardedHeaders.TrustedIPs:10.0.0.1 Auth.Basic.Users:a:b,c:d Auth.HeaderField:X-User \
                Auth.Forward.Address:http://auth Auth.Forward.TLS.Cert:c Auth.Forward.TLS.Key:k";
    let flag = format!("--entryPoints='{text}'");
    let invocation = parse_with_file("", &[&flag]).expect("valid");
    assert_eq!(invocation.warnings(), Vec::<String>::new());
    let entry_point = &invocation.static_config.entry_points["https"];
    assert_eq!(
        (entry_point.address.as_str(), entry_point.compress, entry_point.sanitize_path),
        ("127.0.0.1:443", true, true)
    );
    let tls = entry_point.tls.as_ref().expect("on");
    assert_eq!((tls.certificates.len(), tls.min_version.as_str(), tls.sni_strict), (2, "VersionTLS12", false));
    assert_eq!(tls.default_certificate.as_ref().map(|pair| pair.key_file.as_str()), Some("k"));
    assert_eq!(tls.client_ca.as_ref().map(|ca| (ca.files.len(), ca.optional)), Some((2, true)));
    let redirect = entry_point.redirect.as_ref().expect("on");
    assert_eq!((redirect.regex.as_str(), redirect.replacement.as_str()), ("^http://(.*)", "https://$1"));
    assert!(redirect.permanent && entry_point.proxy_protocol.as_ref().is_some_and(|proxy| proxy.insecure));
    assert_eq!(entry_point.white_list.as_ref().map(|list| list.source_range.len()), Some(2));
    assert!(entry_point.forwarded_headers.as_ref().is_some_and(|headers| !headers.insecure));
    let auth = entry_point.auth.as_ref().expect("on");
    assert_eq!(auth.basic.as_ref().map(|basic| basic.users.join(" ")), Some("a:b c:d".to_owned()));
    assert_eq!(auth.header_field, "X-User");
    assert!(auth.forward.as_ref().and_then(|forward| forward.tls.as_ref()).is_some());
}

#[test]
fn options_of_layer4_are_flags_too() {
    let flags = ["--entryPoints='Name:dns Address::53/udp udp.timeout:5s'", "--tcp.idletimeout=5m"];
    let invocation = parse_with_file("[tcp]\nidleTimeout = '1h'", &flags).expect("valid");
    assert_eq!(invocation.warnings(), Vec::<String>::new());
    let config = &invocation.static_config;
    assert_eq!(config.tcp.idle_timeout, GoDuration::from_secs(300));
    let dns = &config.entry_points["dns"];
    assert_eq!((dns.is_udp(), dns.udp_timeout().as_secs()), (true, 5));
    let defaults = parse_with_file("", &["--entryPoints='Name:dns Address::53/udp'"]).expect("valid").static_config;
    assert_eq!(defaults.entry_points["dns"].udp_timeout().as_secs(), 30);
    assert_eq!(defaults.tcp.idle_timeout, GoDuration::from_secs(600));
}

#[test]
fn mistakes_in_entry_point_text_give_warnings() {
    let invocation =
        parse_with_file("", &["--entryPoints=Name:a Adress::1 TLS.SniStrict:true", "--entryPoints=Name:b TLS"])
            .expect("valid");
    let warnings = invocation.warnings().join("\n");
    assert!(warnings.contains("did you mean Address?"), "{warnings}");
    assert!(warnings.contains("TLS.SniStrict is ignored without TLS"), "{warnings}");
    assert!(invocation.static_config.entry_points["a"].tls.is_none());
    assert!(invocation.static_config.entry_points["b"].tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()));
    assert!(
        invocation.static_config.entry_points["b"].forwarded_headers.as_ref().is_some_and(|headers| headers.insecure)
    );
    let nameless = parse_with_file("", &["--entryPoints=Address::1"]).expect("valid");
    assert!(nameless.static_config.entry_points.contains_key(""));
}

#[test]
fn unsupported_providers_accept_any_flag() {
    let invocation =
        parse_with_file("", &["--kubernetes", "--marathon.endpoint=x", "--rancher.metadata.prefix=y"]).expect("valid");
    assert!(
        invocation.static_config.kubernetes.is_some()
            && invocation.static_config.marathon.is_some()
            && invocation.static_config.rancher.is_some()
    );
    assert_eq!(invocation.warnings().len(), 3, "{:?}", invocation.warnings());
}

#[test]
fn value_that_keeps_its_quotes_is_named() {
    let warnings = |args: &[&str]| parse_with_file("", args).expect("valid").warnings();
    let quoted = ["--traefikLog.filePath=\"/log/a b\"", "--docker.domain='x.test'", "-l\"INFO\""];
    let found = warnings(&quoted);
    for (at, (text, better)) in [
        ("--traefikLog.filePath=\"/log/a b\" keeps its quotes", "write --traefikLog.filePath=/log/a b,"),
        ("--docker.domain='x.test' keeps its quotes", "write --docker.domain=x.test,"),
        ("-l=\"INFO\" keeps its quotes", "write -l=INFO,"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(found[at].starts_with(text) && found[at].contains(better), "{found:?}");
    }
    assert_eq!(config("", &quoted[..1]).traefik_log.expect("set").file_path, "\"/log/a b\"", "as written");
    let fine = [
        "--entryPoints='Name:a Address::1'",
        "--accesslog.fields.names='A=drop'",
        "--docker.domain=it's",
        "--docker.domain=\"",
    ];
    assert_eq!(warnings(&fine), [""; 0]);
    let secret = warnings(&["--traefikLog.filePath='ann:$apr1$x'"]);
    assert!(secret[0].contains("=...") && !secret[0].contains("apr1"), "{secret:?}");
}

#[test]
fn options_of_commands_are_no_flags_of_the_configuration() {
    let parse = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        super::parse(&args, &|_| None, &|_| Err(io::ErrorKind::NotFound.into()))
    };
    let export = parse(&["certificates", "export", "--dir", "/out", "--acme.storage=x"]).expect("valid");
    assert_eq!((export.command, export.options.dir), (Command::CertificatesExport, Some("/out".into())));
    assert_eq!(export.static_config.acme.map(|acme| acme.storage), Some("x".to_owned()));
    assert_eq!(parse(&["certificates", "export", "--dir=/o"]).expect("valid").options.dir, Some("/o".into()));
    assert_eq!(parse(&["certificates", "list"]).expect("valid").command, Command::CertificatesList);
    assert!(parse(&["check", "--dns"]).expect("valid").options.dns);
    let asked = parse(&["check", "--docker", "--strict", "--format", "json"]).expect("valid");
    assert!(asked.options.docker && asked.options.strict && asked.options.format == CheckFormat::Json);
    assert!(asked.static_config.docker.is_some(), "without a table the Engine has its default place");
    assert!(parse(&["check", "--format=xml"]).is_err() && parse(&["run", "--strict"]).is_err());
    for wrong in [&["certificates"][..], &["certificates", "export"], &["certificates", "renew"], &["run", "--dns"]] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn help_names_its_topic_by_table_flag_or_command() {
    for (args, topic) in [
        (&["help", "docker"][..], Some("docker")),
        (&["--help", "docker"], Some("docker")),
        (&["--help=acme.dnsChallenge"], Some("acme.dnsChallenge")),
        (&["check", "--help"], Some("check")),
        (&["--debug", "--help"], None),
    ] {
        let invocation = parse_with_file("", args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
        assert_eq!((invocation.command, invocation.options.topic.as_deref()), (Command::Help, topic), "{args:?}");
    }
}

#[test]
fn help_of_a_topic_has_that_topic_alone() {
    let text = |topic| help(Some(topic), Style::PLAIN).unwrap_or_else(|error| panic!("{topic}: {error}"));
    let docker = text("DOCKER");
    for part in
        ["--docker.exposedByDefault[=true|false]", "--docker.tls.ca=text", "Default: unix:///var/run/docker.sock"]
    {
        assert!(docker.contains(part), "{part} is not in\n{docker}");
    }
    assert!(!docker.contains("--acme"), "{docker}");
    assert!(text("logLevel").contains("Short: -l"));
    assert!(text("certificates").contains("certificates export --dir FOLDER"));
    assert!(text("entryPoints").contains("forwardedHeaders.trustedIPs"));
    let error = help(Some("dokcer"), Style::PLAIN).expect_err("no such table");
    assert_eq!(error.to_string(), "no table, flag or command is named dokcer: did you mean docker? (see --help)");
}

#[test]
fn arguments_of_commands_are_checked() {
    for (args, expected) in [
        (&["completions"][..], "completions needs one of: bash, zsh, fish"),
        (&["completions", "tcsh"], "completions: \"tcsh\" is unknown: use one of bash, zsh, fish"),
        (&["certificates"], "certificates needs one of: list, export --dir FOLDER"),
        (&["certificates", "export"], "certificates export needs a folder: add --dir FOLDER"),
        (&["check", "--dns=yes"], "--dns takes no value: write --dns"),
        (&["man", "--debug"], "man takes no flags: remove --debug"),
        (&["man", "docker"], "man takes no further arguments: remove docker"),
    ] {
        assert!(usage_error(args).contains(expected), "{args:?}: {}", usage_error(args));
    }
}

#[test]
fn man_page_has_every_flag_and_command() {
    let page = man_page("1.2.3", "2026-01-02");
    assert!(page.starts_with(".TH RINGWAY 8 2026-01-02 \"Ringway 1.2.3\""));
    for part in
        [".B certificates export \\-\\-dir FOLDER", ".B \\-l, \\-\\-logLevel=text", ".B SIGUSR2", "NOTIFY_SOCKET"]
    {
        assert!(page.contains(part), "{part} is not in the page");
    }
}

impl Invocation {
    /// The lines that the process log gets.
    fn warnings(&self) -> Vec<String> {
        self.findings.iter().map(ToString::to_string).collect()
    }
}
