//! A server of the simulation: responds to each request with the request's identity, or misbehaves in one of the ways of real servers.

use std::cell::RefCell;
use std::rc::Rc;

use super::link::{Party, Random};
use super::messages::{Head, Incoming, Next, chunks, pattern, payload_len};

/// The requests that all servers of one seed have received: method and identity of each.
pub type ReceivedRequests = Rc<RefCell<Vec<(String, String)>>>;

/// A server's behaviour for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Counted,
    Chunked,
    /// A body that lasts until the connection ends.
    UntilClose,
    /// Responds before the whole request has arrived.
    Early,
    Silent,
    /// Closes without a response.
    Vanishes,
    Garbage,
    /// Sends less than its head announces, and closes.
    Short,
    ShortChunks,
    /// Sends an unsolicited response behind the response: together with it, or once it has been delivered.
    Behind,
    /// Responds correctly and closes without having announced that: the connection must not be used again.
    Stale,
}

const CORRECT: [Behaviour; 3] = [Behaviour::Counted, Behaviour::Chunked, Behaviour::UntilClose];
const FAULTY: [Behaviour; 8] = [
    Behaviour::Early,
    Behaviour::Silent,
    Behaviour::Vanishes,
    Behaviour::Garbage,
    Behaviour::Short,
    Behaviour::ShortChunks,
    Behaviour::Behind,
    Behaviour::Stale,
];

pub struct Server {
    /// The number of the configuration that contains this server.
    table: u64,
    faultless: bool,
    random: Random,
    received_requests: ReceivedRequests,
    incoming: Incoming,
    request: Option<(Head, String, Behaviour)>,
    body_received: Vec<u8>,
    outgoing: Vec<u8>,
    /// Bytes that are sent once `outgoing` is empty.
    behind: Vec<u8>,
    finished: bool,
}

impl Server {
    pub fn new(table: u64, faultless: bool, random: Random, received_requests: &ReceivedRequests) -> Self {
        Server {
            table,
            faultless,
            random,
            received_requests: Rc::clone(received_requests),
            incoming: Incoming::default(),
            request: None,
            body_received: Vec::new(),
            outgoing: Vec::new(),
            behind: Vec::new(),
            finished: false,
        }
    }

    fn on_head(&mut self, head: Head) {
        let id = head.target.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(self.request.is_none(), "a request while another one is active");
        assert_eq!(
            head.field("X-Table"),
            Some(&*self.table.to_string()),
            "{id}: middlewares of one configuration, server of another"
        );
        self.received_requests.borrow_mut().push((head.method.clone(), id.clone()));
        let behaviour = match self.random.below(3) {
            0 if !self.faultless => FAULTY[self.random.below(8) as usize],
            _ => CORRECT[self.random.below(3) as usize],
        };
        if behaviour == Behaviour::Early {
            self.respond(&head, &id, behaviour);
        }
        self.body_received.clear();
        self.request = Some((head, id, behaviour));
    }

    fn on_data(&mut self, data: &[u8], done: bool) {
        self.body_received.extend_from_slice(data);
        let Some((head, id, behaviour)) = self.request.take_if(|_| done) else { return };
        let expected: usize = head.field("X-Len").and_then(|len| len.parse().ok()).unwrap_or_default();
        assert_eq!(self.body_received, pattern(&format!("up-{id}"), expected), "the body of {id}");
        if behaviour != Behaviour::Early {
            self.respond(&head, &id, behaviour);
        }
    }

    fn respond(&mut self, head: &Head, id: &str, behaviour: Behaviour) {
        let len = payload_len(&mut self.random).max(1);
        let payload = if head.method == "HEAD" { Vec::new() } else { pattern(id, len) };
        let start = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nX-Len: {len}\r\n");
        if self.random.once_in(8) {
            self.outgoing.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        }
        let mut send = |fields: &str, body: &[u8]| {
            self.outgoing.extend_from_slice(start.as_bytes());
            self.outgoing.extend_from_slice(fields.as_bytes());
            self.outgoing.extend_from_slice(b"\r\n");
            self.outgoing.extend_from_slice(body);
        };
        let counted = format!("Content-Length: {len}\r\n");
        let chunked = "Transfer-Encoding: chunked\r\n";
        match behaviour {
            Behaviour::Counted | Behaviour::Early | Behaviour::Stale | Behaviour::Behind => send(&counted, &payload),
            Behaviour::Chunked | Behaviour::ShortChunks if payload.is_empty() => send(chunked, b""),
            Behaviour::Chunked => send(chunked, &chunks(&payload, &mut self.random)),
            Behaviour::UntilClose => send("Connection: close\r\n", &payload),
            Behaviour::Short => send(&counted, &payload[..payload.len() / 2]),
            Behaviour::ShortChunks => {
                let whole = chunks(&payload, &mut self.random);
                send(chunked, &whole[..whole.len() - 5]);
            }
            Behaviour::Garbage => self.outgoing.extend_from_slice(b"HTTP/1.1 2x0 OK\r\nX-Id: evil\r\n\r\n"),
            Behaviour::Silent | Behaviour::Vanishes => {}
        }
        if behaviour == Behaviour::Behind {
            let target = if self.random.once_in(2) { &mut self.outgoing } else { &mut self.behind };
            target.extend_from_slice(b"HTTP/1.1 200 OK\r\nX-Id: evil\r\nContent-Length: 0\r\n\r\n");
        }
        let stays = [Behaviour::Counted, Behaviour::Chunked, Behaviour::Early, Behaviour::Behind, Behaviour::Silent];
        self.finished = !stays.contains(&behaviour);
    }
}

impl Party for Server {
    fn receive(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        loop {
            match self.incoming.next_of_request() {
                Next::Nothing => return,
                Next::Head(head) => self.on_head(head),
                Next::Data(data, done) => self.on_data(&data, done),
            }
        }
    }

    fn outgoing(&mut self) -> &mut Vec<u8> {
        if self.outgoing.is_empty() {
            self.outgoing.append(&mut self.behind);
        }
        &mut self.outgoing
    }

    fn has_finished(&self) -> bool {
        self.finished && self.outgoing.is_empty()
    }
}
