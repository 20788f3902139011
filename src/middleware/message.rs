//! Request and response as middlewares see them: with the edits so far, and with methods to add more.

use std::borrow::Cow;

use super::RequestInfo;
use crate::http::edits::EditRef;
use crate::http::{Edits, Reply, RequestHead, RequestView, ResponseHead, ResponseView, is_forwarding_field};

/// The request that runs through a chain.
pub struct Request<'a> {
    pub head: &'a RequestHead,
    /// The buffer that the head's spans point into.
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

    /// The host that the router uses, as sent, with its port.
    pub fn host(&self) -> &'a [u8] {
        self.head.host.of(self.bytes)
    }

    /// The first value of the field `name`, edits included.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.view().first(name)
    }

    /// As [`first`](Self::first), but a forwarding field (X-Forwarded-*, X-Real-Ip, Forwarded) counts only if the peer is trusted or a
    /// middleware has set it.
    pub fn trusted_first(&self, name: &[u8], info: &RequestInfo) -> Option<&[u8]> {
        if info.trusted || !is_forwarding_field(name) || self.edits.replaces(name) { self.first(name) } else { None }
    }
}

impl Request<'_> {
    /// All fields, edits included: received fields that no edit replaces, then those of the edits.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let received = self.head.fields.iter().map(|field| (field.name.of(self.bytes), field.value.of(self.bytes)));
        let received = received.filter(|(name, _)| !self.edits.supersedes(name));
        received.chain(self.edits.iter().filter_map(|edit| match edit {
            EditRef::Set { name, value } | EditRef::Add { name, value } => Some((name, value)),
            EditRef::Remove { .. } => None,
        }))
    }
}

/// The response that runs back through a chain, by its origin.
pub enum Response<'a> {
    /// A response of the backend.
    Backend { head: &'a ResponseHead, bytes: &'a [u8], edits: &'a mut Edits },
    /// A local reply because the backend failed (500, 502, 504).
    Gateway(&'a mut Reply),
    /// A local reply of a middleware, or because no server was available.
    Local(&'a mut Reply),
}

impl Response<'_> {
    pub fn status(&self) -> u16 {
        match self {
            Response::Backend { head, .. } => head.status,
            Response::Gateway(reply) | Response::Local(reply) => reply.status,
        }
    }

    /// The first value of the field `name`.
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        match self {
            Response::Backend { head, bytes, edits } => ResponseView { head, bytes, edits }.first(name),
            Response::Gateway(reply) | Response::Local(reply) => {
                let field = reply.fields.iter().find(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name));
                field.map(|(_, value)| value.as_ref())
            }
        }
    }

    /// Whether one of the values of the field `name` satisfies `holds`.
    pub fn has_value(&self, name: &[u8], holds: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Response::Backend { head, bytes, edits } => ResponseView { head, bytes, edits }.all(name).any(holds),
            Response::Gateway(reply) | Response::Local(reply) => {
                let mut fields = reply.fields.iter().filter(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name));
                fields.any(|(_, value)| holds(value))
            }
        }
    }

    /// Replaces all fields `name` by one with this value.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        match self {
            Response::Backend { edits, .. } => edits.set(name.as_bytes(), value),
            Response::Gateway(_) | Response::Local(_) => {
                self.remove(name);
                self.add(name, value);
            }
        }
    }

    /// Adds a field.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        match self {
            Response::Backend { edits, .. } => edits.add(name.as_bytes(), value),
            Response::Gateway(reply) | Response::Local(reply) => {
                reply.fields.push((Cow::Owned(name.to_owned()), Cow::Owned(value.to_vec())));
            }
        }
    }

    /// Removes all fields `name`.
    pub fn remove(&mut self, name: &str) {
        match self {
            Response::Backend { edits, .. } => edits.remove(name.as_bytes()),
            Response::Gateway(reply) | Response::Local(reply) => {
                reply.fields.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            }
        }
    }
}
