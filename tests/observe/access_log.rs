//! Exact lines of the access log (docs/reference/logs.md#clf, docs/reference/logs.md#json).

use std::net::SocketAddr;

use ringway::observe::access_log::{AccessLogFormat, AccessLogRecord, AccessLogSettings, FieldList, UpstreamRecord};

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a.test:8080\r\nuser-agent: curl/7.88.1\r\nAuthorization: Basic c2VjcmV0\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n";

fn record<'a>() -> AccessLogRecord<'a> {
    AccessLogRecord {
        start_unix_nanos: 1_795_448_537_120_000_000,
        local_offset_secs: 3600,
        duration_nanos: 2_500_000,
        client: SocketAddr::from(([127, 0, 0, 1], 50_000)),
        forwarded_for: None,
        username: Some(b"alice"),
        host: b"a.test:8080",
        method: b"GET",
        target: b"/",
        protocol: "HTTP/1.1",
        request_size: 0,
        request_id: None,
        request_fields: FieldList::Lines(REQUEST),
        frontend_name: Some("frontend-f1"),
        origin: Some(UpstreamRecord {
            backend_name: "b1",
            backend_url: b"http://127.0.0.1:21990",
            backend_addr: "127.0.0.1:21990",
            status: 200,
            size: 307,
            duration_nanos: 2_000_000,
            fields: FieldList::Lines(RESPONSE),
        }),
        status: 200,
        size: 307,
        response_fields: FieldList::Lines(RESPONSE),
        request_count: 37,
        retry_attempts: 0,
        trace: None,
    }
}

fn line(settings: &AccessLogSettings, record: &AccessLogRecord) -> String {
    let (format, warnings) = AccessLogFormat::new(settings);
    assert_eq!(warnings, Vec::<String>::new());
    let mut out = b"before".to_vec();
    assert!(format.append(record, &mut out));
    String::from_utf8(out.split_off(6)).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, mode)| (name.to_string(), mode.to_string())).collect()
}

fn origin_of_the_proxy<'a>(target: &'a [u8]) -> UpstreamRecord<'a> {
    UpstreamRecord {
        backend_name: "Traefik",
        backend_url: target,
        backend_addr: "",
        status: 404,
        size: 19,
        duration_nanos: 0,
        fields: FieldList::None,
    }
}

#[test]
fn common_format_lines_match_traefik() {
    let clf = AccessLogSettings::default();
    assert_eq!(
        line(&clf, &record()),
        "127.0.0.1 - alice [23/Nov/2026:15:42:17 +0000] \"GET / HTTP/1.1\" 200 307 \"-\" \"curl/7.88.1\" 37 \"f1\" \
         \"http://127.0.0.1:21990\" 2ms\n"
    );
    let unknown = AccessLogRecord {
        username: None,
        target: b"/nope",
        frontend_name: Some("backend not found"),
        origin: Some(origin_of_the_proxy(b"/nope")),
        duration_nanos: 999_999,
        request_count: 1,
        ..record()
    };
    assert_eq!(
        line(&clf, &unknown),
        "127.0.0.1 - - [23/Nov/2026:15:42:17 +0000] \"GET /nope HTTP/1.1\" 404 19 \"-\" \"curl/7.88.1\" 1 \
         \"backend not found\" \"/nope\" 0ms\n"
    );
    let unhandled =
        AccessLogRecord { frontend_name: None, origin: None, username: None, duration_nanos: 0, ..record() };
    assert_eq!(
        line(&clf, &unhandled),
        "127.0.0.1 - - [23/Nov/2026:15:42:17 +0000] \"GET / HTTP/1.1\" - - \"-\" \"curl/7.88.1\" 37 - - 0ms\n"
    );
}

#[test]
fn dropped_fields_are_dashes_and_time_is_local() {
    let all = AccessLogSettings {
        fields_default_mode: "drop".into(),
        headers_default_mode: "drop".into(),
        ..Default::default()
    };
    assert_eq!(line(&all, &record()), "- - - [-] \"- - -\" - - \"-\" \"-\" - - - 0ms\n");
    let some = AccessLogSettings {
        fields: map(&[("StartUTC", "drop"), ("ClientUsername", "drop"), ("BackendURL", "drop")]),
        headers: map(&[("User-Agent", "redact"), ("Referer", "redact")]),
        ..Default::default()
    };
    assert_eq!(
        line(&some, &record()),
        "127.0.0.1 - - [23/Nov/2026:16:42:17 +0100] \"GET / HTTP/1.1\" 200 307 \"-\" \"REDACTED\" 37 \"f1\" - 2ms\n"
    );
}

#[test]
fn client_bytes_cannot_forge_a_log_line() {
    let forged = AccessLogRecord {
        forwarded_for: Some(b"1.2.3.4, 5.6.7.8\n9.9.9.9"),
        target: b"/\" 200 1 \"x\r\n\x1b[2J\\\xc3\xa9",
        request_fields: FieldList::Lines(b"Referer: \"\x07\r\n"),
        ..record()
    };
    let text = line(&AccessLogSettings::default(), &forged);
    assert_eq!(text.matches('\n').count(), 1);
    assert!(text.starts_with("1.2.3.4, 5.6.7.8\\x0a9.9.9.9 - alice ["), "{text}");
    assert!(
        text.contains(
            "\"GET /\\x22 200 1 \\x22x\\x0d\\x0a\\x1b[2J\\x5c\\xc3\\xa9 HTTP/1.1\" 200 307 \"\\x22\\x07\" \"-\""
        ),
        "{text}"
    );
    let json = line(&AccessLogSettings { json: true, ..Default::default() }, &forged);
    assert_eq!(json.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["RequestPath"], "/\" 200 1 \"x\r\n\u{1b}[2J\\\u{e9}");
}

#[test]
fn json_line_with_all_fields() {
    let json = AccessLogSettings { json: true, headers: map(&[("Authorization", "redact")]), ..Default::default() };
    let text = line(&json, &record());
    assert_eq!(
        text,
        concat!(
            r#"{"BackendAddr":"127.0.0.1:21990","BackendName":"b1","BackendURL":{"Scheme":"http","Opaque":"","User":null,"#,
            r#""Host":"127.0.0.1:21990","Path":"","RawPath":"","ForceQuery":false,"RawQuery":"","Fragment":""},"#,
            r#""ClientAddr":"127.0.0.1:50000","ClientHost":"127.0.0.1","ClientPort":"50000","ClientUsername":"alice","#,
            r#""DownstreamContentSize":307,"DownstreamStatus":200,"DownstreamStatusLine":"200 OK","Duration":2500000,"#,
            r#""FrontendName":"f1","OriginContentSize":307,"OriginDuration":2000000,"OriginStatus":200,"#,
            r#""OriginStatusLine":"200 OK","Overhead":500000,"RequestAddr":"a.test:8080","RequestContentSize":0,"#,
            r#""RequestCount":37,"RequestHost":"a.test","RequestLine":"GET / HTTP/1.1","RequestMethod":"GET","#,
            r#""RequestPath":"/","RequestPort":"8080","RequestProtocol":"HTTP/1.1","RetryAttempts":0,"#,
            r#""StartLocal":"2026-11-23T16:42:17.12+01:00","StartUTC":"2026-11-23T15:42:17.12Z","#,
            r#""downstream_Content-Type":"text/plain","downstream_Set-Cookie":"a=1","level":"info","msg":"","#,
            r#""origin_Content-Type":"text/plain","origin_Set-Cookie":"a=1","request_Authorization":"REDACTED","#,
            r#""request_User-Agent":"curl/7.88.1","time":"2026-11-23T16:42:17+01:00"}"#,
            "\n"
        )
    );
}

#[test]
fn json_line_without_origin_or_with_all_fields_dropped() {
    let json = AccessLogSettings { json: true, ..Default::default() };
    let bare = AccessLogRecord { origin: None, frontend_name: None, username: None, host: b"", ..record() };
    let value: serde_json::Value = serde_json::from_str(&line(&json, &bare)).unwrap();
    let keys = value.as_object().unwrap();
    for absent in ["UpstreamRecord", "Backend", "Frontend", "RequestHost", "RequestPort", "RequestAddr", "Gzip"] {
        assert!(!keys.keys().any(|key| key.starts_with(absent)), "{absent}");
    }
    assert_eq!((&value["ClientUsername"], &value["Overhead"]), (&"-".into(), &2_500_000.into()));
    let none = AccessLogSettings { fields_default_mode: "drop".into(), headers_default_mode: "drop".into(), ..json };
    assert_eq!(line(&none, &record()), "{\"level\":\"info\",\"msg\":\"\",\"time\":\"2026-11-23T16:42:17+01:00\"}\n");
}

#[test]
fn parts_of_urls_hosts_and_ratios() {
    let json = AccessLogSettings { json: true, ..Default::default() };
    let odd = AccessLogRecord {
        host: b"[::1]",
        size: 100,
        frontend_name: Some("backend not found"),
        origin: Some(UpstreamRecord { size: 250, ..origin_of_the_proxy(b"/a%2fb%20c?x=1&y") }),
        ..record()
    };
    let value: serde_json::Value = serde_json::from_str(&line(&json, &odd)).unwrap();
    assert_eq!((&value["RequestHost"], &value["RequestPort"]), (&"[::1]".into(), &"-".into()));
    assert_eq!(value["GzipRatio"], 2.5);
    let url = &value["BackendURL"];
    assert_eq!((&url["Path"], &url["RawPath"]), (&"/a/b c".into(), &"/a%2fb%20c".into()));
    assert_eq!((&url["RawQuery"], &url["Host"], &url["Scheme"]), (&"x=1&y".into(), &"".into(), &"".into()));
    let plain = AccessLogRecord { origin: Some(origin_of_the_proxy(b"/a%20b?")), host: b"[::1]:81", ..odd };
    let value: serde_json::Value = serde_json::from_str(&line(&json, &plain)).unwrap();
    assert_eq!((&value["BackendURL"]["RawPath"], &value["BackendURL"]["ForceQuery"]), (&"".into(), &true.into()));
    assert_eq!((&value["RequestHost"], &value["RequestPort"]), (&"::1".into(), &"81".into()));
}

#[test]
fn filtered_record_writes_nothing() {
    let (format, _) =
        AccessLogFormat::new(&AccessLogSettings { status_codes: vec!["500-599".into()], ..Default::default() });
    let mut out = b"x".to_vec();
    assert!(!format.append(&record(), &mut out));
    assert_eq!(out, b"x");
    assert!(format.append(&AccessLogRecord { status: 502, ..record() }, &mut out));
}
