//! Traefik v1's own unit tables, read at run time where the shared folder exists. Every row is run, or skipped or expected
//! to differ by name with a reason; a row that is in none of the lists fails.

mod rows_of_auth;
mod rows_of_backends;
mod rows_of_steps;

use serde_json::Value;

/// Tables that belong to other rooms, or that hold no behaviour.
const SKIPPED: &[(&str, &str)] = &[
    ("TestAddPrefix", "rule room"),
    ("TestReplacePathRegex", "rule room"),
    ("TestReplacePath", "rule room"),
    ("TestRequestHost", "rule room"),
    ("TestRequestHostParseHost", "rule room"),
    ("TestStripPrefixRegex", "rule room"),
    ("TestStripPrefix", "rule room"),
    ("TestRetryListeners", "Go's listener plumbing; retries are counted by the worker"),
    ("TestGetSans", "input is a Go struct, not a certificate; client_certs.rs builds a real one"),
    ("TestNewTLSClientHeadersFromStruct", "config room: copies one struct into another"),
    ("TestNewResponseRecorder", "Go's response writer"),
    ("TestForwardAuthFailResponseHeaders", "fragments of one test; auth.rs has it whole"),
    ("TestHeaderRewriter_Rewrite", "http room"),
    ("TestServerLoadConfigHealthCheckOptions", "config room"),
    ("TestServerLoadConfigEmptyBasicAuth", "config room"),
    ("TestServerEntryPointWhitelistConfig", "config room"),
    ("TestPrepareServerTimeouts", "config room"),
    ("TestConfigurationErrors", "config room: templates"),
    ("TestMatchingConstraints", "config room: docker labels"),
    ("TestBaseProvider_GetConfiguration", "config room: templates"),
    ("TestNormalize", "config room: docker labels"),
    ("TestDomain_ToStrArray", "control room: ACME"),
    ("TestDomain_Set", "control room: ACME"),
    ("TestMatchDomain", "tls room"),
];

/// Rows of our tables that we do not answer like Traefik, by test and description.
const EXPECTED_TO_DIFFER: &[(&str, &str, &str)] = &[
    ("TestNewEntryPointHandler", "invalid address", "the step takes a port; the config room refuses the address"),
    ("TestServerResponseEmptyBackend", "No Frontend", "the worker's 404 without a route"),
];

type Outcome = Result<(), String>;

#[test]
fn unit_tables_of_traefik() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/cases/middlewares.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: no shared cases");
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut ran, mut skipped, mut differed, mut wrong) = (0, 0, 0, Vec::new());
    for row in &rows {
        let (test, case) = (row["test"].as_str().unwrap(), &row["case"]);
        let desc = case["desc"].as_str().unwrap_or_default();
        let differs = EXPECTED_TO_DIFFER.iter().any(|(name, description, _)| *name == test && *description == desc);
        if SKIPPED.iter().any(|(name, _)| *name == test) {
            skipped += 1;
            continue;
        }
        match run(test, case) {
            Ok(()) if differs => wrong.push(format!("{test} {desc:?}: passes although it is listed as differing")),
            Ok(()) => ran += 1,
            Err(_) if differs => differed += 1,
            Err(why) => wrong.push(format!("{test} {desc:?}: {why}\n    {}", short(case))),
        }
    }
    println!("{ran} rows as Traefik, {differed} differ as listed, {skipped} of other rooms");
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(ran + differed + skipped, rows.len());
}

fn run(test: &str, case: &Value) -> Outcome {
    match test {
        "TestIntegrationShouldNotCompress" => rows_of_steps::compress(true),
        "TestIntegrationShouldCompress" => rows_of_steps::compress(false),
        "TestNewIPWhiteLister" => rows_of_steps::white_list_builds(case, "expectedError"),
        "TestBuildIPWhiteLister" => rows_of_steps::white_list_builds(case, "errMessage"),
        "TestIPWhiteLister_ServeHTTP" => rows_of_steps::white_list(case),
        "TestSSLForceHost" => rows_of_steps::ssl_host(case),
        "TestSanitize" | "TestTlsClientHeadersWithPEM" | "TestTlsClientHeadersWithCertInfos" => {
            rows_of_steps::client_cert(case)
        }
        "TestNewEntryPointHandler" => rows_of_steps::entry_point_redirect(case),
        "TestNewRegexHandler" => rows_of_steps::regex_redirect(case),
        "TestBuildRedirectHandler" => rows_of_steps::built_redirect(case),
        "TestHandler" | "TestHandlerOldWay" | "TestHandlerOldWayIntegration" => rows_of_steps::error_page(case),
        "TestNewHTTPCodeRanges" => rows_of_steps::status_ranges(case),
        "TestHTTPCodeRanges_Contains" => rows_of_steps::status_contained(case),
        "TestAuthUsersFromFile" => rows_of_auth::users_file(case),
        "TestForwardAuthRemoveHopByHopHeaders" => rows_of_auth::hop_by_hop(case),
        "Test_writeHeader" => rows_of_auth::forwarded_fields(case),
        "TestRetry" => rows_of_backends::retry(case, "amountFaultyEndpoints", "wantRetryAttempts"),
        "TestRetryWebsocket" => rows_of_backends::retry(case, "amountFaultyEndpoints", "expectedRetryAttempts"),
        "TestEmptyBackendHandler" => rows_of_backends::empty(case["amountServer"].as_u64(), &case["wantStatusCode"]),
        "TestServerResponseEmptyBackend" => rows_of_backends::response(case),
        "TestSetBackendsConfiguration" => rows_of_backends::health_sequence(case),
        "TestNewRequest" | "TestAddHeadersAndHost" => rows_of_backends::probe(case),
        "TestServerBuildHealthCheckOptions" => rows_of_backends::health_options(case),
        "TestConfigureBackends" => rows_of_backends::method(case),
        "TestGetName" | "Test_sanitizeName" => rows_of_backends::cookie_name(case),
        _ => Err("a table that nobody runs and nobody skips".into()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("got {got:?}, expected {expected:?}")) }
}

fn short(case: &Value) -> String {
    case.to_string().chars().take(400).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
