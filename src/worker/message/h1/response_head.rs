//! Reads the head of a response from an HTTP/1 connection.

use super::is_counted;
use super::reader::Reader;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::deviation::Deviations;
use crate::http::h1::body::Decoder;
use crate::http::h1::progress;
use crate::http::h1::response_head::{ResponseProgress, parse_server_response};
use crate::limits;
use crate::net::ReadHalf;
use crate::worker::message::stream::{ReceivedHead, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;

impl<R: ReadHalf> ResponseReader for Reader<'_, R> {
    async fn read_head(&mut self, to_head: bool, response: &mut UpstreamResponse) -> Result<ReceivedHead, ProxyError> {
        let failed = |cause| ProxyError::new(ExchangePhase::Await, cause);
        let mut seen = 0;
        loop {
            let pending = self.buffer.pending();
            // After an incomplete parse, the head is parsed again once its empty line or a full buffer is there, not once for
            // every byte of a head that drips in.
            let worth_parsing = seen == 0
                || progress::head_end(pending, seen).is_some()
                || pending.len() >= limits::RESPONSE_HEAD_BYTES_MAX;
            if worth_parsing && !pending.is_empty() {
                let parsed = parse_server_response(pending, to_head, &mut response.head);
                match parsed.map_err(|e| failed(Cause::Malformed(e.why)))? {
                    ResponseProgress::Complete if is_final(response) => {
                        response.bytes = self.buffer.detach(response.head.len, self.pool);
                        return Ok(self.begin_body(response));
                    }
                    ResponseProgress::Complete => {
                        // Copied: the buffer most likely holds the next head.
                        response.bytes = pending[..response.head.len].to_vec();
                        self.buffer.consume(response.head.len);
                        return Ok(ReceivedHead::Interim);
                    }
                    ResponseProgress::Normalised { bytes, received_len, deviations } => {
                        response.bytes = bytes;
                        self.buffer.consume(received_len);
                        self.deviations = self.deviations.union(deviations);
                        return Ok(if is_final(response) { self.begin_body(response) } else { ReceivedHead::Interim });
                    }
                    ResponseProgress::Partial => {}
                }
            }
            seen = self.buffer.pending().len();
            match self.buffer.fill(self.half, self.pool).await {
                Ok(0) => return Err(failed(Cause::Closed)),
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::TimedOut => return Err(failed(Cause::TimedOut)),
                Err(e) => return Err(failed(Cause::Io(e))),
            }
        }
    }

    fn deviations(&self) -> Deviations {
        self.deviations.union(self.decoder.deviations())
    }
}

impl<R: ReadHalf> Reader<'_, R> {
    /// Prepares the reader for the body of the response whose head has been read.
    #[inline]
    fn begin_body(&mut self, response: &UpstreamResponse) -> ReceivedHead {
        self.is_counted = is_counted(response.head.body);
        self.decoder = Decoder::of_response(response.head.body);
        ReceivedHead::Final
    }
}

fn is_final(response: &UpstreamResponse) -> bool {
    response.head.status >= 200 || response.head.status == 101
}
