//! Configuration files. A text that the `toml` crate rejects is rejected by the reader, errors and warnings have positions inside the text,
//! and every document compiles to a snapshot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::config::dynamic::DynamicConfig;
use ringway::config::static_config::StaticConfig;
use ringway::config::text::{FileDocument, ParsedConfig, dedicated, inline, merge, read};
use ringway_fuzz::compiled;

fuzz_target!(|text: &str| {
    let is_toml = text.parse::<toml::Table>().is_ok();
    let fixed = read::<StaticConfig>(text, "traefik.toml");
    assert!(is_toml || fixed.is_err());
    match dedicated(text, "routes.toml") {
        Ok(ParsedConfig { value, .. }) => {
            // Quoted braces are rendered before the text is parsed as TOML, and only in a file of routes.
            if !text.contains("{{") {
                assert!(is_toml, "accepted what is no TOML");
                // In the main file the same text has the same result.
                let beside = inline(text, "traefik.toml").expect("routes read from the main file too");
                assert_eq!(beside.value, value);
            }
            let merged = merge([("routes.toml", &FileDocument::from(value.clone()))]);
            assert!(merged.dynamic == value && merged.rejected.is_empty());
            check_compiled(value);
        }
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
});

fn check_compiled(document: DynamicConfig) {
    let frontends = document.frontends.len();
    let snapshot = compiled("file", document);
    let routes: usize = snapshot.routers.iter().map(|router| router.len()).sum();
    assert!(routes + snapshot.rejected.len() >= frontends, "a frontend without a route and without a reason");
}
