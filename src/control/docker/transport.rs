//! The transport to the Engine: a Unix socket, or TCP with or without TLS.

use std::error::Error;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;

use super::failure::explain;
use super::settings::DockerProviderSettings;
use super::tls;
use crate::config::dynamic::ClientTls;
use crate::limits::ENGINE_RESPONSE_BYTES_MAX;
use crate::tls::verifier::refusal;

/// The interval of TCP keep-alive probes. Without them a connection to a vanished host would never fail, and the event stream would stay
/// open without events indefinitely.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

type AnyError = Box<dyn Error + Send + Sync>;

/// The parsed endpoint of the Engine.
enum Endpoint<'a> {
    /// The path of a Unix socket.
    Socket(&'a str),
    /// `http://host:port` or `https://host:port`.
    Url(String),
}

/// Creates a client for the endpoint. Sends nothing yet.
pub fn client(settings: &DockerProviderSettings) -> Result<Docker, String> {
    let timeout = settings.request_timeout.as_secs().max(1);
    let connected = match parse_endpoint(settings)? {
        Endpoint::Socket(path) => Docker::connect_with_unix(path, timeout, API_DEFAULT_VERSION),
        Endpoint::Url(url) => {
            let client =
                Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector(&settings.tls)?);
            let transport = move |request: BollardRequest| {
                let response = client.request(request);
                async move { response.await.map_err(bollard::errors::Error::from) }
            };
            Docker::connect_with_custom_transport(transport, Some(url), timeout, API_DEFAULT_VERSION)
        }
    };
    connected.map_err(|error| explain(&settings.endpoint, "connect", &error))
}

/// Sends one GET and gives the JSON of its response, for responses with fields that bollard's types do not have.
pub async fn get(settings: &DockerProviderSettings, path: &str) -> Result<serde_json::Value, String> {
    let json = async {
        let response = match parse_endpoint(settings)? {
            Endpoint::Socket(socket) => get_from_socket(socket, path).await?,
            Endpoint::Url(url) => {
                let client = Client::builder(TokioExecutor::new()).build(connector(&settings.tls)?);
                client.request(Request::get(format!("{url}{path}")).body(Empty::<Bytes>::new())?).await?
            }
        };
        json_of(response).await
    };
    let json = tokio::time::timeout(settings.request_timeout, json).await;
    let json = json.unwrap_or_else(|_| Err("the Docker Engine did not answer in time".into()));
    json.map_err(|error| {
        let reason = refusal::explain_cause(&*error).unwrap_or_else(|| error.to_string());
        format!("cannot get {path} at {}: {reason}", settings.endpoint)
    })
}

async fn get_from_socket(socket: &str, path: &str) -> Result<Response<Incoming>, AnyError> {
    let stream = TokioIo::new(UnixStream::connect(socket).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    // The connection's task ends when the sender is dropped. An error of the connection is returned by the request.
    tokio::spawn(connection);
    Ok(sender.send_request(Request::get(path).header("Host", "docker").body(Empty::<Bytes>::new())?).await?)
}

async fn json_of(response: Response<Incoming>) -> Result<serde_json::Value, AnyError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ENGINE_RESPONSE_BYTES_MAX).collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body).trim()).into());
    }
    Ok(serde_json::from_slice(&body)?)
}

fn parse_endpoint(settings: &DockerProviderSettings) -> Result<Endpoint<'_>, String> {
    let endpoint = settings.endpoint.as_str();
    let (scheme, address) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let address = address.trim_end_matches('/');
    match (scheme, &settings.tls) {
        ("unix", _) => Ok(Endpoint::Socket(address)),
        ("tcp" | "http", None) => Ok(Endpoint::Url(format!("http://{address}"))),
        ("tcp" | "https", Some(_)) => Ok(Endpoint::Url(format!("https://{address}"))),
        _ => Err(format!(
            "docker.endpoint {endpoint:?} cannot be used: write unix:///var/run/docker.sock or tcp://host:port"
        )),
    }
}

fn connector(settings: &Option<ClientTls>) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.enforce_http(false);
    // Without TLS settings the URL is plain http, and this configuration is never used.
    let unused = ClientTls { insecure_skip_verify: true, ..ClientTls::default() };
    let config = tls::client_config(settings.as_ref().unwrap_or(&unused))?;
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(tcp))
}
