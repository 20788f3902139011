//! Sends a body of spans to the collector, over HTTP/1.1 or as a call of gRPC.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::{StatusCode, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::endpoint::Target;
use super::grpc::GrpcClient;
use super::otlp;
use super::request::{Connector, SendError, chain_of, request};
use crate::config::snapshot::TlsConfigs;
use crate::limits;

const PROTOBUF: &str = "application/x-protobuf";

/// A client of one collector, whose connection stays open.
pub struct Client {
    timeout: Duration,
    kind: Kind,
}

/// A client over HTTP/1.1, and what its requests have in common.
struct HttpClient {
    client: legacy::Client<Connector, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    content_type: &'static str,
}

enum Kind {
    Http(Box<HttpClient>),
    Grpc(Box<GrpcClient>),
}

impl Client {
    /// A client for `target`.
    ///
    /// # Errors
    /// There is no TLS configuration.
    pub fn new(target: &Target, tls: Result<&TlsConfigs, &String>, timeout: Duration) -> Result<Client, String> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(timeout));
        let is_grpc = matches!(target, Target::OtlpGrpc { .. });
        let tls = tls.map_err(Clone::clone)?;
        let connector = HttpsConnector::from((tcp, Arc::clone(if is_grpc { &tls.any } else { &tls.http1 })));
        let kind = match target {
            Target::OtlpGrpc { url, headers } => {
                Kind::Grpc(Box::new(GrpcClient::new(connector, url.clone(), headers.clone())))
            }
            Target::OtlpHttp { url, headers } => Kind::http(connector, url, headers.clone(), PROTOBUF),
            Target::Zipkin { url } => Kind::http(connector, url, HeaderMap::new(), "application/json"),
        };
        Ok(Client { timeout, kind })
    }

    /// Sends spans. Returns how many of them the collector has rejected.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&mut self, body: Bytes) -> Result<u64, SendError> {
        let timeout = self.timeout;
        let sending = async {
            match &mut self.kind {
                Kind::Grpc(client) => client.send(body).await,
                Kind::Http(client) => client.send(body).await,
            }
        };
        let elapsed = |_| SendError::transient(format!("no response within {} s", timeout.as_secs_f32()));
        tokio::time::timeout(timeout, sending).await.unwrap_or_else(|error| Err(elapsed(error)))
    }
}

impl Kind {
    fn http(connector: Connector, url: &Uri, headers: HeaderMap, content_type: &'static str) -> Kind {
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Kind::Http(Box::new(HttpClient { client, url: url.clone(), headers, content_type }))
    }
}

impl HttpClient {
    async fn send(&self, body: Bytes) -> Result<u64, SendError> {
        let request = request(&self.url, &self.headers, self.content_type, body)?;
        let response = self.client.request(request).await.map_err(|error| SendError::transient(chain_of(&error)))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, limits::COLLECTOR_RESPONSE_BYTES_MAX).collect().await;
        if !head.status.is_success() {
            let is_transient = matches!(
                head.status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::BAD_GATEWAY
                    | StatusCode::SERVICE_UNAVAILABLE
                    | StatusCode::GATEWAY_TIMEOUT
            );
            return Err(SendError { reason: format!("status {}", head.status), is_transient });
        }
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(if self.content_type == PROTOBUF { otlp::rejected_spans(&body) } else { 0 })
    }
}
