//! The dashboard's files, embedded in the binary, and the redirect to them. The files request the API by relative paths, so that
//! they work below any prefix.

use std::borrow::Cow;

use super::{ExposedRoutes, InternalRequest, not_found, redirect};
use crate::http::Reply;

/// A file of the dashboard: its index in [`FILES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset(Option<usize>);

struct File {
    name: &'static str,
    content_type: &'static str,
    body: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Includes a file of `observe/dashboard`.
macro_rules! file {
    ($name:literal, $content_type:expr) => {
        File { name: $name, content_type: $content_type, body: include_bytes!(concat!("../dashboard/", $name)) }
    };
}

/// The files. The page is the first.
const FILES: &[File] = &[
    file!("index.html", HTML),
    file!("style.css", STYLE),
    file!("pages.css", STYLE),
    file!("icon.svg", "image/svg+xml"),
    file!("app.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("attention.js", SCRIPT),
    file!("certificates.js", SCRIPT),
    file!("charts.js", SCRIPT),
    file!("configuration.js", SCRIPT),
    file!("containers.js", SCRIPT),
    file!("details.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("errors.js", SCRIPT),
    file!("explain.js", SCRIPT),
    file!("explanation.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("health.js", SCRIPT),
    file!("listing.js", SCRIPT),
    file!("overview.js", SCRIPT),
    file!("routes.js", SCRIPT),
    file!("search.js", SCRIPT),
    file!("servers.js", SCRIPT),
    file!("theme.js", SCRIPT),
    file!("virtual.js", SCRIPT),
];

impl Asset {
    /// The file of the given name below `/dashboard/`.
    pub(super) fn of(name: &[u8]) -> Self {
        let name = if name.is_empty() { b"index.html" } else { name };
        Asset(FILES.iter().position(|file| file.name.as_bytes() == name))
    }
}

/// The Content-Security-Policy: the page may load scripts, styles, images and data only from its own origin, nothing inside the page runs,
/// and no other page may embed it.
const POLICY: &[u8] =
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
form-action 'none'; frame-ancestors 'none'";

pub(super) fn asset(asset: Asset) -> Reply {
    let Some(file) = asset.0.and_then(|index| FILES.get(index)) else { return not_found() };
    Reply { status: 200, body: Cow::Borrowed(file.body), ..Reply::default() }
        .with("Content-Type", file.content_type.as_bytes())
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
        for script in FILES.iter().filter(|file| file.content_type == SCRIPT) {
            let text = std::str::from_utf8(script.body).unwrap();
            for word in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "setAttribute('style'"]
            {
                assert!(!text.contains(word), "{word} is in {}", script.name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/observe/dashboard");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(Asset::of(name.as_bytes()).0.is_some(), "{name} is not in FILES");
        }
    }
}
