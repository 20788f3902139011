//! Requests at the end of a server's idle time: node announces it with `Keep-Alive: timeout=N`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::ringway::{DRIVERS, Setup};
use crate::support::{Background, free_port, installed, tool_or_skip, wait_for_port};

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
workers = 1
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
[backends.node.servers.one]
url = "http://127.0.0.1:@node@"
[frontends.node]
backend = "node"
[frontends.node.routes.all]
rule = "PathPrefix:/"
"#;
/// Answers each POST with how often its body has been received.
const SERVER: &str = "
const seen = {};
const server = require('http').createServer((request, response) => {
  let body = '';
  request.on('data', data => body += data);
  request.on('end', () => { seen[body] = (seen[body] || 0) + 1; response.end(String(seen[body])); });
});
server.keepAliveTimeout = 2000;
server.listen(Number(process.argv[2]), '127.0.0.1');
";
const IDLE: Duration = Duration::from_secs(2);
const CLIENTS: u64 = 64;
const ROUNDS: u64 = 4;

/// Posts a body that no other request has; returns the status line and the body.
fn post(stream: &mut TcpStream, body: &str) -> (String, String) {
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("sent");
    let mut received = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n")
            && (!rest.is_empty() && !rest.ends_with("\r\n1\r\n"))
        {
            return (head.lines().next().unwrap_or_default().to_owned(), rest.to_owned());
        }
        let bytes = stream.read(&mut piece).expect("a response");
        assert!(bytes > 0, "the connection ended: {text}");
        received.extend_from_slice(&piece[..bytes]);
    }
}

#[test]
fn posts_at_the_end_of_announced_idle_time_get_no_502() {
    if !tool_or_skip("node", installed("node")) {
        return;
    }
    for driver in DRIVERS {
        let work = tempfile::tempdir().expect("a folder");
        let (script, port) = (work.path().join("server.js"), free_port());
        std::fs::write(&script, SERVER).expect("a script");
        let mut command = Command::new("node");
        command.arg(&script).arg(port.to_string());
        let _node = Background::start(command, work.path().join("node.log"));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(20));
        let proxy = Setup::new(driver, CONFIG).fill("@node@", port).spawn();
        wait_for_port(&format!("127.0.0.1:{}", proxy.http), Duration::from_secs(20));
        let address = ("127.0.0.1", proxy.http);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(address).expect("the proxy");
                    let mut last = Instant::now();
                    for round in 0..ROUNDS {
                        // The clients spread over the 12 ms around the end of the idle time.
                        let due = last + IDLE - Duration::from_millis(6) + Duration::from_micros(client * 190);
                        if round > 0 {
                            std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        }
                        let (status, body) = post(&mut stream, &format!("{driver}-{client}-{round}"));
                        last = Instant::now();
                        assert_eq!(status, "HTTP/1.1 200 OK", "client {client}, round {round} ({driver})");
                        assert!(body.contains('1') && !body.contains('2'), "sent twice ({driver}): {body}");
                    }
                });
            }
        });
    }
}
