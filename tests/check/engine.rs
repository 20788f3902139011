//! A Docker Engine on a socket, with the containers of an input.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

pub struct Container {
    id: String,
    inspected: Value,
}

impl Container {
    /// Lines: `label NAME=VALUE`, `ports 80/tcp ...`, `networks NAME=ADDRESS ...`, `health STATUS`,
    /// `state NUMBER` for a state that cannot be read.
    pub fn parse(name: &str, body: &str) -> Container {
        let mut labels = BTreeMap::new();
        let (mut ports, mut networks) = ("80/tcp".to_owned(), "net=10.1.2.3".to_owned());
        let mut state = json!({ "Running": true, "Status": "running" });
        for line in body.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("label", label) => {
                    let (name, value) = label.split_once('=').expect("a label");
                    labels.insert(name.to_owned(), value.to_owned());
                }
                ("ports", list) => ports = list.to_owned(),
                ("networks", list) => networks = list.to_owned(),
                ("health", status) => state["Health"] = json!({ "Status": status }),
                ("state", number) => state = number.parse::<i64>().expect("a number").into(),
                _ => panic!("{line}"),
            }
        }
        let ports: BTreeMap<&str, Value> = ports.split_whitespace().map(|port| (port, Value::Null)).collect();
        let networks = networks.split_whitespace().filter_map(|network| network.split_once('='));
        let networks: BTreeMap<&str, Value> =
            networks.map(|(name, ip)| (name, json!({ "NetworkID": name, "IPAddress": ip }))).collect();
        let inspected = json!({
            "Id": name,
            "Name": format!("/{name}"),
            "State": state,
            "Config": { "Labels": labels },
            "HostConfig": { "NetworkMode": networks.keys().next().copied().unwrap_or("net") },
            "NetworkSettings": { "Ports": ports, "Networks": networks },
        });
        Container { id: name.to_owned(), inspected }
    }
}

/// A running Engine; it ends with the process.
pub struct Engine;

impl Engine {
    pub fn start(socket: &Path, containers: &[Container]) -> Engine {
        let listener = UnixListener::bind(socket).expect("a socket");
        let list: Vec<Value> = containers.iter().map(|container| json!({ "Id": container.id })).collect();
        let mut bodies = BTreeMap::from([
            ("/version".to_owned(), json!({ "ApiVersion": "1.41", "MinAPIVersion": "1.24" }).to_string()),
            ("/containers/json".to_owned(), Value::from(list).to_string()),
            ("/networks".to_owned(), "[]".to_owned()),
        ]);
        for container in containers {
            bodies.insert(format!("/containers/{}/json", container.id), container.inspected.to_string());
        }
        let bodies = Arc::new(bodies);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bodies = Arc::clone(&bodies);
                thread::spawn(move || serve(&bodies, stream));
            }
        });
        Engine
    }
}

fn serve(bodies: &BTreeMap<String, String>, mut stream: UnixStream) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    let length = stream.read(&mut buffer)?;
    let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let target = head.split([' ', '?']).nth(1).unwrap_or_default();
    let path = match target.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
        Some((_, path)) => format!("/{path}"),
        None => target.to_owned(),
    };
    if path == "/events" {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        thread::sleep(Duration::from_secs(60));
        return Ok(());
    }
    let (status, body) = match bodies.get(&path) {
        // Stopped containers are asked for with a filter: there are none.
        Some(_) if path == "/containers/json" && head.contains("filters=") => ("200 OK", "[]"),
        Some(body) => ("200 OK", body.as_str()),
        None => ("404 Not Found", "{\"message\":\"no such thing\"}"),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
