//! Basic, digest and forward authentication (docs/reference/middlewares.md#authentication).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use ringway::limits::NONCES_MAX;
use ringway::middleware::basic_auth::{AuthEdits, BasicAuth};
use ringway::middleware::credentials::CredentialCache;
use ringway::middleware::digest_auth::{DigestAuth, DigestState};
use ringway::middleware::forward_auth::{AuthServer, ForwardAuth};
use ringway::middleware::{ChainProgress, ChainScope, Middleware};

use crate::support::*;

/// Made with htpasswd 2.4: -m, -s, and -B -C 4.
const ALICE: &str = "alice:$apr1$PhL9r9rs$YKAe33W8NLUWqzruQ2Gg10"; // wonder
const BOB: &str = "bob:{SHA}9SMYoF5RilWWASry7TjeaKwmpGg="; // builder
const CAROL: &str = "carol:$2y$04$jfQS6BvDkeSp9QwbUlxNsur1n0wQmID4szOG5yf3RSfy1DpUZ8Bmm"; // singer
/// MD5 of dave:traefik:digger.
const DAVE: &str = "dave:traefik:f8f0dffa36b3eab435cf21afefda5f57";

fn memory() -> Arc<CredentialCache> {
    Arc::new(CredentialCache::new([7; 32]))
}

fn basic(users: &[&str], file: Option<&str>, after: AuthEdits) -> ChainRun {
    let label = ChainScope::EntryPoint("http").label("Auth");
    let step = BasicAuth::new(&strings(users), file, after, memory(), label).unwrap();
    ChainRun::new(vec![Middleware::Basic(step)])
}

fn with(authorization: &str) -> String {
    format!("GET / HTTP/1.1\nHost: h\nAuthorization: {authorization}")
}

fn credentials(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

fn admits(run: &mut ChainRun, authorization: &str) -> bool {
    let progress = run.send(&with(authorization));
    passes(&run.finish_verify(progress))
}

#[test]
fn every_htpasswd_hash_form_is_accepted() {
    let all = [ALICE, BOB, CAROL];
    for (right, wrong) in
        [("alice:wonder", "alice:wonder1"), ("bob:builder", "bob:Builder"), ("carol:singer", "carol:")]
    {
        let mut run = basic(&all, None, AuthEdits::default());
        assert!(admits(&mut run, &credentials(right)), "{right}");
        assert!(!admits(&mut run, &credentials(wrong)), "{wrong}");
    }
    for magic in ["$2a$", "$2b$", "$2x$"] {
        let mut run = basic(&[&CAROL.replace("$2y$", magic)], None, AuthEdits::default());
        assert!(admits(&mut run, &credentials("carol:singer")), "{magic}");
    }
    assert!(
        !admits(&mut basic(&["eve:plain"], None, AuthEdits::default()), &credentials("eve:plain")),
        "no plain text"
    );
    assert!(!admits(&mut basic(&["eve:"], None, AuthEdits::default()), &credentials("eve:")), "no empty hash");
    assert!(!admits(&mut basic(&["eve:$2y$99$x"], None, AuthEdits::default()), &credentials("eve:x")));
    assert!(!admits(&mut basic(&["eve:{SHA}"], None, AuthEdits::default()), &credentials("eve:")));
}

#[test]
fn refusals_match_traefik_byte_for_byte() {
    for authorization in
        ["Basic", "Basic ", "Basic !!!", "Bearer YWxpY2U6d29uZGVy", "Basic YWxpY2U=", "Basic YWxpY2U6d29uZGVy, Basic x"]
    {
        let (status, fields, body, label) =
            shown(basic(&[ALICE], None, AuthEdits::default()).send(&with(authorization)));
        assert_eq!((status, body.as_str()), (401, "401 Unauthorized\n"), "{authorization}");
        let expected = [("Content-Type", "text/plain"), ("Www-Authenticate", "Basic realm=\"traefik\"")];
        assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(label.as_deref(), Some("Auth for entrypoint http"));
    }
    let two = format!("{}\nAuthorization: {}", with(&credentials("bob:builder")), credentials("eve:x"));
    assert_eq!(shown(basic(&[BOB], None, AuthEdits::default()).send(&two)).0, 401, "two Authorization fields");
    assert!(
        !admits(&mut basic(&[], None, AuthEdits::default()), &credentials("a:b")),
        "no users: all requests are denied"
    );
}

#[test]
fn warm_credential_needs_no_hashing() {
    let mut run = basic(&[CAROL], None, AuthEdits::default());
    let cold = run.send(&with(&credentials("carol:singer")));
    assert!(matches!(cold, ChainProgress::Verify { .. }));
    assert!(passes(&run.finish_verify(cold)));
    assert!(passes(&run.send(&with(&credentials("carol:singer")))), "remembered");
    let wrong = run.send(&with(&credentials("carol:wrong")));
    assert!(matches!(wrong, ChainProgress::Verify { .. }), "another password is another credential");
    assert_eq!(shown(run.finish_verify(wrong)).0, 401);
    let again = run.send(&with(&credentials("carol:wrong")));
    assert!(matches!(again, ChainProgress::Verify { .. }), "wrong ones are not remembered as right");
}

#[test]
fn new_hash_invalidates_the_cached_password() {
    let shared = memory();
    let build = |line: &str| {
        let label = ChainScope::Frontend("f").label("Auth");
        let step = BasicAuth::new(&strings(&[line]), None, AuthEdits::default(), shared.clone(), label).unwrap();
        ChainRun::new(vec![Middleware::Basic(step)])
    };
    assert!(admits(&mut build(CAROL), &credentials("carol:singer")));
    let mut changed = build(&ALICE.replace("alice", "carol"));
    assert!(!admits(&mut changed, &credentials("carol:singer")));
}

#[test]
fn success_sets_the_user_and_may_remove_the_header() {
    let after = AuthEdits { header_field: "x-WebAuth-user".into(), remove_header: true };
    let mut run = basic(&[BOB], None, after);
    let lines = format!("{}\nX-Webauth-User: fake", with(&credentials("bob:builder")));
    assert!(passes(&run.send(&lines)));
    assert_eq!(run.field("X-WebAuth-User").as_deref(), Some("bob"));
    assert_eq!(run.field("authorization"), None);
    assert_eq!(run.state.user, b"bob");
    let mut run = basic(&[BOB], None, AuthEdits::default());
    assert!(admits(&mut run, &credentials("bob:builder")) && run.field("authorization").is_some());
    run.send(&with(&credentials("bob:wrong")));
    assert!(run.state.user.is_empty(), "a denied request has no user");
}

#[test]
fn users_file_overrides_list_and_bad_lines_are_named() {
    let file = format!("# users\n\n  {}\r\n{CAROL}\n", BOB.replace("bob", "alice"));
    let mut run = basic(&[ALICE], Some(&file), AuthEdits::default());
    assert!(admits(&mut run, &credentials("alice:builder")) && !admits(&mut run, &credentials("alice:wonder")));
    let new = |users: &[&str], file| {
        let label = ChainScope::Frontend("f").label("Auth");
        BasicAuth::new(&strings(users), file, AuthEdits::default(), memory(), label).map(|step| step.user_names())
    };
    let error = new(&[BOB], Some("ok:x\neve:secret:more")).unwrap_err().to_string();
    assert!(error.contains("line 2 of usersFile") && error.contains("eve") && !error.contains("secret"), "{error}");
    assert!(new(&["nocolon"], None).unwrap_err().to_string().contains("entry 1 of users"));
}

#[test]
fn scheme_name_is_accepted_in_any_case() {
    let mut run = basic(&[BOB], None, AuthEdits::default());
    let pair = STANDARD.encode("bob:builder");
    for scheme in ["Basic", "basic", "BASIC", "bAsIc", "basic  "] {
        assert!(admits(&mut run, &format!("{scheme} {pair}")), "{scheme}");
    }
    for other in [format!("Basic{pair}"), format!("Bearer {pair}"), format!("Basic\t{pair}"), pair.clone()] {
        assert!(!admits(&mut run, &other), "{other}");
    }
}

#[test]
fn users_that_no_password_lets_in_are_named_with_the_reason() {
    let doubled = ALICE.replace('$', "$$").replace("alice", "dollar");
    let lines = strings(&[&doubled, "plain:secret", BOB, "twice:wrong", "twice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="]);
    let file = "# comment\nfiled:$6$salt$x\n";
    let label = ChainScope::Frontend("f").label("Auth");
    let auth = BasicAuth::new(&lines, Some(file), AuthEdits::default(), memory(), label).unwrap();
    let denied: Vec<&str> = auth.denied_users().collect();
    assert_eq!(denied.len(), 3, "{denied:?}");
    assert!(
        denied[0].starts_with("entry 1 of users (user \"dollar\") can never log in")
            && denied[0].contains("single \"$\"")
    );
    assert!(
        denied[1].starts_with("line 2 of usersFile (user \"filed\")") && denied[1].contains("htpasswd"),
        "{}",
        denied[1]
    );
    assert!(denied[2].starts_with("entry 2 of users (user \"plain\")"), "{}", denied[2]);
    assert!(denied.iter().all(|text| !text.contains("secret") && !text.contains("salt")), "a hash is never shown");
    let mut run = basic(&[&doubled], None, AuthEdits::default());
    assert!(!admits(&mut run, &credentials("dollar:wonder")), "the text is no hash, and is not taken for one");
}

fn digest() -> ChainRun {
    let state = Arc::new(DigestState::new([9; 12]));
    let label = ChainScope::Frontend("f").label("Auth");
    let after = AuthEdits { header_field: "X-User".into(), remove_header: false };
    let step = DigestAuth::new(&strings(&[DAVE]), None, after, state, label).unwrap();
    ChainRun::new(vec![Middleware::Digest(step)])
}

fn hex(text: String) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The Authorization value of a client with its own implementation of digest.
fn digest_answer(challenge: &str, password: &str, uri: &str, count: &str) -> String {
    let part = |name: &str| challenge.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
    let (nonce, opaque) = (part("nonce"), part("opaque"));
    let ha1 = hex(format!("dave:traefik:{password}"));
    let response = hex(format!("{ha1}:{nonce}:{count}:cn:auth:{}", hex(format!("GET:{uri}"))));
    format!(
        "Digest username=\"dave\", realm=\"traefik\", nonce=\"{nonce}\", uri=\"{uri}\", qop=auth, nc={count}, cnonce=\"cn\", \
         response=\"{response}\", opaque=\"{opaque}\", algorithm=MD5"
    )
}

#[test]
fn digest_accepts_each_nonce_count_once() {
    let mut run = digest();
    let (status, fields, body, label) = shown(run.get("h", "/a/b?c=d"));
    assert_eq!((status, body.as_str(), label.as_deref()), (401, "401 Unauthorized\n", Some("Auth for f")));
    let challenge = value(&fields, "www-authenticate").unwrap().to_owned();
    let expected = "Digest realm=\"traefik\", nonce=\"AAECAwQFBgcICQoL\", opaque=\"CQkJCQkJCQkJCQkJ\", algorithm=\"MD5\", qop=\"auth\"";
    assert_eq!(challenge, expected);
    let mut try_it = |password: &str, uri: &str, count: &str| {
        let answer = digest_answer(&challenge, password, uri, count);
        passes(&run.send(&format!("GET /a/b?c=d HTTP/1.1\nHost: h\nAuthorization: {answer}")))
    };
    assert!(!try_it("wrong", "/a/b?c=d", "00000001"));
    assert!(try_it("digger", "/a/b?c=d", "00000001"), "a wrong answer does not use the count up");
    // The random bytes of the test repeat, so that a refused request renews this nonce; real random bytes do not.
    assert!(try_it("digger", "/a", "0000000a"), "a prefix of the path");
    assert!(!try_it("digger", "/other", "0000000b"));
    assert_eq!(run.chain.middlewares().len(), 1);
}

#[test]
fn digest_refuses_replays_and_foreign_nonces() {
    let mut run = digest();
    let (_, fields, ..) = shown(run.get("h", "/"));
    let challenge = value(&fields, "www-authenticate").unwrap().to_owned();
    let mut send = |challenge: &str, count: &str| {
        let answer = digest_answer(challenge, "digger", "/", count);
        passes(&run.send(&with(&answer)))
    };
    assert!(send(&challenge, "00000002"));
    assert!(send(&challenge, "00000003"));
    assert!(!send(&challenge, "00000003"), "replayed");
    assert!(!send(&challenge.replace("AAEC", "BBBB"), "00000004"), "not ours");
    assert!(!send(&challenge.replace("CQkJ", "XXXX"), "00000005"), "another opaque");
}

#[test]
fn digest_keeps_a_bounded_number_of_nonces() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let state = DigestState::new([0; 12]);
    for _ in 0..3 * NONCES_MAX {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        state.issue(number, |bytes| bytes[..8].copy_from_slice(&number.to_be_bytes()));
    }
    assert!(state.nonces() <= NONCES_MAX && state.nonces() > NONCES_MAX / 2);
}

fn forward(trust: bool) -> ChainRun {
    let server = AuthServer { authority: "auth.test:9000".into(), target: "/check/in?x=1".into() };
    let label = ChainScope::Frontend("f").label("Auth");
    let step = ForwardAuth::new(server, trust, strings(&["X-Auth", "X-Other"]), label);
    ChainRun::new(vec![Middleware::Forward(step)])
}

const FORWARDED: &str = "POST /p?q=1 HTTP/1.1\nHost: fwd\nAccept: a\nX-Forwarded-For: 9.9.9.9\nX-Forwarded-Host: evil\n\
    X-Forwarded-Port: 99\nX_Forwarded_Uri: /evil\nX_Real_Ip: evil\nConnection: x-drop\nX-Drop: 1\nTE: trailers\nContent-Length: 4";

fn asked_fields(run: &mut ChainRun) -> Vec<(String, String)> {
    asked(run.send(FORWARDED)).0.fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

#[test]
fn forward_auth_request_has_the_specified_form() {
    let owned = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let own = [
        ("Host", "auth.test:9000"),
        ("Accept", "a"),
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Method", "POST"),
        ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host", "fwd"),
        ("X-Forwarded-Uri", "/p?q=1"),
    ];
    assert_eq!(asked_fields(&mut forward(false)), owned(&own));
    let mut stranger = forward(true);
    stranger.trusted = false;
    assert_eq!(asked_fields(&mut stranger), owned(&own));
    let claims = format!("{FORWARDED}\nX-Forwarded-Prefix: /evil\nX-Real-Ip: 6.6.6.6\nForwarded: for=evil");
    let sent: Vec<_> = asked(stranger.send(&claims)).0.fields.iter().map(|(n, v)| (text(n), text(v))).collect();
    assert_eq!(sent, owned(&own), "nothing that a stranger claims goes to the one who decides");
    let fields = asked_fields(&mut forward(true));
    assert_eq!(value(&fields, "x-forwarded-for"), Some("9.9.9.9, 192.0.2.7"));
    assert_eq!((value(&fields, "x-forwarded-host"), value(&fields, "x-forwarded-port")), (Some("evil"), Some("99")));
    assert_eq!(value(&fields, "x-forwarded-uri"), Some("/p?q=1"));
}

#[test]
fn forward_auth_success_copies_only_named_fields() {
    let mut run = forward(false);
    let (_, at) = asked(run.send("GET / HTTP/1.1\nHost: h\nX-Auth: fake\nX-Other: fake"));
    assert!(passes(&run.answer_auth_request(at, Some(("HTTP/1.1 204 No Content\nX-Auth: me\nSet-Cookie: a=b", "")))));
    assert_eq!(run.field("x-auth").as_deref(), Some("me"));
    assert_eq!((run.field("x-other"), run.field("set-cookie")), (None, None));
}

#[test]
fn forward_auth_denial_is_relayed_and_failure_is_500() {
    for sent in ["/login", "login?a", "../out", "?rd=%2F", "//other/x", "https://sso/x"] {
        let mut run = forward(false);
        let (_, at) = asked(run.get("h", "/"));
        let lines = format!(
            "HTTP/1.1 302 Found\nLocation: {sent}\nSet-Cookie: a=b\nConnection: x-hop\nX-Hop: 1\nContent-Length: 2"
        );
        let (status, fields, body, label) = shown(run.answer_auth_request(at, Some((&lines, "no"))));
        assert_eq!((status, body.as_str(), label.as_deref()), (302, "no", Some("Auth for f")));
        assert_eq!(fields, [("Location".to_owned(), sent.to_owned()), ("Set-Cookie".into(), "a=b".into())]);
    }
    let mut run = forward(false);
    let (_, at) = asked(run.get("h", "/"));
    let (status, fields, body, _) = shown(run.answer_auth_request(at, None));
    assert_eq!((status, fields.len(), body.as_str()), (500, 0, ""));
}
