//! etcd, through its API v3 (gRPC). The crate etcd-client is not used: it needs the program `protoc` in every build.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::dial::{Endpoints, Stream};
use super::etcd_messages::{
    AuthenticateRequest, AuthenticateResponse, Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, Operation,
    PutRequest, RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse, WatchCommand, WatchCreateRequest,
    WatchRequest, WatchResponse,
};
use super::store::{Answer, Changes, Condition, Entry, Event, Revision, Store, StoreError, spellings};
use crate::limits::STORE_LISTING_BYTES_MAX;

/// Keys of one page of a listing: a page of short values is far below the size at which etcd refuses.
const PAGE_KEYS: i64 = 10_000;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// etcd ends connections that are probed more often than every 5 s.
const PROBE_INTERVAL: Duration = Duration::from_secs(6);
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// A connection to a cluster.
pub struct Etcd {
    channel: Channel,
    /// Of a user that has logged in.
    token: Option<MetadataValue<Ascii>>,
    endpoints: Endpoints,
}

impl Etcd {
    /// Connects, and logs in if there is a user name.
    pub async fn connect(endpoints: Endpoints, username: &str, password: &str) -> Result<Etcd, StoreError> {
        // The scheme stands for no TLS of tonic's own: the connector makes the connection.
        let uri = format!("http://{}", endpoints.address());
        let unusable =
            |error: tonic::transport::Error| StoreError::new(format!("etcd {}", endpoints.list()), cause(&error));
        let endpoint = Endpoint::from_shared(uri).map_err(unusable)?;
        let endpoint = endpoint
            .http2_keep_alive_interval(PROBE_INTERVAL)
            .keep_alive_timeout(PROBE_TIMEOUT)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_with_connector(Connector(endpoints.clone())).await.map_err(unusable)?;
        let mut etcd = Etcd { channel, token: None, endpoints };
        if !username.is_empty() {
            let request = AuthenticateRequest { name: username.to_owned(), password: password.to_owned() };
            let answer: AuthenticateResponse = etcd.call("log in", AUTHENTICATE, request).await?;
            etcd.token = answer.token.parse().ok();
        }
        Ok(etcd)
    }

    async fn call<Q, A>(&self, doing: &str, path: &'static str, message: Q) -> Result<A, StoreError>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
    {
        let answer = async {
            let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(STORE_LISTING_BYTES_MAX);
            grpc.ready().await.map_err(|error| self.failed(doing, cause(&error)))?;
            let codec: ProstCodec<Q, A> = ProstCodec::default();
            let answer = grpc.unary(self.request(message), PathAndQuery::from_static(path), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| self.failed(doing, text(&status)))
        };
        let timed_out = |_| self.failed(doing, "no answer in 30 s".to_owned());
        tokio::time::timeout(REQUEST_TIMEOUT, answer).await.map_err(timed_out)?
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    fn failed(&self, doing: &str, why: String) -> StoreError {
        StoreError(format!("etcd {}: cannot {doing}: {why}", self.endpoints.list()))
    }

    /// All keys of a prefix at one revision, and that revision.
    async fn snapshot(&self, prefix: &str) -> Result<(Vec<Entry>, i64), StoreError> {
        let (mut entries, mut revision) = (Vec::new(), 0);
        for spelling in spellings(prefix) {
            let (mut key, range_end) = range_of(&spelling);
            loop {
                let request = RangeRequest { key, range_end: range_end.clone(), limit: PAGE_KEYS, revision };
                let page: RangeResponse = self.call("list keys", RANGE, request).await?;
                if revision == 0 {
                    revision = page.header.as_ref().map_or(0, |header| header.revision);
                }
                let last = page.kvs.last().map(|kv| kv.key.clone());
                entries.extend(page.kvs.into_iter().filter_map(entry));
                match last.filter(|_| page.more) {
                    // The next possible key after the last one of this page.
                    Some(mut last) => {
                        last.push(0);
                        key = last;
                    }
                    None => break,
                }
            }
        }
        Ok((entries, revision))
    }

    async fn watch(&self, prefix: &str, start_revision: i64) -> Result<Streaming<WatchResponse>, StoreError> {
        let create = |spelling: String| {
            let (key, range_end) = range_of(&spelling);
            WatchRequest { command: Some(WatchCommand::Create(WatchCreateRequest { key, range_end, start_revision })) }
        };
        let commands: Vec<WatchRequest> = spellings(prefix).into_iter().map(create).collect();
        // The stream of commands never ends: its end would end the watch.
        let commands = futures_util::stream::iter(commands).chain(futures_util::stream::pending());
        let mut request = self.request(commands);
        // A member that is cut off from the others ends the watch, instead of reporting nothing.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let opened = async {
            let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(STORE_LISTING_BYTES_MAX);
            grpc.ready().await.map_err(|error| self.failed("follow changes", cause(&error)))?;
            let codec: ProstCodec<WatchRequest, WatchResponse> = ProstCodec::default();
            let answer = grpc.streaming(request, PathAndQuery::from_static(WATCH), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| self.failed("follow changes", text(&status)))
        };
        let timed_out = |_| self.failed("follow changes", "no answer in 30 s".to_owned());
        tokio::time::timeout(REQUEST_TIMEOUT, opened).await.map_err(timed_out)?
    }
}

impl Store for Etcd {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let request = RangeRequest { key: own_spelling(key), ..RangeRequest::default() };
            let answer: RangeResponse = self.call("read a key", RANGE, request).await?;
            Ok(answer.kvs.into_iter().next().and_then(entry))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Entry>> {
        Box::pin(async move { Ok(self.snapshot(prefix).await?.0) })
    }

    fn follow<'a>(&'a self, prefix: &'a str) -> Answer<'a, (Vec<Entry>, Box<dyn Changes>)> {
        Box::pin(async move {
            let (entries, revision) = self.snapshot(prefix).await?;
            let stream = self.watch(prefix, revision.saturating_add(1)).await?;
            let changes: Box<dyn Changes> = Box::new(EtcdChanges { stream, endpoints: self.endpoints.list() });
            Ok((entries, changes))
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, condition: Condition) -> Answer<'a, bool> {
        Box::pin(async move {
            let key = own_spelling(key);
            let revision = match condition {
                Condition::Any => None,
                Condition::Absent => Some(0),
                Condition::Unchanged(Revision::Number(number)) => Some(i64::try_from(number).unwrap_or(i64::MAX)),
                Condition::Unchanged(Revision::Value(_)) => return Ok(false),
            };
            let compare = revision.map(|revision| Compare {
                result: 0,
                target: 2,
                key: key.clone(),
                mod_revision: Some(revision),
            });
            let put = RequestOp { request: Some(Operation::Put(PutRequest { key, value })) };
            let request = TxnRequest { compare: compare.into_iter().collect(), success: vec![put] };
            let answer: TxnResponse = self.call("write a key", TXN, request).await?;
            Ok(answer.succeeded)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let request = DeleteRangeRequest { key: own_spelling(key) };
            let _: DeleteRangeResponse = self.call("remove a key", DELETE_RANGE, request).await?;
            Ok(())
        })
    }
}

struct EtcdChanges {
    stream: Streaming<WatchResponse>,
    endpoints: String,
}

impl Changes for EtcdChanges {
    fn next(&mut self) -> Answer<'_, Event> {
        Box::pin(async move {
            let failed =
                |why: String| StoreError(format!("etcd {}: changes cannot be followed: {why}", self.endpoints));
            loop {
                let message = self.stream.message().await.map_err(|status| failed(text(&status)))?;
                let Some(response) = message else { return Err(failed("the server ended the stream".to_owned())) };
                if response.canceled {
                    let why = match response.compact_revision {
                        0 => response.cancel_reason,
                        _ => "the changes since the listing are compacted".to_owned(),
                    };
                    return Err(failed(why));
                }
                let changes: Vec<_> = response.events.into_iter().filter_map(change).collect();
                if !changes.is_empty() {
                    return Ok(Event::Changes(changes));
                }
            }
        })
    }
}

fn change(event: super::etcd_messages::KeyEvent) -> Option<(String, Option<Vec<u8>>)> {
    let is_write = event.kind == 0;
    let Entry { key, value, .. } = entry(event.kv?)?;
    Some((key, is_write.then_some(value)))
}

/// The entry of a key; `None` if the key is no text, as no option is.
fn entry(kv: KeyValue) -> Option<Entry> {
    let key = String::from_utf8(kv.key).ok()?;
    let revision = Revision::Number(u64::try_from(kv.mod_revision).unwrap_or(0));
    Some(Entry { key, value: kv.value, revision })
}

/// Traefik v1 writes keys without a slash at the beginning through the API v3.
fn own_spelling(key: &str) -> Vec<u8> {
    key.trim_start_matches('/').as_bytes().to_vec()
}

/// The range of all keys that begin with a text: from it to the first text after all of them. Two zero bytes mean all keys.
fn range_of(spelling: &str) -> (Vec<u8>, Vec<u8>) {
    let mut end = spelling.as_bytes().to_vec();
    match end.last_mut() {
        // The text ends with a slash, whose successor is `0`.
        Some(last) => *last = last.saturating_add(1),
        None => return (vec![0], vec![0]),
    }
    (spelling.as_bytes().to_vec(), end)
}

/// The text of an error of the transport, with its innermost cause, which says more.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn text(status: &Status) -> String {
    match status.message() {
        "" => cause(status),
        message => message.to_owned(),
    }
}

/// Makes tonic's connections.
#[derive(Clone)]
struct Connector(Endpoints);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let endpoints = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(endpoints.dial().await?)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_of_prefix_ends_before_its_neighbours() {
        assert_eq!(range_of("traefik/"), (b"traefik/".to_vec(), b"traefik0".to_vec()));
        assert_eq!(range_of(""), (vec![0], vec![0]));
    }
}
