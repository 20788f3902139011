//! A client for one method of gRPC: one message in each direction, on one HTTP/2 connection that stays open.

use http_body_util::{BodyExt, Full, Limited};
use hyper::Uri;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::{HeaderMap, HeaderValue, TE};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioExecutor;
use tower_service::Service;

use super::otlp;
use super::request::{Connector, SendError, chain_of, request};
use crate::limits;

/// The prefix of a message: a flag for compression and the length.
const PREFIX_BYTES: usize = 5;

pub struct GrpcClient {
    connector: Connector,
    url: Uri,
    headers: HeaderMap,
    connection: Option<http2::SendRequest<Full<Bytes>>>,
}

impl GrpcClient {
    pub fn new(connector: Connector, url: Uri, mut headers: HeaderMap) -> GrpcClient {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        GrpcClient { connector, url, headers, connection: None }
    }

    /// Calls the method with a message. Returns how many spans the collector has rejected.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&mut self, message: Bytes) -> Result<u64, SendError> {
        // Taken out: a connection on which a call failed or timed out is not used again.
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let request = request(&self.url, &self.headers, "application/grpc", framed(&message)?)?;
        let response =
            connection.send_request(request).await.map_err(|error| SendError::transient(chain_of(&error)))?;
        let rejected = read_response(response).await?;
        self.connection = Some(connection);
        Ok(rejected)
    }

    async fn connect(&mut self) -> Result<http2::SendRequest<Full<Bytes>>, SendError> {
        let stream = self.connector.call(self.url.clone()).await;
        let stream = stream.map_err(|error| SendError::transient(chain_of(&*error)))?;
        let handshake = http2::handshake(TokioExecutor::new(), stream).await;
        let (sender, connection) = handshake.map_err(|error| SendError::transient(chain_of(&error)))?;
        tokio::spawn(async move {
            // The failure of a connection reaches the call as an error of its own.
            drop(connection.await);
        });
        Ok(sender)
    }
}

/// A message with its prefix, not compressed.
fn framed(message: &Bytes) -> Result<Bytes, SendError> {
    let too_long = |_| SendError { reason: "the message is too long".to_owned(), is_transient: false };
    let length = u32::try_from(message.len()).map_err(too_long)?;
    let mut framed = Vec::with_capacity(PREFIX_BYTES + message.len());
    framed.push(0);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    Ok(framed.into())
}

async fn read_response(response: Response<Incoming>) -> Result<u64, SendError> {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Err(SendError::transient(format!("status {}", head.status)));
    }
    let body = Limited::new(body, limits::COLLECTOR_RESPONSE_BYTES_MAX).collect().await;
    let body = body.map_err(|error| SendError::transient(error.to_string()))?;
    // A response without a message has its status among the header fields.
    let trailers = body.trailers().filter(|trailers| trailers.contains_key("grpc-status")).unwrap_or(&head.headers);
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => Ok(otlp::rejected_spans(body.to_bytes().get(PREFIX_BYTES..).unwrap_or_default())),
        status => {
            let message = text("grpc-message");
            // The codes that the specification of OTLP lets be tried again.
            let is_transient = ["1", "4", "8", "10", "11", "14", "15"].contains(&status);
            Err(SendError { reason: format!("gRPC status {status}: {message}"), is_transient })
        }
    }
}
