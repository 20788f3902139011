//! Basic authentication with files made by the real `htpasswd` and with lists in the configuration, and the request to the server.

use crate::base::{installed, stdout_of, tool_or_skip};
use crate::support::*;

/// name:password for curl's -u; the name tells the kind of hash.
const USERS: [(&str, &str, &str); 3] = [("md5", "-m", "one"), ("sha", "-s", "two"), ("bcrypt", "-B", "three")];

#[test]
fn htpasswd_hashes_are_accepted() {
    if !tool_or_skip("htpasswd", installed("htpasswd")) {
        return;
    }
    for driver in DRIVERS {
        let work = tempfile::tempdir().unwrap();
        let file = work.path().join("users").display().to_string();
        std::fs::write(&file, "# made by htpasswd\n\n").unwrap();
        for (name, kind, password) in USERS {
            stdout_of("htpasswd", &["-b", kind, &file, name, password]);
        }
        // Of two lines with the same name the later one counts.
        stdout_of("htpasswd", &["-b", "-m", &file, "md5", "one"]);
        let line = stdout_of("htpasswd", &["-nb", "-m", "listed", "four"]);
        let origin = Origin::with_body("inside");
        let auth = format!(
            "[F.auth]\nheaderField=\"x-uSer\"\n[F.auth.basic]\nusersFile={file:?}\nusers=[{:?}]\nremoveHeader=true",
            line.trim()
        );
        let rules = Rules::default().add("users", &[origin.url()], &auth, "");
        let proxy = Proxy::start(driver, "", rules.text());
        let status = ["-o", "/dev/null", "-w", "%{http_code}", "-u"];
        for (name, _, password) in USERS.into_iter().chain([("listed", "", "four")]) {
            let pair = format!("{name}:{password}");
            assert_eq!(proxy.curl(&["-u", &pair, "-H", "X-User: forged"], "users", "/"), "inside", "{name}");
            let seen = origin.last();
            assert_eq!((seen.values("X-User"), seen.first("Authorization")), (vec![name], None));
            assert!(seen.fields.iter().any(|(field, _)| field == "x-uSer"), "the field's name goes out as written");
            let wrong = format!("{name}:{password}x");
            assert_eq!(proxy.curl(&[&status[..], &[wrong.as_str()]].concat(), "users", "/"), "401", "{name}");
            let remembered = proxy.curl(&[&status[..], &[pair.as_str()]].concat(), "users", "/");
            assert_eq!(remembered, "200", "{name}: a wrong password spoils nothing");
        }
        assert_eq!(origin.count(), 2 * (USERS.len() + 1));
    }
}

#[test]
fn missing_credentials_get_the_challenge() {
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let user = "test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/";
        let both = format!("basicAuth=[{user:?}]\n[F.auth.basic]\nusers=[{user:?}]");
        let rules = Rules::default()
            .add("old", &[origin.url()], &format!("basicAuth=[{user:?}]"), "")
            .add("both", &[origin.url()], &both, "")
            .add("nobody", &[origin.url()], "[F.auth.basic]\nusers=[]", "")
            .add("plain", &[origin.url()], "[F.auth.basic]\nusers=[\"a:secret\"]", "");
        let proxy = Proxy::start(driver, "", rules.text());
        let right = "Authorization: Basic dGVzdDp0ZXN0";
        for (host, fields) in [
            ("old", &[][..]),
            ("both", &[]),
            ("nobody", &[right]),
            ("plain", &["Authorization: Basic YTpzZWNyZXQ="]),
            ("old", &["Authorization: Bearer dGVzdDp0ZXN0"]),
            ("old", &["Authorization: Basic !!!"]),
        ] {
            let answer = proxy.send("GET", host, "/", fields, b"");
            assert_eq!(answer.status_and_text(), (401, "401 Unauthorized\n".to_owned()), "{host} {fields:?}");
            assert_eq!(answer.first("Www-Authenticate"), Some("Basic realm=\"traefik\""));
            assert_eq!(answer.first("Content-Type"), Some("text/plain"));
        }
        for host in ["old", "both"] {
            assert_eq!(proxy.send("GET", host, "/", &[right], b"").text(), "inside");
            assert_eq!(
                origin.last().first("Authorization"),
                Some("Basic dGVzdDp0ZXN0"),
                "the header is forwarded unless removeHeader is set"
            );
        }
    }
}

#[test]
fn user_with_a_doubled_dollar_is_named_at_the_default_level() {
    let hash = "$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/".replace('$', "$$");
    for driver in DRIVERS {
        let origin = Origin::with_body("inside");
        let auth = format!("[F.auth.basic]\nusers=[\"test:{hash}\"]");
        let rules = Rules::default().add("web", &[origin.url()], &auth, "").add(
            "wrong",
            &[origin.url()],
            "[F.auth.digest]\nusers=[\"dave:private:00000000000000000000000000000000\"]",
            "[B.healthCheck]\npath=\"/\"\nscheme=\"h3\"",
        );
        let rules = rules.add("moved", &[origin.url()], "[F.redirect]\nregex=\"^a\"", "");
        let proxy = Proxy::start(driver, "[api]\nentryPoint=\"http\"", rules.text());
        let sent = proxy.send("GET", "web", "/x", &["Authorization: Basic dGVzdDp0ZXN0"], b"");
        assert_eq!(sent.status, 401, "{driver}: such a text is no hash");
        let rejected = proxy.get("x", "/api/rejected").text();
        for (place, words) in [
            ("web", "user \"test\") can never log in: its hash begins with \"$$\""),
            ("wrong", "user \"dave\") can never log in: its realm is not \"traefik\""),
            ("wrong", "scheme \"h3\" cannot be used"),
            ("moved", "redirect ignored: it has a regex and no replacement"),
        ] {
            let words = words.replace('"', "\\\"");
            let line = proxy.process.log().lines().find(|line| line.contains(&words)).map(str::to_owned);
            let line = line.unwrap_or_else(|| panic!("{driver}: {words}: {}", proxy.process.log()));
            assert!(line.contains(place) && line.contains("level=error"), "{driver}: {line}");
            assert!(rejected.contains(&words), "{driver}: {words}: {rejected}");
        }
        assert!(!proxy.process.log().contains("apr1"), "a hash is never shown");
    }
}
