//! Sends one probe over HTTP/2 and judges the response: the version that the traffic speaks with the server
//! (docs/reference/backends.md#health-checks).

use std::future::Future;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::{HeaderName, HeaderValue};
use hyper::rt::{Executor, Read, Write};
use hyper::{Request, Response, Uri};

use super::probe_failure::{BODY_BYTES_MAX, BODY_TIME_MAX, ProbeFailure};
use crate::limits;

/// Runs the tasks of hyper's HTTP/2 connections on the control plane's thread.
#[derive(Debug, Clone, Copy)]
struct LocalTasks;

impl<F: Future<Output: 'static> + 'static> Executor<F> for LocalTasks {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// The connection's task, which ends with the probe.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Makes the request of a probe: `host` becomes the authority. Fields of the connection, which HTTP/2 does not have, are dropped.
///
/// # Errors
/// A name or a value that cannot be sent.
pub fn request(uri: &Uri, host: &str, headers: &[(String, String)]) -> Result<Request<Empty<Bytes>>, String> {
    let scheme = if uri.scheme_str() == Some("https") { "https" } else { "http" };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let bad_host = |_| format!("{host:?} is no host name");
    let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(target).build().map_err(bad_host)?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    for (name, value) in headers {
        let field = HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is no header name"))?;
        let value = HeaderValue::try_from(value.as_str()).map_err(|_| format!("the header {name} has a bad value"))?;
        if !is_of_connection(field.as_str()) {
            request.headers_mut().append(field, value);
        }
    }
    Ok(request)
}

fn is_of_connection(name: &str) -> bool {
    ["host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings", "te"]
        .contains(&name)
}

/// Sends the request on a new connection. Returns the response once its body has been checked as far as probes check bodies; that of a
/// redirect is not read.
///
/// # Errors
/// Why there is no response that the request path would forward.
pub async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<()>, ProbeFailure>
where
    S: Read + Write + Unpin + 'static,
{
    let mut settings = http2::Builder::new(LocalTasks);
    settings.max_header_list_size(u32::try_from(limits::RESPONSE_HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    let (mut sender, connection) = settings.handshake(stream).await.map_err(|e| ProbeFailure::of(&e))?;
    let _driver = Driver(tokio::task::spawn_local(async move {
        // The failure of a connection reaches the request as an error of its own.
        drop(connection.await);
    }));
    let response = sender.send_request(request).await.map_err(|e| ProbeFailure::of(&e))?;
    let (head, body) = response.into_parts();
    if !head.status.is_redirection() {
        tokio::time::timeout(BODY_TIME_MAX, check_body(body)).await.unwrap_or(Ok(()))?;
    }
    Ok(Response::from_parts(head, ()))
}

async fn check_body(mut body: Incoming) -> Result<(), ProbeFailure> {
    let mut received = 0;
    while received < BODY_BYTES_MAX
        && let Some(frame) = body.frame().await
    {
        let frame = frame.map_err(|e| {
            let failure = ProbeFailure::of(&e);
            ProbeFailure { reason: format!("incomplete response: {}", failure.reason), ..failure }
        })?;
        received += frame.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}
