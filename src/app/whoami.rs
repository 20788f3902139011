//! The demo's backends: tiny HTTP servers that respond with their name and the request that they received.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::limits;

const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
const LINES_MAX: usize = 200;

/// Starts a backend on a free loopback port.
pub fn start(name: &'static str) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The standard library asks for a backlog of 128: too few for a benchmark of the demo with more clients.
    rustix::net::listen(&listener, limits::LISTEN_BACKLOG)?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // If no thread can be started, the connection is closed.
            let _ = std::thread::Builder::new().spawn(move || serve(name, &stream));
        }
    })?;
    Ok(address)
}

fn serve(name: &str, stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        let mut length = 0u64;
        for _ in 0..LINES_MAX {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((field, value)) = line.split_once(':')
                && field.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            head.push_str(&line);
        }
        io::copy(&mut io::Read::take(&mut reader, length), &mut io::sink())?;
        let body = format!("I am {name}. You asked me:\n\n{head}");
        let mut out = stream;
        write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}
