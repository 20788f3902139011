//! The transport to the Engine: GET requests over a Unix socket, over TCP with or without TLS, or through `ssh`, each on its own connection.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::failure::{RequestError, explain};
use super::settings::DockerProviderSettings;
use super::ssh::SshCommand;
use super::tls;
use crate::config::dynamic::ClientTls;
use crate::limits::ENGINE_RESPONSE_BYTES_MAX;

/// The interval of TCP keep-alive probes. Without them a connection to a vanished host would never fail, and the event stream would stay
/// open without events indefinitely.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// Probes of a host's connection begin after 2 s without data, one a second: a host that lost its power or its network is found to be away
/// within 5 s.
const HOST_KEEPALIVE: Duration = Duration::from_secs(2);
const HOST_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const HOST_KEEPALIVE_RETRIES: u32 = 3;

/// How long a connection to one of several hosts may take. The next attempt finds a host that is back earlier than an attempt of its absence.
const HOST_CONNECT_MAX: Duration = Duration::from_secs(5);

/// The longest message of an error response that goes into the log.
const MESSAGE_CHARS_MAX: usize = 300;

/// A client of one Engine. Clones share their settings.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: String,
    timeout: Duration,
    target: Target,
}

/// The Engine's address.
#[derive(Debug, Clone)]
enum Target {
    /// The path of a Unix socket.
    Socket(String),
    Ssh(SshCommand),
    /// `http://host:port` or `https://host:port`, and the client for it.
    Url(String, Box<legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>>),
}

impl Client {
    /// Creates a client for the endpoint. Sends nothing yet.
    pub fn new(settings: &DockerProviderSettings) -> Result<Client, String> {
        let endpoint = settings.endpoint.as_str();
        let (scheme, address) = endpoint.split_once("://").unwrap_or(("", endpoint));
        let address = address.trim_end_matches('/');
        let url = |scheme: &str| {
            let mut http = legacy::Client::builder(TokioExecutor::new());
            let http = http.pool_max_idle_per_host(0).build(connector(settings)?);
            Ok::<_, String>(Target::Url(format!("{scheme}://{address}"), Box::new(http)))
        };
        let target = match (scheme, &settings.tls) {
            ("unix", _) => Target::Socket(address.to_owned()),
            ("ssh", _) => Target::Ssh(
                SshCommand::parse(address)
                    .map_err(|reason| format!("the endpoint {endpoint:?} cannot be used: {reason}"))?,
            ),
            ("tcp" | "http", None) => url("http")?,
            ("tcp" | "https", Some(_)) => url("https")?,
            _ => {
                return Err(format!(
                    "the endpoint {endpoint:?} cannot be used: write unix:///var/run/docker.sock, tcp://host:port or ssh://user@host"
                ));
            }
        };
        Ok(Client { endpoint: endpoint.to_owned(), timeout: settings.request_timeout, target })
    }

    /// The longest time for one request.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends one GET and gives the JSON of its response.
    pub async fn get(&self, path: &str) -> Result<Value, RequestError> {
        let json = async { json_of(self.open(path).await?).await };
        timeout(self.timeout, json).await.unwrap_or(Err(RequestError::TimedOut))
    }

    /// As [`Client::get`]; the error says what failed, where, and what to do.
    pub async fn get_to(&self, doing: &str, path: &str) -> Result<Value, String> {
        self.get(path).await.map_err(|error| self.explain(doing, &error))
    }

    /// Sends one GET and gives its response once the head has arrived, without a timeout.
    pub async fn open(&self, path: &str) -> Result<Response<Incoming>, RequestError> {
        let response = match &self.target {
            Target::Socket(socket) => open_on_socket(socket, path).await?,
            Target::Ssh(command) => open_through_ssh(command, path).await?,
            Target::Url(url, http) => {
                let request = Request::get(format!("{url}{path}")).body(Empty::new()).map_err(lost)?;
                http.request(request).await.map_err(lost)?
            }
        };
        match response.status() {
            status if status.is_success() => Ok(response),
            status => {
                let body = read_body(response.into_body()).await.unwrap_or_default();
                Err(RequestError::Status { code: status.as_u16(), message: message_of(&body) })
            }
        }
    }

    /// The error's text: what failed, where, and what to do.
    pub fn explain(&self, doing: &str, error: &RequestError) -> String {
        explain(&self.endpoint, doing, error)
    }
}

async fn open_on_socket(socket: &str, path: &str) -> Result<Response<Incoming>, RequestError> {
    request_on(UnixStream::connect(socket).await.map_err(lost)?, (), path).await
}

/// As [`open_on_socket`]; the error is `ssh`'s own message, if there is one.
async fn open_through_ssh(command: &SshCommand, path: &str) -> Result<Response<Incoming>, RequestError> {
    let (stream, process, messages) = command.open().map_err(lost)?;
    let error = match request_on(stream, process, path).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    Err(match messages.text().await {
        text if text.is_empty() => error,
        text => lost(io::Error::other(format!("ssh: {text}"))),
    })
}

/// Sends one GET on the stream. `owner` is dropped with the connection.
async fn request_on<O: Send + 'static>(
    stream: UnixStream,
    owner: O,
    path: &str,
) -> Result<Response<Incoming>, RequestError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    // The connection's task ends when the sender is dropped. An error of the connection is returned by the request.
    tokio::spawn(async move {
        let _ = connection.await;
        drop(owner);
    });
    let request = Request::get(path).header("Host", "docker").body(Empty::<Bytes>::new()).map_err(lost)?;
    sender.send_request(request).await.map_err(lost)
}

async fn json_of(response: Response<Incoming>) -> Result<Value, RequestError> {
    let body = read_body(response.into_body()).await?;
    serde_json::from_slice(&body).map_err(|error| RequestError::Content(format!("the response is no JSON: {error}")))
}

async fn read_body(body: Incoming) -> Result<Bytes, RequestError> {
    let collected = Limited::new(body, ENGINE_RESPONSE_BYTES_MAX).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
        true => RequestError::Content(format!("the response has more than {ENGINE_RESPONSE_BYTES_MAX} bytes")),
        false => RequestError::Connection(error),
    })
}

/// The message of an error response, which Engines write as `{"message":...}`, in one line.
fn message_of(body: &[u8]) -> String {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| json["message"].as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    text.trim().chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

fn lost(error: impl std::error::Error + Send + Sync + 'static) -> RequestError {
    RequestError::Connection(Box::new(error))
}

fn connector(settings: &DockerProviderSettings) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    if !settings.hosts.is_empty() {
        tcp.set_keepalive(Some(HOST_KEEPALIVE));
        tcp.set_keepalive_interval(Some(HOST_KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(HOST_KEEPALIVE_RETRIES));
        tcp.set_connect_timeout(Some(HOST_CONNECT_MAX));
    }
    tcp.enforce_http(false);
    // Without TLS settings the URL is plain http, and this configuration is never used.
    let unused = ClientTls { insecure_skip_verify: true, ..ClientTls::default() };
    let config = tls::client_config(settings.tls.as_ref().unwrap_or(&unused))?;
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp))
}
