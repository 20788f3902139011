//! PostgreSQL, Redis, MariaDB and OpenSSH behind TCP routes, with their own clients.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::peers::tls_connect;
use crate::proxy::Proxy;
use crate::servers::{
    mariadb_or_skip, openssh_or_skip, postgresql_or_skip, redis_or_skip, start_mariadb, start_openssh,
    start_postgresql, start_redis,
};
use crate::support::ringway::DRIVERS;
use crate::support::{stdout_of, wait_for};

/// Starts a port whose connections go on over TLS with this name and protocol, as those of a client with `sslnegotiation=direct`, which
/// Debian's PostgreSQL does not have yet.
fn tls_forwarder(port: u16, folder: &Path, name: &'static str, protocol: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = listener.local_addr().expect("an address").port();
    let folder: PathBuf = folder.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let folder = folder.clone();
            thread::spawn(move || forward(client, port, &folder, name, protocol));
        }
    });
    own
}

/// One thread for both directions: short waits on each side in turn.
fn forward(mut client: TcpStream, port: u16, folder: &Path, name: &str, protocol: &str) {
    let mut tls = tls_connect(port, folder, name, &[protocol]);
    let wait = Some(Duration::from_millis(2));
    client.set_read_timeout(wait).expect("a socket option");
    while tls.conn.is_handshaking() {
        if tls.conn.complete_io(&mut tls.sock).is_err() {
            return;
        }
    }
    tls.sock.set_read_timeout(wait).expect("a socket option");
    let mut buffer = [0; 16 * 1024];
    let is_pause =
        |e: &std::io::Error| matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    let mut client_ended = false;
    loop {
        if !client_ended {
            match client.read(&mut buffer) {
                Ok(0) => {
                    client_ended = true;
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
                Ok(bytes) => tls.write_all(&buffer[..bytes]).expect("sends"),
                Err(e) if is_pause(&e) => {}
                Err(_) => return,
            }
        }
        match tls.read(&mut buffer) {
            Ok(0) => {
                let _ = client.shutdown(Shutdown::Write);
                return;
            }
            Ok(bytes) => client.write_all(&buffer[..bytes]).expect("sends"),
            Err(e) if is_pause(&e) => {}
            Err(_) => return,
        }
    }
}

fn psql(port: u16, sslmode: &str, sql: &str) -> String {
    let target =
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode={sslmode} connect_timeout=10");
    wait_for(&format!("PostgreSQL answers {sql}"), Duration::from_secs(30), || {
        let output = Command::new("psql").args([&target, "-XAtc", sql]).output().expect("psql starts");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() { Ok(text) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    })
}

#[test]
fn postgresql_answers_plain_with_its_own_tls_and_with_direct_tls() {
    if !postgresql_or_skip() {
        return;
    }
    let server = start_postgresql();
    for driver in DRIVERS {
        let url = server.url();
        let proxy = Proxy::start(driver, &[("db", "HostSNI:db.test", "", &url)], &[&url]);
        assert_eq!(psql(proxy.plain[0], "disable", "select 40 + 2"), "42");
        let in_tls = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(psql(proxy.plain[0], "require", in_tls), "t", "TLS from the client to the server");
        let direct = tls_forwarder(proxy.https(), proxy.folder(), "db.test", "postgresql");
        assert_eq!(psql(direct, "disable", in_tls), "f", "TLS from the client to the proxy");
        let long = psql(direct, "disable", "select repeat('x', 3000000)");
        assert!(long.len() == 3_000_000 && long.bytes().all(|byte| byte == b'x'), "{} bytes", long.len());
        let lines = proxy.access_log(4);
        let direct = lines.iter().find(|line| line.contains("\"RequestProtocol\":\"TLS\"")).expect("a line");
        assert!(direct.contains("\"RequestHost\":\"db.test\"") && direct.contains("_closed\""), "{direct}");
    }
}

#[test]
fn redis_answers_through_tls_passed_through_and_terminated() {
    if !redis_or_skip() {
        return;
    }
    let server = start_redis();
    let folder = server.folder.path().join("one.pem");
    for driver in DRIVERS {
        let (plain, tls) = (server.url(), server.tls_url());
        let proxy = Proxy::start(
            driver,
            &[("raw", "HostSNI:raw.test", "passthrough = true", &tls), ("redis", "HostSNI:redis.test", "", &plain)],
            &[],
        );
        let port = proxy.https().to_string();
        let own = proxy.process.file("one.pem");
        for (name, trusted) in [("raw.test", &folder), ("redis.test", &own)] {
            let base = ["-h", "127.0.0.1", "-p", &port, "--tls", "--cacert", &trusted.to_string_lossy(), "--sni", name];
            let redis = |words: &[&str]| stdout_of("redis-cli", &[&base[..], words].concat());
            assert_eq!(redis(&["SET", "key", name]), "OK");
            assert_eq!(redis(&["GET", "key"]), name);
            let benchmark = ["-n", "2000", "-c", "20", "-P", "4", "-t", "get,set", "-q"];
            let output = stdout_of("redis-benchmark", &[&base[..], &benchmark].concat());
            assert!(output.contains("GET") && !output.to_lowercase().contains("error"), "{output}");
        }
        proxy.await_idle("raw");
        proxy.await_idle("redis");
    }
}

#[test]
fn mariadb_that_speaks_first_answers() {
    if !mariadb_or_skip() {
        return;
    }
    let server = start_mariadb();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &[], &[&server.url()]);
        let port = proxy.plain[0].to_string();
        let ask = [
            "--no-defaults",
            "-h",
            "127.0.0.1",
            "-P",
            &port,
            "--protocol=tcp",
            "-N",
            "-e",
            "select repeat('y', 1000000)",
        ];
        let text = stdout_of("mariadb", &ask);
        assert!(text.len() == 1_000_000 && text.bytes().all(|byte| byte == b'y'), "{} bytes", text.len());
    }
}

#[test]
fn openssh_runs_commands_and_copies_files() {
    if !openssh_or_skip() {
        return;
    }
    let server = start_openssh();
    let key = server.folder.path().join("id").to_string_lossy().into_owned();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &[], &[&server.url()]);
        let port = proxy.plain[0].to_string();
        let options = ["-F", "/dev/null", "-i", &key, "-p", &port, "-o", "StrictHostKeyChecking=no", "-o"];
        let rest = ["UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "root@127.0.0.1"];
        let ssh = |command: &str| stdout_of("ssh", &[&options[..], &rest, &[command]].concat());
        assert_eq!(ssh("echo through the proxy"), "through the proxy");
        let sum = ssh("head -c 20000000 /dev/zero | cksum");
        assert_eq!(ssh("head -c 20000000 /dev/zero").len(), 20_000_000);
        assert!(sum.ends_with(" 20000000"), "{sum}");
        let lines = proxy.access_log(3);
        assert!(lines.iter().all(|line| line.contains("_closed\"")), "{lines:?}");
    }
}
