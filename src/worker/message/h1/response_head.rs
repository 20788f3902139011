//! Reads the head of a response from an HTTP/1 connection.

use super::is_counted;
use super::reader::Reader;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::h1::body::Decoder;
use crate::http::h1::progress::{self, HeadLimits, ParseProgress};
use crate::http::h1::response_head::parse_response;
use crate::limits;
use crate::net::ReadHalf;
use crate::worker::message::stream::ResponseReader;
use crate::worker::resources::context::UpstreamResponse;

impl<R: ReadHalf> ResponseReader for Reader<'_, R> {
    /// Informational responses are dropped, as Traefik 1.7 does.
    async fn read_head(&mut self, to_head: bool, response: &mut UpstreamResponse) -> Result<(), ProxyError> {
        let failed = |cause| ProxyError::new(ExchangePhase::Await, cause);
        let mut informational = 0;
        let mut seen = 0;
        loop {
            let pending = self.buffer.pending();
            // After an incomplete parse, the head is parsed again once its empty line or a full buffer is there, not once for
            // every byte of a head that drips in.
            let worth_parsing = seen == 0
                || progress::head_end(pending, seen).is_some()
                || pending.len() >= limits::RESPONSE_HEAD_BYTES_MAX;
            if worth_parsing && !pending.is_empty() {
                let parsed = parse_response(pending, to_head, &HeadLimits::RESPONSE, &mut response.head);
                match parsed.map_err(|e| failed(Cause::Malformed(e.why)))? {
                    ParseProgress::Complete if response.head.status >= 200 || response.head.status == 101 => {
                        response.bytes = self.buffer.detach(response.head.len, self.pool);
                        self.is_counted = is_counted(response.head.body);
                        self.decoder = Decoder::new(response.head.body);
                        return Ok(());
                    }
                    ParseProgress::Complete => {
                        self.buffer.consume(response.head.len);
                        seen = 0;
                        informational += 1;
                        if informational > limits::INFORMATIONAL_MAX {
                            return Err(failed(Cause::Malformed("too many informational responses")));
                        }
                        continue;
                    }
                    ParseProgress::Partial => {}
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
}
