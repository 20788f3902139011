//! Traefik v1's own unit tables, read at run time where the shared folder exists. Every row is run, or skipped or expected
//! to differ by name with a reason; a row that is in none of the lists fails.

mod rows_of_auth;
mod rows_of_backends;
mod rows_of_config;
mod rows_of_rules;
mod rows_of_steps;

use std::collections::BTreeMap;

use serde_json::Value;

/// Tables that hold no behaviour of the proxy's.
const SKIPPED: &[(&str, &str)] = &[
    ("TestRetryListeners", "Go's listener plumbing; retries are counted by the worker"),
    ("TestNewResponseRecorder", "Go's response writer"),
    ("TestForwardAuthFailResponseHeaders", "fields without their names; auth.rs and tests/steps have the answer whole"),
    ("TestConfigurationErrors", "Go templates are not run (COMPAT.md, docker.filename and file.templates)"),
    ("TestBaseProvider_GetConfiguration", "the text of a Go template, which is not run (COMPAT.md, docker.filename)"),
];

/// Rows that we do not answer like Traefik, by test and place in its table.
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
        "TestNewEntryPointHandler" if flag(&case["errorExpected"]) => rows_of_config::bad_address(case),
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
        _ => run_others(test, case),
    }
}

/// Tables about rules and about what a configuration becomes.
fn run_others(test: &str, case: &Value) -> Outcome {
    match test {
        "TestAddPrefix" => rows_of_rules::add_prefix(case),
        "TestReplacePath" => rows_of_rules::replace_path(case),
        "TestReplacePathRegex" => rows_of_rules::replace_path_regex(case),
        "TestStripPrefix" => rows_of_rules::strip_prefix(case),
        "TestStripPrefixRegex" => rows_of_rules::strip_prefix_regex(case),
        "TestRequestHost" | "TestRequestHostParseHost" => rows_of_rules::host(case),
        "TestGetSans" => rows_of_steps::alternative_names(&case["cert"], &texts(&case["expected"])),
        "TestNewTLSClientHeadersFromStruct" => rows_of_config::client_cert_options(case),
        "TestHeaderRewriter_Rewrite" => rows_of_config::forwarded_fields(case),
        "TestServerLoadConfigHealthCheckOptions" => rows_of_config::health_check(case),
        "TestServerLoadConfigEmptyBasicAuth" => rows_of_config::empty_basic_auth(),
        "TestServerEntryPointWhitelistConfig" => rows_of_config::entry_point_white_list(case),
        "TestPrepareServerTimeouts" => rows_of_config::server_timeouts(case),
        "TestMatchingConstraints" => rows_of_config::constraints(case),
        "TestNormalize" => rows_of_config::normalised(case),
        "TestDomain_ToStrArray" => {
            let domain = &case["domain"];
            rows_of_config::domain(string(&domain["main"]), texts(&domain["sANs"]), &case["expected"])
        }
        "TestDomain_Set" => {
            let names = texts(&case["rawDomains"]);
            let (main, sans) =
                names.split_first().map(|(main, sans)| (main.as_str(), sans.to_vec())).unwrap_or_default();
            let expected = &case["expected"];
            let all = [texts(&serde_json::json!([expected["main"]])), texts(&expected["sANs"])].concat();
            rows_of_config::domain(main, sans, &serde_json::json!(all))
        }
        "TestMatchDomain" => rows_of_config::certificate_name(case),
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
