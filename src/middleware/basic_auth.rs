//! Basic authentication (RFC 7617; docs/reference/middlewares.md#basic).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::credentials::{CredentialCache, PasswordHash, VerifyJob};
use super::{ChainState, Label, Request, Verdict};
use crate::http::Reply;
use crate::limits::CREDENTIAL_BYTES_MAX;

pub(super) const REALM: &str = "traefik";

/// The users with their password hashes, and the changes to a request whose user is authenticated.
#[derive(Debug)]
pub struct BasicAuth {
    users: HashMap<Vec<u8>, PasswordHash>,
    edits: AuthEdits,
    cache: Arc<CredentialCache>,
    label: Label,
    denied: DeniedUsers,
}

/// Changes to the request after a successful authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthEdits {
    /// Name of the field that carries the user's name to the backend, spelled as written; empty if there is none.
    pub header_field: String,
    /// Whether Authorization is removed before the request is forwarded.
    pub remove_header: bool,
}

/// Users whom no password lets in, each with a sentence for the log that says why and what to do.
#[derive(Debug, Default)]
pub(super) struct DeniedUsers(BTreeMap<String, String>);

impl DeniedUsers {
    /// Notes whether the user of this line can log in. A later line replaces an earlier one of the same user.
    pub fn note(&mut self, line: &UserLine, user: &str, problem: Option<&str>) {
        match problem {
            Some(problem) => {
                let text = format!("{} (user {user:?}) can never log in: {problem}", line.position());
                self.0.insert(user.to_owned(), text);
            }
            None => drop(self.0.remove(user)),
        }
    }

    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

/// A line of a user list that cannot be parsed. The error names the user only, never the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUser {
    pub line: usize,
    pub in_file: bool,
    pub user: Option<String>,
    pub form: &'static str,
}

impl BasicAuth {
    /// `users`: `name:hash` lines; `users_file`: the text of a file of such lines. For a user in both, the file's line counts.
    /// Without any user all requests get 401.
    pub fn new(
        users: &[String],
        users_file: Option<&str>,
        edits: AuthEdits,
        cache: Arc<CredentialCache>,
        label: Label,
    ) -> Result<Self, InvalidUser> {
        let (mut parsed, mut denied) = (HashMap::new(), DeniedUsers::default());
        for line in user_lines(users, users_file) {
            let mut parts = line.text.split(':');
            let (Some(name), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
                return Err(line.invalid("name:hash, with exactly one colon"));
            };
            denied.note(&line, name, PasswordHash::problem(hash));
            parsed.insert(name.as_bytes().to_vec(), PasswordHash::parse(hash));
        }
        Ok(BasicAuth { users: parsed, edits, cache, label, denied })
    }

    /// Names of all users, sorted.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests and a fuzz target see with it which users a list came to")
    )]
    pub fn user_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.users.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort();
        names
    }

    /// The users whom no password lets in: who, where, and what to do.
    pub fn denied_users(&self) -> impl Iterator<Item = &str> {
        self.denied.sentences()
    }

    /// The name in the request's credentials, if it has any that can be read; not authenticated.
    pub fn claimed_user(request: &Request) -> Option<String> {
        let credentials = credentials(request)?;
        let user = credentials.split(|&byte| byte == b':').next()?;
        Some(String::from_utf8_lossy(user).into_owned())
    }

    /// Whether the list has a user of this name.
    pub fn has_user(&self, name: &str) -> bool {
        self.users.contains_key(name.as_bytes())
    }

    pub fn on_request(&self, request: &mut Request, chain_state: &mut ChainState) -> Verdict {
        let Some(credentials) = credentials(request) else { return self.refuse() };
        let Some(colon) = credentials.iter().position(|&b| b == b':') else { return self.refuse() };
        let (user, password) = (&credentials[..colon], &credentials[colon + 1..]);
        let Some(hash) = self.users.get(user) else { return self.refuse() };
        chain_state.user.clear();
        chain_state.user.extend_from_slice(user);
        if !hash.is_slow() {
            return self.on_verified(hash.matches(password), request, chain_state);
        }
        let digest = self.cache.digest(user, hash, password);
        if self.cache.knows(&digest) {
            return self.on_verified(true, request, chain_state);
        }
        let (hash, password, cache) = (hash.clone(), password.to_vec(), self.cache.clone());
        Verdict::Verify(Box::new(VerifyJob { hash, password, digest, cache }))
    }

    /// Continues with the result of the password check that [`BasicAuth::on_request`] returned as [`Verdict::Verify`].
    pub fn on_verified(&self, matches: bool, request: &mut Request, chain_state: &mut ChainState) -> Verdict {
        if !matches {
            chain_state.user.clear();
            return self.refuse();
        }
        self.edits.apply(request, &chain_state.user);
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

/// The 401 of basic and digest authentication. As in Traefik its Content-Type has no charset.
pub(super) fn unauthorized(challenge: String) -> Reply {
    let mut reply = Reply { status: 401, body: b"401 Unauthorized\n".into(), ..Reply::default() };
    reply = reply.with("Content-Type", &b"text/plain"[..]);
    reply.with("Www-Authenticate", challenge.into_bytes())
}

/// The value of Authorization. `None` if there are two fields, as proxy and backend might read different ones, or if the value is
/// longer than [`CREDENTIAL_BYTES_MAX`].
fn authorization<'a>(request: &'a Request) -> Option<&'a [u8]> {
    let view = request.view();
    let mut values = view.all(b"authorization");
    let value = values.next().filter(|value| value.len() <= CREDENTIAL_BYTES_MAX)?;
    values.next().is_none().then_some(value)
}

/// The credentials behind the authentication scheme `scheme`, whose name is case-insensitive (RFC 9110 11.1).
pub(super) fn credentials_of<'a>(request: &'a Request, scheme: &str) -> Option<&'a [u8]> {
    let (name, credentials) = authorization(request)?.split_at_checked(scheme.len())?;
    let is_scheme = name.eq_ignore_ascii_case(scheme.as_bytes()) && credentials.starts_with(b" ");
    is_scheme.then(|| credentials.trim_ascii_start())
}

fn credentials(request: &Request) -> Option<Vec<u8>> {
    STANDARD.decode(credentials_of(request, "Basic")?).ok()
}

/// A user line with its position.
pub(super) struct UserLine<'a> {
    pub text: &'a str,
    line: usize,
    in_file: bool,
}

impl UserLine<'_> {
    fn position(&self) -> String {
        position(self.line, self.in_file)
    }

    pub fn invalid(&self, form: &'static str) -> InvalidUser {
        // Without a colon the whole line may be a password or its hash: do not show it.
        let user = self.text.split_once(':').map(|(user, _)| user.to_owned());
        InvalidUser { line: self.line, in_file: self.in_file, user, form }
    }
}

/// The lines of the list, then those of the file, which are trimmed; blank lines and `#` comments of the file are ignored.
pub(super) fn user_lines<'a>(users: &'a [String], file: Option<&'a str>) -> impl Iterator<Item = UserLine<'a>> {
    let from_list = users.iter().enumerate().map(|(at, text)| UserLine { text, line: at + 1, in_file: false });
    let from_file = file.unwrap_or_default().lines().enumerate().map(|(at, text)| (at, text.trim()));
    let from_file = from_file.filter(|(_, text)| !text.is_empty() && !text.starts_with('#'));
    from_list.chain(from_file.map(|(at, text)| UserLine { text, line: at + 1, in_file: true }))
}

fn position(line: usize, in_file: bool) -> String {
    if in_file { format!("line {line} of usersFile") } else { format!("entry {line} of users") }
}

impl fmt::Display for InvalidUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = position(self.line, self.in_file);
        match &self.user {
            Some(user) => write!(f, "{position} (user {user:?}) cannot be read: write it as {}", self.form),
            None => write!(f, "{position} cannot be read: write it as {}", self.form),
        }
    }
}

impl std::error::Error for InvalidUser {}
