//! Sticky sessions: a cookie that names the server of a client (docs/reference/backends.md#sticky-sessions).

use sha1::{Digest, Sha1};

use super::url::ServerUrl;

/// The name of the cookie of the deprecated option `sticky = true`.
pub const OLD_COOKIE_NAME: &str = "_TRAEFIK_BACKEND";

/// The name and attributes of the cookie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StickyCookie {
    pub name: String,
    pub secure: bool,
    pub http_only: bool,
    /// `none`, `lax` or `strict`, in any letter case; any other text is ignored.
    pub same_site: String,
}

/// The cookie's name: the configured name, sanitised, or `_` and five hex digits of a hash of the backend's name.
pub fn cookie_name(configured: &str, backend: &str) -> String {
    if !configured.is_empty() {
        return sanitised(configured);
    }
    let hash = Sha1::digest(format!("{OLD_COOKIE_NAME}_{backend}"));
    let hex: String = hash.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("_{}", &hex[..5])
}

/// A cookie name in which `_` replaces every character that is not allowed.
pub fn sanitised(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^`|~".contains(c);
    name.chars().map(|c| if allowed(c) { c } else { '_' }).collect()
}

impl StickyCookie {
    /// The value of Set-Cookie that binds the client to this server.
    pub fn set_cookie(&self, server: &ServerUrl) -> String {
        let mut text = format!("{}={}; Path=/", self.name, server.text);
        text += if self.http_only { "; HttpOnly" } else { "" };
        text += if self.secure { "; Secure" } else { "" };
        text += match self.same_site.to_ascii_lowercase().as_str() {
            "none" => "; SameSite=None",
            "lax" => "; SameSite=Lax",
            "strict" => "; SameSite=Strict",
            _ => "",
        };
        text
    }

    /// The cookie's value in a Cookie field.
    pub fn value_in<'a>(&self, cookies: &'a [u8]) -> Option<&'a str> {
        let value = cookies.split(|&b| b == b';').find_map(|pair| {
            let pair = pair.trim_ascii();
            let rest = pair.strip_prefix(self.name.as_bytes())?;
            rest.strip_prefix(b"=")
        })?;
        let unquoted = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        std::str::from_utf8(unquoted).ok()
    }
}
