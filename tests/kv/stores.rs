//! The stores of the tests, each with its own folder and port, and the ways to write to them that their users have.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::consul::{Consul, TOKEN};
use crate::support::{Background, free_port, installed, stdout_of, tool_or_skip, wait_for, wait_for_port};

const START_SECS_MAX: u64 = 60;
const ZOOKEEPER_JAR: &str = "/usr/share/java/zookeeper.jar";

/// A running store.
pub enum Store {
    Etcd(Server),
    ZooKeeper(Server),
    Redis(Server),
    Consul(Consul),
}

/// A server of Debian.
pub struct Server {
    // Declared first: the process ends before its folder is removed.
    process: Background,
    folder: TempDir,
    pub port: u16,
    start: fn(&Path, u16) -> Command,
}

impl Server {
    fn start(start: fn(&Path, u16) -> Command) -> Server {
        let folder = tempfile::tempdir().expect("a folder for a server");
        let port = free_port();
        let process = Background::start(start(folder.path(), port), folder.path().join("log"));
        let server = Server { process, folder, port, start };
        server.await_port();
        server
    }

    fn await_port(&self) {
        wait_for_port(&format!("127.0.0.1:{}", self.port), Duration::from_secs(START_SECS_MAX));
    }

    fn restart(&mut self) {
        let command = (self.start)(self.folder.path(), self.port);
        self.process = Background::start(command, self.folder.path().join("log"));
        self.await_port();
    }
}

fn etcd(folder: &Path, port: u16) -> Command {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(folder.join("data")).args(["--listen-client-urls", &client]);
    command.args(["--advertise-client-urls", &client, "--listen-peer-urls", &peer, "--unsafe-no-fsync"]);
    command
}

fn redis(folder: &Path, port: u16) -> Command {
    let mut command = Command::new("redis-server");
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ]);
    command.arg("--dir").arg(folder);
    command
}

fn zookeeper(folder: &Path, port: u16) -> Command {
    let config = folder.join("zoo.cfg");
    let data = folder.join("data");
    let text = format!(
        "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        data.display()
    );
    std::fs::write(&config, text).expect("the configuration of ZooKeeper");
    java(&["-Xmx128m", "org.apache.zookeeper.server.quorum.QuorumPeerMain", &config.to_string_lossy()])
}

/// The mode of a ZooKeeper, which it tells once it takes sessions.
fn mode(port: u16) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut link = TcpStream::connect(("127.0.0.1", port))?;
        link.write_all(b"srvr")?;
        let mut answer = String::new();
        link.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| error.to_string())?;
    answer.contains("Mode: ").then_some(answer.clone()).ok_or(answer)
}

fn java(arguments: &[&str]) -> Command {
    let mut command = Command::new("java");
    command.args(["-cp", "/etc/zookeeper/conf:/usr/share/java/*"]).args(arguments);
    command
}

impl Store {
    pub fn etcd_or_skip() -> Option<Store> {
        let is_there = installed("etcd") && installed("etcdctl");
        tool_or_skip("etcd-server", is_there).then(|| Store::Etcd(Server::start(etcd)))
    }

    pub fn redis_or_skip() -> Option<Store> {
        let is_there = installed("redis-server") && installed("redis-cli");
        tool_or_skip("redis-server", is_there).then(|| Store::Redis(Server::start(redis)))
    }

    pub fn zookeeper_or_skip() -> Option<Store> {
        let is_there = installed("java") && Path::new(ZOOKEEPER_JAR).exists();
        tool_or_skip("zookeeperd", is_there).then(|| {
            let server = Server::start(zookeeper);
            // Its port is open before it takes sessions.
            wait_for("ZooKeeper serves", Duration::from_secs(START_SECS_MAX), || mode(server.port));
            Store::ZooKeeper(server)
        })
    }

    /// The table of the configuration.
    pub fn table(&self) -> &'static str {
        match self {
            Store::Etcd(_) => "etcd",
            Store::ZooKeeper(_) => "zookeeper",
            Store::Redis(_) => "redis",
            Store::Consul(_) => "consul",
        }
    }

    pub fn port(&self) -> u16 {
        match self {
            Store::Etcd(server) | Store::ZooKeeper(server) | Store::Redis(server) => server.port,
            Store::Consul(peer) => peer.port,
        }
    }

    /// Writes keys, all at once as far as the store can.
    pub fn put(&self, keys: &[(&str, &str)]) {
        match self {
            Store::Etcd(server) => {
                let quoted = |text: &str| format!("\"{text}\"");
                let puts = keys.iter().map(|(key, value)| format!("put {} {}\n", quoted(key), quoted(value)));
                // Compares, operations if they hold, operations if not: each list ends with an empty line.
                let script = format!("\n{}\n\n", puts.collect::<String>());
                let output = feed(Command::new("etcdctl").args(["txn"]), server.port, &script);
                assert!(output.contains("SUCCESS"), "{output}");
            }
            Store::Redis(server) => {
                let port = server.port.to_string();
                for (key, value) in keys {
                    assert_eq!(stdout_of("redis-cli", &["-p", &port, "SET", key, value]), "OK");
                }
            }
            Store::ZooKeeper(_) => self.zookeeper_commands(keys.iter().flat_map(|(key, value)| {
                let path = format!("/{}", key.trim_start_matches('/'));
                let parents = path.match_indices('/').skip(1).map(|(at, _)| format!("create {}", &path[..at]));
                let own = [format!("create {path} \"{value}\""), format!("set {path} \"{value}\"")];
                parents.chain(own).collect::<Vec<_>>()
            })),
            Store::Consul(peer) => keys.iter().for_each(|(key, value)| peer.put(key.trim_start_matches('/'), value)),
        }
    }

    pub fn delete(&self, key: &str) {
        match self {
            Store::Etcd(server) => {
                let endpoint = format!("127.0.0.1:{}", server.port);
                assert_eq!(stdout_of("etcdctl", &["--endpoints", &endpoint, "del", key]), "1");
            }
            Store::Redis(server) => {
                assert_eq!(stdout_of("redis-cli", &["-p", &server.port.to_string(), "DEL", key]), "1");
            }
            Store::ZooKeeper(_) => self.zookeeper_commands([format!("deleteall /{key}")]),
            Store::Consul(peer) => peer.delete(key),
        }
    }

    fn zookeeper_commands(&self, commands: impl IntoIterator<Item = String>) {
        let script: String = commands.into_iter().map(|command| command + "\n").collect();
        let server = format!("127.0.0.1:{}", self.port());
        let mut command = java(&["-Xmx128m", "org.apache.zookeeper.ZooKeeperMain", "-server", &server]);
        feed(&mut command, self.port(), &(script + "quit\n"));
    }

    /// Makes the store unreachable: its process ends, or its connections do.
    pub fn stop(&mut self) {
        match self {
            Store::Etcd(server) | Store::ZooKeeper(server) | Store::Redis(server) => server.process.end(),
            Store::Consul(peer) => peer.set_away(true),
        }
    }

    /// Starts the store again, with its data.
    pub fn start_again(&mut self) {
        match self {
            Store::Etcd(server) | Store::ZooKeeper(server) | Store::Redis(server) => server.restart(),
            Store::Consul(peer) => peer.set_away(false),
        }
    }
}

/// What the proxy's environment needs for all stores.
pub fn consul_token() -> (&'static str, &'static str) {
    ("CONSUL_HTTP_TOKEN", TOKEN)
}

/// Runs a client with this input and gives its output. A client that fails, because the server is still starting, is run again.
fn feed(command: &mut Command, port: u16, input: &str) -> String {
    command.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", format!("127.0.0.1:{port}"));
    wait_for("the client has written", Duration::from_secs(START_SECS_MAX), || {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| error.to_string())?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(|error| error.to_string())?;
        }
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    })
}
