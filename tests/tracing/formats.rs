//! The formats of the backends: Zipkin with B3, Jaeger, Datadog, and names cut to their limit.

use crate::collector::{Collector, field, named};
use crate::support::ringway::DRIVERS;
use crate::{SPAN, TRACE, get, start};

#[test]
fn zipkin_gets_json_and_servers_get_b3() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let table = format!(
            "[tracing]\nbackend = \"zipkin\"\n[tracing.zipkin]\nhttpEndpoint = \"{}/api/v1/spans\"\nsameSpan = true",
            collector.url()
        );
        let (proxy, origin) = start(driver, &table);
        let fields = [
            &format!("X-B3-TraceId: {TRACE}"),
            &format!("X-B3-SpanId: {SPAN}"),
            "X-B3-ParentSpanId: 00000000000000aa",
            "X-B3-Sampled: 1",
        ];
        let head = get(&proxy, "plain.test", "/zipkin", &fields);
        let spans = collector.zipkin(TRACE, 3);
        let of =
            |name: &str| spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"));
        let (entry, attempt) = (of("Entrypoint http plain.test"), of("forward plain/one"));
        assert_eq!((&entry["traceId"], &entry["id"], &entry["kind"]), (&TRACE.into(), &SPAN.into(), &"SERVER".into()));
        assert_eq!((&entry["parentId"], &entry["shared"]), (&"00000000000000aa".into(), &true.into()));
        assert_eq!((&attempt["kind"], &attempt["parentId"]), (&"CLIENT".into(), &of("frontend plain")["id"]));
        assert_eq!(entry["localEndpoint"]["serviceName"], "traefik");
        assert_eq!(attempt["remoteEndpoint"]["port"], origin.address.port());
        assert_eq!(
            (&entry["tags"]["http.status_code"], &entry["tags"]["component"]),
            (&"200".into(), &"traefik".into())
        );
        let id = attempt["id"].as_str().expect("an id");
        for (name, value) in [
            ("X-B3-TraceId", TRACE),
            ("X-B3-SpanId", id),
            ("X-B3-Sampled", "1"),
            ("traceparent", &format!("00-{TRACE}-{id}-01")),
        ] {
            assert_eq!(field(&head, name).as_deref(), Some(value), "{head}");
        }
        assert_eq!(field(&head, "X-B3-ParentSpanId").as_deref(), attempt["parentId"].as_str());
        assert!(collector.got().iter().all(|got| got.head.starts_with("POST /api/v2/spans HTTP/1.1")));
    }
}

#[test]
fn jaeger_and_datadog_keep_their_fields_over_otlp() {
    for driver in DRIVERS {
        let collector = Collector::start();
        let table = format!(
            "[tracing]\nspanNameLimit = 30\n[tracing.jaeger]\nsamplingType = \"const\"\nsamplingParam = 0.0\n[tracing.otlp]\nendpoint = \"{}\"",
            collector.url()
        );
        let (proxy, _origin) = start(driver, &table);
        let head = get(&proxy, "plain.test", "/jaeger", &[&format!("uber-trace-id: {TRACE}:abc:0:1")]);
        let spans = collector.trace("/jaeger", 3);
        let attempt = spans.iter().find(|span| span.kind == 3).expect("an attempt");
        let entry = spans.iter().find(|span| span.kind == 2).expect("an entry point");
        assert_eq!((entry.trace.as_str(), entry.parent.as_str()), (TRACE, "0000000000000abc"));
        let id = |text: &str| u64::from_str_radix(text, 16).expect("an id");
        let expected = format!("{TRACE}:{:x}:{:x}:1", id(&attempt.id), id(&attempt.parent));
        assert_eq!(field(&head, "uber-trace-id"), Some(expected), "{head}");
        assert_eq!(attempt.name, "forward plain/one");
        assert_eq!(
            get(&proxy, "plain.test", "/other", &[]).matches(":0\r\n").count(),
            1,
            "const 0 samples nothing by itself"
        );

        let collector = Collector::start();
        let table = format!(
            "[tracing]\nbackend = \"datadog\"\n[tracing.datadog]\nglobalTag = \"env:test\"\nparentIDHeaderName = \"dd-parent\"\n\
             [tracing.otlp]\nendpoint = \"{}\"",
            collector.url()
        );
        let (proxy, _origin) = start(driver, &table);
        let fields = ["x-datadog-trace-id: 77", "dd-parent: 88", "x-datadog-sampling-priority: 1"];
        let head = get(&proxy, "plain.test", "/datadog", &fields);
        let spans = collector.trace("/datadog", 3);
        let (entry, attempt) = (named(&spans, "Entrypoint http plain.test"), named(&spans, "forward plain/one"));
        assert_eq!((id(&entry.trace[16..]), id(&entry.parent)), (77, 88));
        assert!(spans.iter().all(|span| span.tags["env"] == "test"), "{spans:#?}");
        for (name, value) in [("x-datadog-trace-id", "77"), ("x-datadog-sampling-priority", "1")] {
            assert_eq!(field(&head, name).as_deref(), Some(value), "{head}");
        }
        assert_eq!(field(&head, "dd-parent"), Some(id(&attempt.id).to_string()));
    }
}

#[test]
fn long_names_are_cut_to_the_limit() {
    let collector = Collector::start();
    let table = crate::otlp(&collector).replace("[tracing.otlp]", "spanNameLimit = 25\n[tracing.otlp]");
    let (proxy, _origin) = start(DRIVERS[1], &table);
    get(&proxy, "header.test", "/cut", &[]);
    let spans = collector.trace("/cut", 3);
    let entry = spans.iter().find(|span| span.kind == 2).expect("an entry point");
    assert!(entry.name.starts_with("Entrypoint ht... he... "), "{}", entry.name);
}
