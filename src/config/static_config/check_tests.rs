//! Tests of `config/static_config/check` and `check_entry_points`.

use std::io;

use crate::config::static_config::{Problem, StaticConfig, check, check_files};
use crate::config::text::read;

fn resolved(text: &str) -> StaticConfig {
    let mut config = read::<StaticConfig>(text, "t").unwrap_or_else(|error| panic!("{error}")).value;
    config.resolve();
    config
}

/// The problems of a configuration whose entry point `a` has the given options.
fn in_entry_point(inside: &str) -> Vec<Problem> {
    check(&resolved(&format!(
        "defaultEntryPoints = ['a']\n[entryPoints.b]\naddress = ':2'\n[entryPoints.a]\naddress = ':1'\n{inside}"
    )))
}

#[test]
fn unusable_options_are_fatal() {
    for (inside, key) in [
        ("[entryPoints.a.redirect]\nentryPoint = 'c'", "redirect.entryPoint"),
        ("[entryPoints.a.redirect]\nentryPoint = 'a'", "redirect.entryPoint"),
        ("[entryPoints.a.redirect]\nregex = '('\nreplacement = 'x'", "redirect.regex"),
        ("[entryPoints.a.whiteList]", "whiteList.sourceRange"),
        ("[entryPoints.a.whiteList]\nsourceRange = ['10.0.0.0/33']", "whiteList.sourceRange"),
        ("[entryPoints.a.proxyProtocol]", "proxyProtocol"),
        ("[entryPoints.a.proxyProtocol]\ntrustedIPs = ['x']", "proxyProtocol.trustedIPs"),
        ("[entryPoints.a.tls]\ncipherSuites = ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA384']", "tls.cipherSuites"),
        ("[entryPoints.a.auth]", "auth"),
        ("[entryPoints.a.auth.basic]\nusers = ['x']", "auth.basic.users"),
        ("[entryPoints.a.auth.digest]\nusers = ['x:y']", "auth.digest.users"),
        ("[entryPoints.c]\naddress = 'nonsense'", "address"),
    ] {
        let problems = in_entry_point(inside);
        assert_eq!(problems.len(), 1, "{inside}: {problems:#?}");
        assert!(problems[0].fatal, "{inside}");
        assert!(problems[0].key.ends_with(&format!(".{key}")), "{inside}: {}", problems[0].key);
    }
    let taken = in_entry_point("[entryPoints.c]\naddress = '0.0.0.0:1'");
    assert!(taken.len() == 1 && taken[0].fatal && taken[0].message.contains("entry point a"), "{taken:#?}");
    for text in [
        "[acme]\nstorage='x'\nentryPoint='no'\n[acme.tlsChallenge]",
        "[acme]\nstorage='x'\nentryPoint='http'\n[acme.tlsChallenge]",
        "constraints = ['tag=x']",
        "[docker]\nconstraints = ['name==x']",
        "[[docker.hosts]]\nendpoint = 'unix:///a'",
        "[[docker.hosts]]\nname = 'a b'\nendpoint = 'unix:///a'",
        "[[docker.hosts]]\nname = 'a'",
        "[[docker.hosts]]\nname = 'a'\nendpoint = 'host:2375'",
        "[[docker.hosts]]\nname = 'a'\nendpoint = 'unix:///a'\naddress = '10.0.0.2:80'",
        "[[docker.hosts]]\nname = 'a'\nendpoint = 'unix:///a'\nconstraints = ['name==x']",
        "[[docker.hosts]]\nname = 'a.b'\nendpoint = 'unix:///a'\n[[docker.hosts]]\nname = 'A-b'\nendpoint = 'unix:///b'",
        "[[docker.hosts]]\nname = 'a'\nendpoint = 'unix:///a'\n[[docker.hosts]]\nname = 'b'\nendpoint = 'unix:///a'",
        "[docker]\nendpoint = 'unix:///c'\n[[docker.hosts]]\nname = 'a'\nendpoint = 'unix:///a'",
        "[docker.tls]\n[[docker.hosts]]\nname = 'a'\nendpoint = 'unix:///a'",
        "driver = 'uring'",
        "workers = -1",
        "maxConnections = -1",
        "maxConnectionsPerAddress = -1",
    ] {
        let problems = check(&resolved(text));
        assert!(problems.len() == 1 && problems[0].fatal, "{text}: {problems:#?}");
    }
}

#[test]
fn mistakes_with_fallback_are_warnings() {
    for (inside, key) in [
        ("[entryPoints.a.redirect]", "entryPoints.a.redirect"),
        ("[entryPoints.a.forwardedHeaders]", "entryPoints.a.forwardedHeaders"),
        ("[entryPoints.a.forwardedHeaders]\ntrustedIPs = ['x']", "entryPoints.a.forwardedHeaders.trustedIPs"),
        ("[entryPoints.a.tls]\nminVersion = 'TLS12'", "entryPoints.a.tls.minVersion"),
        ("[entryPoints.c]", "entryPoints.c.address"),
        ("[entryPoints.a.redirect]\nregex = '^a'", "entryPoints.a.redirect.replacement"),
        ("[entryPoints.a.auth.basic]\nusers = ['a:$$apr1$$x$$y']", "entryPoints.a.auth.basic.users"),
        ("[entryPoints.a.auth.digest]\nusers = ['a:private:x']", "entryPoints.a.auth.digest.users"),
        ("[api]\nentryPoint = 'x'", "api.entryPoint"),
        ("[accessLog.filters]\nstatusCodes = ['200', '300-302', 'abc']", "accessLog.filters.statusCodes"),
        ("[accessLog.fields.headers.names]\nA = 'redacted'", "accessLog.fields.headers.names.A"),
    ] {
        let problems = in_entry_point(inside);
        assert!(problems.len() == 1 && !problems[0].fatal && problems[0].key == key, "{inside}: {problems:#?}");
    }
    let problems = check(&resolved("logLevel = 'loud'\n[entryPoints.web]\naddress=':1'"));
    let keys: Vec<_> = problems.iter().map(|problem| (problem.fatal, problem.key.as_str())).collect();
    assert_eq!(keys, [(false, "defaultEntryPoints"), (false, "logLevel")]);
}

#[test]
fn valid_entry_points_have_no_problems() {
    let problems = in_entry_point(
        "[entryPoints.a.redirect]\nentryPoint = 'b'\n[entryPoints.a.whiteList]\nsourceRange = ['10.1.2.3/8', '::1']\n\
         [entryPoints.a.proxyProtocol]\ninsecure = true\n[entryPoints.b.tls]\ncipherSuites = ['TLS_RSA_WITH_RC4_128_SHA']\n\
         [entryPoints.a.auth.basic]\nusers = ['a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=']\n[acme]\nstorage = 'x'\nentryPoint = 'b'\n[acme.httpChallenge]\n\
         entryPoint = 'a'\n[entryPoints.c]\naddress = '127.0.0.1:3'\n[entryPoints.d]\naddress = '127.0.0.2:3'\n",
    );
    // A port other than 80 is right behind a router.
    assert!(problems.iter().all(|problem| problem.is_note), "{problems:#?}");
}

#[test]
fn message_does_not_show_user_line() {
    let problems = in_entry_point("[entryPoints.a.auth.basic]\nusers = ['s3cret']");
    assert!(!problems[0].to_string().contains("s3cret"), "{}", problems[0]);
}

#[test]
fn unusable_file_is_reported_with_its_option() {
    let read = |file: &str| match file {
        "users" => Ok("# comment\n\n a:b \nbad\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let config = resolved(
        "rootCAs = ['gone.pem', '-----BEGIN CERTIFICATE-----']\n[entryPoints.a]\naddress = ':1'\n[entryPoints.a.auth.basic]\n\
         usersFile = 'users'\n[entryPoints.a.tls.clientCA]\nfiles = ['gone']\n[entryPoints.b.auth.digest]\nusersFile = 'gone'\n\
         [[entryPoints.a.tls.certificates]]\ncertFile = 'gone'\nkeyFile = '-----BEGIN KEY-----'\n",
    );
    let found: Vec<_> =
        check_files(&config, &read).iter().map(|problem| (problem.fatal, problem.key.clone())).collect();
    let expected = [
        (false, "entryPoints.a.auth.basic.usersFile"),
        (true, "entryPoints.a.auth.basic.usersFile"),
        (true, "entryPoints.a.tls.clientCA.files"),
        (false, "entryPoints.a.tls.certificates"),
        (true, "entryPoints.b.auth.digest.usersFile"),
        (false, "rootCAs"),
        (false, "rootCAs"),
    ];
    assert_eq!(found, expected.map(|(fatal, key)| (fatal, key.to_owned())));
}
