//! Digest authentication with MD5 and qop auth (RFC 7616 3.4; docs/reference/middlewares.md#digest).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::basic_auth::{AuthEdits, DeniedUsers, InvalidUser, REALM, credentials_of, unauthorized, user_lines};
use super::redirect_template::split_query;
use super::{ChainState, Label, Request, RequestInfo, Verdict};
use crate::limits::NONCES_MAX;

/// Nonces evicted together when the list is full, so that a flood of first requests does not search the whole list each time.
const NONCES_EVICTED_AT_ONCE: usize = 100;

/// Users by name and realm, with HA1 = MD5(name:realm:password).
#[derive(Debug)]
pub struct DigestAuth {
    users: HashMap<Vec<u8>, String>,
    edits: AuthEdits,
    state: Arc<DigestState>,
    label: Label,
    denied: DeniedUsers,
}

/// The nonces that were issued, with their counts. Survives reloads of the configuration.
#[derive(Debug)]
pub struct DigestState {
    opaque: String,
    nonces: Mutex<HashMap<String, Nonce>>,
}

#[derive(Debug, Clone, Copy)]
struct Nonce {
    last_count: u64,
    used_nanos: u64,
}

impl DigestState {
    /// `random`: unpredictable bytes, from which the `opaque` value is made.
    pub fn new(random: [u8; 12]) -> Self {
        DigestState { opaque: STANDARD.encode(random), nonces: Mutex::default() }
    }

    /// Makes a nonce of 12 random bytes and stores it. When the list is full, the nonces that were unused longest are evicted.
    pub fn issue(&self, now_nanos: u64, fill: impl FnOnce(&mut [u8])) -> String {
        let mut random = [0; 12];
        fill(&mut random);
        let nonce = STANDARD.encode(random);
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() >= NONCES_MAX {
            evict_oldest(&mut nonces);
        }
        nonces.insert(nonce.clone(), Nonce { last_count: 0, used_nanos: now_nanos });
        nonce
    }

    /// Number of stored nonces.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests see with it that the number of nonces is bounded"))]
    pub fn nonces(&self) -> usize {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Records `count` for `nonce`. False if the nonce was not issued here or the count does not rise: the request may be a replay.
    fn use_nonce(&self, nonce: &str, count: u64, now_nanos: u64) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match nonces.get_mut(nonce) {
            Some(entry) if entry.accepts(count) => {
                *entry = Nonce { last_count: count, used_nanos: now_nanos };
                true
            }
            _ => false,
        }
    }

    /// Whether [`use_nonce`](Self::use_nonce) would accept this nonce and count now.
    fn may_use_nonce(&self, nonce: &str, count: u64) -> bool {
        let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        nonces.get(nonce).is_some_and(|entry| entry.accepts(count))
    }
}

impl Nonce {
    fn accepts(&self, count: u64) -> bool {
        self.last_count < count
    }
}

fn evict_oldest(nonces: &mut HashMap<String, Nonce>) {
    let mut ages: Vec<u64> = nonces.values().map(|nonce| nonce.used_nanos).collect();
    let (_, limit, _) = ages.select_nth_unstable(NONCES_EVICTED_AT_ONCE - 1);
    let limit = *limit;
    // Several nonces may have the same time as the limit; no more than `NONCES_EVICTED_AT_ONCE` are evicted.
    let mut remaining = NONCES_EVICTED_AT_ONCE;
    nonces.retain(|_, nonce| {
        let is_dropped = nonce.used_nanos <= limit && remaining > 0;
        remaining -= usize::from(is_dropped);
        !is_dropped
    });
}

impl DigestAuth {
    /// `users`: `name:realm:ha1` lines; `users_file`: the text of a file of such lines. For a user in both, the file's line counts.
    pub fn new(
        users: &[String],
        users_file: Option<&str>,
        edits: AuthEdits,
        state: Arc<DigestState>,
        label: Label,
    ) -> Result<Self, InvalidUser> {
        let (mut parsed, mut denied) = (HashMap::new(), DeniedUsers::default());
        for line in user_lines(users, users_file) {
            let parts: Vec<&str> = line.text.split(':').collect();
            let [name, realm, ha1] = parts[..] else {
                return Err(line.invalid("name:realm:hash, with exactly two colons (htdigest writes it)"));
            };
            denied.note(&line, name, user_problem(realm, ha1));
            parsed.insert(format!("{name}:{realm}").into_bytes(), ha1.to_ascii_lowercase());
        }
        Ok(DigestAuth { users: parsed, edits, state, label, denied })
    }

    /// The users whom no password lets in: who, where, and what to do.
    pub fn denied_users(&self) -> impl Iterator<Item = &str> {
        self.denied.sentences()
    }

    /// `name:realm` of all users, sorted.
    #[cfg_attr(
        reachability,
        expect(dead_code, reason = "tests and a fuzz target see with it which users a list came to")
    )]
    pub fn user_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.users.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort();
        names
    }

    pub fn on_request(&self, request: &mut Request, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        let use_nonce = |nonce: &str, count| self.state.use_nonce(nonce, count, info.now.mono_nanos);
        match self.user_of(request, info, use_nonce) {
            Some(user) => self.admit(user, request, chain_state),
            None => self.refuse(&self.state.issue(info.now.mono_nanos, info.random)),
        }
    }

    /// The verdict that a request would get now. No nonce is issued or used; the challenge has none.
    pub fn preview(&self, request: &mut Request, info: &RequestInfo, chain_state: &mut ChainState) -> Verdict {
        match self.user_of(request, info, |nonce, count| self.state.may_use_nonce(nonce, count)) {
            Some(user) => self.admit(user, request, chain_state),
            None => self.refuse(""),
        }
    }

    fn admit(&self, user: Vec<u8>, request: &mut Request, chain_state: &mut ChainState) -> Verdict {
        chain_state.user.clear();
        chain_state.user.extend_from_slice(&user);
        self.edits.apply(request, &chain_state.user);
        Verdict::Next
    }

    fn refuse(&self, nonce: &str) -> Verdict {
        let opaque = &self.state.opaque;
        let challenge = format!(
            "Digest realm=\"{REALM}\", nonce=\"{nonce}\", opaque=\"{opaque}\", algorithm=\"MD5\", qop=\"auth\""
        );
        Verdict::reply(unauthorized(challenge), &self.label)
    }

    /// The user's name, if the credentials match and `use_nonce` accepts the nonce with its count.
    fn user_of(
        &self,
        request: &Request,
        info: &RequestInfo,
        use_nonce: impl FnOnce(&str, u64) -> bool,
    ) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(credentials_of(request, "Digest")?).ok()?;
        let params = parameters(text);
        let param = |name: &str| params.get(name).map(String::as_str);
        let algorithm = param("algorithm").unwrap_or("MD5");
        if !algorithm.eq_ignore_ascii_case("MD5")
            || param("qop") != Some("auth")
            || param("opaque") != Some(&self.state.opaque)
        {
            return None;
        }
        let (user, uri, count) = (param("username")?, param("uri")?, param("nc")?);
        if !covers_target(uri, info) {
            return None;
        }
        let ha1 = self.users.get(format!("{user}:{REALM}").as_bytes())?;
        let ha2 = md5_hex(&[request.method(), b":", uri.as_bytes()]);
        let (nonce, cnonce) = (param("nonce")?, param("cnonce")?);
        let expected = md5_hex(&[format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}").as_bytes()]);
        let matches: bool = expected.as_bytes().ct_eq(param("response")?.as_bytes()).into();
        let number = u64::from_str_radix(count, 16).ok()?;
        // The count is recorded last: a request with a wrong response must not use up the count of the real client.
        (matches && use_nonce(nonce, number)).then(|| user.as_bytes().to_vec())
    }
}

/// Why no password ever lets in the user of a line `name:realm:ha1`, and what to do.
pub fn user_problem(realm: &str, ha1: &str) -> Option<&'static str> {
    let is_md5 = ha1.len() == 32 && ha1.bytes().all(|byte| byte.is_ascii_hexdigit());
    if realm != REALM {
        Some(
            "its realm is not \"traefik\", the only one that is asked for: make the line with htdigest FILE traefik USER",
        )
    } else if !is_md5 {
        Some("its hash is no MD5 of 32 hexadecimal digits: make the line with htdigest FILE traefik USER")
    } else {
        None
    }
}

/// Whether the path of the signed `uri` is the request's path or a prefix of it, before or after the path modifiers.
fn covers_target(uri: &str, info: &RequestInfo) -> bool {
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => uri,
    };
    let path = split_query(path.as_bytes()).0;
    [info.original_target, info.target].iter().any(|target| split_query(target).0.starts_with(path))
}

/// Parses `name=value` and `name="value"` pairs separated by commas; a comma inside quotes does not separate.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut params = HashMap::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let value;
        match after.strip_prefix('"') {
            Some(quoted) => {
                let (unescaped, len) = quoted_value(quoted);
                value = unescaped;
                rest = &quoted[len..];
            }
            None => {
                let len = after.find(',').unwrap_or(after.len());
                value = after[..len].trim().to_owned();
                rest = &after[len..];
            }
        }
        params.insert(name.trim().to_ascii_lowercase(), value);
        rest = rest.trim_start().trim_start_matches(',').trim_start();
    }
    params
}

/// The text up to the closing quote with its backslash escapes resolved, and the number of bytes read, closing quote included.
fn quoted_value(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, at + 1),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, text.len())
}

fn md5_hex(parts: &[&[u8]]) -> String {
    let mut md5 = Md5::new();
    parts.iter().for_each(|part| md5.update(part));
    md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
