//! Heads as they go out to the other side: written in one pass from what was received, with one Host, at most one framing field, no
//! field that belongs to the other connection, and the proxy's own word on who the client is (docs/reference/entry-points.md#forwarded-headers).

mod reply;
mod request;
mod response;

pub use reply::{ReplyPlan, write_100_continue, write_reply, write_reply_head};
pub use request::{ForwardPlan, HostChoice, push_target, write_request};
pub use response::{ResponsePlan, framing_for_client, write_response};

use super::head::Field;

/// Lines of a received head, copied in as few runs as there are gaps between them.
struct Runs<'a> {
    bytes: &'a [u8],
    /// Where the run that is being collected starts; `None` while lines are left out.
    start: Option<usize>,
}

impl<'a> Runs<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Runs { bytes, start: None }
    }

    /// The line of `field` goes out as received, after all lines kept so far.
    fn keep(&mut self, field: &Field) {
        if self.start.is_none() {
            self.start = Some(field.name.start as usize);
        }
    }

    /// The line of `field` does not go out: what was collected before it does.
    fn leave_out(&mut self, out: &mut Vec<u8>, field: &Field) {
        self.flush(out, field.name.start as usize);
    }

    /// The lines end at `end`.
    fn flush(&mut self, out: &mut Vec<u8>, end: usize) {
        if let Some(run) = self.start.take().and_then(|start| self.bytes.get(start..end)) {
            out.extend_from_slice(run);
        }
    }
}

/// Appends `name: value` with its line end. The name comes with colon and space.
fn push_line(out: &mut Vec<u8>, name_colon: &[u8], value: &[u8]) {
    out.extend_from_slice(name_colon);
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_number(out, length);
    out.extend_from_slice(b"\r\n");
}

const CHUNKED: &[u8] = b"Transfer-Encoding: chunked\r\n";
