//! Datagrams received and sent many at a time: one system call for up to [`BATCH_MAX`] messages, and one message for a run of datagrams of
//! equal length between the same two addresses (UDP_GRO, UDP_SEGMENT).

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::sys::{self, BATCH_MAX, LocalAddress, Outgoing, Received};
use super::udp::DatagramSocket;

/// The longest message: what the length field of UDP can express.
const MESSAGE_BYTES_MAX: usize = 65_536;
/// The datagrams and bytes that the kernel cuts one message into at most (UDP_MAX_SEGMENTS of older kernels; 65,535 without the heads of
/// IPv6 and UDP).
const CUT_DATAGRAMS_MAX: usize = 64;
const CUT_BYTES_MAX: usize = 65_000;

/// The memory of received messages, until they have been passed on.
pub struct Batch {
    memory: Vec<u8>,
    received: Vec<(usize, Received)>,
    slots_used: usize,
}

/// A datagram, or several of one length (the last may be shorter) in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'b> {
    pub bytes: &'b [u8],
    /// The length of each datagram but the last, if there are several.
    pub segment: Option<usize>,
    /// The receiver; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// The source address.
    pub from: Option<LocalAddress>,
}

/// The outcome of [`send`]: the messages before `sent` are on their way, and the one at `sent` failed.
#[derive(Debug)]
pub struct SendFailure {
    pub sent: usize,
    pub error: io::Error,
}

/// Messages that are sent as one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    messages: Range<usize>,
    /// The length of each datagram but the last.
    unit: usize,
    bytes: usize,
}

impl Default for Batch {
    /// A batch for [`BATCH_MAX`] messages of any length. Memory that no message has reached yet takes no room.
    fn default() -> Self {
        Batch { memory: vec![0; BATCH_MAX * MESSAGE_BYTES_MAX], received: Vec::with_capacity(BATCH_MAX), slots_used: 0 }
    }
}

impl Batch {
    pub fn clear(&mut self) {
        self.received.clear();
        self.slots_used = 0;
    }

    /// Whether the batch takes another message.
    pub fn has_room(&self) -> bool {
        self.slots_used < BATCH_MAX
    }

    /// The number of messages.
    pub fn count(&self) -> usize {
        self.received.len()
    }

    /// Receives what has arrived, as long as there is room. Returns whether more may have arrived.
    ///
    /// # Errors
    /// The operating system's; `WouldBlock` if nothing has arrived.
    pub fn receive(&mut self, socket: &DatagramSocket) -> io::Result<bool> {
        let first = self.slots_used;
        let slots = self.memory.chunks_exact_mut(MESSAGE_BYTES_MAX).skip(first);
        let received = &mut self.received;
        let mut last = first;
        sys::receive_datagrams(socket.as_fd(), slots, |number, report| {
            received.push((first + number, report));
            last = first + number + 1;
        })?;
        self.slots_used = last;
        Ok(last == BATCH_MAX)
    }

    /// The source of a message, and the address it was sent to.
    pub fn addresses(&self, number: usize) -> Option<(SocketAddr, Option<LocalAddress>)> {
        self.received.get(number).map(|(_, report)| (report.source, report.local))
    }

    /// The end of the messages that follow `first` and have its addresses.
    pub fn end_of_run(&self, first: usize) -> usize {
        let addresses = self.addresses(first);
        let differs = |number: &usize| self.addresses(*number) != addresses;
        (first + 1..self.count()).find(differs).unwrap_or(self.count())
    }

    /// A received message, for a connected socket. Empty if there is no message of that number.
    pub fn message(&self, number: usize) -> Message<'_> {
        let found = self.received.get(number).and_then(|(slot, report)| {
            let start = slot * MESSAGE_BYTES_MAX;
            Some((self.memory.get(start..start + report.bytes)?, report.segment))
        });
        let (bytes, segment) = found.unwrap_or_default();
        Message { bytes, segment: segment.filter(|&length| length < bytes.len()), to: None, from: None }
    }
}

impl<'b> Message<'b> {
    /// The datagrams of the message.
    pub fn datagrams(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let bytes = self.bytes;
        let single = self.segment.is_none().then_some(bytes);
        let several = self.segment.map(|length| bytes.chunks(length.max(1)));
        single.into_iter().chain(several.into_iter().flatten())
    }

    /// The number of datagrams.
    pub fn count(&self) -> usize {
        self.segment.map_or(1, |length| self.bytes.len().div_ceil(length.max(1)))
    }

    fn unit(&self) -> usize {
        self.segment.unwrap_or(self.bytes.len())
    }
}

/// Sends at most [`BATCH_MAX`] messages in order, without waiting.
///
/// # Errors
/// The first failure; [`SendFailure::sent`] says whose it is. The caller may leave that message out and send the rest.
pub fn send(socket: &DatagramSocket, messages: &[Message<'_>]) -> Result<(), SendFailure> {
    let messages = messages.get(..BATCH_MAX).unwrap_or(messages);
    let mut pieces = [IoSlice::new(&[]); BATCH_MAX];
    for (piece, message) in pieces.iter_mut().zip(messages) {
        *piece = IoSlice::new(message.bytes);
    }
    let mut next = 0;
    while next < messages.len() {
        next = send_some(socket, messages, &pieces, next)?;
    }
    Ok(())
}

/// Sends messages from `first` on. Returns the number of the first that has not been sent.
fn send_some(
    socket: &DatagramSocket,
    messages: &[Message<'_>],
    pieces: &[IoSlice<'_>; BATCH_MAX],
    first: usize,
) -> Result<usize, SendFailure> {
    let empty = Outgoing { pieces: &[], to: None, from: None, segment: None };
    let mut outgoing = [empty; BATCH_MAX];
    let mut ends = [first; BATCH_MAX];
    let mut count = 0;
    let mut next = first;
    while let Some(message) = messages.get(next) {
        let run = run_at(messages, next, socket.may_cut());
        let segment = (run.bytes > run.unit).then_some(run.unit).and_then(|unit| u16::try_from(unit).ok());
        let pieces = pieces.get(run.messages.clone()).unwrap_or_default();
        outgoing[count] = Outgoing { pieces, to: message.to, from: message.from, segment };
        next = run.messages.end;
        ends[count] = next;
        count += 1;
    }
    let before = |sent: usize| sent.checked_sub(1).map_or(first, |last| ends[last]);
    let must_cut = !socket.may_cut() && messages[first].segment.is_some();
    let sent = if must_cut { Err(Errno::IO.into()) } else { sys::send_datagrams(socket.as_fd(), &outgoing[..count]) };
    match sent {
        Ok(sent) => Ok(before(sent.clamp(1, count))),
        Err(error) if outgoing[0].segment.is_some() && is_cut_refused(&error) => {
            if Errno::from_io_error(&error) == Some(Errno::IO) {
                socket.cannot_cut();
            }
            let all = messages.get(first..ends[0]).unwrap_or_default();
            send_one_by_one(socket, all).map_err(|error| SendFailure { sent: first, error })?;
            Ok(ends[0])
        }
        Err(error) => Err(SendFailure { sent: first, error }),
    }
}

/// Whether the kernel, or the network device, does not cut this message: it has no checksum offload, or the datagrams are longer than a
/// packet.
fn is_cut_refused(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::IO | Errno::INVAL | Errno::MSGSIZE))
}

/// Sends the datagrams of `messages` each by itself. Datagrams after a failure are lost, unless it is the first that fails.
fn send_one_by_one(socket: &DatagramSocket, messages: &[Message<'_>]) -> io::Result<()> {
    let mut is_first = true;
    for message in messages {
        for datagram in message.datagrams() {
            let pieces = [IoSlice::new(datagram)];
            let one = Outgoing { pieces: &pieces, to: message.to, from: message.from, segment: None };
            match sys::send_datagrams(socket.as_fd(), &[one]) {
                Err(error) if is_first => return Err(error),
                _ => is_first = false,
            }
        }
    }
    Ok(())
}

/// The longest run of messages from `first` on that the kernel can send as one.
fn run_at(messages: &[Message<'_>], first: usize, may_cut: bool) -> Run {
    let start = messages[first];
    let mut run = Run { messages: first..first + 1, unit: start.unit(), bytes: start.bytes.len() };
    if !may_cut || run.unit == 0 {
        return run;
    }
    for message in &messages[first + 1..] {
        let bytes = run.bytes + message.bytes.len();
        let is_whole = run.bytes.is_multiple_of(run.unit);
        let fits = message.unit() == run.unit || (message.segment.is_none() && message.bytes.len() < run.unit);
        let is_short = bytes <= CUT_BYTES_MAX && bytes.div_ceil(run.unit) <= CUT_DATAGRAMS_MAX;
        let is_same = (message.to, message.from) == (start.to, start.from);
        if message.bytes.is_empty() || !is_whole || !fits || !is_short || !is_same {
            break;
        }
        run.bytes = bytes;
        run.messages.end += 1;
    }
    run
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(bytes: &[u8]) -> Message<'_> {
        Message { bytes, segment: None, to: None, from: None }
    }

    fn sockets() -> (DatagramSocket, DatagramSocket) {
        let [a, b] = [(), ()].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        let address = |socket: &std::net::UdpSocket| socket.local_addr().expect("bound");
        a.connect(address(&b)).expect("connected");
        b.connect(address(&a)).expect("connected");
        let of = |socket: std::net::UdpSocket| {
            DatagramSocket::of_entry_point(&socket2::Socket::from(socket)).expect("a socket")
        };
        (of(a), of(b))
    }

    fn received(socket: &DatagramSocket) -> Vec<Vec<u8>> {
        std::thread::sleep(Duration::from_millis(5));
        let (mut batch, mut datagrams) = (Batch::default(), Vec::new());
        while batch.receive(socket).is_ok() {
            for number in 0..batch.count() {
                datagrams.extend(batch.message(number).datagrams().map(<[u8]>::to_vec));
            }
            batch.clear();
        }
        datagrams
    }

    #[test]
    fn runs_hold_equal_lengths_and_end_with_a_shorter_one() {
        let bytes = [0; 65_000];
        let lengths = |lengths: &[usize]| -> Vec<usize> {
            let messages: Vec<Message> = lengths.iter().map(|&length| message(&bytes[..length])).collect();
            let mut runs = Vec::new();
            let mut next = 0;
            while next < messages.len() {
                let run = run_at(&messages, next, true);
                next = run.messages.end;
                runs.push(run.messages.len());
            }
            runs
        };
        assert_eq!(lengths(&[100, 100, 40, 100]), [3, 1]);
        assert_eq!(lengths(&[100, 101]), [1, 1]);
        assert_eq!(lengths(&[0, 0, 5, 0]), [1, 1, 1, 1]);
        assert_eq!(lengths(&[40_000, 40_000]), [1, 1]);
        assert_eq!(lengths(&[1; 130]), [64, 64, 2]);
        let several = Message { segment: Some(10), ..message(&bytes[..25]) };
        assert_eq!((several.count(), several.datagrams().map(<[u8]>::len).collect::<Vec<_>>()), (3, vec![10, 10, 5]));
        assert_eq!(run_at(&[several, message(&bytes[..10])], 0, true).messages, 0..1, "its last datagram is short");
        let whole = Message { segment: Some(10), ..message(&bytes[..20]) };
        assert_eq!(run_at(&[whole, message(&bytes[..10]), several], 0, true).messages, 0..3);
        assert_eq!(run_at(&[whole, whole], 0, false).messages, 0..1);
    }

    #[test]
    fn datagrams_of_all_lengths_arrive_unchanged_and_in_order() {
        for may_cut in [true, false] {
            let (a, b) = sockets();
            if !may_cut {
                a.cannot_cut();
            }
            let texts: Vec<Vec<u8>> =
                [3, 3, 2, 0, 1400, 1400, 1400, 9, 30_000, 3].iter().map(|&n| vec![n as u8; n]).collect();
            let mut messages: Vec<Message> = texts.iter().map(|text| message(text)).collect();
            let several = [7; 50];
            messages.push(Message { segment: Some(20), ..message(&several) });
            send(&a, &messages).expect("sent");
            let mut expected = texts.clone();
            expected.extend(several.chunks(20).map(<[u8]>::to_vec));
            assert_eq!(received(&b), expected, "cut by the kernel: {may_cut}");
        }
    }

    #[test]
    fn datagrams_longer_than_a_packet_are_sent_one_by_one() {
        // The loopback device takes packets of 65,536 bytes. A path MTU of 1,500 is what most networks have.
        let (a, b) = sockets();
        let option = sys::set_number_option(a.as_fd(), libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO);
        option.expect("set");
        let long = vec![5; 65_000];
        send(&a, &[message(&long), message(&long[..9])]).expect("sent");
        assert_eq!(received(&b).iter().map(Vec::len).collect::<Vec<_>>(), [65_000, 9]);
        assert!(is_cut_refused(&Errno::INVAL.into()) && !is_cut_refused(&Errno::CONNREFUSED.into()));
    }

    #[test]
    fn failure_names_its_message_and_the_rest_can_be_sent() {
        let (a, b) = sockets();
        let long = vec![0; 65_530];
        let messages = [message(b"one"), message(&long), message(b"three")];
        let failure = send(&a, &messages).expect_err("longer than a datagram can be");
        assert_eq!((failure.sent, Errno::from_io_error(&failure.error)), (1, Some(Errno::MSGSIZE)));
        send(&a, &messages[2..]).expect("sent");
        assert_eq!(received(&b), [b"one".to_vec(), b"three".to_vec()]);
    }

    #[test]
    fn full_batch_keeps_the_rest_in_the_socket() {
        let (a, b) = sockets();
        let texts: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; usize::from(n) + 1]).collect();
        for part in texts.chunks(BATCH_MAX) {
            let messages: Vec<Message> = part.iter().map(|text| message(text)).collect();
            send(&a, &messages).expect("sent");
        }
        std::thread::sleep(Duration::from_millis(5));
        let mut batch = Batch::default();
        assert!(batch.receive(&b).expect("received") && !batch.has_room());
        assert_eq!((batch.count(), batch.end_of_run(0)), (BATCH_MAX, BATCH_MAX));
        batch.clear();
        assert!(!batch.receive(&b).expect("the rest") && batch.has_room());
        assert_eq!(batch.message(0).bytes, texts[32]);
    }
}
