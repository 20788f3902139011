//! Clients and servers in threads of the test.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

const WAIT_SECS_MAX: u64 = 20;

/// A connection to a port of this machine, with time limits.
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    limit(&stream);
    stream
}

fn limit(stream: &TcpStream) {
    stream.set_nodelay(true).expect("a socket option");
    stream.set_read_timeout(Some(Duration::from_secs(WAIT_SECS_MAX))).expect("a socket option");
    stream.set_write_timeout(Some(Duration::from_secs(WAIT_SECS_MAX))).expect("a socket option");
}

/// Reads as many bytes as are expected, and compares them.
pub fn read_exact(stream: &mut impl Read, expected: &[u8], what: &str) {
    let mut got = vec![0; expected.len()];
    stream.read_exact(&mut got).unwrap_or_else(|e| panic!("{what}: {e}"));
    assert!(got == expected, "{what}: {} instead of {}", got.escape_ascii(), expected.escape_ascii());
}

/// Reads the orderly end of a stream.
pub fn read_end(stream: &mut impl Read) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert!(rest.is_empty(), "before the end: {}", rest.escape_ascii());
}

/// Whether a read meets a reset.
pub fn is_reset(stream: &mut impl Read) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
}

/// Lets the close of the stream be a reset.
pub fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
}

/// A server whose connections are handled by a function, each in a thread.
pub struct Server {
    pub address: SocketAddr,
    pub accepted: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub fn start(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (accepted, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ends, handle) = (Arc::clone(&accepted), Arc::clone(&stopped), Arc::new(handle));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(SeqCst) {
                    break;
                }
                counted.fetch_add(1, SeqCst);
                limit(&stream);
                let handle = Arc::clone(&handle);
                thread::spawn(move || handle(stream));
            }
        });
        Server { address, accepted, stopped }
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    pub fn count(&self) -> usize {
        self.accepted.load(SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, SeqCst);
        // Wakes the thread, which closes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// A server that sends a greeting and then what it receives.
pub struct EchoServer(pub Server);

impl EchoServer {
    pub fn start(greeting: &'static [u8]) -> EchoServer {
        EchoServer(Server::start(move |stream| drop(echo(stream, greeting))))
    }

    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn echo(mut stream: TcpStream, greeting: &[u8]) -> std::io::Result<()> {
    stream.write_all(greeting)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => return stream.shutdown(Shutdown::Write),
            bytes => stream.write_all(&buffer[..bytes])?,
        }
    }
}

/// A server with TLS of its own, which sends a greeting and then what it receives.
pub fn tls_echo_server(folder: &Path, greeting: &'static str) -> Server {
    let certificates = CertificateDer::pem_file_iter(folder.join("one.pem")).expect("a file");
    let certificates = certificates.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(folder.join("one.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("a certificate");
    let config = Arc::new(config);
    Server::start(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        let mut tls = StreamOwned::new(session, stream);
        let mut buffer = [0; 4096];
        let mut serve = || -> std::io::Result<()> {
            tls.write_all(greeting.as_bytes())?;
            loop {
                match tls.read(&mut buffer)? {
                    0 => break,
                    bytes => tls.write_all(&buffer[..bytes])?,
                }
            }
            tls.conn.send_close_notify();
            tls.flush()
        };
        let _ = serve();
    })
}

pub type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A client with TLS that trusts the certificate of the folder, and offers these protocols.
pub fn tls_connect(port: u16, folder: &Path, name: &str, protocols: &[&str]) -> TlsClient {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(folder.join("one.pem")).expect("a file") {
        roots.add(certificate.expect("a certificate")).expect("a root");
    }
    let mut config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).expect("a session"), connect(port))
}
