//! Asks name servers: by UDP, and by TCP if the response does not fit (RFC 7766).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::error::DnsError;
use super::message::{self, Response, rcode};

/// The port of name servers.
pub const DNS_PORT: u16 = 53;
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The pause until a query is sent a second time by UDP.
const UDP_TRY: Duration = Duration::from_secs(3);
const UDP_TRIES: usize = 2;
const RESPONSE_BYTES_MAX: usize = 65_535;

/// The time-out of one query with all its tries.
pub const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks recursive servers, those of `resolvers` or of the system.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// `host:port` each; empty means the system's.
    servers: Vec<String>,
    /// The port of the zones' own name servers. Only tests have another one than [`DNS_PORT`].
    pub authority_port: u16,
}

impl Resolver {
    /// A resolver for the configured servers; a server without a port has [`DNS_PORT`].
    pub fn new(servers: &[String]) -> Resolver {
        let servers = servers.iter().map(|server| with_port(server.trim())).filter(|server| !server.is_empty());
        Resolver { servers: servers.collect(), authority_port: DNS_PORT }
    }

    /// Asks the servers in their order until one has an answer. Without one, the first server that knows that there is none decides.
    ///
    /// # Errors
    /// No server could be reached, or none could answer.
    pub async fn query(&self, name: &str, record_type: u16) -> Result<Response, DnsError> {
        let servers = if self.servers.is_empty() { system_servers()? } else { self.servers.clone() };
        let (mut empty, mut reasons) = (None, Vec::new());
        for server in servers {
            match ask(&server, name, record_type, true).await {
                Ok(response) if !response.answers.is_empty() => return Ok(response),
                Ok(response) if matches!(response.rcode, rcode::NO_ERROR | rcode::NAME_ERROR) => {
                    empty.get_or_insert(response);
                }
                Ok(response) => reasons.push(format!("{server} answers {}", rcode_text(response.rcode))),
                Err(reason) => reasons.push(reason),
            }
        }
        empty.ok_or_else(|| DnsError(format!("{name} cannot be looked up: {}", reasons.join("; "))))
    }
}

/// The server with its port.
pub fn with_port(server: &str) -> String {
    let is_complete = server.parse::<SocketAddr>().is_ok()
        || (server.parse::<Ipv6Addr>().is_err()
            && server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()));
    match server {
        "" => String::new(),
        _ if is_complete => server.to_owned(),
        _ if server.parse::<Ipv6Addr>().is_ok() => format!("[{server}]:{DNS_PORT}"),
        _ => format!("{server}:{DNS_PORT}"),
    }
}

/// The servers of the system.
fn system_servers() -> Result<Vec<String>, DnsError> {
    let text = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let servers = servers_of(&text);
    match servers.is_empty() {
        true => Err(DnsError(format!(
            "{RESOLV_CONF} names no name server: set acme.dnsChallenge.resolvers, for example [\"1.1.1.1:53\"]"
        ))),
        false => Ok(servers),
    }
}

/// The servers of the text of `resolv.conf`.
pub fn servers_of(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter(|rest| rest.starts_with([' ', '\t'])).map(|rest| with_port(rest.trim())).collect()
}

/// Asks one server, `host:port`.
///
/// # Errors
/// A sentence that names the server.
pub async fn ask(server: &str, name: &str, record_type: u16, recursion: bool) -> Result<Response, String> {
    let id = new_id().map_err(|e| e.to_owned())?;
    let request = message::query(id, name, record_type, recursion).map_err(|e| format!("{name}: {}", e.0))?;
    let response = exchange(server, &request, QUERY_TIMEOUT).await?;
    message::decode(&response).map_err(|e| format!("{server}: {}", e.0))
}

/// Sends a message to `server` (`host:port`) and returns the response.
///
/// # Errors
/// A sentence that names the server.
pub async fn exchange(server: &str, request: &[u8], limit: Duration) -> Result<Vec<u8>, String> {
    let exchanged = timeout(limit, async {
        let mut reason = format!("{server} has no address");
        let addresses = tokio::net::lookup_host(server).await.map_err(|e| format!("{server} has no address ({e})"))?;
        for address in addresses {
            match exchange_with(address, request).await {
                Ok(response) => return Ok(response),
                Err(e) => reason = format!("{server} cannot be asked: {e}"),
            }
        }
        Err(reason)
    });
    exchanged.await.unwrap_or_else(|_| Err(format!("{server} did not answer within {} s", limit.as_secs())))
}

async fn exchange_with(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    if let Some(response) = exchange_udp(address, request).await?
        && !message::decode(&response).is_ok_and(|decoded| decoded.truncated)
    {
        return Ok(response);
    }
    exchange_tcp(address, request).await
}

/// Returns `None` if no response came; then TCP is tried, which some networks let through alone.
async fn exchange_udp(address: SocketAddr, request: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let own: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(address).await?;
    let mut buffer = vec![0; RESPONSE_BYTES_MAX];
    for _ in 0..UDP_TRIES {
        socket.send(request).await?;
        let received = timeout(UDP_TRY, async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                // A datagram that answers something else is no answer: it may be forged.
                if message::is_response_to(request, &buffer[..length]) {
                    return Ok::<_, std::io::Error>(length);
                }
            }
        });
        if let Ok(length) = received.await {
            buffer.truncate(length?);
            return Ok(Some(buffer));
        }
    }
    Ok(None)
}

async fn exchange_tcp(address: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let length = u16::try_from(request.len()).map_err(std::io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat()).await?;
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let mut response = vec![0; usize::from(u16::from_be_bytes(head))];
    stream.read_exact(&mut response).await?;
    match message::is_response_to(request, &response) {
        true => Ok(response),
        false => Err(std::io::Error::other("the response answers another question")),
    }
}

/// A random identifier of a message.
///
/// # Errors
/// The system has no random numbers.
pub fn new_id() -> Result<u16, &'static str> {
    let mut id = [0; 2];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| "the system has no random numbers")?;
    Ok(u16::from_be_bytes(id))
}

/// The name of a response code (RFC 6895 2.3).
pub fn rcode_text(code: u8) -> String {
    match code {
        rcode::NO_ERROR => "NOERROR".into(),
        1 => "FORMERR".into(),
        2 => "SERVFAIL".into(),
        rcode::NAME_ERROR => "NXDOMAIN".into(),
        4 => "NOTIMP".into(),
        5 => "REFUSED".into(),
        9 => "NOTAUTH".into(),
        10 => "NOTZONE".into(),
        other => format!("RCODE{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_without_port_has_port_53() {
        for (written, expected) in [
            ("1.1.1.1", "1.1.1.1:53"),
            ("1.1.1.1:5353", "1.1.1.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]:54", "[2001:db8::1]:54"),
            ("dns.example", "dns.example:53"),
            ("dns.example:5353", "dns.example:5353"),
        ] {
            assert_eq!(with_port(written), expected);
        }
    }

    #[test]
    fn servers_of_the_system_are_the_nameserver_lines() {
        let text = "# nameserver 9.9.9.9\nsearch lan\nnameserver 127.0.0.11\n nameserver\tfd00::1\nnameservers 1.2.3.4\noptions ndots:0\n";
        assert_eq!(servers_of(text), ["127.0.0.11:53", "[fd00::1]:53"]);
    }

    #[tokio::test]
    async fn truncated_response_is_fetched_by_tcp() {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let server = tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
            // A forged response with another identifier comes first, and is ignored.
            let mut response = buffer[..length].to_vec();
            response[2] |= 0x80;
            response[0] ^= 0xff;
            udp.send_to(&response, peer).await.unwrap();
            response[0] ^= 0xff;
            response[2] |= 0x02;
            udp.send_to(&response, peer).await.unwrap();
            let (mut stream, _) = tcp.accept().await.unwrap();
            let mut request = vec![0; usize::from(stream.read_u16().await.unwrap())];
            stream.read_exact(&mut request).await.unwrap();
            request[2] |= 0x80;
            request[3] = rcode::NAME_ERROR;
            stream.write_u16(request.len() as u16).await.unwrap();
            stream.write_all(&request).await.unwrap();
        });
        let response = ask(&address.to_string(), "example.com.", message::rtype::TXT, true).await.unwrap();
        assert_eq!((response.rcode, response.truncated), (rcode::NAME_ERROR, false));
        server.await.unwrap();
    }

    #[tokio::test]
    async fn second_server_is_asked_if_the_first_cannot_be_reached() {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let (length, peer) = udp.recv_from(&mut buffer).await.unwrap();
            buffer[2] |= 0x80;
            udp.send_to(&buffer[..length], peer).await.unwrap();
        });
        // Nothing listens on port 1.
        let resolver = Resolver::new(&["127.0.0.1:1".to_owned(), address]);
        assert_eq!(resolver.query("example.com.", message::rtype::TXT).await.unwrap().answers, []);
        let message = Resolver::new(&["127.0.0.1:1".to_owned()]).query("example.com.", 16).await.unwrap_err();
        assert!(message.0.contains("127.0.0.1:1"), "{message}");
    }
}
