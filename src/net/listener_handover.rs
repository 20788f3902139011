//! Listening sockets that another process opened: systemd (`LISTEN_FDS`), or the Ringway that this one takes over from.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::io::{FdFlags, fcntl_setfd};
use socket2::Socket;

use super::{socket, sys};

/// Where a process finds what its predecessor hands over: `PARENT:CHANNEL,LISTENER,LISTENER...`, a process id and descriptors.
const VARIABLE: &str = "RINGWAY_HANDOVER";

/// Where it finds what the predecessor knows from no file and no provider: `PARENT:DESCRIPTOR`. Beside [`VARIABLE`], so that a version
/// without this still takes over.
const MEMORY: &str = "RINGWAY_HANDOVER_MEMORY";

/// systemd's first descriptor (sd_listen_fds(3)).
const SYSTEMD_FIRST: RawFd = 3;

/// What each side of a hand-over says to the other, one byte each.
const READY: u8 = b'r';
const GO: u8 = b'g';

/// The sockets that were handed down and not claimed yet.
#[derive(Default)]
pub struct InheritedListeners {
    sockets: Vec<(Option<String>, Socket)>,
    predecessor: Option<Predecessor>,
    memory: Vec<u8>,
}

/// The process that serves until this one is ready.
pub struct Predecessor(UnixStream);

impl InheritedListeners {
    /// Reads the environment and takes the descriptors that it names. Must run before the process has opened any of its own.
    ///
    /// # Errors
    /// A descriptor that is no listening TCP socket.
    pub fn take(env: &dyn Fn(&str) -> Option<String>) -> Result<InheritedListeners, String> {
        if let Some((channel, listeners)) = env(VARIABLE).and_then(|text| predecessor(&text, parent())) {
            let memory = env(MEMORY).and_then(|text| predecessor(&text, parent()));
            let memory = memory.map(|(fd, _)| fd).filter(|fd| *fd != channel && !listeners.contains(fd));
            let kept: Vec<RawFd> = listeners.iter().copied().chain([channel]).chain(memory).collect();
            sys::close_others(&kept);
            let sockets = listeners.iter().map(|fd| listening(*fd, None)).collect::<Result<_, _>>()?;
            let channel = UnixStream::from(owned(channel)?);
            let memory = memory.map_or_else(|| Ok(Vec::new()), read_memfd)?;
            return Ok(InheritedListeners { sockets, predecessor: Some(Predecessor(channel)), memory });
        }
        let own = std::process::id();
        let sockets =
            from_systemd(env, own).into_iter().map(|(fd, name)| listening(fd, name)).collect::<Result<_, _>>()?;
        Ok(InheritedListeners { sockets, predecessor: None, memory: Vec::new() })
    }

    /// The sockets for an entry point: those of its name, else those on its address.
    pub fn claim(&mut self, entry_point: &str, address: SocketAddr) -> Vec<Socket> {
        let is_named = |name: &Option<String>| name.as_deref() == Some(entry_point);
        let by_name = self.sockets.iter().any(|(name, _)| is_named(name));
        let mine = |(name, socket): &(Option<String>, Socket)| {
            if by_name { is_named(name) } else { local(socket).is_some_and(|local| same(local, address)) }
        };
        let (claimed, rest) = std::mem::take(&mut self.sockets).into_iter().partition(mine);
        self.sockets = rest;
        claimed.into_iter().map(|(_, socket)| socket).collect()
    }

    /// What no entry point claimed, for the log; the sockets are closed.
    pub fn unclaimed(&mut self) -> Vec<String> {
        let shown = |(name, socket): (Option<String>, Socket)| {
            let address = local(&socket).map_or_else(|| "an unknown address".to_owned(), |local| local.to_string());
            name.map_or(address.clone(), |name| format!("{name} on {address}"))
        };
        std::mem::take(&mut self.sockets).into_iter().map(shown).collect()
    }

    pub fn predecessor(&mut self) -> Option<Predecessor> {
        self.predecessor.take()
    }

    /// What the predecessor gave to [`expose`].
    pub fn carried_state(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.memory)
    }
}

impl Predecessor {
    /// Nobody serves in its place.
    pub fn has_ended(&self) -> bool {
        // It says nothing before it is relieved: what can be read is its end.
        let is_readable = self.0.set_nonblocking(true).and_then(|()| (&self.0).read(&mut [0])).is_ok();
        is_readable || self.0.set_nonblocking(false).is_err()
    }

    /// Says that this process can serve, and returns once the other one accepts no more. One that has died accepts no more either.
    pub fn take_over(mut self) {
        let mut answer = [0];
        let _ = self.0.write_all(&[READY]).and_then(|()| self.0.read_exact(&mut answer));
    }
}

/// The process that takes over, as its predecessor sees it.
pub struct Successor(UnixStream);

impl Successor {
    /// Waits so long at most, and says whether it has said that it can serve.
    ///
    /// # Errors
    /// It has ended.
    pub fn is_ready_within(&mut self, limit: Duration) -> io::Result<bool> {
        let mut said = [0];
        self.0.set_read_timeout(Some(limit))?;
        match self.0.read_exact(&mut said) {
            Ok(()) => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Lets it accept.
    ///
    /// # Errors
    /// It has ended.
    pub fn let_accept(mut self) -> io::Result<()> {
        self.0.write_all(&[GO])
    }
}

/// Runs `start` with the environment for a successor: a process that is started in it inherits the listeners, and gets `memory`.
///
/// # Errors
/// The system's, and those of `start`.
pub fn spawn_with_listeners<T>(
    listeners: &[Socket],
    memory: &[u8],
    start: impl FnOnce(Vec<(&'static str, String)>) -> io::Result<T>,
) -> io::Result<(T, Successor)> {
    let (ours, theirs) = UnixStream::pair()?;
    let numbers: Vec<String> = listeners.iter().map(|listener| listener.as_raw_fd().to_string()).collect();
    let own = std::process::id();
    let text = format!("{own}:{},{}", theirs.as_raw_fd(), numbers.join(","));
    let memory = if memory.is_empty() { None } else { Some(write_memfd(memory)?) };
    let remembered = memory.iter().map(|file| (MEMORY, format!("{own}:{}", file.as_raw_fd())));
    let environment = [(VARIABLE, text)].into_iter().chain(remembered).collect();
    inherit(listeners, &theirs, FdFlags::empty())?;
    let started = start(environment);
    inherit(listeners, &theirs, FdFlags::CLOEXEC)?;
    Ok((started?, Successor(ours)))
}

/// A file that is nowhere but in memory, and that a child inherits.
fn write_memfd(memory: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("ringway-handover", MemfdFlags::empty())?);
    file.write_all(memory)?;
    file.rewind()?;
    Ok(file)
}

fn read_memfd(fd: RawFd) -> Result<Vec<u8>, String> {
    let mut memory = Vec::new();
    let read = File::from(owned(fd)?).read_to_end(&mut memory);
    read.map(|_| memory).map_err(|e| format!("what the process before this one knew cannot be read: {e}"))
}

fn inherit(listeners: &[Socket], channel: &UnixStream, flags: FdFlags) -> io::Result<()> {
    fcntl_setfd(channel, flags)?;
    Ok(listeners.iter().try_for_each(|listener| fcntl_setfd(listener, flags))?)
}

/// Channel and listeners, if the text is of this process's own parent.
fn predecessor(text: &str, parent: u32) -> Option<(RawFd, Vec<RawFd>)> {
    let (of, fds) = text.split_once(':')?;
    let fds: Vec<RawFd> = fds.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let (channel, listeners) = fds.split_first()?;
    (of.parse() == Ok(parent)).then(|| (*channel, listeners.to_vec()))
}

fn parent() -> u32 {
    std::os::unix::process::parent_id()
}

/// Descriptors and their names (sd_listen_fds(3)); a variable that was meant for another process is not ours.
fn from_systemd(env: &dyn Fn(&str) -> Option<String>, own: u32) -> Vec<(RawFd, Option<String>)> {
    let number = |name: &str| env(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(own) {
        return Vec::new();
    }
    let names = env("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(|name| Some(name.to_owned()).filter(|name| !name.is_empty()));
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
    (SYSTEMD_FIRST..SYSTEMD_FIRST.saturating_add(count)).map(|fd| (fd, names.next().flatten())).collect()
}

fn owned(fd: RawFd) -> Result<OwnedFd, String> {
    sys::adopt(fd).map_err(|e| format!("the descriptor {fd} that was handed down cannot be used: {e}"))
}

fn listening(fd: RawFd, name: Option<String>) -> Result<(Option<String>, Socket), String> {
    let socket = Socket::from(owned(fd)?);
    let is_tcp = local(&socket).is_some() && socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM);
    if !is_tcp || !socket.is_listener().unwrap_or(false) {
        let shown = name.unwrap_or_else(|| fd.to_string());
        return Err(format!(
            "the socket {shown} that was handed down is no listening TCP socket: write ListenStream=PORT and Accept=no"
        ));
    }
    socket::prepare(&socket).map_err(|e| format!("the socket that was handed down cannot be prepared: {e}"))?;
    Ok((name, socket))
}

fn local(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok().and_then(|address| address.as_socket())
}

/// `:80` is `[::]:80`, or `0.0.0.0:80` on a host without IPv6.
fn same(local: SocketAddr, wanted: SocketAddr) -> bool {
    let both_any = local.ip().is_unspecified() && wanted.ip() == std::net::Ipv6Addr::UNSPECIFIED;
    local.port() == wanted.port() && (local.ip() == wanted.ip() || both_any)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_believed_when_it_means_this_process() {
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
    fn a_predecessor_is_the_parent() {
        assert_eq!(predecessor("7:3,4,5", 7), Some((3, vec![4, 5])));
        for text in ["7:3,4,5", "", "8:", "8:3,x"] {
            assert_eq!(predecessor(text, 8), None, "{text:?}");
        }
    }

    #[test]
    fn a_predecessor_that_ends_is_noticed() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let predecessor = Predecessor(theirs);
        assert!(!predecessor.has_ended());
        drop(ours);
        assert!(predecessor.has_ended());
        predecessor.take_over();
    }

    #[test]
    fn a_successor_is_waiting_ready_or_gone() {
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
    fn what_is_remembered_is_read_whole() {
        let memory: Vec<u8> = (0..300_000_u32).flat_map(u32::to_ne_bytes).collect();
        for memory in [&memory[..], b""] {
            let file = write_memfd(memory).expect("a file");
            let flags = rustix::io::fcntl_getfd(&file).expect("flags");
            assert!(!flags.contains(FdFlags::CLOEXEC), "a child inherits it");
            assert_eq!(read_memfd(std::os::fd::IntoRawFd::into_raw_fd(file)).expect("read"), memory);
        }
    }

    #[test]
    fn a_successor_that_has_ended_cannot_go() {
        let (ours, theirs) = UnixStream::pair().expect("a channel");
        drop(theirs);
        assert!(Successor(ours).let_accept().is_err());
    }

    #[test]
    fn names_come_before_addresses() {
        let open = || socket::listen("127.0.0.1:0".parse().expect("an address"), true).expect("a listener");
        let (named, other) = (open(), open());
        let (at_named, at_other) = (local(&named).expect("bound"), local(&other).expect("bound"));
        let sockets = vec![(Some("http".to_owned()), named), (None, other)];
        let mut handed = InheritedListeners { sockets, ..InheritedListeners::default() };
        assert_eq!(handed.claim("http", at_other).iter().filter_map(local).collect::<Vec<_>>(), [at_named]);
        assert!(handed.claim("https", at_named).is_empty());
        assert_eq!(handed.claim("https", at_other).len(), 1);
        assert!(handed.unclaimed().is_empty());
        assert!(same("0.0.0.0:80".parse().expect("it"), "[::]:80".parse().expect("it")));
        assert!(!same("0.0.0.0:80".parse().expect("it"), "127.0.0.1:80".parse().expect("it")));
    }
}
