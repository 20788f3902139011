//! Writes heads for the other side, each in one pass from the received head: with one Host, at most one framing field, no field that
//! belongs to the other connection, and the proxy's own forwarding fields (docs/reference/entry-points.md#forwarded-headers).

mod reply;
mod request;
mod response;

pub use reply::{ReplyPlan, write_100_continue, write_reply, write_reply_head};
pub use request::{ForwardPlan, HostChoice, push_target, write_request};
pub use response::{ResponsePlan, framing_for_client, write_response};

use super::head::Field;
use super::upgrade::upgrade_values;

/// Copies the kept lines of a received head in as few runs as possible: adjacent lines are copied together.
struct Runs<'a> {
    bytes: &'a [u8],
    /// Start of the current run; `None` if the previous line was dropped.
    start: Option<usize>,
}

impl<'a> Runs<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Runs { bytes, start: None }
    }

    /// Forwards the line of `field` as received, after the lines kept before.
    #[inline]
    fn keep(&mut self, field: &Field) {
        if self.start.is_none() {
            self.start = Some(field.name.start as usize);
        }
    }

    /// Drops the line of `field`, and appends the run that ends before it.
    #[inline]
    fn drop_line(&mut self, out: &mut Vec<u8>, field: &Field) {
        self.flush(out, field.name.start as usize);
    }

    /// Appends the current run, which ends at `end`.
    #[inline]
    fn flush(&mut self, out: &mut Vec<u8>, end: usize) {
        if let Some(run) = self.start.take().and_then(|start| self.bytes.get(start..end)) {
            out.extend_from_slice(run);
        }
    }
}

/// Appends a field line. `prefix` is the name with colon and space.
#[inline]
fn push_line(out: &mut Vec<u8>, prefix: &[u8], value: &[u8]) {
    out.extend_from_slice(prefix);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line whose name is not known in advance.
fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    push_line(out, b": ", value);
}

#[inline]
fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[inline]
fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends the Upgrade fields of a message as received, with the option that Connection needs for them.
fn push_upgrade(out: &mut Vec<u8>, fields: &[Field], bytes: &[u8]) {
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    upgrade_values(fields, bytes).for_each(|value| push_line(out, b"Upgrade: ", value));
}

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
