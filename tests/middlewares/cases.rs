//! Traefik v1's own unit tables, read at run time where the shared folder exists. Every row is run, or listed by name and reason as skipped
//! or different; a row that is in no list fails.

mod table_auth;
mod table_backends;
mod table_config;
mod table_rules;
mod table_middlewares;

use std::collections::BTreeMap;

use serde_json::Value;

/// Tables that do not describe behaviour of the proxy.
const SKIPPED: &[(&str, &str)] = &[
    ("TestRetryListeners", "Go's listener plumbing; retries are counted by the worker"),
    ("TestNewResponseRecorder", "Go's response writer"),
    (
        "TestForwardAuthFailResponseHeaders",
        "fields without their names; auth.rs and tests/middlewares_live have the answer whole",
    ),
    ("TestConfigurationErrors", "Go templates are not run (COMPAT.md, docker.filename and file.templates)"),
    ("TestBaseProvider_GetConfiguration", "the text of a Go template, which is not run (COMPAT.md, docker.filename)"),
];

/// Rows with a result other than Traefik's, by test and index in its table.
const EXPECTED_TO_DIFFER: &[(&str, usize, &str)] = &[
    (
        "TestStripPrefix",
        7,
        "the row's step is given its prefixes unsorted; a rule's longest prefix comes first (docs/reference/rules.md#path-modifiers)",
    ),
    (
        "TestIPWhiteLister_ServeHTTP",
        3,
        "only the last address counts: those before it are the client's own word (COMPAT.md, whiteList.useXForwardedFor)",
    ),
    ("TestHeaderRewriter_Rewrite", 2, "a peer without a port: Go's text for an address that a socket cannot have"),
    ("TestHeaderRewriter_Rewrite", 5, "a peer without a port: Go's text for an address that a socket cannot have"),
];

type CaseResult = Result<(), String>;

#[test]
fn unit_tables_of_traefik() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/cases/middlewares.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: no shared cases");
        return;
    };
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let (mut ran, mut skipped, mut differed, mut wrong) = (0, 0, 0, Vec::new());
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        let (test, case) = (row["test"].as_str().unwrap(), &row["case"]);
        let next = places.entry(test).or_default();
        let place = std::mem::replace(next, *next + 1);
        let differs = EXPECTED_TO_DIFFER.iter().any(|(name, listed, _)| (*name, *listed) == (test, place));
        if SKIPPED.iter().any(|(name, _)| *name == test) {
            skipped += 1;
            continue;
        }
        match run(test, case) {
            Ok(()) if differs => wrong.push(format!("{test} {place}: passes although it is listed as differing")),
            Ok(()) => ran += 1,
            Err(_) if differs => differed += 1,
            Err(why) => wrong.push(format!("{test} {place}: {why}\n    {}", short(case))),
        }
    }
    println!("{ran} rows as Traefik, {differed} differ as listed, {skipped} hold no behaviour");
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(differed, EXPECTED_TO_DIFFER.len(), "every listed row is there");
    assert_eq!(ran + differed + skipped, rows.len());
}

fn run(test: &str, case: &Value) -> CaseResult {
    match test {
        "TestIntegrationShouldNotCompress" => table_middlewares::compress(true),
        "TestIntegrationShouldCompress" => table_middlewares::compress(false),
        "TestNewIPWhiteLister" => table_middlewares::white_list_builds(case, "expectedError"),
        "TestBuildIPWhiteLister" => table_middlewares::white_list_builds(case, "errMessage"),
        "TestIPWhiteLister_ServeHTTP" => table_middlewares::white_list(case),
        "TestSSLForceHost" => table_middlewares::ssl_host(case),
        "TestSanitize" | "TestTlsClientHeadersWithPEM" | "TestTlsClientHeadersWithCertInfos" => {
            table_middlewares::client_cert(case)
        }
        "TestNewEntryPointHandler" if flag(&case["errorExpected"]) => table_config::bad_address(case),
        "TestNewEntryPointHandler" => table_middlewares::entry_point_redirect(case),
        "TestNewRegexHandler" => table_middlewares::regex_redirect(case),
        "TestBuildRedirectHandler" => table_middlewares::built_redirect(case),
        "TestHandler" | "TestHandlerOldWay" | "TestHandlerOldWayIntegration" => table_middlewares::error_page(case),
        "TestNewHTTPCodeRanges" => table_middlewares::status_ranges(case),
        "TestHTTPCodeRanges_Contains" => table_middlewares::status_contained(case),
        "TestAuthUsersFromFile" => table_auth::users_file(case),
        "TestForwardAuthRemoveHopByHopHeaders" => table_auth::hop_by_hop(case),
        "Test_writeHeader" => table_auth::forwarded_fields(case),
        "TestRetry" => table_backends::retry(case, "amountFaultyEndpoints", "wantRetryAttempts"),
        "TestRetryWebsocket" => table_backends::retry(case, "amountFaultyEndpoints", "expectedRetryAttempts"),
        "TestEmptyBackendHandler" => table_backends::empty(case["amountServer"].as_u64(), &case["wantStatusCode"]),
        "TestServerResponseEmptyBackend" => table_backends::response(case),
        "TestSetBackendsConfiguration" => table_backends::health_sequence(case),
        "TestNewRequest" | "TestAddHeadersAndHost" => table_backends::probe(case),
        "TestServerBuildHealthCheckOptions" => table_backends::health_options(case),
        "TestConfigureBackends" => table_backends::method(case),
        "TestGetName" | "Test_sanitizeName" => table_backends::cookie_name(case),
        _ => run_others(test, case),
    }
}

/// Tables about rules and about compiled configurations.
fn run_others(test: &str, case: &Value) -> CaseResult {
    match test {
        "TestAddPrefix" => table_rules::add_prefix(case),
        "TestReplacePath" => table_rules::replace_path(case),
        "TestReplacePathRegex" => table_rules::replace_path_regex(case),
        "TestStripPrefix" => table_rules::strip_prefix(case),
        "TestStripPrefixRegex" => table_rules::strip_prefix_regex(case),
        "TestRequestHost" | "TestRequestHostParseHost" => table_rules::host(case),
        "TestGetSans" => table_middlewares::alternative_names(&case["cert"], &texts(&case["expected"])),
        "TestNewTLSClientHeadersFromStruct" => table_config::client_cert_options(case),
        "TestHeaderRewriter_Rewrite" => table_config::forwarded_fields(case),
        "TestServerLoadConfigHealthCheckOptions" => table_config::health_check(case),
        "TestServerLoadConfigEmptyBasicAuth" => table_config::empty_basic_auth(),
        "TestServerEntryPointWhitelistConfig" => table_config::entry_point_white_list(case),
        "TestPrepareServerTimeouts" => table_config::server_timeouts(case),
        "TestMatchingConstraints" => table_config::constraints(case),
        "TestNormalize" => table_config::normalised(case),
        "TestDomain_ToStrArray" => {
            let domain = &case["domain"];
            table_config::domain(string(&domain["main"]), texts(&domain["sANs"]), &case["expected"])
        }
        "TestDomain_Set" => {
            let names = texts(&case["rawDomains"]);
            let (main, sans) =
                names.split_first().map(|(main, sans)| (main.as_str(), sans.to_vec())).unwrap_or_default();
            let expected = &case["expected"];
            let all = [texts(&serde_json::json!([expected["main"]])), texts(&expected["sANs"])].concat();
            table_config::domain(main, sans, &serde_json::json!(all))
        }
        "TestMatchDomain" => table_config::certificate_name(case),
        _ => Err("a table that is neither run nor skipped".into()),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(got: T, expected: T) -> CaseResult {
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
