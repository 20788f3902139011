//! Inherited listening sockets: opened by systemd (`LISTEN_FDS`), or by the Ringway process that this one takes over from.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use socket2::Socket;

use super::{socket, sys, udp};

/// Environment variable of a successor: `PARENT:CHANNEL,LISTENER,LISTENER...`, the predecessor's process id and inherited descriptors.
const LISTENERS_VARIABLE: &str = "RINGWAY_HANDOVER";

/// Environment variable of a successor: `PARENT:DESCRIPTOR`, a memfd with the state of the predecessor that no file and no provider holds.
/// Separate from [`LISTENERS_VARIABLE`], so that a version that does not know this variable can still take over.
const STATE_VARIABLE: &str = "RINGWAY_HANDOVER_MEMORY";

/// systemd's first descriptor (sd_listen_fds(3)).
const SYSTEMD_FIRST: RawFd = 3;

/// The messages of a hand-over, one byte each: the successor sends READY, then the predecessor sends GO.
const READY: u8 = b'r';
const GO: u8 = b'g';

/// The inherited sockets that no entry point has claimed yet.
#[derive(Default)]
pub struct InheritedListeners {
    sockets: Vec<(Option<String>, Socket)>,
    predecessor: Option<Predecessor>,
    carried_state: Vec<u8>,
}

/// The predecessor: the process that serves until this one is ready.
pub struct Predecessor(UnixStream);

impl InheritedListeners {
    /// Reads the environment and takes the descriptors that it names. Must be called before the process opens any descriptor: with a
    /// predecessor, all others are closed.
    ///
    /// # Errors
    /// A descriptor is neither a listening TCP socket nor a bound UDP socket.
    pub fn take(env: &dyn Fn(&str) -> Option<String>) -> Result<InheritedListeners, String> {
        if let Some((channel, listeners)) = env(LISTENERS_VARIABLE).and_then(|text| parse_descriptors(&text, parent()))
        {
            let state = env(STATE_VARIABLE).and_then(|text| parse_descriptors(&text, parent()));
            let state = state.map(|(fd, _)| fd).filter(|fd| *fd != channel && !listeners.contains(fd));
            let kept: Vec<RawFd> = listeners.iter().copied().chain([channel]).chain(state).collect();
            sys::close_others(&kept);
            let sockets = listeners.iter().map(|fd| take_listener(*fd, None)).collect::<Result<_, _>>()?;
            let channel = UnixStream::from(take_descriptor(channel)?);
            let carried_state = state.map_or_else(|| Ok(Vec::new()), read_memfd)?;
            return Ok(InheritedListeners { sockets, predecessor: Some(Predecessor(channel)), carried_state });
        }
        let pid = std::process::id();
        let sockets =
            from_systemd(env, pid).into_iter().map(|(fd, name)| take_listener(fd, name)).collect::<Result<_, _>>()?;
        Ok(InheritedListeners { sockets, predecessor: None, carried_state: Vec::new() })
    }

    /// Takes the sockets of an entry point, of connections or of datagrams (`is_udp`): the sockets with its name; if there are none, every
    /// socket on its address.
    pub fn claim(&mut self, entry_point: &str, address: SocketAddr, is_udp: bool) -> Vec<Socket> {
        let is_named = |name: &Option<String>| name.as_deref() == Some(entry_point);
        let fits = |socket: &Socket| socket::is_datagram(socket) == is_udp;
        let by_name = self.sockets.iter().any(|(name, socket)| is_named(name) && fits(socket));
        let is_claimed = |(name, socket): &(Option<String>, Socket)| {
            let is_there = || local(socket).is_some_and(|local| is_same_address(local, address));
            fits(socket) && if by_name { is_named(name) } else { is_there() }
        };
        let (claimed, rest) = std::mem::take(&mut self.sockets).into_iter().partition(is_claimed);
        self.sockets = rest;
        claimed.into_iter().map(|(_, socket)| socket).collect()
    }

    /// Closes the sockets that no entry point has claimed, and describes them for the log.
    pub fn unclaimed(&mut self) -> Vec<String> {
        let describe = |(name, socket): (Option<String>, Socket)| {
            let address = local(&socket).map_or_else(|| "an unknown address".to_owned(), |local| local.to_string());
            name.map_or(address.clone(), |name| format!("{name} on {address}"))
        };
        std::mem::take(&mut self.sockets).into_iter().map(describe).collect()
    }

    pub fn predecessor(&mut self) -> Option<Predecessor> {
        self.predecessor.take()
    }

    /// Takes the state that the predecessor passed to [`spawn_with_listeners`]; empty if there is none.
    pub fn carried_state(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.carried_state)
    }
}

impl Predecessor {
    /// Whether the predecessor has exited.
    pub fn has_ended(&self) -> bool {
        // The predecessor sends nothing before it has received READY: a channel that can be read has been closed.
        let is_readable = self.0.set_nonblocking(true).and_then(|()| (&self.0).read(&mut [0])).is_ok();
        is_readable || self.0.set_nonblocking(false).is_err()
    }

    /// Sends READY and blocks, without a time limit, until the predecessor sends GO after it has stopped accepting, or has exited.
    pub fn take_over(mut self) {
        let mut go = [0];
        let _ = self.0.write_all(&[READY]).and_then(|()| self.0.read_exact(&mut go));
    }
}

/// The process that takes over, as seen by its predecessor.
pub struct Successor(UnixStream);

impl Successor {
    /// Waits for READY for at most `limit`; true if it has been received.
    ///
    /// # Errors
    /// The successor has exited.
    pub fn is_ready_within(&mut self, limit: Duration) -> io::Result<bool> {
        let mut message = [0];
        self.0.set_read_timeout(Some(limit))?;
        match self.0.read_exact(&mut message) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Sends GO: the successor starts accepting.
    ///
    /// # Errors
    /// The successor has exited.
    pub fn let_accept(mut self) -> io::Result<()> {
        self.0.write_all(&[GO])
    }
}

/// Calls `start` with the environment variables of a successor. A process that it starts with them inherits the listeners and can read
/// `carried_state`.
///
/// # Errors
/// The operating system's, and those of `start`.
pub fn spawn_with_listeners<T>(
    listeners: &[Socket],
    carried_state: &[u8],
    start: impl FnOnce(Vec<(&'static str, String)>) -> io::Result<T>,
) -> io::Result<(T, Successor)> {
    let (ours, theirs) = UnixStream::pair()?;
    let numbers: Vec<String> = listeners.iter().map(|listener| listener.as_raw_fd().to_string()).collect();
    let pid = std::process::id();
    let descriptors = format!("{pid}:{},{}", theirs.as_raw_fd(), numbers.join(","));
    let state_file = if carried_state.is_empty() { None } else { Some(write_memfd(carried_state)?) };
    let state = state_file.iter().map(|file| (STATE_VARIABLE, format!("{pid}:{}", file.as_raw_fd())));
    let environment = [(LISTENERS_VARIABLE, descriptors)].into_iter().chain(state).collect();
    set_fd_flags(listeners, &theirs, FdFlags::empty())?;
    let started = start(environment);
    set_fd_flags(listeners, &theirs, FdFlags::CLOEXEC)?;
    Ok((started?, Successor(ours)))
}

/// Writes `state` to a file that exists in memory only and that child processes inherit.
fn write_memfd(state: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("ringway-handover", MemfdFlags::empty())?);
    file.write_all(state)?;
    file.rewind()?;
    Ok(file)
}

fn read_memfd(fd: RawFd) -> Result<Vec<u8>, String> {
    let mut state = Vec::new();
    let read = File::from(take_descriptor(fd)?).read_to_end(&mut state);
    read.map(|_| state).map_err(|e| format!("the state of the old process cannot be read: {e}"))
}

fn set_fd_flags(listeners: &[Socket], channel: &UnixStream, flags: FdFlags) -> io::Result<()> {
    fcntl_setfd(channel, flags)?;
    Ok(listeners.iter().try_for_each(|listener| fcntl_setfd(listener, flags))?)
}

/// Parses one of the variables: the first descriptor and the others. `None` unless the text names this process's own parent.
fn parse_descriptors(text: &str, parent: u32) -> Option<(RawFd, Vec<RawFd>)> {
    let (pid, fds) = text.split_once(':')?;
    let fds: Vec<RawFd> = fds.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let (first, others) = fds.split_first()?;
    (pid.parse() == Ok(parent)).then(|| (*first, others.to_vec()))
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// The descriptors that systemd passed, with their names (sd_listen_fds(3)). None unless `LISTEN_PID` names this process: the variables may
/// be meant for another one.
fn from_systemd(env: &dyn Fn(&str) -> Option<String>, pid: u32) -> Vec<(RawFd, Option<String>)> {
    let number = |name: &str| env(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(pid) {
        return Vec::new();
    }
    let names = env("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
    (SYSTEMD_FIRST..SYSTEMD_FIRST.saturating_add(count)).map(|fd| (fd, names.next().flatten())).collect()
}

fn take_descriptor(fd: RawFd) -> Result<OwnedFd, String> {
    sys::adopt(fd).map_err(|e| format!("inherited descriptor {fd} cannot be used: {e}"))
}

fn take_listener(fd: RawFd, name: Option<String>) -> Result<(Option<String>, Socket), String> {
    let socket = Socket::from(take_descriptor(fd)?);
    let is_inet = local(&socket).is_some();
    let is_udp = is_inet && socket::is_datagram(&socket);
    let is_tcp = is_inet && socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM);
    if !is_udp && (!is_tcp || !socket.is_listener().unwrap_or(false)) {
        let name = name.unwrap_or_else(|| fd.to_string());
        return Err(format!(
            "inherited socket {name} is neither a listening TCP socket nor a UDP socket: write ListenStream=PORT and Accept=no, or \
             ListenDatagram=PORT"
        ));
    }
    let prepared = if is_udp { udp::prepare(&socket) } else { socket::prepare(&socket) };
    prepared.map_err(|e| format!("inherited socket cannot be prepared: {e}"))?;
    Ok((name, socket))
}

fn local(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok().and_then(|address| address.as_socket())
}

/// Whether a socket on `local` serves the address `wanted`. `:80` means `[::]:80`, or `0.0.0.0:80` on a host without IPv6.
fn is_same_address(local: SocketAddr, wanted: SocketAddr) -> bool {
    let both_any = local.ip().is_unspecified() && wanted.ip() == std::net::Ipv6Addr::UNSPECIFIED;
    local.port() == wanted.port() && (local.ip() == wanted.ip() || both_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_descriptors_are_taken_if_meant_for_this_process() {
        let env = |name: &str| match name {
            "LISTEN_PID" => Some("7".to_owned()),
            "LISTEN_FDS" => Some("3".to_owned()),
            "LISTEN_FDNAMES" => Some("http::https".to_owned()),
            _ => None,
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(from_systemd(&env, 7), [(3, named("http")), (4, None), (5, named("https"))]);
        assert!(from_systemd(&env, 8).is_empty());
        assert!(from_systemd(&|_| None, 7).is_empty());
    }

    #[test]
    fn descriptors_are_parsed_if_the_parent_set_them() {
        assert_eq!(parse_descriptors("7:3,4,5", 7), Some((3, vec![4, 5])));
        for text in ["7:3,4,5", "", "8:", "8:3,x"] {
            assert_eq!(parse_descriptors(text, 8), None, "{text:?}");
        }
    }

    #[test]
    fn exit_of_the_predecessor_is_noticed() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let predecessor = Predecessor(theirs);
        assert!(!predecessor.has_ended());
        drop(ours);
        assert!(predecessor.has_ended());
        predecessor.take_over();
    }

    #[test]
    fn successor_is_pending_ready_or_exited() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut successor = Successor(ours);
        let moment = Duration::from_millis(1);
        assert!(!successor.is_ready_within(moment).expect("it is there"));
        theirs.write_all(&[READY]).expect("said");
        assert!(successor.is_ready_within(moment).expect("it is there"));
        drop(theirs);
        assert!(successor.is_ready_within(moment).is_err());
    }

    #[test]
    fn carried_state_is_read_whole() {
        let state: Vec<u8> = (0..300_000_u32).flat_map(u32::to_ne_bytes).collect();
        for state in [&state[..], b""] {
            let file = write_memfd(state).expect("a file");
            let flags = rustix::io::fcntl_getfd(&file).expect("flags");
            assert!(!flags.contains(FdFlags::CLOEXEC), "a child inherits it");
            assert_eq!(read_memfd(std::os::fd::IntoRawFd::into_raw_fd(file)).expect("read"), state);
        }
    }

    #[test]
    fn let_accept_fails_if_the_successor_has_exited() {
        let (ours, theirs) = UnixStream::pair().expect("a channel");
        drop(theirs);
        assert!(Successor(ours).let_accept().is_err());
    }

    #[test]
    fn sockets_are_claimed_by_name_before_address() {
        let open = || socket::listen("127.0.0.1:0".parse().expect("an address"), true).expect("a listener");
        let (named, other) = (open(), open());
        let (at_named, at_other) = (local(&named).expect("bound"), local(&other).expect("bound"));
        let sockets = vec![(Some("http".to_owned()), named), (None, other)];
        let mut inherited = InheritedListeners { sockets, ..InheritedListeners::default() };
        assert_eq!(inherited.claim("http", at_other, false).iter().filter_map(local).collect::<Vec<_>>(), [at_named]);
        assert!(inherited.claim("https", at_named, false).is_empty());
        assert_eq!(inherited.claim("https", at_other, false).len(), 1);
        assert!(inherited.unclaimed().is_empty());
        let datagrams = udp::bind_together(at_named, 1).expect("a UDP socket on the same number").remove(0);
        inherited.sockets.push((None, datagrams));
        assert!(inherited.claim("dns", at_named, false).is_empty(), "connections and datagrams are told apart");
        assert_eq!(inherited.claim("dns", at_named, true).len(), 1);
        assert!(is_same_address("0.0.0.0:80".parse().expect("it"), "[::]:80".parse().expect("it")));
        assert!(!is_same_address("0.0.0.0:80".parse().expect("it"), "127.0.0.1:80".parse().expect("it")));
    }
}
