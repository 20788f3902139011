//! Servers behind the proxy, each a script or a program of its own.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::{Background, free_port, stdout_of, wait_for_port};
use crate::tools::script;

const START_SECS_MAX: u64 = 30;

/// A key and a certificate that is its own authority, for `a.test` and for 127.0.0.1.
pub fn certificate(folder: &Path) {
    let (key, pem) = (folder.join("one.key"), folder.join("one.pem"));
    let (key, pem) = (key.to_string_lossy(), pem.to_string_lossy());
    let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    let names = ["-subj", "/CN=a.test", "-addext", "subjectAltName=DNS:a.test,IP:127.0.0.1"];
    stdout_of("openssl", &[&words[..], &["-keyout", &key, "-out", &pem], &names].concat());
}

/// A running server.
pub struct Peer {
    pub process: Background,
    /// As the configuration of the proxy names it.
    pub url: String,
    folder: TempDir,
}

impl Peer {
    fn start(scheme: &str, command: impl FnOnce(u16, &Path) -> Command) -> Peer {
        let (folder, port) = (tempfile::tempdir().expect("a folder for a server"), free_port());
        let command = command(port, folder.path());
        let process = Background::start(command, folder.path().join("log"));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(START_SECS_MAX));
        Peer { process, url: format!("{scheme}://127.0.0.1:{port}"), folder }
    }

    fn script(scheme: &str, words: &[&str]) -> Peer {
        Peer::start(scheme, |port, _| {
            let mut command = script(words[0]);
            command.args(&words[1..]).args(["--port", &port.to_string()]);
            command
        })
    }

    /// The pages of `python/pages.py` over HTTP/1.1.
    pub fn http1() -> Peer {
        Peer::script("http", &["origin.py", "--version", "1"])
    }

    /// The same over HTTP/2 without TLS; WebSockets by RFC 8441.
    pub fn h2c() -> Peer {
        Peer::script("h2c", &["origin.py", "--version", "2"])
    }

    /// HTTP/2 without TLS and without the extended CONNECT.
    pub fn h2c_without_websockets() -> Peer {
        Peer::script("h2c", &["origin.py", "--version", "2", "--no-connect-protocol"])
    }

    /// HTTP/2 over TLS, agreed on by ALPN; the proxy has to trust its certificate.
    pub fn https() -> Peer {
        Peer::start("https", |port, folder| {
            certificate(folder);
            let mut command = script("origin.py");
            command.args(["--version", "2", "--port", &port.to_string()]);
            command.arg("--certificate").arg(folder.join("one.pem")).arg("--key").arg(folder.join("one.key"));
            command
        })
    }

    pub fn grpc() -> Peer {
        Peer::script("h2c", &["grpc_server.py"])
    }

    /// PyPI websockets, over HTTP/1.1.
    pub fn websockets() -> Peer {
        Peer::script("http", &["websockets_server.py"])
    }

    /// nghttpd of Debian, which serves the files of a folder over HTTP/2 without TLS and sends a trailer.
    pub fn nghttpd(files: &[(&str, &[u8])]) -> Peer {
        Peer::start("h2c", |port, folder| {
            for (name, bytes) in files {
                std::fs::write(folder.join(name), bytes).expect("a file to serve");
            }
            let mut command = Command::new("nghttpd");
            command.args(["--no-tls", "--trailer", "checksum: abc", "--address", "127.0.0.1", "--htdocs"]);
            command.arg(folder).arg("--echo-upload").arg(port.to_string());
            command
        })
    }

    /// The folder of the server, `one.pem` in it if it has a certificate.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the server found wrong with the proxy's messages.
    pub fn protocol_errors(&self) -> Vec<String> {
        let log = self.process.log_text();
        log.lines().filter(|line| line.starts_with("PROTOCOL ERROR")).map(str::to_owned).collect()
    }
}
