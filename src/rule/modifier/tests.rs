//! Tests of `rule/modifier`.

use super::*;
use crate::rule::Rule;
use proptest::prelude::*;

/// The target and the fields of a rewritten request as text, or the name of another outcome.
fn apply(rule: &str, target: &str, sanitize: bool) -> String {
    let mut modifiers = Rule::parse(rule).expect(rule).modifiers;
    modifiers.sanitize = sanitize;
    let mut scratch = Scratch::default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match modifiers.apply(target.as_bytes(), &mut scratch) {
        PathOutcome::Forward(new) => {
            let fields = new.fields().map(|(name, value, _)| format!(" {name}={}", text(value)));
            text(new.target) + &fields.collect::<String>()
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn target_without_modifiers_changes_only_if_unsafe() {
    for target in ["/a%2fb/%41?x=%zz", "*", "/a/../b", "/a//b;x?y?z", "/a!|{}\"?q"] {
        assert_eq!(apply("Host:h", target, false), "Unchanged", "{target}");
    }
    assert_eq!(apply("Host:h", "/é%2f?é", false), "/%C3%A9%2f?é");
    assert_eq!(apply("Host:h", "", false), "/");
    assert_eq!(apply("Host:h", "?a=b", true), "/?a=b");
    assert_eq!(apply("Host:h", "/a//b%2f", true), "Unchanged");
    assert_eq!(apply("Host:h", "/a/../b?x", true), "/b?x");
    assert_eq!(apply("Host:h", "/a%zz", true), "Refused");
}

#[test]
fn modifiers_apply_in_fixed_order() {
    let rule = "PathPrefixStripRegex:/{v:v[0-9]};PathPrefixStrip:/api;AddPrefix:/new;ReplacePathRegex:^/new/(.*) /r/$1";
    assert_eq!(
        apply(rule, "/v1/api/x?q", false),
        "/r/x?q X-Forwarded-Prefix=/v1 X-Forwarded-Prefix=/api X-Replaced-Path=/new/x"
    );
    assert_eq!(apply(rule, "/api/v1/x", false), "NotFound");
    assert_eq!(apply("AddPrefix:/a;ReplacePath:/b", "/x?q", false), "/b?q X-Replaced-Path=/a/x");
    assert_eq!(apply("ReplacePathRegex:^/a /b", "/x", false), "Unchanged");
}

#[test]
fn strip_by_ambiguous_template_gives_empty_response() {
    assert_eq!(apply("PathPrefixStripRegex:/{a:x*}{b:y*}", "/q", false), "Empty");
}

#[test]
fn invalid_utf8_is_stripped_and_replaced_bytewise() {
    assert_eq!(apply("PathPrefixStripRegex:/{a}", "/%e9x/y", false).split(' ').next(), Some("/y"));
    assert_eq!(apply("ReplacePathRegex:^/(.)(.*)$ /$2", "/%e9%e8x", false).split(' ').next(), Some("/%E8x"));
}

#[test]
fn field_values_have_control_bytes_encoded() {
    assert_eq!(apply("ReplacePath:/z", "/a%0d%0aX: y", false), "/z X-Replaced-Path=/a%0D%0AX: y");
}

#[test]
fn sanitised_remainder_has_one_slash_and_no_traversal() {
    assert_eq!(apply("PathPrefixStrip:/api", "/api../admin", true), "Refused");
    assert_eq!(apply("PathPrefixStrip:/api", "/api/../admin", true), "NotFound");
    assert_eq!(apply("PathPrefixStrip:/api", "/api//x", true), "/x X-Forwarded-Prefix=/api");
    assert_eq!(apply("PathPrefixStrip:/api", "/api/a%2Fb%20c", true), "/a%2Fb%20c X-Forwarded-Prefix=/api");
    assert_eq!(apply("PathPrefixStrip:/api", "/%61pi/x", true), "/x X-Forwarded-Prefix=/api");
    assert_eq!(apply("AddPrefix:z", "/x", true), "/z/x");
    assert_eq!(apply("ReplacePathRegex:^/r(.*) $1", "/r//evil", true), "/evil X-Replaced-Path=/r/evil");
}

#[test]
fn sanitised_remainder_keeps_its_escapes() {
    let rows = [
        ("PathPrefixStrip:/api", "/api/a%2Fb|c", "/a%2Fb%7Cc"),
        ("PathPrefixStrip:/api", "/api/\u{e9}%2fb", "/%C3%A9%2fb"),
        ("PathPrefixStrip:/a/b", "/a%2Fb/x%2Fy", "/x%2Fy"),
        ("PathPrefixStrip:/a/b", "/a//%2fb/x%2Fy", "/x%2Fy"),
        ("PathPrefixStrip:/api", "/api/a%2F/b", "/a%2F/b"),
        // At the front of the remainder an encoded slash counts as a slash, as in Traefik v1.
        ("PathPrefixStrip:/api", "/api%2Fa%2Fb", "/a%2Fb"),
        ("PathPrefixStrip:/api", "/api/%2Fa%2Fb", "/a%2Fb"),
        ("PathPrefixStrip:/api", "/api%2F%2f", "/"),
        ("PathPrefixStrip:/a b", "/a%20b/%2521%2Fy", "/%2521%2Fy"),
        ("PathPrefixStrip:/api;AddPrefix:/50%|", "/api/a%2Fb", "/50%25%7C/a%2Fb"),
        ("PathPrefixStrip:/api;ReplacePath:/a/b", "/api/a%2Fb", "/a/b"),
        ("PathPrefixStripRegex:/{v}/", "/%C3%A9/x%2Fy", "/x%2Fy"),
        ("PathPrefixStripRegex:/{v}", "/a%20b%2Fx%2Fy|", "/x%2Fy%7C"),
    ];
    for (rule, target, wanted) in rows {
        assert_eq!(apply(rule, target, true).split(' ').next(), Some(wanted), "{rule}, {target}");
    }
    assert_eq!(apply("PathPrefixStrip:/api", "/api..%5Cx%2Fy|", true), "Refused");
}

/// Go's rule: the raw form is used only while it is legal and still decodes to the path.
#[test]
fn unsanitised_remainder_is_encoded_as_in_traefik() {
    assert_eq!(apply("PathPrefixStrip:/api", "/api/a%2Fb", false), "/a%2Fb X-Forwarded-Prefix=/api");
    assert_eq!(apply("PathPrefixStrip:/api", "/api/a%2Fb|c", false), "/a/b%7Cc X-Forwarded-Prefix=/api");
    assert_eq!(apply("PathPrefixStrip:/a/b", "/a%2Fb/x%2Fy", false), "/x/y X-Forwarded-Prefix=/a/b");
    assert_eq!(apply("PathPrefixStrip:/api", "/api%2Fbar", false), "/bar X-Forwarded-Prefix=/api");
}

#[test]
fn outcome_has_stripped_path_and_added_prefix() {
    let mut modifiers = Rule::parse("PathPrefixStrip:/a;AddPrefix:/p").expect("valid").modifiers;
    modifiers.sanitize = true;
    let mut scratch = Scratch::default();
    let PathOutcome::Forward(new) = modifiers.apply(b"/a/b", &mut scratch) else { panic!("forwarded") };
    assert_eq!(new.stripped_from, Some(&b"/a/b"[..]));
    assert_eq!(new.added_prefix, Some(&b"/p"[..]));
}

proptest! {
    /// The server decodes the new target to the path without its prefix, and gets every encoded slash behind the front of that path.
    #[test]
    fn sanitised_target_decodes_to_remaining_path(
        prefix in "/(/|%2f)?(a|%61)(p|%70)i",
        front in "(/|%2f){0,3}",
        rest in "([a|!\"][/a|!\"]{0,3}(%2f|%7C|%61|%25|%c3%a9|/){0,8})?",
    ) {
        let target = format!("{prefix}{front}{rest}");
        let mut buffers = path::PathBuffers::default();
        let mut wanted = path::read(target.as_bytes(), true, &mut buffers).expect("no dots").path.to_vec();
        cut(&mut wanted, b"/api");
        let forwarded = apply("PathPrefixStrip:/api", &target, true);
        let forwarded = forwarded.split(' ').next().unwrap_or_default();
        let view = path::read(forwarded.as_bytes(), true, &mut buffers).expect("readable");
        prop_assert_eq!(view.path, &wanted[..], "{} -> {}", target, forwarded);
        prop_assert!(forwarded.starts_with('/') && !forwarded.starts_with("//"), "{} -> {}", target, forwarded);
        prop_assert_eq!(forwarded.matches("%2f").count(), rest.matches("%2f").count(), "{} -> {}", target, forwarded);
    }
}
