//! Reads the head of a response from a stream.

use std::future::poll_fn;

use super::failure::to_io;
use super::reader::Reader;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::BodyFraming;
use crate::http::deviation::Deviations;
use crate::http::h2::connection::{Received, StreamFailure};
use crate::worker::message::stream::{ReceivedHead, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;

impl ResponseReader for Reader<'_> {
    async fn read_head(&mut self, _to_head: bool, response: &mut UpstreamResponse) -> Result<ReceivedHead, ProxyError> {
        if response.bytes.capacity() == 0 {
            response.bytes = self.pool.lend();
        }
        let received = poll_fn(|cx| {
            self.link.poll_stream(self.key, cx, |connection| {
                connection.take_response(self.key, &mut response.head, &mut response.bytes).transpose()
            })
        });
        match received.await {
            Ok(Received::Interim) => Ok(ReceivedHead::Interim),
            Ok(Received::Final) => {
                self.has_no_body = response.head.body == BodyFraming::None;
                Ok(ReceivedHead::Final)
            }
            Err(failure) => Err(ProxyError::new(ExchangePhase::Await, cause_of(failure))),
        }
    }

    fn deviations(&self) -> Deviations {
        Deviations::default()
    }
}

/// The cause of a failure before the response's head.
fn cause_of(failure: StreamFailure) -> Cause {
    match failure {
        StreamFailure::ConnectionLost => Cause::Closed,
        StreamFailure::Malformed(violation) => Cause::Malformed(violation.why()),
        StreamFailure::Reset(_) | StreamFailure::Refused | StreamFailure::Broken(_) => Cause::Io(to_io(failure)),
    }
}
