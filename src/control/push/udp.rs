//! Sends lines in datagrams.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// The size of a datagram that crosses every network whole: an MTU of 1500 bytes without the headers of IPv6 and UDP, and some spare.
const DATAGRAM_BYTES_MAX: usize = 1432;
/// Datagrams that are sent one after the other; then other tasks of the thread get their turn, and a receiver can read.
const BURST_DATAGRAMS: usize = 16;
/// The time-out of a name look-up.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends to one `host:port`. The name is looked up for each push, so that a receiver may move.
pub struct UdpSender {
    address: String,
}

impl UdpSender {
    /// A sender to `address`; without a host it is this machine, as in Go.
    pub fn new(address: &str) -> Self {
        let host = if address.starts_with(':') { "localhost" } else { "" };
        UdpSender { address: format!("{host}{address}") }
    }

    /// Sends all lines.
    ///
    /// # Errors
    /// The name has no address, or the system cannot send. A receiver that is away is known by the second datagram at the earliest.
    pub async fn send(&self, lines: &[String]) -> Result<(), String> {
        let socket = self.connected().await?;
        for (number, datagram) in datagrams(lines).iter().enumerate() {
            if number > 0 && number % BURST_DATAGRAMS == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            socket.send(datagram.as_bytes()).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn connected(&self) -> Result<UdpSocket, String> {
        let look_up = tokio::net::lookup_host(&self.address);
        let found = match tokio::time::timeout(LOOK_UP_TIMEOUT, look_up).await {
            Ok(found) => found.map_err(|e| format!("it has no address ({e})"))?.next(),
            Err(_) => return Err(format!("its name could not be looked up within {} s", LOOK_UP_TIMEOUT.as_secs())),
        };
        let address = found.ok_or("it has no address")?;
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await.map_err(|e| e.to_string())?;
        socket.connect(address).await.map_err(|e| e.to_string())?;
        Ok(socket)
    }
}

/// Packs lines into datagrams. A line that is longer than a datagram has one of its own.
fn datagrams(lines: &[String]) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    for line in lines {
        match datagrams.last_mut() {
            Some(last) if last.len() + 1 + line.len() <= DATAGRAM_BYTES_MAX => {
                last.push('\n');
                last.push_str(line);
            }
            _ => datagrams.push(line.clone()),
        }
    }
    datagrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_packed_whole_and_in_order() {
        let lines: Vec<String> = (0..500).map(|n| format!("traefik.metric{n}:1|c")).chain(["x".repeat(3000)]).collect();
        let datagrams = datagrams(&lines);
        assert!(datagrams.iter().rev().skip(1).all(|datagram| datagram.len() <= DATAGRAM_BYTES_MAX));
        assert!(datagrams.len() < 15, "{}", datagrams.len());
        assert_eq!(datagrams.join("\n").lines().collect::<Vec<_>>(), lines);
    }

    #[tokio::test]
    async fn receiver_without_an_address_is_an_error_that_says_so() {
        let error = UdpSender::new("no-such-host.invalid:8125").send(&["x".into()]).await.unwrap_err();
        assert!(error.contains("address") || error.contains("looked up"), "{error}");
        assert_eq!(UdpSender::new(":8125").address, "localhost:8125");
    }
}
