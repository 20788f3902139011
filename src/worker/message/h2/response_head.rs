//! Reads the head of a response from a stream.

use std::future::poll_fn;

use super::failure::{is_refusal, to_io};
use super::reader::Reader;
use crate::error::{Cause, ExchangePhase, ProxyError};
use crate::http::BodyFraming;
use crate::http::deviation::Deviations;
use crate::http::h2::connection::{Received, StreamFailure};
use crate::worker::message::stream::{ReceivedHead, ResponseReader};
use crate::worker::resources::context::UpstreamResponse;

impl ResponseReader for Reader<'_> {
    async fn read_head(&mut self, _to_head: bool, response: &mut UpstreamResponse) -> Result<ReceivedHead, ProxyError> {
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
            Err(failure) => Err(error_of(failure)),
        }
    }

    fn deviations(&self) -> Deviations {
        Deviations::default()
    }
}

/// The error of a stream that has failed before the response's head.
#[cold]
fn error_of(failure: StreamFailure) -> ProxyError {
    let cause = match failure {
        StreamFailure::ConnectionLost => Cause::Closed,
        StreamFailure::Malformed(violation) => Cause::Malformed(violation.why()),
        StreamFailure::Reset(_) | StreamFailure::Refused | StreamFailure::Broken(_) => Cause::Io(to_io(failure)),
    };
    let is_refused = matches!(&cause, Cause::Io(error) if is_refusal(error));
    ProxyError::new(if is_refused { ExchangePhase::Refused } else { ExchangePhase::Await }, cause)
}
