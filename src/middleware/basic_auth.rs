//! Basic authentication (RFC 7617; docs/reference/entry-points.md#basic-and-digest, docs/reference/middlewares.md#basic).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::credentials::{CredentialCache, PasswordHash, VerifyJob};
use super::{ChainScope, ChainState, Label, Request, Verdict};
use crate::http::Reply;
use crate::limits::CREDENTIAL_BYTES_MAX;

pub(super) const REALM: &str = "traefik";

/// Users and what becomes of their credentials.
#[derive(Debug)]
pub struct BasicAuth {
    users: HashMap<Vec<u8>, PasswordHash>,
    after: AuthEdits,
    memory: Arc<CredentialCache>,
    label: Label,
}

/// What a successful authentication does to the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthEdits {
    /// This field carries the user's name to the backend, spelled as written; empty: none does.
    pub header_field: String,
    /// Authorization is not forwarded.
    pub remove_header: bool,
}

/// A line of a user list that cannot be read. It names the user only, never the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUser {
    pub line: usize,
    pub in_file: bool,
    pub user: Option<String>,
    pub form: &'static str,
}

impl BasicAuth {
    /// `users`: `name:hash` lines; `users_file`: the text of a file of such lines, which win over the list.
    /// A set without users refuses everybody.
    pub fn new(
        users: &[String],
        users_file: Option<&str>,
        after: AuthEdits,
        memory: Arc<CredentialCache>,
        label: Label,
    ) -> Result<Self, InvalidUser> {
        let mut known = HashMap::new();
        for line in user_lines(users, users_file) {
            let mut parts = line.text.split(':');
            let (Some(name), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
                return Err(line.invalid("name:hash, with exactly one colon"));
            };
            known.insert(name.as_bytes().to_vec(), PasswordHash::parse(hash));
        }
        Ok(BasicAuth { users: known, after, memory, label })
    }

    /// The label of the deprecated list is `Basic Auth for ...`, that of `auth` is `Auth for ...`.
    pub fn list_label(place: ChainScope) -> Label {
        place.label("Basic Auth")
    }

    pub fn auth_label(place: ChainScope) -> Label {
        place.label("Auth")
    }

    /// Names of the users, sorted; for messages and tests.
    pub fn user_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.users.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort();
        names
    }

    pub fn on_request(&self, request: &mut Request, passage: &mut ChainState) -> Verdict {
        let Some(credentials) = credentials(request) else { return self.refuse() };
        let Some(colon) = credentials.iter().position(|&b| b == b':') else { return self.refuse() };
        let (user, password) = (&credentials[..colon], &credentials[colon + 1..]);
        let Some(hash) = self.users.get(user) else { return self.refuse() };
        passage.user.clear();
        passage.user.extend_from_slice(user);
        if !hash.is_slow() {
            return self.on_verified(hash.matches(password), request, passage);
        }
        let digest = self.memory.digest(user, hash, password);
        if self.memory.knows(&digest) {
            return self.on_verified(true, request, passage);
        }
        let (hash, password, memory) = (hash.clone(), password.to_vec(), self.memory.clone());
        Verdict::Verify(Box::new(VerifyJob { hash, password, digest, memory }))
    }

    /// The end of a comparison that [`BasicAuth::on_request`] began.
    pub fn on_verified(&self, matches: bool, request: &mut Request, passage: &mut ChainState) -> Verdict {
        if !matches {
            passage.user.clear();
            return self.refuse();
        }
        self.after.apply(request, &passage.user);
        Verdict::Next
    }

    fn refuse(&self) -> Verdict {
        Verdict::reply(unauthorized(format!("Basic realm=\"{REALM}\"")), &self.label)
    }
}

impl AuthEdits {
    pub(super) fn apply(&self, request: &mut Request, user: &[u8]) {
        if !self.header_field.is_empty() {
            request.edits.set(self.header_field.as_bytes(), user);
        }
        if self.remove_header {
            request.edits.remove(b"Authorization");
        }
    }
}

/// The 401 of basic and digest: its type carries no charset.
pub(super) fn unauthorized(challenge: String) -> Reply {
    let mut reply = Reply { status: 401, body: b"401 Unauthorized\n".into(), ..Reply::default() };
    reply = reply.with("Content-Type", &b"text/plain"[..]);
    reply.with("Www-Authenticate", challenge.into_bytes())
}

/// The one Authorization value. Two of them are refused: proxy and backend might read different ones.
pub(super) fn authorization<'a>(request: &'a Request) -> Option<&'a [u8]> {
    let view = request.view();
    let mut values = view.all(b"authorization");
    let value = values.next().filter(|value| value.len() <= CREDENTIAL_BYTES_MAX)?;
    values.next().is_none().then_some(value)
}

fn credentials(request: &Request) -> Option<Vec<u8>> {
    STANDARD.decode(authorization(request)?.strip_prefix(b"Basic ")?).ok()
}

/// A user line and where it stands.
pub(super) struct UserLine<'a> {
    pub text: &'a str,
    line: usize,
    in_file: bool,
}

impl UserLine<'_> {
    pub fn invalid(&self, form: &'static str) -> InvalidUser {
        // Without a colon it may all be a password or its hash.
        let user = self.text.split_once(':').map(|(user, _)| user.to_owned());
        InvalidUser { line: self.line, in_file: self.in_file, user, form }
    }
}

/// The list's lines, then the file's: trimmed, without blank ones and `#` comments in the file.
pub(super) fn user_lines<'a>(users: &'a [String], file: Option<&'a str>) -> impl Iterator<Item = UserLine<'a>> {
    let listed = users.iter().enumerate().map(|(at, text)| UserLine { text, line: at + 1, in_file: false });
    let filed = file.unwrap_or_default().lines().enumerate().map(|(at, text)| (at, text.trim()));
    let filed = filed.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    listed.chain(filed.map(|(at, text)| UserLine { text, line: at + 1, in_file: true }))
}

impl fmt::Display for InvalidUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = if self.in_file { "line {} of usersFile" } else { "entry {} of users" };
        let place = source.replace("{}", &self.line.to_string());
        match &self.user {
            Some(user) => write!(f, "{place} (user {user:?}) cannot be read: write it as {}", self.form),
            None => write!(f, "{place} cannot be read: write it as {}", self.form),
        }
    }
}

impl std::error::Error for InvalidUser {}
