//! A server of the simulation: answers each request with the request's identity, or breaks its word in one of the ways that real servers
//! know.

use std::cell::RefCell;
use std::rc::Rc;

use super::link::{Party, Random};
use super::messages::{Head, Incoming, Next, chunks, pattern, payload_len};

/// What all servers of one seed have seen: method and identity of each request.
pub type Seen = Rc<RefCell<Vec<(String, String)>>>;

/// What a server does with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Counted,
    Chunked,
    /// A body that lasts until the connection ends.
    UntilClose,
    /// Answers before the request has come whole.
    Early,
    Silent,
    /// Goes away without an answer.
    Vanishes,
    Garbage,
    /// Announces more than it sends, and ends.
    Short,
    ShortChunks,
    /// Sends an answer that nobody asked for behind the one that was: with it, or once that has been taken.
    Behind,
    /// Answers well and closes without having said so: the connection must not be used again.
    Stale,
}

const HONEST: [Conduct; 3] = [Conduct::Counted, Conduct::Chunked, Conduct::UntilClose];
const DISHONEST: [Conduct; 8] = [
    Conduct::Early,
    Conduct::Silent,
    Conduct::Vanishes,
    Conduct::Garbage,
    Conduct::Short,
    Conduct::ShortChunks,
    Conduct::Behind,
    Conduct::Stale,
];

pub struct Server {
    /// The table that its address stands in.
    table: u64,
    honest: bool,
    random: Random,
    seen: Seen,
    incoming: Incoming,
    request: Option<(Head, String, Conduct)>,
    received: Vec<u8>,
    outgoing: Vec<u8>,
    /// Comes when everything else has gone out.
    behind: Vec<u8>,
    finished: bool,
}

impl Server {
    pub fn new(table: u64, honest: bool, random: Random, seen: &Seen) -> Self {
        Server {
            table,
            honest,
            random,
            seen: Rc::clone(seen),
            incoming: Incoming::default(),
            request: None,
            received: Vec::new(),
            outgoing: Vec::new(),
            behind: Vec::new(),
            finished: false,
        }
    }

    fn begin(&mut self, head: Head) {
        let id = head.target.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(self.request.is_none(), "a request while another one is under way");
        assert_eq!(
            head.field("X-Table"),
            Some(&*self.table.to_string()),
            "{id}: steps of one table, server of another"
        );
        self.seen.borrow_mut().push((head.method.clone(), id.clone()));
        let conduct = match self.random.below(3) {
            0 if !self.honest => DISHONEST[self.random.below(8) as usize],
            _ => HONEST[self.random.below(3) as usize],
        };
        if conduct == Conduct::Early {
            self.answer(&head, &id, conduct);
        }
        self.received.clear();
        self.request = Some((head, id, conduct));
    }

    fn take(&mut self, data: &[u8], done: bool) {
        self.received.extend_from_slice(data);
        let Some((head, id, conduct)) = self.request.take_if(|_| done) else { return };
        let expected: usize = head.field("X-Len").and_then(|len| len.parse().ok()).unwrap_or_default();
        assert_eq!(self.received, pattern(&format!("up-{id}"), expected), "the body of {id}");
        if conduct != Conduct::Early {
            self.answer(&head, &id, conduct);
        }
    }

    fn answer(&mut self, head: &Head, id: &str, conduct: Conduct) {
        let len = payload_len(&mut self.random).max(1);
        let payload = if head.method == "HEAD" { Vec::new() } else { pattern(id, len) };
        let start = format!("HTTP/1.1 200 OK\r\nX-Id: {id}\r\nX-Len: {len}\r\n");
        if self.random.once_in(8) {
            self.outgoing.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        }
        let mut say = |fields: &str, body: &[u8]| {
            self.outgoing.extend_from_slice(start.as_bytes());
            self.outgoing.extend_from_slice(fields.as_bytes());
            self.outgoing.extend_from_slice(b"\r\n");
            self.outgoing.extend_from_slice(body);
        };
        let counted = format!("Content-Length: {len}\r\n");
        let chunked = "Transfer-Encoding: chunked\r\n";
        match conduct {
            Conduct::Counted | Conduct::Early | Conduct::Stale | Conduct::Behind => say(&counted, &payload),
            Conduct::Chunked | Conduct::ShortChunks if payload.is_empty() => say(chunked, b""),
            Conduct::Chunked => say(chunked, &chunks(&payload, &mut self.random)),
            Conduct::UntilClose => say("Connection: close\r\n", &payload),
            Conduct::Short => say(&counted, &payload[..payload.len() / 2]),
            Conduct::ShortChunks => {
                let whole = chunks(&payload, &mut self.random);
                say(chunked, &whole[..whole.len() - 5]);
            }
            Conduct::Garbage => self.outgoing.extend_from_slice(b"HTTP/1.1 2x0 OK\r\nX-Id: evil\r\n\r\n"),
            Conduct::Silent | Conduct::Vanishes => {}
        }
        if conduct == Conduct::Behind {
            let place = if self.random.once_in(2) { &mut self.outgoing } else { &mut self.behind };
            place.extend_from_slice(b"HTTP/1.1 200 OK\r\nX-Id: evil\r\nContent-Length: 0\r\n\r\n");
        }
        let stays = [Conduct::Counted, Conduct::Chunked, Conduct::Early, Conduct::Behind, Conduct::Silent];
        self.finished = !stays.contains(&conduct);
    }
}

impl Party for Server {
    fn hear(&mut self, bytes: &[u8]) {
        self.incoming.push(bytes);
        loop {
            match self.incoming.next_of_request() {
                Next::Nothing => return,
                Next::Head(head) => self.begin(head),
                Next::Data(data, done) => self.take(&data, done),
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
