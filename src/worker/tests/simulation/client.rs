//! A client of the simulation: sends its requests one by one or ahead of the answers, and checks each answer against the request it
//! belongs to.

use std::collections::VecDeque;

use super::link::{Party, Random};
use super::messages::{Incoming, Next, chunks, pattern, payload_len};
use crate::http::BodyFraming;

/// One request.
#[derive(Clone)]
pub struct Ask {
    pub id: String,
    head: String,
    body: Vec<u8>,
    /// The body is held back until it is asked for.
    expects: bool,
    to_head: bool,
    /// No request at all: the answer is a refusal, and the last.
    is_nonsense: bool,
    pub is_limited: bool,
}

impl std::fmt::Debug for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.head)
    }
}

/// One answer, as far as it came.
#[derive(Debug, Default)]
struct Answer {
    status: u16,
    id: Option<String>,
    len: Option<usize>,
    data: Vec<u8>,
    lasts_until_close: bool,
}

#[derive(Debug)]
pub struct Client {
    asks: Vec<Ask>,
    /// Requests that may be under way at one time.
    window: usize,
    sent: usize,
    /// Whole answers, in order: their statuses.
    pub answered: Vec<u16>,
    current: Option<Answer>,
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// A body that waits to be asked for: that of the last request sent.
    held_back: Option<Vec<u8>>,
    gave_up: bool,
}

impl Client {
    pub fn new(asks: Vec<Ask>, window: usize) -> Self {
        let mut client = Client {
            asks,
            window,
            sent: 0,
            answered: Vec::new(),
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
        while !waits(self) && self.sent < self.asks.len() && self.sent - self.answered.len() < self.window {
            let ask = &self.asks[self.sent];
            self.outgoing.extend_from_slice(ask.head.as_bytes());
            if ask.expects {
                self.held_back = Some(ask.body.clone());
            } else {
                self.outgoing.extend_from_slice(&ask.body);
            }
            self.sent += 1;
        }
    }

    /// Has waited long enough.
    pub fn leave(&mut self) {
        self.outgoing.clear();
        self.gave_up = true;
    }

    /// The connection has ended, in order or not. A body that lasts until an orderly end is whole, for a client that waited for it.
    pub fn end(&mut self, in_order: bool) {
        let is_end = in_order && !self.gave_up;
        if let Some(current) = self.current.take_if(|answer| answer.lasts_until_close && is_end) {
            self.settle(current);
        } else if let Some(current) = self.current.take() {
            self.check_data(&current);
        }
    }

    /// A whole answer: it belongs to the oldest request that has none.
    fn settle(&mut self, answer: Answer) {
        self.check_data(&answer);
        let ask = &self.asks[self.answered.len()];
        if let Some(len) = answer.len.filter(|_| !ask.to_head) {
            assert_eq!(answer.data.len(), len, "the answer to {} passes for whole", ask.id);
        }
        self.answered.push(answer.status);
        // An answer that comes without asking for the body: the body will not be sent, so the connection is of no use any more.
        let is_last_sent = self.answered.len() == self.sent;
        self.gave_up |= (is_last_sent && self.held_back.take().is_some()) || ask.is_nonsense;
        self.send_more();
    }

    fn check_data(&self, answer: &Answer) {
        let ask = &self.asks[self.answered.len()];
        let Some(id) = &answer.id else {
            return assert!(answer.status >= 400, "{} for {} from nobody", answer.status, ask.id);
        };
        let fits = *id == ask.id && !ask.is_nonsense;
        assert!(
            fits,
            "{} got the answer to {id}, {} after {:?} of {:?}",
            ask.id, answer.status, self.answered, self.asks
        );
        assert_eq!(answer.data, pattern(id, answer.data.len()), "bytes of another answer to {id}");
    }

    /// All requests are answered by their server; where connections are limited, a refusal will do.
    pub fn assert_served(&self) {
        assert_eq!(self.answered.len(), self.asks.len(), "{:?}: {:?}", self.asks, self.answered);
        for (ask, status) in self.asks.iter().zip(&self.answered) {
            let fits = match status {
                200 => !ask.is_nonsense,
                429 => ask.is_limited,
                400 => ask.is_nonsense,
                _ => false,
            };
            assert!(fits, "{status} for {ask:?}");
        }
    }
}

impl Party for Client {
    fn hear(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        loop {
            let ask = self.asks.get(self.answered.len());
            match self.incoming.next_of_response(ask.is_some_and(|ask| ask.to_head)) {
                Next::Nothing => return,
                Next::Head(head) if head.status < 200 => {
                    self.outgoing.extend(self.held_back.take().unwrap_or_default())
                }
                Next::Head(head) => {
                    assert!(self.answered.len() < self.sent, "an answer that nobody asked for: {head:?}");
                    self.current = Some(Answer {
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
                        self.settle(current);
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
        self.outgoing.is_empty() && (self.gave_up || self.answered.len() == self.asks.len())
    }
}

/// The requests of client `number`, and now and then one more that ends its connection. Those of an honest one can all be answered.
pub fn asks(number: u64, honest: bool, requests_max: u64, random: &mut Random) -> Vec<Ask> {
    let count = 1 + random.below(requests_max);
    let mut asks: VecDeque<Ask> = (0..count).map(|at| ask(format!("{number}-{at}"), honest, random)).collect();
    match random.below(6) {
        0 => asks.push_back(nonsense(format!("{number}-{count}"), random)),
        1 => {
            let head = format!("GET /one/{number}-{count} HTTP/1.0\r\nHost: a\r\n\r\n");
            asks.push_back(plain(format!("{number}-{count}"), head));
        }
        _ => {}
    }
    asks.into()
}

/// One GET.
pub fn get(route: &str, id: String) -> Ask {
    let head = format!("GET /{route}/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
    Ask { is_limited: route == "limited", ..plain(id, head) }
}

fn plain(id: String, head: String) -> Ask {
    Ask { id, head, body: Vec::new(), expects: false, to_head: false, is_nonsense: false, is_limited: false }
}

fn ask(id: String, honest: bool, random: &mut Random) -> Ask {
    // A body that nobody has read costs the connection when its request is refused, and with it the requests behind it.
    let route = match random.below(6) {
        0 => return get("limited", id),
        1 if !honest => ["held", "limited", "nowhere"][random.below(3) as usize],
        _ => "one",
    };
    match random.below(5) {
        0 => {
            let head = format!("HEAD /{route}/{id} HTTP/1.1\r\nHost: a\r\n\r\n");
            Ask { to_head: true, ..plain(id, head) }
        }
        1 | 2 => post(route, id, random),
        _ => get(route, id),
    }
}

fn post(route: &str, id: String, random: &mut Random) -> Ask {
    let payload = pattern(&format!("up-{id}"), payload_len(random));
    let expects = random.once_in(4);
    let (framing, body) = match random.below(2) {
        0 => ("Transfer-Encoding: chunked".to_owned(), chunks(&payload, random)),
        _ => (format!("Content-Length: {}", payload.len()), payload.clone()),
    };
    let expectation = if expects { "Expect: 100-continue\r\n" } else { "" };
    let len = payload.len();
    let head = format!("POST /{route}/{id} HTTP/1.1\r\nHost: a\r\n{expectation}X-Len: {len}\r\n{framing}\r\n\r\n");
    Ask { body, expects: expects && len > 0, ..plain(id, head) }
}

fn nonsense(id: String, random: &mut Random) -> Ask {
    let heads = [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "\x16\x03\x01\x00\x05hello",
    ];
    let head = heads[random.below(4) as usize].to_owned();
    Ask { is_nonsense: true, ..plain(id, head) }
}
