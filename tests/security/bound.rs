//! Authentication of connections (NTLM, Negotiate): a server connection that a client has authenticated serves no other client.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::DRIVERS;
use crate::client::{Client, find, text};
use crate::proxy::{Options, Proxy};
use crate::support::wait_for;

/// For each connection the statuses that it got, and whether it has ended.
type Connections = Mutex<Vec<(Vec<u16>, bool)>>;

/// A server that authenticates connections: an NTLM handshake of two legs, or one leg of Negotiate.
struct Server {
    port: u16,
    connections: Arc<Connections>,
}

impl Server {
    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let connections: Arc<Connections> = Arc::default();
        let shared = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let connections = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &connections));
            }
        });
        Server { port, connections }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The statuses that each connection got.
    fn statuses(&self) -> Vec<Vec<u16>> {
        self.connections.lock().expect("the list").iter().map(|(statuses, _)| statuses.clone()).collect()
    }

    /// Waits until the connections that got a 200 have ended.
    fn await_end_of_authenticated(&self) {
        wait_for("the authenticated connections end with their client", Duration::from_secs(5), || {
            let connections = self.connections.lock().expect("the list");
            let is_open = |(statuses, has_ended): &(Vec<u16>, bool)| statuses.contains(&200) && !has_ended;
            if connections.iter().any(is_open) { Err(format!("{connections:?}")) } else { Ok(()) }
        });
    }
}

fn serve(mut stream: TcpStream, connections: &Connections) {
    let number = {
        let mut list = connections.lock().expect("the list");
        list.push((Vec::new(), false));
        list.len() - 1
    };
    let (mut inbox, mut has_begun, mut user) = (Vec::new(), false, None);
    while let Some(head) = read_request(&mut stream, &mut inbox) {
        let credentials = head.lines().find_map(|line| line.strip_prefix("Authorization: ")).unwrap_or_default();
        match credentials {
            "NTLM leg1" => has_begun = true,
            "NTLM leg2-ann" if has_begun => user = Some("ann"),
            "negotiate ann" => user = Some("ann"),
            _ => {}
        }
        let (status, challenge) = match user {
            Some(_) => ("200 OK", ""),
            None if has_begun => ("401 Unauthorized", "WWW-Authenticate: NTLM challenge\r\n"),
            None => ("401 Unauthorized", "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n"),
        };
        let body = user.unwrap_or("nobody");
        connections.lock().expect("the list")[number].0.push(status[..3].parse().expect("a status"));
        let response = format!("HTTP/1.1 {status}\r\n{challenge}Content-Length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(response.as_bytes()).is_err() {
            break;
        }
    }
    connections.lock().expect("the list")[number].1 = true;
}

/// The head of the next request, whose body has been read too.
fn read_request(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(at) = find(inbox, b"\r\n\r\n") {
            let head = text(&inbox[..at]);
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(Ok(0), str::parse);
            let end = at + 4 + length.unwrap_or(0usize);
            if inbox.len() >= end {
                inbox.drain(..end);
                return Some(head);
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece) {
            Ok(bytes @ 1..) => inbox.extend_from_slice(&piece[..bytes]),
            _ => return None,
        }
    }
}

fn ask(client: &mut Client, credentials: &str) -> (u16, String) {
    let field = if credentials.is_empty() { String::new() } else { format!("Authorization: {credentials}\r\n") };
    client.send(format!("POST /p HTTP/1.1\r\nHost: a\r\n{field}Content-Length: 4\r\n\r\nbody"));
    let answer = client.answer();
    (answer.status, text(&answer.body))
}

fn proxy_with(driver: &str, server: &Server, frontend: &str) -> Proxy {
    let routes = format!(
        "{frontend}\n[backends.guarded.servers.one]\nurl = \"{0}\"\n[backends.guarded.servers.two]\nurl = \"{0}/\"\n\
         [frontends.guarded]\nbackend = \"guarded\"\n[frontends.guarded.routes.all]\nrule = \"PathPrefix:/p\"\n",
        server.url()
    );
    Proxy::with(driver, &Options { frontend: routes, ..Options::default() })
}

/// Three requests of ann: the handshake, and one more without credentials.
fn authenticate(ann: &mut Client, case: &str) {
    assert_eq!(ask(ann, "").0, 401, "{case}");
    assert_eq!(ask(ann, "NTLM leg1").0, 401, "{case}");
    assert_eq!(ask(ann, "NTLM leg2-ann"), (200, "ann".to_owned()), "{case}: the last leg went elsewhere");
    assert_eq!(ask(ann, ""), (200, "ann".to_owned()), "{case}: her connection was not used again");
}

#[test]
fn authenticated_connection_serves_its_client_only() {
    for driver in DRIVERS {
        for (name, buffering) in
            [("plain", ""), ("buffered", "[backends.guarded.buffering]\nmaxRequestBodyBytes = 1000\n")]
        {
            let case = format!("{name} ({driver})");
            let server = Server::start();
            let proxy = proxy_with(driver, &server, buffering);
            let mut ann = proxy.client();
            authenticate(&mut ann, &case);
            for _ in 0..8 {
                assert_eq!(ask(&mut proxy.client(), ""), (401, "nobody".to_owned()), "{case}: a stranger is ann");
            }
            let mut other = proxy.client();
            authenticate(&mut other, &case);
            assert_eq!(ask(&mut ann, ""), (200, "ann".to_owned()), "{case}");
            drop((ann, other));
            server.await_end_of_authenticated();
            assert_eq!(ask(&mut proxy.client(), "").0, 401, "{case}: a stranger after ann has left");

            // One leg suffices, on a connection that may have been pooled.
            let mut ann = proxy.client();
            assert_eq!(ask(&mut ann, "negotiate ann").0, 200, "{case}");
            assert_eq!(ask(&mut ann, "").0, 200, "{case}");
            assert_eq!(ask(&mut proxy.client(), "").0, 401, "{case}: a stranger is ann");
            drop(ann);
            server.await_end_of_authenticated();
        }
    }
}

#[test]
fn two_servers_see_whole_handshakes() {
    for driver in DRIVERS {
        let servers = [Server::start(), Server::start()];
        let options = Options {
            frontend: format!(
                "[backends.guarded.servers.one]\nurl = \"{}\"\n[backends.guarded.servers.two]\nurl = \"{}\"\n\
                 [frontends.guarded]\nbackend = \"guarded\"\n[frontends.guarded.routes.all]\nrule = \"PathPrefix:/p\"\n",
                servers[0].url(),
                servers[1].url()
            ),
            ..Options::default()
        };
        let proxy = Proxy::with(driver, &options);
        let mut clients: Vec<Client> = (0..6).map(|_| proxy.client()).collect();
        for client in &mut clients {
            authenticate(client, driver);
        }
        for server in &servers {
            let statuses = server.statuses();
            assert!(statuses.iter().filter(|s| **s == [401, 401, 200, 200]).count() == 3, "({driver}): {statuses:?}");
        }
        drop(clients);
        servers.iter().for_each(Server::await_end_of_authenticated);
    }
}

#[test]
fn calls_to_authentication_server_share_no_authenticated_connection() {
    for driver in DRIVERS {
        let server = Server::start();
        let auth = format!(
            "[frontends.guarded]\nbackend = \"main\"\n[frontends.guarded.routes.all]\nrule = \"PathPrefix:/p\"\n\
             [frontends.guarded.auth.forward]\naddress = \"{}\"\n",
            server.url()
        );
        let proxy = Proxy::with(driver, &Options { frontend: auth, ..Options::default() });
        assert_eq!(ask(&mut proxy.client(), "negotiate ann"), (200, "ok".to_owned()), "{driver}");
        assert_eq!(ask(&mut proxy.client(), "").0, 401, "{driver}: a stranger is ann");
        server.await_end_of_authenticated();
    }
}
