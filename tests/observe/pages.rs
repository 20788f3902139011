//! The internal pages: their routing, the API's JSON, the dashboard's files (docs/reference/api.md#paths).

use std::collections::BTreeMap;
use std::sync::Arc;

use ringway::config::dynamic::{
    Auth, Backend, Documents, DynamicConfig, Frontend, LoadBalancer, Route, Server, UserAuth,
};
use ringway::config::{Rejected, Severity};
use ringway::diagnostics::Code;
use ringway::http::Reply;
use ringway::limits::Bound;
use ringway::observe::certificates::CertificateState;
use ringway::observe::metrics::{
    HealthTotals, Http2Totals, OpenConnections, RecentError, ServerHealth, ServerSample, SideTotals,
};
use ringway::observe::status::{
    ExposedRoutes, HealthFacts, InternalRequest, InternalRoute, ProtocolFacts, StatusInputs, reply, route,
};

const EXAMPLE: &str = concat!(
    r#"{"file":{"backends":{"b1":{"servers":{"s1":{"url":"http://127.0.0.1:21990","weight":3}},"#,
    r#""loadBalancer":{"method":"wrr"}}},"frontends":{"f2":{"entryPoints":["http"],"backend":"b1","#,
    r#""routes":{"r1":{"rule":"Host:a.test"}},"priority":0,"basicAuth":null}}}}"#
);

fn all() -> ExposedRoutes {
    ExposedRoutes { api: true, dashboard: true, ping: true, metrics: true, ..ExposedRoutes::default() }
}

fn get(path: &str) -> InternalRequest<'_> {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.as_bytes())));
    InternalRequest { method: b"GET", path: path.as_bytes(), query, ..InternalRequest::default() }
}

fn providers() -> Documents {
    let server = Server { url: "http://127.0.0.1:21990".into(), weight: 3 };
    let backend = Backend {
        servers: [("s1".into(), server)].into(),
        load_balancer: Some(LoadBalancer { method: "wrr".into(), ..LoadBalancer::default() }),
        ..Backend::default()
    };
    let frontend = Frontend {
        entry_points: vec!["http".into()],
        backend: "b1".into(),
        routes: [("r1".into(), Route { rule: "Host:a.test".into() })].into(),
        ..Frontend::default()
    };
    let file = DynamicConfig {
        backends: BTreeMap::from([("b1".into(), backend)]),
        frontends: BTreeMap::from([("f2".into(), frontend)]),
        ..DynamicConfig::default()
    };
    Documents::from([("file".into(), file.into())])
}

fn ask_all(request: &InternalRequest, exposed: &ExposedRoutes, providers: &Documents) -> Option<Reply> {
    ask_while(false, request, exposed, providers)
}

fn ask_while(
    stopping: bool,
    request: &InternalRequest,
    exposed: &ExposedRoutes,
    providers: &Documents,
) -> Option<Reply> {
    let numbers = HealthTotals {
        status_counts: BTreeMap::from([(200, 1)]),
        total_status_counts: BTreeMap::from([(200, 3), (404, 1)]),
        count: 1,
        total_count: 4,
        total_nanos: 10_000_000,
        total_bytes: 402,
        recent_errors: Some(vec![RecentError {
            status: 404,
            method: "GET".into(),
            host: "a.test".into(),
            path: "/<x>".into(),
            unix_nanos: 1_795_448_537_120_000_000,
        }]),
    };
    let servers = [ServerSample {
        provider: "file".into(),
        backend: "b1".into(),
        server: "s1".into(),
        url: "http://127.0.0.1:21990".into(),
        health: ServerHealth::Down,
    }];
    let rejected = [("f3", Severity::Rejected), ("f4", Severity::Partial)].map(|(name, severity)| Rejected {
        provider: "file".into(),
        name: name.into(),
        reason: "no".into(),
        severity,
        code: Code::InvalidRule,
        key: "routes".into(),
        bound: None,
    });
    let mut clients =
        SideTotals { connections_open: 2, connections: 5, streams_open: 3, streams: 70, ..Default::default() };
    clients.resets.received[8] = 4;
    clients.goaways.sent[11] = 1;
    let protocols = ProtocolFacts {
        totals: Http2Totals { clients, ..Default::default() },
        client_connections: 9,
        exceeded: vec![(Bound::Http2RapidReset, 1)],
    };
    let inputs = StatusInputs {
        providers,
        rejected: &rejected,
        servers: &servers,
        certificates: &[CertificateState {
            names: vec!["a.test".into(), "b.test".into()],
            source: "acme".into(),
            not_after_secs: Some(1_800_000_000),
            next_step: "renewal".into(),
            next_step_secs: Some(1_797_000_000),
            last_error: String::new(),
            challenge: "http-01".into(),
        }],
        version: "1.2.3",
        codename: "ring",
        driver: "epoll",
        driver_reason: "io_uring is denied",
        stopping,
        health: HealthFacts {
            pid: 7,
            uptime_nanos: 62_500_000_000,
            unix_nanos: 1_795_448_537_000_000_000,
            numbers: &numbers,
        },
        protocols: &protocols,
        open: OpenConnections { http1: 4, http2: 2, http2_streams: 3, web_sockets: 1, tcp: 5, udp: 6 },
        traffic: None,
        metrics_page: b"x 1\n",
    };
    route(request, exposed).map(|route| reply(&route, request, exposed, &inputs))
}

fn ask(path: &str) -> Reply {
    ask_all(&get(path), &all(), &providers()).unwrap_or_else(|| panic!("{path} is left to the frontends"))
}

fn body(path: &str) -> String {
    let reply = ask(path);
    assert_eq!(reply.status, 200, "{path}");
    assert_eq!(field(&reply, "Content-Type"), "application/json; charset=UTF-8", "{path}");
    String::from_utf8(reply.body.into_owned()).unwrap()
}

fn field<'r>(reply: &'r Reply, name: &str) -> &'r str {
    let found = reply.fields.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| std::str::from_utf8(value).unwrap())
}

#[test]
fn states_of_certificates_are_listed() {
    let expected = r#"[{"names":["a.test","b.test"],"source":"acme","notAfterSecs":1800000000,"nextStep":"renewal","nextStepSecs":1797000000,"lastError":"","challenge":"http-01"}]"#;
    assert_eq!(body("/api/ringway/certificates").trim_end(), expected);
}

#[test]
fn api_matches_the_documented_example() {
    assert_eq!(body("/api"), EXAMPLE);
    assert_eq!(body("/api/providers"), EXAMPLE);
    let file = &EXAMPLE[r#"{"file":"#.len()..EXAMPLE.len() - 1];
    assert_eq!(body("/api/providers/file"), file);
    let backend = r#"{"servers":{"s1":{"url":"http://127.0.0.1:21990","weight":3}},"loadBalancer":{"method":"wrr"}}"#;
    assert_eq!(body("/api/providers/file/backends"), format!("{{\"b1\":{backend}}}"));
    assert_eq!(body("/api/providers/file/backends/b1"), backend);
    assert_eq!(
        body("/api/providers/file/backends/b1/servers"),
        r#"{"s1":{"url":"http://127.0.0.1:21990","weight":3}}"#
    );
    assert_eq!(
        body("/api/providers/file/backends/%62%31/servers/s1"),
        r#"{"url":"http://127.0.0.1:21990","weight":3}"#
    );
    assert!(body("/api/providers/file/frontends").starts_with(r#"{"f2":{"entryPoints":["http"],"backend":"b1""#));
    assert!(body("/api/providers/file/frontends/f2").ends_with(r#""priority":0,"basicAuth":null}"#));
    assert_eq!(body("/api/providers/file/frontends/f2/routes"), r#"{"r1":{"rule":"Host:a.test"}}"#);
    assert_eq!(body("/api/providers/file/frontends/f2/routes/r1"), r#"{"rule":"Host:a.test"}"#);
    assert_eq!(body("/api/version"), r#"{"Version":"1.2.3","Codename":"ring"}"#);
    assert_eq!(
        body("/api/rejected"),
        r#"[{"provider":"file","name":"f3","reason":"no","severity":"rejected","code":"invalid-rule","key":"routes"},{"provider":"file","name":"f4","reason":"no","severity":"partial","code":"invalid-rule","key":"routes"}]"#
    );
    assert!(body("/api/servers").contains(r#""url":"http://127.0.0.1:21990","health":"down"}"#));
    assert_eq!(
        body("/api/http2"),
        concat!(
            r#"{"clientConnections":9,"clients":{"connectionsOpen":2,"connectionsTotal":5,"streamsOpen":3,"streamsTotal":70,"#,
            r#""resetsSent":{},"resetsReceived":{"CANCEL":4},"goawaysSent":{"ENHANCE_YOUR_CALM":1},"goawaysReceived":{}},"#,
            r#""servers":{"connectionsOpen":0,"connectionsTotal":0,"streamsOpen":0,"streamsTotal":0,"#,
            r#""resetsSent":{},"resetsReceived":{},"goawaysSent":{},"goawaysReceived":{}},"#,
            r#""boundsExceeded":{"http2_rapid_reset":1}}"#
        )
    );
    assert_eq!(body("/api/connections"), r#"{"http1":4,"http2":2,"http2Streams":3,"webSockets":1,"tcp":5,"udp":6}"#);
    for path in ["/api/history", "/api/containers", "/api/errors"] {
        assert_eq!(ask(path).status, 404, "{path} without live traffic");
    }
    assert!(body("/api/runtime").contains(r#""driver":"epoll","driverReason":"io_uring is denied""#));
}

#[test]
fn rest_provider_has_two_names() {
    let named = ["web", "ACME"].map(|name| (name.to_owned(), DynamicConfig::default().into())).into();
    for path in ["/api/providers/rest", "/api/providers/web", "/api/providers/ACME"] {
        assert_eq!(&*ask_all(&get(path), &all(), &named).unwrap().body, b"{}", "{path}");
    }
}

#[test]
fn unknown_ids_get_the_standard_404() {
    for path in [
        "p",
        "file/backends/b9",
        "file/backends/b1/servers/s9",
        "file/frontends/f9",
        "file/frontends/f2/routes/r9",
        "%ff",
    ] {
        let reply = ask(&format!("/api/providers/{path}"));
        assert_eq!((reply.status, &*reply.body), (404, &b"404 page not found\n"[..]), "{path}");
        assert_eq!(field(&reply, "X-Content-Type-Options"), "nosniff");
    }
}

#[test]
fn api_hides_users() {
    let mut providers = providers();
    let file = Arc::make_mut(providers.get_mut("file").unwrap());
    let frontend = file.frontends.get_mut("f2").unwrap();
    frontend.basic_auth = vec!["eve:secret".into()];
    let basic = UserAuth { users: vec!["eve:secret".into()], ..UserAuth::default() };
    frontend.auth = Some(Box::new(Auth { basic: Some(basic), ..Auth::default() }));
    for path in ["", "/file", "/file/frontends", "/file/frontends/f2"] {
        let reply = ask_all(&get(&format!("/api/providers{path}")), &all(), &providers).unwrap();
        let text = String::from_utf8(reply.body.into_owned()).unwrap();
        assert!(!text.contains("eve") && text.contains(r#""basicAuth":null,"auth":{"basic":{}}"#), "{text}");
    }
}

#[test]
fn health_page_with_all_fields() {
    assert_eq!(
        body("/health"),
        concat!(
            r#"{"pid":7,"hostname":"","uptime":"1m2.5s","uptime_sec":62.5,"#,
            r#""time":"2026-11-23 15:42:17 +0000 UTC m=+62.500000000","unixtime":1795448537,"#,
            r#""status_code_count":{"200":1},"total_status_code_count":{"200":3,"404":1},"count":1,"total_count":4,"#,
            r#""total_response_time":"10ms","total_response_time_sec":0.01,"total_response_size":402,"#,
            r#""average_response_size":100,"average_response_time":"2.5ms","average_response_time_sec":0.0025,"#,
            r#""total_metrics_counts":{},"average_metrics_timers":{},"recent_errors":[{"status_code":404,"#,
            r#""status":"Not Found","method":"GET","host":"a.test","path":"/\u003cx\u003e","#,
            r#""time":"2026-11-23T15:42:17.12Z"}]}"#
        )
    );
}

#[test]
fn internal_routes_are_recognised() {
    let rows = [
        ("GET", "/ping", Some(InternalRoute::Ping)),
        ("HEAD", "/ping", Some(InternalRoute::Ping)),
        ("POST", "/ping", None),
        ("GET", "/metrics", Some(InternalRoute::Metrics)),
        ("GET", "/health", Some(InternalRoute::Health)),
        ("PUT", "/api/providers/rest", None),
        ("GET", "/api", Some(InternalRoute::Providers)),
        ("GET", "/api/providers/", Some(InternalRoute::WithoutSlash)),
        ("GET", "/ping/", Some(InternalRoute::WithoutSlash)),
        ("GET", "/api/providers/p/backends/", Some(InternalRoute::WithoutSlash)),
        ("GET", "/api/providers/p", Some(InternalRoute::Provider(b"p"))),
        ("GET", "/api/providers/p/other", None),
        ("GET", "/api/other", None),
        ("GET", "/apis", None),
        ("GET", "//", None),
        ("GET", "/", Some(InternalRoute::ToDashboard)),
        ("GET", "/dashboard", None),
        ("GET", "/dashboard/status", Some(InternalRoute::ToDashboard)),
        ("GET", "*", None),
        ("GET", "", None),
    ];
    for (method, path, page) in rows {
        let request = InternalRequest { method: method.as_bytes(), ..get(path) };
        assert_eq!(route(&request, &all()), page, "{method} {path}");
    }
    let keep = ExposedRoutes { keep_trailing_slash: true, ..all() };
    assert_eq!(route(&get("/api/"), &keep), None);
    let ping = ExposedRoutes { ping: true, ..ExposedRoutes::default() };
    for path in ["/", "/api", "/health", "/metrics", "/dashboard/"] {
        assert_eq!(route(&get(path), &ping), None, "{path}");
    }
    assert!(!InternalRoute::Ping.is_guarded() && InternalRoute::Health.is_guarded());
    let based = ExposedRoutes { base: "/pp/".into(), ..all() };
    for (path, page) in [
        ("/pp/api", Some(InternalRoute::Providers)),
        ("/api", None),
        ("/pp", None),
        ("/pp/", Some(InternalRoute::ToDashboard)),
    ] {
        assert_eq!(route(&get(path), &based), page, "{path}");
    }
}

#[test]
fn page_redirects_stay_on_this_host() {
    let reply = ask("/api/providers/?a=\"<b>&c");
    assert_eq!((reply.status, field(&reply, "Location")), (301, "/api/providers?a=\"<b>&c"));
    let page = "<a href=\"/api/providers?a=&#34;&lt;b&gt;&amp;c\">Moved Permanently</a>.\n\n";
    assert_eq!(std::str::from_utf8(&reply.body), Ok(page));
    for (prefix, location) in [
        ("", "/dashboard/"),
        ("/front", "/front/dashboard/"),
        ("/", "/dashboard/"),
        ("//evil.test", "/dashboard/"),
        ("https://evil.test/x", "/dashboard/"),
    ] {
        let request = InternalRequest { forwarded_prefix: Some(prefix.as_bytes()), ..get("/") };
        let reply = ask_all(&request, &all(), &providers()).unwrap();
        assert_eq!((reply.status, field(&reply, "Location")), (302, location), "{prefix}");
    }
}

#[test]
fn dashboard_files_are_served_whole() {
    let kinds = [
        ("", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("charts.js", "text/javascript; charset=utf-8"),
        ("routes.js", "text/javascript; charset=utf-8"),
        ("pages.css", "text/css; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ];
    for (file, kind) in kinds {
        let reply = ask(&format!("/dashboard/{file}"));
        assert_eq!((reply.status, field(&reply, "Content-Type")), (200, kind));
        assert!(field(&reply, "Content-Security-Policy").starts_with("default-src 'none'; script-src 'self';"));
        assert!(reply.body.len() > 100, "{file} is empty");
    }
    assert_eq!(ask("/dashboard/../secret").status, 404);
    let page = String::from_utf8(ask("/dashboard/").body.into_owned()).unwrap();
    for file in
        page.split(['"']).filter(|text| text.ends_with(".js") || text.ends_with(".css") || text.ends_with(".svg"))
    {
        assert_eq!(ask(&format!("/dashboard/{file}")).status, 200, "{file}");
    }
}

#[test]
fn ping_and_metrics_are_plain() {
    let reply = ask("/ping");
    assert_eq!(
        (reply.status, &*reply.body, field(&reply, "Content-Type")),
        (200, &b"OK"[..], "text/plain; charset=utf-8")
    );
    let reply = ask_while(true, &get("/ping"), &all(), &providers()).unwrap();
    assert_eq!((reply.status, &*reply.body), (503, &b"Service Unavailable"[..]));
    let reply = ask("/metrics");
    assert_eq!((&*reply.body, field(&reply, "Content-Type")), (&b"x 1\n"[..], "text/plain; version=0.0.4"));
}
