//! The two messages as the steps handle them: readable with the edits so far, and open for more.

use std::borrow::Cow;

use super::RequestInfo;
use crate::http::edits::EditRef;
use crate::http::{Edits, Reply, RequestHead, RequestView, ResponseHead, ResponseView, is_forwarding_field};

/// A request under way through the chain.
pub struct Request<'a> {
    pub head: &'a RequestHead,
    /// The buffer of the head.
    pub bytes: &'a [u8],
    pub edits: &'a mut Edits,
}

impl<'a> Request<'a> {
    pub fn view(&self) -> RequestView<'_> {
        RequestView { head: self.head, bytes: self.bytes, edits: self.edits }
    }

    pub fn method(&self) -> &'a [u8] {
        self.head.method.of(self.bytes)
    }

    /// The host that routes, port included, as sent.
    pub fn host(&self) -> &'a [u8] {
        self.head.host.of(self.bytes)
    }

    /// The first value of that name, edits included.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.view().first(name)
    }

    /// As [`first`](Self::first); of what says where a request came from, only the word of a trusted peer and what a step has set.
    pub fn trusted_first(&self, name: &[u8], facts: &RequestInfo) -> Option<&[u8]> {
        if facts.trusted || !is_forwarding_field(name) || self.edits.replaces(name) { self.first(name) } else { None }
    }
}

impl Request<'_> {
    /// All fields as they stand now: the received ones that are left, then those of the edits.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let received = self.head.fields.iter().map(|field| (field.name.of(self.bytes), field.value.of(self.bytes)));
        let received = received.filter(|(name, _)| !self.edits.supersedes(name));
        received.chain(self.edits.iter().filter_map(|edit| match edit {
            EditRef::Set { name, value } | EditRef::Add { name, value } => Some((name, value)),
            EditRef::Remove { .. } => None,
        }))
    }
}

/// Who made the response that goes back through the chain.
pub enum Response<'a> {
    /// Received from the backend.
    Backend { head: &'a ResponseHead, bytes: &'a [u8], edits: &'a mut Edits },
    /// Made here because the backend failed (500, 502, 504).
    Gateway(&'a mut Reply),
    /// Made here by a step of the chain, or because there was no server.
    Local(&'a mut Reply),
}

impl Response<'_> {
    pub fn status(&self) -> u16 {
        match self {
            Response::Backend { head, .. } => head.status,
            Response::Gateway(reply) | Response::Local(reply) => reply.status,
        }
    }

    /// The first value of that name.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        match self {
            Response::Backend { head, bytes, edits } => ResponseView { head, bytes, edits }.first(name),
            Response::Gateway(reply) | Response::Local(reply) => {
                let field = reply.fields.iter().find(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name));
                field.map(|(_, value)| value.as_ref())
            }
        }
    }

    /// All fields of that name go, one with this value comes.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        match self {
            Response::Backend { edits, .. } => edits.set(name.as_bytes(), value),
            Response::Gateway(_) | Response::Local(_) => {
                self.remove(name);
                self.add(name, value);
            }
        }
    }

    /// One more field of that name.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        match self {
            Response::Backend { edits, .. } => edits.add(name.as_bytes(), value),
            Response::Gateway(reply) | Response::Local(reply) => {
                reply.fields.push((Cow::Owned(name.to_owned()), Cow::Owned(value.to_vec())));
            }
        }
    }

    /// All fields of that name go.
    pub fn remove(&mut self, name: &str) {
        match self {
            Response::Backend { edits, .. } => edits.remove(name.as_bytes()),
            Response::Gateway(reply) | Response::Local(reply) => {
                reply.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            }
        }
    }
}
