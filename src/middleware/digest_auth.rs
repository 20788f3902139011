//! Digest authentication with MD5 and qop auth (RFC 7616 3.4; docs/reference/entry-points.md#basic-and-digest, docs/reference/middlewares.md#digest).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::basic_auth::{AuthEdits, InvalidUser, REALM, authorization, unauthorized, user_lines};
use super::redirect_template::split_query;
use super::{ChainState, Label, Request, RequestInfo, Verdict};
use crate::limits::NONCES_MAX;

/// So many of them go at once, so that a flood of first requests does not search the whole list each time.
const NONCES_DROPPED_AT_ONCE: usize = 100;

/// Users by name and realm, with HA1 = MD5(name:realm:password).
#[derive(Debug)]
pub struct DigestAuth {
    users: HashMap<Vec<u8>, String>,
    after: AuthEdits,
    state: Arc<DigestState>,
    label: Label,
}

/// The nonces handed out; lives across reloads.
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
    /// `random`: bytes nobody can predict; they make the `opaque` value.
    pub fn new(random: [u8; 12]) -> Self {
        DigestState { opaque: STANDARD.encode(random), nonces: Mutex::default() }
    }

    /// A new nonce of random bytes, known from now on.
    pub fn issue(&self, now_nanos: u64, fill: impl FnOnce(&mut [u8])) -> String {
        let mut random = [0; 12];
        fill(&mut random);
        let nonce = STANDARD.encode(random);
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.len() >= NONCES_MAX {
            drop_oldest(&mut nonces);
        }
        nonces.insert(nonce.clone(), Nonce { last_count: 0, used_nanos: now_nanos });
        nonce
    }

    /// How many nonces are known.
    pub fn nonces(&self) -> usize {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Takes a nonce's next count: it must be ours and the count must rise, else the request is a replay.
    fn take(&self, nonce: &str, count: u64, now_nanos: u64) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match nonces.get_mut(nonce) {
            Some(known) if known.last_count < count => {
                *known = Nonce { last_count: count, used_nanos: now_nanos };
                true
            }
            _ => false,
        }
    }
}

fn drop_oldest(nonces: &mut HashMap<String, Nonce>) {
    let mut ages: Vec<u64> = nonces.values().map(|nonce| nonce.used_nanos).collect();
    let (_, limit, _) = ages.select_nth_unstable(NONCES_DROPPED_AT_ONCE - 1);
    let limit = *limit;
    // Several may share the limit's moment; no more than the wanted number of them goes.
    let mut left = NONCES_DROPPED_AT_ONCE;
    nonces.retain(|_, nonce| {
        let goes = nonce.used_nanos <= limit && left > 0;
        left -= usize::from(goes);
        !goes
    });
}

impl DigestAuth {
    /// `users`: `name:realm:ha1` lines; `users_file`: the text of a file of such lines, which win over the list.
    pub fn new(
        users: &[String],
        users_file: Option<&str>,
        after: AuthEdits,
        state: Arc<DigestState>,
        label: Label,
    ) -> Result<Self, InvalidUser> {
        let mut known = HashMap::new();
        for line in user_lines(users, users_file) {
            let parts: Vec<&str> = line.text.split(':').collect();
            let [name, realm, ha1] = parts[..] else {
                return Err(line.invalid("name:realm:hash, with exactly two colons (htdigest writes it)"));
            };
            known.insert(format!("{name}:{realm}").into_bytes(), ha1.to_owned());
        }
        Ok(DigestAuth { users: known, after, state, label })
    }

    /// `name:realm` of the users, sorted; for messages and tests.
    pub fn user_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.users.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.sort();
        names
    }

    pub fn on_request(&self, request: &mut Request, facts: &RequestInfo, passage: &mut ChainState) -> Verdict {
        let Some(user) = self.user_of(request, facts) else {
            let nonce = self.state.issue(facts.now.mono_nanos, facts.random);
            let opaque = &self.state.opaque;
            let challenge = format!(
                "Digest realm=\"{REALM}\", nonce=\"{nonce}\", opaque=\"{opaque}\", algorithm=\"MD5\", qop=\"auth\""
            );
            return Verdict::reply(unauthorized(challenge), &self.label);
        };
        passage.user.clear();
        passage.user.extend_from_slice(&user);
        self.after.apply(request, &passage.user);
        Verdict::Next
    }

    /// The user, if the credentials are right.
    fn user_of(&self, request: &Request, facts: &RequestInfo) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(authorization(request)?.strip_prefix(b"Digest ")?).ok()?;
        let params = parameters(text);
        let param = |name: &str| params.get(name).map(String::as_str);
        let algorithm = param("algorithm").unwrap_or("MD5");
        if algorithm != "MD5" || param("qop") != Some("auth") || param("opaque") != Some(&self.state.opaque) {
            return None;
        }
        let (user, uri, count) = (param("username")?, param("uri")?, param("nc")?);
        if !covers(uri, facts) {
            return None;
        }
        let ha1 = self.users.get(format!("{user}:{REALM}").as_bytes())?;
        let ha2 = md5_hex(&[request.method(), b":", uri.as_bytes()]);
        let (nonce, cnonce) = (param("nonce")?, param("cnonce")?);
        let expected = md5_hex(&[format!("{ha1}:{nonce}:{count}:{cnonce}:auth:{ha2}").as_bytes()]);
        let right: bool = expected.as_bytes().ct_eq(param("response")?.as_bytes()).into();
        let number = u64::from_str_radix(count, 16).ok()?;
        // The nonce is taken last: a wrong answer must not use up the right client's count.
        (right && self.state.take(nonce, number, facts.now.mono_nanos)).then(|| user.as_bytes().to_vec())
    }
}

/// The signed uri's path must be the request's path or the beginning of it, before or after the path modifiers.
fn covers(uri: &str, facts: &RequestInfo) -> bool {
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => uri,
    };
    let path = split_query(path.as_bytes()).0;
    [facts.original_target, facts.target].iter().any(|target| split_query(target).0.starts_with(path))
}

/// `name=value` and `name="value"` pairs between commas; a comma inside quotes does not part them.
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

/// The text up to the closing quote without its backslashes, and how many bytes it took, the quote included.
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
