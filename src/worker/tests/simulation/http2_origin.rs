//! A server of the simulation that speaks HTTP/2: responds to the requests of a connection in any order, or misbehaves in one of the ways of
//! real servers.

use std::rc::Rc;

use super::http2_peer::{Peer, check_body, check_failure, field, settings};
use super::link::{Party, Random};
use super::messages::{pattern, payload_len};
use super::origin::ReceivedRequests;
use super::scheduler::Scheduler;
use super::versions::note_event;
use crate::http::RequestHead;
use crate::http::h2::connection::{Connection, Data, ErrorCode, Opened, StreamKey};

/// A server's behaviour for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// A body with a length in the head.
    Counted,
    /// A body without one.
    Uncounted,
    Trailers,
    /// Announces the end of the connection and serves all requests that are under way.
    Announces,
    /// Responds before the whole request has arrived, and reads the rest or not.
    Early,
    EarlyOnly,
    Silent,
    /// Refuses the request without processing it.
    Refuses,
    RequiresHttp1,
    /// Serves this request and refuses those behind it.
    GoesAway,
    /// Resets the stream instead of a response.
    Resets,
    /// Resets the stream within the response.
    Cuts,
    /// Ends the stream before the length that the head announces.
    Short,
    /// Closes the connection.
    Vanishes,
    Garbage,
}

const CORRECT: [Behaviour; 6] = [
    Behaviour::Counted,
    Behaviour::Counted,
    Behaviour::Uncounted,
    Behaviour::Uncounted,
    Behaviour::Trailers,
    Behaviour::Announces,
];
const FAULTY: [Behaviour; 11] = [
    Behaviour::Early,
    Behaviour::EarlyOnly,
    Behaviour::Silent,
    Behaviour::Refuses,
    Behaviour::RequiresHttp1,
    Behaviour::GoesAway,
    Behaviour::Resets,
    Behaviour::Cuts,
    Behaviour::Short,
    Behaviour::Vanishes,
    Behaviour::Garbage,
];
const RESETS: [ErrorCode; 4] =
    [ErrorCode::InternalError, ErrorCode::Cancel, ErrorCode::NoError, ErrorCode::EnhanceYourCalm];

/// A request in progress.
struct Stream {
    key: StreamKey,
    is_head: bool,
    id: String,
    behaviour: Behaviour,
    /// The length of the body that its client has announced.
    expected: usize,
    body: Vec<u8>,
    is_whole: bool,
    response: Option<Response>,
}

/// A response in progress.
struct Response {
    payload: Vec<u8>,
    sent: usize,
    has_ended: bool,
}

pub struct Http2Server {
    peer: Peer,
    /// The number of the configuration that contains this server.
    table: u64,
    faultless: bool,
    received_requests: ReceivedRequests,
    streams: Vec<Stream>,
    finished: bool,
}

impl Http2Server {
    pub fn new(
        table: u64,
        faultless: bool,
        mut random: Random,
        received_requests: &ReceivedRequests,
        scheduler: &Rc<Scheduler>,
    ) -> Self {
        // The proxy may send as much as the defaults allow before it knows the settings: without faults they allow no less.
        let streams_max = if faultless { 128 } else { [1, 3, 20, 128][random.below(4) as usize] };
        let connection = Connection::server(settings(65_536, streams_max));
        Http2Server {
            peer: Peer::new(connection, random, scheduler),
            table,
            faultless,
            received_requests: Rc::clone(received_requests),
            streams: Vec::new(),
            finished: false,
        }
    }

    fn work(&mut self, reads: bool) {
        while !self.finished {
            while let Some(opened) = self.peer.connection.next_opened() {
                let Opened::Request(key) = opened else { panic!("the proxy sent an invalid request: {opened:?}") };
                self.begin(key);
            }
            let mut streams = std::mem::take(&mut self.streams);
            streams.retain_mut(|stream| self.advance(stream, reads));
            self.streams = streams;
            if !self.peer.flush() {
                return;
            }
        }
    }

    fn begin(&mut self, key: StreamKey) {
        let (mut head, mut lines) = (RequestHead::default(), Vec::new());
        self.peer.connection.take_request(key, &mut head, &mut lines);
        let lines = String::from_utf8(lines).expect("the head is text");
        let mut words = lines.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let id = target.rsplit('/').next().unwrap_or_default().to_owned();
        let table = field(&lines, "X-Table").and_then(|table| table.parse().ok());
        assert_eq!(table, Some(self.table), "{id}: middlewares of one configuration, server of another");
        let behaviour = match self.peer.random.below(3) {
            0 if !self.faultless => FAULTY[self.peer.random.below(FAULTY.len() as u64) as usize],
            _ => CORRECT[self.peer.random.below(CORRECT.len() as u64) as usize],
        };
        let refusal = match behaviour {
            Behaviour::Refuses => Some(ErrorCode::RefusedStream),
            Behaviour::RequiresHttp1 => Some(ErrorCode::Http11Required),
            _ => None,
        };
        if let Some(code) = refusal {
            note_event("server", "refused");
            self.peer.connection.reset(key, code);
            return self.peer.connection.release(key, &self.peer.buffers);
        }
        self.received_requests.borrow_mut().push((method.to_owned(), id.clone()));
        if !self.streams.is_empty() {
            note_event("server", "second request");
        }
        match behaviour {
            Behaviour::Announces => self.peer.connection.announce_shutdown(),
            Behaviour::GoesAway => {
                note_event("server", "goes away");
                self.peer.connection.shut_down();
            }
            Behaviour::Vanishes if self.peer.random.once_in(2) => self.finished = true,
            Behaviour::Garbage => self.peer.send_garbage(),
            _ => {}
        }
        let expected = field(&lines, "X-Len").and_then(|len| len.parse().ok()).unwrap_or_default();
        let is_head = method == "HEAD";
        let (body, response) = (Vec::new(), None);
        self.streams.push(Stream { key, is_head, id, behaviour, expected, body, is_whole: false, response });
    }

    /// Moves a request on; returns false if it has ended.
    fn advance(&mut self, stream: &mut Stream, reads: bool) -> bool {
        if let Some(failure) = self.peer.connection.failure(stream.key) {
            check_failure(failure, &stream.id);
            note_event("server", &format!("{failure:?}"));
            return self.release(stream);
        }
        if reads && !stream.is_whole {
            self.read_body(stream);
        }
        let is_early = matches!(stream.behaviour, Behaviour::Early | Behaviour::EarlyOnly);
        if stream.response.is_none() && (stream.is_whole || is_early) && reads {
            // Responses come in another order than the requests.
            if self.peer.random.once_in(4) {
                return true;
            }
            match stream.behaviour {
                Behaviour::Silent | Behaviour::Garbage => return true,
                Behaviour::Vanishes => {
                    note_event("server", "disconnected");
                    self.finished = true;
                }
                Behaviour::Resets => return self.reset(stream),
                _ => self.respond(stream),
            }
        }
        let Some(response) = &mut stream.response else { return true };
        if !response.has_ended {
            let has_trailers = stream.behaviour == Behaviour::Trailers;
            let cuts = stream.behaviour == Behaviour::Cuts;
            let (left, connection) = (&response.payload[response.sent..], &mut self.peer.connection);
            response.sent += connection.send_data(stream.key, left, !has_trailers && !cuts).expect("an open stream");
            response.has_ended = response.sent == response.payload.len();
            if response.has_ended && cuts {
                return self.reset(stream);
            }
            if response.has_ended && has_trailers {
                connection.send_trailers(stream.key, b"X-Checked: yes\r\n").expect("an open stream");
            }
        }
        let is_done = response.has_ended && (stream.is_whole || stream.behaviour == Behaviour::EarlyOnly);
        if is_done && stream.is_whole {
            note_event("server", "whole");
        }
        !is_done || self.release(stream)
    }

    fn read_body(&mut self, stream: &mut Stream) {
        let (body, buffers) = (&mut stream.body, &self.peer.buffers);
        let read = self.peer.connection.read_data(stream.key, buffers, |payload| {
            body.extend_from_slice(payload);
            true
        });
        check_body(&format!("up-{}", stream.id), &stream.body);
        if read == Ok(Data::All) {
            stream.is_whole = true;
            assert_eq!(stream.body.len(), stream.expected, "the cut body of {} looks whole", stream.id);
        }
    }

    fn respond(&mut self, stream: &mut Stream) {
        let len = payload_len(&mut self.peer.random).max(1);
        let mut payload = if stream.is_head { Vec::new() } else { pattern(&stream.id, len) };
        let connection = &mut self.peer.connection;
        if self.peer.random.once_in(8) {
            let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
            connection.send_head(stream.key, hints, false).expect("an open stream");
        }
        let counted = match stream.behaviour {
            Behaviour::Uncounted | Behaviour::Trailers => String::new(),
            _ => format!("Content-Length: {len}\r\n"),
        };
        let head = format!("HTTP/1.1 200 OK\r\nX-Id: {}\r\nX-Len: {len}\r\n{counted}\r\n", stream.id);
        connection.send_head(stream.key, head.as_bytes(), stream.is_head).expect("an open stream");
        if matches!(stream.behaviour, Behaviour::Short | Behaviour::Cuts) {
            payload.truncate(len / 2);
        }
        stream.response = Some(Response { payload, sent: 0, has_ended: stream.is_head });
    }

    fn reset(&mut self, stream: &Stream) -> bool {
        note_event("server", "reset");
        let code = RESETS[self.peer.random.below(4) as usize];
        self.peer.connection.reset(stream.key, code);
        self.release(stream)
    }

    fn release(&mut self, stream: &Stream) -> bool {
        // The proxy drops what it has not forwarded if either side has reset the stream.
        let failed = self.peer.connection.failure(stream.key).is_some();
        self.peer.forget(stream.response.as_ref().filter(|_| failed).map_or(0, |response| response.sent));
        self.peer.connection.release(stream.key, &self.peer.buffers);
        false
    }
}

impl Party for Http2Server {
    fn receive(&mut self, bytes: &[u8]) {
        if !self.finished {
            self.peer.receive(bytes);
            self.work(!self.peer.is_slow);
        }
    }

    fn outgoing(&mut self) -> &mut Vec<u8> {
        if self.peer.outgoing.is_empty() {
            self.work(!self.peer.is_slow);
        }
        &mut self.peer.outgoing
    }

    fn has_finished(&self) -> bool {
        self.peer.outgoing.is_empty() && (self.finished || self.peer.connection.is_finished())
    }

    fn is_http2(&self) -> bool {
        true
    }

    fn turn(&mut self) {
        if self.peer.random.once_in(20) {
            self.peer.send_control_frame();
        }
        self.work(true);
    }
}
