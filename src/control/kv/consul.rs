//! Consul's key-value store, through its HTTP API. Changes are followed with blocking queries.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::dial::Endpoints;
use super::store::{Answer, Changes, Condition, Entry, Event, Revision, Store, StoreError};
use crate::limits::STORE_LISTING_BYTES_MAX;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a query blocks when nothing changes. Consul adds a sixteenth of it.
const BLOCKING_SECS: u64 = 60;
/// The least time between two queries, for a server that answers a blocking query at once.
const QUERY_INTERVAL: Duration = Duration::from_millis(100);
const INDEX: &str = "x-consul-index";

/// The address of a Consul agent, and what it asks for.
#[derive(Clone)]
pub struct Consul {
    endpoints: Endpoints,
    /// `CONSUL_HTTP_TOKEN`
    token: Option<String>,
    /// The value of the field `Authorization`.
    basic: Option<String>,
}

impl Consul {
    /// Makes a client. Sends nothing yet.
    pub fn new(endpoints: Endpoints, token: Option<String>, username: &str, password: &str) -> Consul {
        let basic =
            (!username.is_empty()).then(|| format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))));
        Consul { endpoints, token: token.filter(|token| !token.is_empty()), basic }
    }

    /// Sends a request; gives status, index and body of its response.
    async fn send(&self, method: Method, path: &str, body: Vec<u8>, limit: Duration) -> Result<Reply, String> {
        let reply = async {
            let stream = self.endpoints.dial().await.map_err(|error| error.to_string())?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
            // The connection's task ends when the sender is dropped. An error of the connection is returned by the request.
            tokio::spawn(connection);
            let mut request = Request::builder().method(method).uri(path).header(HOST, self.endpoints.address());
            if let Some(token) = &self.token {
                request = request.header("X-Consul-Token", token);
            }
            if let Some(basic) = &self.basic {
                request = request.header(AUTHORIZATION, basic);
            }
            let request = request.body(Full::new(Bytes::from(body))).map_err(|e| e.to_string())?;
            let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
            let status = response.status();
            let index = response.headers().get(INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
            let body = Limited::new(response.into_body(), STORE_LISTING_BYTES_MAX).collect().await;
            Ok(Reply { status, index: index.unwrap_or(0), body: body.map_err(|e| e.to_string())?.to_bytes() })
        };
        let timed_out = |_| Err(format!("no answer in {} s", limit.as_secs()));
        tokio::time::timeout(limit, reply).await.unwrap_or_else(timed_out)
    }

    fn failed(&self, doing: &str, why: impl std::fmt::Display) -> StoreError {
        StoreError(format!("consul {}: cannot {doing}: {why}", self.endpoints.list()))
    }

    /// All keys below a prefix, and the index of their last change. With an index, the query blocks until there is a later change.
    async fn query(&self, prefix: &str, index: u64) -> Result<(Vec<Entry>, u64), StoreError> {
        let (blocking, limit) = match index {
            0 => (String::new(), REQUEST_TIMEOUT),
            index => (
                format!("&index={index}&wait={BLOCKING_SECS}s"),
                Duration::from_secs(BLOCKING_SECS * 17 / 16) + REQUEST_TIMEOUT,
            ),
        };
        let folder = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{}/", escape(prefix)),
        };
        let path = format!("/v1/kv/{folder}?recurse=true&consistent{blocking}");
        let reply =
            self.send(Method::GET, &path, Vec::new(), limit).await.map_err(|why| self.failed("list keys", why))?;
        let entries = match reply.status {
            StatusCode::OK => entries(&reply.body).map_err(|why| self.failed("list keys", why))?,
            StatusCode::NOT_FOUND => Vec::new(),
            _ => return Err(self.failed("list keys", reply.refusal())),
        };
        Ok((entries, reply.index))
    }
}

struct Reply {
    status: StatusCode,
    index: u64,
    body: Bytes,
}

impl Reply {
    fn refusal(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.body).trim().chars().take(200).collect();
        match self.status {
            StatusCode::FORBIDDEN => {
                format!("403 {text}: set CONSUL_HTTP_TOKEN to a token that may read and write the keys")
            }
            status => format!("{status} {text}"),
        }
    }
}

impl Store for Consul {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let path = format!("/v1/kv/{}?consistent", escape(key.trim_start_matches('/')));
            let reply = self.send(Method::GET, &path, Vec::new(), REQUEST_TIMEOUT).await;
            let reply = reply.map_err(|why| self.failed("read a key", why))?;
            match reply.status {
                StatusCode::OK => {
                    let entries = entries(&reply.body).map_err(|why| self.failed("read a key", why))?;
                    Ok(entries.into_iter().next())
                }
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(self.failed("read a key", reply.refusal())),
            }
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move { Ok(self.query(prefix, 0).await?.0) })
    }

    fn follow<'a>(&'a self, prefix: &'a str) -> Answer<'a, (Vec<Entry>, Box<dyn Changes>)> {
        Box::pin(async move {
            let (entries, index) = self.query(prefix, 0).await?;
            let changes: Box<dyn Changes> =
                Box::new(ConsulChanges { consul: self.clone(), prefix: prefix.to_owned(), index });
            Ok((entries, changes))
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, condition: Condition) -> Answer<'a, bool> {
        Box::pin(async move {
            let compare = match condition {
                Condition::Any => String::new(),
                Condition::Absent => "?cas=0".to_owned(),
                Condition::Unchanged(Revision::Number(index)) => format!("?cas={index}"),
                Condition::Unchanged(Revision::Value(_)) => return Ok(false),
            };
            let path = format!("/v1/kv/{}{compare}", escape(key.trim_start_matches('/')));
            let reply = self.send(Method::PUT, &path, value, REQUEST_TIMEOUT).await;
            let reply = reply.map_err(|why| self.failed("write a key", why))?;
            match reply.status {
                StatusCode::OK => Ok(reply.body.trim_ascii() == b"true"),
                _ => Err(self.failed("write a key", reply.refusal())),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let path = format!("/v1/kv/{}", escape(key.trim_start_matches('/')));
            let reply = self.send(Method::DELETE, &path, Vec::new(), REQUEST_TIMEOUT).await;
            let reply = reply.map_err(|why| self.failed("remove a key", why))?;
            match reply.status {
                StatusCode::OK => Ok(()),
                _ => Err(self.failed("remove a key", reply.refusal())),
            }
        })
    }
}

struct ConsulChanges {
    consul: Consul,
    prefix: String,
    index: u64,
}

impl Changes for ConsulChanges {
    fn next(&mut self) -> Answer<'_, Event> {
        Box::pin(async move {
            loop {
                let started = tokio::time::Instant::now();
                // A query with index 0 would not block.
                let (entries, index) = self.consul.query(&self.prefix, self.index.max(1)).await?;
                let is_new = index != self.index;
                // An index that has become smaller belongs to another state of the server: begin again.
                self.index = if index < self.index { 0 } else { index };
                if is_new {
                    return Ok(Event::Listing(entries));
                }
                tokio::time::sleep_until(started + QUERY_INTERVAL).await;
            }
        })
    }
}

fn entries(body: &[u8]) -> Result<Vec<Entry>, String> {
    let json: Value = serde_json::from_slice(body).map_err(|error| format!("the response is no JSON: {error}"))?;
    let items = json.as_array().ok_or("the response is no list of keys")?;
    let entry = |item: &Value| {
        let key = item["Key"].as_str()?.to_owned();
        // A key without a value has `null`.
        let value = STANDARD.decode(item["Value"].as_str().unwrap_or_default()).ok()?;
        Some(Entry { key, value, revision: Revision::Number(item["ModifyIndex"].as_u64().unwrap_or(0)) })
    };
    Ok(items.iter().filter_map(entry).collect())
}

/// A key in the path of a URL: bytes with a meaning of their own are escaped, slashes stay.
fn escape(key: &str) -> String {
    let mut path = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_null_values_and_odd_entries_are_read() {
        let body = br#"[{"Key":"traefik/api/","Value":null,"ModifyIndex":7},{"Key":"a","Value":"aGk=","ModifyIndex":8},
            {"Key":1},{"Key":"b","Value":"%"}]"#;
        let read = entries(body).expect("a list");
        let expected = [("traefik/api/", "", 7), ("a", "hi", 8)].map(|(key, value, index)| Entry {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
            revision: Revision::Number(index),
        });
        assert_eq!(read, expected);
        assert!(entries(b"<html>").is_err() && entries(b"{}").is_err());
    }

    #[test]
    fn keys_are_escaped_in_paths() {
        assert_eq!(escape("traefik/a b/ü?"), "traefik/a%20b/%C3%BC%3F");
    }
}
