//! Connections to an Engine through `ssh`, as the Docker CLI makes them: `docker system dial-stdio` on the other machine passes on to its Engine
//! what the proxy writes. Each connection is a process of its own, which ends with it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// `ssh` asks nothing, gives up a connection attempt after 5 s, and ends if the other machine is silent for 6 s: without this, a machine that
/// lost its power would count as reachable.
const OPTIONS: [&str; 9] = [
    "-T",
    "-o",
    "BatchMode=yes",
    "-o",
    "ConnectTimeout=5",
    "-o",
    "ServerAliveInterval=2",
    "-o",
    "ServerAliveCountMax=3",
];

/// The most of `ssh`'s messages that goes into an error; the rest is read and dropped.
const MESSAGE_BYTES_MAX: u64 = 1024;

/// How long an error waits for `ssh`'s messages.
const MESSAGE_WAIT_MAX: Duration = Duration::from_secs(1);

/// The program that connects to an Engine, and its arguments.
#[derive(Debug, Clone)]
pub struct SshCommand {
    program: String,
    arguments: Vec<String>,
}

/// A running `ssh`. It is killed when the value is dropped.
pub struct SshProcess(Option<Child>);

/// The error output of a running `ssh`.
pub struct SshMessages(JoinHandle<Vec<u8>>);

impl SshCommand {
    /// Reads `USER@HOST:PORT/SOCKET`, of which all but the host may be missing.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(address: &str) -> Result<SshCommand, String> {
        let (authority, socket) = address.split_once('/').map_or((address, ""), |(before, socket)| (before, socket));
        let (user, place) = authority.rsplit_once('@').map_or(("", authority), |(user, place)| (user, place));
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or(rest)),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        if host.is_empty() || user.contains(':') {
            return Err("write ssh://USER@HOST; passwords are not possible, the user needs a key".to_owned());
        }
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(format!("{port:?} is no port: write ssh://USER@HOST:22"));
        }
        // The shell of the other machine reads the path.
        if !socket.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) {
            return Err(format!("the path /{socket} of the socket has a sign other than letters, digits and `/._-`"));
        }
        let mut arguments: Vec<String> = OPTIONS.iter().map(ToString::to_string).collect();
        for (option, value) in [("-l", user), ("-p", port)] {
            if !value.is_empty() {
                arguments.extend([option.to_owned(), value.to_owned()]);
            }
        }
        arguments.extend(["--", host, "docker"].map(str::to_owned));
        if !socket.is_empty() {
            arguments.extend(["--host".to_owned(), format!("unix:///{socket}")]);
        }
        arguments.extend(["system", "dial-stdio"].map(str::to_owned));
        Ok(SshCommand { program: "ssh".to_owned(), arguments })
    }

    /// Starts `ssh`, with the other end of the stream as its input and output.
    pub fn open(&self) -> io::Result<(UnixStream, SshProcess, SshMessages)> {
        let (own, its) = StdStream::pair()?;
        own.set_nonblocking(true)?;
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.stdin(OwnedFd::from(its.try_clone()?)).stdout(OwnedFd::from(its)).stderr(writer);
        let child = command
            .spawn()
            .map_err(|error| io::Error::other(format!("{} cannot be started: {error}", self.program)))?;
        let process = SshProcess(Some(child));
        let messages = pipe::Receiver::from_owned_fd(reader.into())?;
        Ok((UnixStream::from_std(own)?, process, SshMessages(tokio::spawn(read_messages(messages)))))
    }
}

impl SshMessages {
    /// The messages in one line, once `ssh` has ended; empty if there are none.
    pub async fn text(self) -> String {
        let bytes = timeout(MESSAGE_WAIT_MAX, self.0).await.ok().and_then(Result::ok).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join("; ").chars().filter(|c| !c.is_control()).collect()
    }
}

/// Reads until `ssh` ends, and keeps the beginning. A full pipe would stop `ssh`.
async fn read_messages(mut from: pipe::Receiver) -> Vec<u8> {
    let mut first = Vec::new();
    let _ = (&mut from).take(MESSAGE_BYTES_MAX).read_to_end(&mut first).await;
    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    first
}

impl Drop for SshProcess {
    fn drop(&mut self) {
        let Some(mut child) = self.0.take() else { return };
        // Fails if the process has ended already.
        let _ = child.kill();
        if !matches!(child.try_wait(), Ok(Some(_))) {
            // A killed process takes a moment to end. The control thread does not wait for it; no process is left unreaped.
            let _ = thread::Builder::new().name("ssh-end".to_owned()).spawn(move || child.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn script(text: &str) -> SshCommand {
        SshCommand { program: "sh".to_owned(), arguments: vec!["-c".to_owned(), text.to_owned()] }
    }

    #[test]
    fn address_becomes_the_arguments_of_ssh() {
        for (address, end) in [
            ("host", "-- host docker system dial-stdio"),
            ("me@host:2222", "-l me -p 2222 -- host docker system dial-stdio"),
            ("me@[2001:db8::1]:22", "-l me -p 22 -- 2001:db8::1 docker system dial-stdio"),
            ("-oProxyCommand=x", "-- -oProxyCommand=x docker system dial-stdio"),
            ("host/run/user/1/docker.sock", "-- host docker --host unix:///run/user/1/docker.sock system dial-stdio"),
        ] {
            let arguments = SshCommand::parse(address).expect(address).arguments.join(" ");
            assert!(arguments.ends_with(end) && arguments.contains("BatchMode=yes"), "{address}: {arguments}");
        }
        for address in ["", "me@", "me:secret@host", "host:ssh", "host/a;reboot", "host/a b"] {
            assert!(SshCommand::parse(address).is_err(), "{address}");
        }
    }

    #[tokio::test]
    async fn stream_carries_both_directions() {
        let (mut stream, _process, _messages) = script("read line; echo \"got $line\"").open().expect("started");
        stream.write_all(b"hello\n").await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert_eq!(answer, "got hello\n");
    }

    #[tokio::test]
    async fn messages_of_a_failed_connection_are_one_line() {
        let failing = script("echo 'me@host: Permission denied (publickey).' >&2; echo more >&2; exit 255");
        let (mut stream, _process, messages) = failing.open().expect("started");
        assert_eq!(stream.read_to_string(&mut String::new()).await.expect("ended"), 0);
        assert_eq!(messages.text().await, "me@host: Permission denied (publickey).; more");
        let missing = SshCommand { program: "/nowhere/ssh".to_owned(), arguments: Vec::new() };
        assert!(missing.open().err().expect("no program").to_string().contains("/nowhere/ssh cannot be started"));
    }

    #[tokio::test]
    async fn dropped_connection_leaves_no_process() {
        let (stream, process, _messages) = script("exec sleep 600").open().expect("started");
        let id = process.0.as_ref().expect("running").id();
        let place = format!("/proc/{id}");
        assert!(std::path::Path::new(&place).exists());
        drop((stream, process));
        // An unreaped process would still have its place there.
        for _ in 0..500 {
            if !std::path::Path::new(&place).exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {id} is still there");
    }
}
