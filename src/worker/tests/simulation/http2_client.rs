//! A client of the simulation that speaks HTTP/2 with prior knowledge: several requests at a time, also cancelled ones, small windows, slow
//! reading. Each response is checked against the request of its stream.

use std::rc::Rc;

use super::client::PlannedRequest;
use super::http2_peer::{Peer, check_body, check_failure, field, settings};
use super::link::{Party, Random};
use super::messages::pattern;
use super::scheduler::Scheduler;
use super::versions::note_event;
use crate::http::ResponseHead;
use crate::http::h2::connection::{Connection, Data, ErrorCode, Received, StreamFailure, StreamKey};

/// How a client treats one of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Whole,
    /// Cancels the request once this many bytes of its body have been sent.
    CancelsAfter(usize),
    /// Cancels the request once the response's head is there.
    CancelsAtHead,
    /// Announces one byte more than it sends.
    ShortBody,
}

/// The result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    /// The whole response has arrived, with this status.
    Whole(u16),
    Failed,
}

/// The head of a response.
struct Response {
    status: u16,
    id: Option<String>,
    len: Option<usize>,
}

/// A request in progress.
struct Stream {
    key: StreamKey,
    /// The request's number.
    at: usize,
    act: Act,
    body: Vec<u8>,
    sent: usize,
    has_ended: bool,
    waits_for_continue: bool,
    response: Option<Response>,
    data: Vec<u8>,
}

pub struct Http2Client {
    peer: Peer,
    faultless: bool,
    requests: Vec<PlannedRequest>,
    outcomes: Vec<Outcome>,
    /// The number of requests that have been sent.
    opened: usize,
    streams: Vec<Stream>,
    /// Bytes of the proxy after which the client disconnects.
    leaves_after: usize,
    received: usize,
    has_said_goodbye: bool,
    gave_up: bool,
}

impl Http2Client {
    pub fn new(requests: Vec<PlannedRequest>, faultless: bool, mut random: Random, scheduler: &Rc<Scheduler>) -> Self {
        // A smaller window costs so many updates that they may count as a flood.
        let smallest = if faultless { 1000 } else { 16 };
        let window = [smallest, 1000, 20_000, 65_536][random.below(4) as usize];
        let connection = Connection::client(settings(window, 1 + random.below(8) as u32), false);
        let leaves = !faultless && random.once_in(10);
        let leaves_after = if leaves { random.below(3000) as usize } else { usize::MAX };
        let mut client = Http2Client {
            peer: Peer::new(connection, random, scheduler),
            faultless,
            outcomes: vec![Outcome::Open; requests.len()],
            requests,
            opened: 0,
            streams: Vec::new(),
            leaves_after,
            received: 0,
            has_said_goodbye: false,
            gave_up: false,
        };
        client.work(true);
        client
    }

    /// The most requests at a time.
    pub fn width(&self) -> usize {
        self.requests.len()
    }

    fn work(&mut self, reads: bool) {
        while !self.gave_up {
            self.open_streams();
            let mut streams = std::mem::take(&mut self.streams);
            streams.retain_mut(|stream| self.advance(stream, reads));
            self.streams = streams;
            let is_done = self.outcomes.iter().all(|outcome| *outcome != Outcome::Open);
            if is_done && !std::mem::replace(&mut self.has_said_goodbye, true) && self.peer.random.once_in(2) {
                self.peer.connection.shut_down();
            }
            // The proxy has ended the connection: the requests that are left cannot be sent.
            self.gave_up |= !is_done && self.peer.connection.is_finished();
            if !self.peer.flush() {
                return;
            }
        }
    }

    fn open_streams(&mut self) {
        while let Some(request) = self.requests.get(self.opened) {
            let Some(key) = self.peer.connection.open(request.to_head) else { return };
            let act = self.act();
            let request = &self.requests[self.opened];
            let len = request.payload_len;
            let mut head = request.head.clone();
            if act == Act::ShortBody {
                head = head.replace(&format!("-Len: {len}\r\n"), &format!("-Len: {}\r\n", len + 1));
                head = head.replace(&format!("-Length: {len}\r\n"), &format!("-Length: {}\r\n", len + 1));
            }
            let ends = len == 0 && !matches!(act, Act::CancelsAfter(_));
            self.peer.connection.send_head(key, head.as_bytes(), ends).expect("a request can be sent");
            let stream = Stream {
                key,
                at: self.opened,
                act,
                body: pattern(&format!("up-{}", request.id), len),
                sent: 0,
                has_ended: ends,
                waits_for_continue: request.expects,
                response: None,
                data: Vec::new(),
            };
            self.streams.push(stream);
            self.opened += 1;
        }
    }

    fn act(&mut self) -> Act {
        let request = &self.requests[self.opened];
        let random = &mut self.peer.random;
        if self.faultless || !random.once_in(5) {
            return Act::Whole;
        }
        match random.below(4) {
            0 => Act::CancelsAtHead,
            1 if request.payload_len > 0 && request.head.contains("Content-Length") => Act::ShortBody,
            2 => Act::CancelsAfter(0),
            _ => Act::CancelsAfter(random.below(1 + request.payload_len as u64) as usize),
        }
    }

    /// Moves a request on; returns false if it has ended.
    fn advance(&mut self, stream: &mut Stream, reads: bool) -> bool {
        if stream.response.is_none()
            && let Err(failure) = self.read_heads(stream)
        {
            return self.fail(stream, Some(failure));
        }
        if reads && stream.response.is_some() {
            let (data, buffers) = (&mut stream.data, &self.peer.buffers);
            let read = self.peer.connection.read_data(stream.key, buffers, |payload| {
                data.extend_from_slice(payload);
                true
            });
            match read {
                Ok(Data::All) => return self.complete(stream),
                Ok(_) => {}
                Err(failure) => return self.fail(stream, Some(failure)),
            }
        }
        self.send_body(stream);
        let cancels = match stream.act {
            Act::CancelsAfter(bytes) => stream.sent >= bytes,
            Act::CancelsAtHead => stream.response.is_some(),
            Act::Whole | Act::ShortBody => false,
        };
        !cancels || self.fail(stream, None)
    }

    fn read_heads(&mut self, stream: &mut Stream) -> Result<(), StreamFailure> {
        let (mut head, mut lines) = (ResponseHead::default(), Vec::new());
        while let Some(received) = self.peer.connection.take_response(stream.key, &mut head, &mut lines)? {
            stream.waits_for_continue = false;
            if received == Received::Final {
                let lines = str::from_utf8(&lines).expect("the head is text");
                let len = field(lines, "X-Len").and_then(|len| len.parse().ok());
                let id = field(lines, "X-Id").map(str::to_owned);
                stream.response = Some(Response { status: head.status, id, len });
                return Ok(());
            }
        }
        Ok(())
    }

    fn send_body(&mut self, stream: &mut Stream) {
        if stream.has_ended || stream.waits_for_continue {
            return;
        }
        let end = match stream.act {
            Act::CancelsAfter(bytes) => bytes,
            _ => stream.body.len(),
        };
        let ends = !matches!(stream.act, Act::CancelsAfter(_));
        match self.peer.connection.send_data(stream.key, &stream.body[stream.sent..end], ends) {
            Ok(taken) => {
                stream.sent += taken;
                stream.has_ended = stream.sent == end;
            }
            // The proxy has reset the stream, perhaps behind a whole response.
            Err(_) => stream.has_ended = true,
        }
    }

    /// Handles a whole response.
    fn complete(&mut self, stream: &Stream) -> bool {
        self.check(stream);
        let (Some(response), request) = (&stream.response, &self.requests[stream.at]) else { return true };
        if let Some(len) = response.len.filter(|_| !request.to_head) {
            assert_eq!(stream.data.len(), len, "the cut response to {} looks whole", request.id);
        }
        self.outcomes[stream.at] = Outcome::Whole(response.status);
        note_event("client", &format!("{:?}", self.outcomes[stream.at]));
        self.release(stream)
    }

    /// Handles the failure of a request, or cancels it.
    fn fail(&mut self, stream: &Stream, failure: Option<StreamFailure>) -> bool {
        self.check(stream);
        let id = &self.requests[stream.at].id;
        assert!(!self.faultless, "{id} has failed without a fault: {failure:?}");
        if let Some(failure) = failure {
            check_failure(failure, id);
            let is_own = failure == StreamFailure::Reset(ErrorCode::ProtocolError);
            assert!(!is_own || stream.act == Act::ShortBody, "{id}: the proxy refuses a correct request");
        }
        self.outcomes[stream.at] = Outcome::Failed;
        note_event("client", &failure.map_or("cancelled".to_owned(), |failure| format!("{failure:?}")));
        self.release(stream)
    }

    fn release(&mut self, stream: &Stream) -> bool {
        let outcome = self.outcomes[stream.at];
        if outcome != Outcome::Whole(200) {
            self.peer.forget(stream.sent);
        }
        self.peer.connection.release(stream.key, &self.peer.buffers);
        false
    }

    /// Checks that what has arrived belongs to the request.
    fn check(&self, stream: &Stream) {
        let (request, Some(response)) = (&self.requests[stream.at], &stream.response) else { return };
        let Some(id) = &response.id else {
            return assert!(response.status >= 400, "{} for {} without an identity", response.status, request.id);
        };
        assert_eq!(*id, request.id, "the response to another request, with {}", response.status);
        check_body(id, &stream.data);
    }

    /// Checks that each request got the response of its server; 429 is allowed where requests are limited.
    pub fn assert_served(&self) {
        for (request, outcome) in self.requests.iter().zip(&self.outcomes) {
            let fits = match outcome {
                Outcome::Whole(200) => true,
                Outcome::Whole(429) => request.is_limited,
                _ => false,
            };
            assert!(fits, "{outcome:?} for {request:?}");
        }
    }

    /// The statuses of the whole responses, in the order of the requests; 0 for a request without one.
    pub fn statuses(&self) -> impl Iterator<Item = u16> {
        self.outcomes.iter().map(|outcome| if let Outcome::Whole(status) = outcome { *status } else { 0 })
    }

    /// Gives up: the client sends nothing more and closes its side.
    pub fn leave(&mut self) {
        self.peer.outgoing.clear();
        self.gave_up = true;
    }

    /// Handles the end of the connection.
    pub fn end(&mut self) {
        self.streams.iter().for_each(|stream| self.check(stream));
    }
}

impl Party for Http2Client {
    fn receive(&mut self, bytes: &[u8]) {
        if self.gave_up {
            return;
        }
        self.peer.receive(bytes);
        self.received += bytes.len();
        self.work(!self.peer.is_slow);
        if self.received >= self.leaves_after {
            note_event("client", "disconnected");
            self.leave();
        }
    }

    fn outgoing(&mut self) -> &mut Vec<u8> {
        if self.peer.outgoing.is_empty() {
            self.work(!self.peer.is_slow);
        }
        &mut self.peer.outgoing
    }

    fn has_finished(&self) -> bool {
        let is_done = self.outcomes.iter().all(|outcome| *outcome != Outcome::Open);
        self.peer.outgoing.is_empty() && (self.gave_up || is_done)
    }

    fn is_http2(&self) -> bool {
        true
    }

    fn turn(&mut self) {
        if self.gave_up {
            return;
        }
        if self.peer.random.once_in(20) {
            self.peer.send_control_frame();
        }
        if !self.faultless && self.peer.random.once_in(200) {
            self.peer.send_garbage();
        }
        self.work(true);
    }
}
