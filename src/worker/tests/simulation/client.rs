//! A client of the simulation: sends its requests one by one or pipelined, and checks each response against the request that it belongs to.

use std::collections::VecDeque;

use super::link::{Party, Random};
use super::messages::{Incoming, Next, chunks, pattern, payload_len};
use crate::http::BodyFraming;

/// A request that the client will send.
#[derive(Clone)]
pub struct PlannedRequest {
    pub id: String,
    pub head: String,
    /// The body as HTTP/1.1 frames it.
    body: Vec<u8>,
    pub payload_len: usize,
    /// The body is held back until a `100 Continue`.
    pub expects: bool,
    pub to_head: bool,
    /// An invalid request: it gets status 400, and the connection ends.
    is_invalid: bool,
    pub is_limited: bool,
}

impl std::fmt::Debug for PlannedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.head)
    }
}

/// A response, as far as it has been received.
#[derive(Debug, Default)]
struct ReceivedResponse {
    status: u16,
    id: Option<String>,
    len: Option<usize>,
    data: Vec<u8>,
    lasts_until_close: bool,
}

#[derive(Debug)]
pub struct Client {
    requests: Vec<PlannedRequest>,
    /// The number of requests that may be sent ahead of their responses.
    window: usize,
    sent: usize,
    /// The statuses of the whole responses, in order.
    pub statuses: Vec<u16>,
    current: Option<ReceivedResponse>,
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// The body of the last request sent, if it waits for a `100 Continue`.
    held_back: Option<Vec<u8>>,
    gave_up: bool,
}

impl Client {
    pub fn new(requests: Vec<PlannedRequest>, window: usize) -> Self {
        let mut client = Client {
            requests,
            window,
            sent: 0,
            statuses: Vec::new(),
            current: None,
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            held_back: None,
            gave_up: false,
        };
        client.send_more();
        client
    }

    fn send_more(&mut self) {
        let waits = |client: &Client| client.gave_up || client.held_back.is_some();
        while !waits(self) && self.sent < self.requests.len() && self.sent - self.statuses.len() < self.window {
            let request = &self.requests[self.sent];
            self.outgoing.extend_from_slice(request.head.as_bytes());
            if request.expects {
                self.held_back = Some(request.body.clone());
            } else {
                self.outgoing.extend_from_slice(&request.body);
            }
            self.sent += 1;
        }
    }

    /// Gives up: the client sends nothing more and closes its side.
    pub fn leave(&mut self) {
        self.outgoing.clear();
        self.gave_up = true;
    }

    /// Handles the end of the connection. A body that lasts until the connection's end is whole if that end is a FIN that the client waited
    /// for.
    pub fn end(&mut self, in_order: bool) {
        let is_end = in_order && !self.gave_up;
        if let Some(current) = self.current.take_if(|response| response.lasts_until_close && is_end) {
            self.complete(current);
        } else if let Some(current) = self.current.take() {
            self.check_data(&current);
        }
    }

    /// Handles a whole response, which belongs to the oldest request without one.
    fn complete(&mut self, response: ReceivedResponse) {
        self.check_data(&response);
        let request = &self.requests[self.statuses.len()];
        if let Some(len) = response.len.filter(|_| !request.to_head) {
            assert_eq!(response.data.len(), len, "the cut response to {} looks whole", request.id);
        }
        self.statuses.push(response.status);
        // A response without a `100 Continue` before it: the body will not be sent, so the connection cannot be used any more.
        let is_last_sent = self.statuses.len() == self.sent;
        self.gave_up |= (is_last_sent && self.held_back.take().is_some()) || request.is_invalid;
        self.send_more();
    }

    fn check_data(&self, response: &ReceivedResponse) {
        let request = &self.requests[self.statuses.len()];
        let Some(id) = &response.id else {
            return assert!(response.status >= 400, "{} for {} without an identity", response.status, request.id);
        };
        let fits = *id == request.id && !request.is_invalid;
        assert!(
            fits,
            "{} got the response to {id}, {} after {:?} of {:?}",
            request.id, response.status, self.statuses, self.requests
        );
        assert_eq!(
            response.data,
            pattern(id, response.data.len()),
            "bytes of another response in the response to {id}"
        );
    }

    /// Checks that each request got the response of its server; 429 is allowed where requests are limited.
    pub fn assert_served(&self) {
        assert_eq!(self.statuses.len(), self.requests.len(), "{:?}: {:?}", self.requests, self.statuses);
        for (request, status) in self.requests.iter().zip(&self.statuses) {
            let fits = match status {
                200 => !request.is_invalid,
                429 => request.is_limited,
                400 => request.is_invalid,
                _ => false,
            };
            assert!(fits, "{status} for {request:?}");
        }
    }
}

impl Party for Client {
    fn receive(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        loop {
            let request = self.requests.get(self.statuses.len());
            match self.incoming.next_of_response(request.is_some_and(|request| request.to_head)) {
                Next::Nothing => return,
                Next::Head(head) if head.status < 200 => {
                    self.outgoing.extend(self.held_back.take().unwrap_or_default())
                }
                Next::Head(head) => {
                    assert!(self.statuses.len() < self.sent, "an unsolicited response: {head:?}");
                    self.current = Some(ReceivedResponse {
                        status: head.status,
                        id: head.field("X-Id").map(str::to_owned),
                        len: head.field("X-Len").and_then(|len| len.parse().ok()),
                        data: Vec::new(),
                        lasts_until_close: head.body == BodyFraming::UntilClose,
                    });
                }
                Next::Data(data, done) => {
                    let Some(mut current) = self.current.take() else { continue };
                    current.data.extend_from_slice(&data);
                    if done {
                        self.complete(current);
                    } else {
                        self.current = Some(current);
                    }
                }
            }
        }
    }

    fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    fn has_finished(&self) -> bool {
        self.outgoing.is_empty() && (self.gave_up || self.statuses.len() == self.requests.len())
    }
}

/// The requests of client `number`, sometimes with one more that ends its connection. Without faults each of them gets a response.
pub fn requests(number: u64, faultless: bool, requests_max: u64, random: &mut Random) -> Vec<PlannedRequest> {
    let mut requests = VecDeque::from(common_requests(number, faultless, requests_max, random));
    let count = requests.len();
    match random.below(6) {
        0 => requests.push_back(invalid(format!("{number}-{count}"), random)),
        1 => {
            let head = format!("GET /one/{number}-{count} HTTP/1.0\r\nHost: a\r\n\r\n");
            requests.push_back(plain(format!("{number}-{count}"), head));
        }
        _ => {}
    }
    requests.into()
}

/// The requests of client `number` that any version can carry.
pub fn common_requests(number: u64, faultless: bool, requests_max: u64, random: &mut Random) -> Vec<PlannedRequest> {
    let count = 1 + random.below(requests_max);
    (0..count).map(|at| request(format!("{number}-{at}"), faultless, random)).collect()
}

/// A GET without a body.
pub fn get(route: &str, id: String) -> PlannedRequest {
    let head = format!("GET /{route}/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
    PlannedRequest { is_limited: route == "limited", ..plain(id, head) }
}

fn plain(id: String, head: String) -> PlannedRequest {
    let body = Vec::new();
    PlannedRequest {
        id,
        head,
        body,
        payload_len: 0,
        expects: false,
        to_head: false,
        is_invalid: false,
        is_limited: false,
    }
}

fn request(id: String, faultless: bool, random: &mut Random) -> PlannedRequest {
    // A local reply to a request with an unread body closes the connection, and the requests behind it get no response.
    let route = match random.below(6) {
        0 => return get("limited", id),
        1 if !faultless => ["held", "limited", "nowhere"][random.below(3) as usize],
        _ => "one",
    };
    match random.below(5) {
        0 => {
            let head = format!("HEAD /{route}/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
            PlannedRequest { to_head: true, ..plain(id, head) }
        }
        1 | 2 => post(route, id, random),
        _ => get(route, id),
    }
}

fn post(route: &str, id: String, random: &mut Random) -> PlannedRequest {
    let payload = pattern(&format!("up-{id}"), payload_len(random));
    let expects = random.once_in(4);
    let (framing, body) = match random.below(2) {
        0 => ("Transfer-Encoding: chunked".to_owned(), chunks(&payload, random)),
        _ => (format!("Content-Length: {}", payload.len()), payload.clone()),
    };
    let expectation = if expects { "Expect: 100-continue\r\n" } else { "" };
    let len = payload.len();
    let head = format!("POST /{route}/{id} HTTP/1.1\r\nHost: a\r\n{expectation}X-Len: {len}\r\n{framing}\r\n\r\n");
    PlannedRequest { body, payload_len: len, expects: expects && len > 0, ..plain(id, head) }
}

fn invalid(id: String, random: &mut Random) -> PlannedRequest {
    let heads = [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "\x16\x03\x01\x00\x05hello",
    ];
    let head = heads[random.below(4) as usize].to_owned();
    PlannedRequest { is_invalid: true, ..plain(id, head) }
}
