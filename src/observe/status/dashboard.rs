//! The dashboard's files, embedded in the binary, and the redirect to them. The files request the API by relative paths, so that
//! they work below any prefix.

use std::borrow::Cow;

use super::{ExposedRoutes, InternalRequest, not_found, redirect};
use crate::http::Reply;

/// A file of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asset {
    Page,
    Script,
    Charts,
    Style,
    Icon,
    /// No file has the requested name.
    Missing,
}

impl Asset {
    /// The file of the given name below `/dashboard/`.
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"" | b"index.html" => Asset::Page,
            b"app.js" => Asset::Script,
            b"charts.js" => Asset::Charts,
            b"style.css" => Asset::Style,
            b"icon.svg" => Asset::Icon,
            _ => Asset::Missing,
        }
    }
}

/// The Content-Security-Policy: the page may load only from its own origin, and scripts inside the page do not run.
const POLICY: &[u8] = b"default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'";

pub(super) fn asset(asset: Asset) -> Reply {
    let (kind, body): (&'static [u8], &'static [u8]) = match asset {
        Asset::Page => (b"text/html; charset=utf-8", include_bytes!("../dashboard/index.html")),
        Asset::Script => (b"text/javascript; charset=utf-8", include_bytes!("../dashboard/app.js")),
        Asset::Charts => (b"text/javascript; charset=utf-8", include_bytes!("../dashboard/charts.js")),
        Asset::Style => (b"text/css; charset=utf-8", include_bytes!("../dashboard/style.css")),
        Asset::Icon => (b"image/svg+xml", include_bytes!("../dashboard/icon.svg")),
        Asset::Missing => return not_found(),
    };
    Reply { status: 200, body: Cow::Borrowed(body), ..Reply::default() }
        .with("Content-Type", kind)
        .with("Content-Security-Policy", POLICY)
        .with("X-Content-Type-Options", &b"nosniff"[..])
        .with("Referrer-Policy", &b"no-referrer"[..])
        // The files change with the binary and are small: a repeated request is cheaper than an old page with a new API.
        .with("Cache-Control", &b"no-cache"[..])
}

/// Redirects to `<prefix>/dashboard/` (docs/reference/api.md#dashboard). The prefix is used only if [`safe_prefix`] accepts it, so
/// that the redirect never leads to another host.
pub(super) fn redirect_to_dashboard(request: &InternalRequest, exposed: &ExposedRoutes) -> Reply {
    let mut location = request.forwarded_prefix.and_then(safe_prefix).unwrap_or(b"").to_vec();
    location.extend_from_slice(if exposed.base.is_empty() { b"/" } else { exposed.base.as_bytes() });
    location.extend_from_slice(b"dashboard/");
    redirect(302, "Found", location)
}

/// The prefix without its trailing slashes, or `None` unless it is a path and nothing else. Browsers read `//host` and `/\host` as
/// another host: a prefix with a second slash in front or with any backslash is not accepted.
fn safe_prefix(prefix: &[u8]) -> Option<&[u8]> {
    let mut prefix = prefix.trim_ascii();
    while let Some(shorter) = prefix.strip_suffix(b"/") {
        prefix = shorter;
    }
    let is_path = prefix.starts_with(b"/") && !prefix.starts_with(b"//");
    let is_plain = prefix.iter().all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(b));
    (is_path && is_plain).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_prefix_never_leads_to_another_host() {
        for (prefix, safe) in [("/p", "/p"), ("/p/", "/p"), ("/p/q//", "/p/q"), ("/a%20b", "/a%20b")] {
            assert_eq!(safe_prefix(prefix.as_bytes()), Some(safe.as_bytes()), "{prefix}");
        }
        for prefix in [
            "",
            "/",
            "//",
            "//evil.test",
            "/\\evil.test",
            "\\\\evil",
            "https://evil.test",
            "evil",
            "/a b",
            "/a?b",
            "/\n",
        ] {
            assert_eq!(safe_prefix(prefix.as_bytes()), None, "{prefix:?}");
        }
    }

    #[test]
    fn page_holds_nothing_that_its_policy_forbids() {
        let page = include_str!("../dashboard/index.html");
        for word in ["<style", " style=", "onclick=", "http://", "https://", "javascript:"] {
            assert!(!page.contains(word), "{word} is in the page");
        }
        assert_eq!(page.matches("<script").count(), page.matches("<script src=").count());
        for script in [include_str!("../dashboard/app.js"), include_str!("../dashboard/charts.js")] {
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
                assert!(!script.contains(word), "{word} is in a script");
            }
        }
    }
}
