//! The recorded servers: each responds with the request as JSON, changed as the query says.

use std::collections::BTreeMap;

use serde_json::json;

use crate::base::wait_for;
use crate::support::{Origin, Seen};

/// Starts `b1`, `b2` and `b3` on the ports that the recorded rules name.
pub struct Origins(#[allow(dead_code, reason = "kept alive")] Vec<Origin>);

impl Origins {
    pub fn start() -> Origins {
        let one = |(number, port): (usize, u16)| {
            let address = format!("127.0.0.1:{port}");
            wait_for(&format!("port {port} is free"), std::time::Duration::from_secs(60), || {
                std::net::TcpListener::bind(&address).map(drop).map_err(|error| error.to_string())
            });
            let listen = address.clone();
            Origin::on(&address, move |seen| answer(seen, &format!("b{number}"), &listen))
        };
        Origins([(1, 28301), (2, 28302), (3, 28303)].map(one).into())
    }
}

fn answer(seen: &Seen, name: &str, listen: &str) -> Vec<u8> {
    let query = seen.target.split_once('?').map_or("", |(_, query)| query);
    let mut status = 200;
    let mut fields = BTreeMap::from([("Content-Type".to_owned(), "application/json".to_owned())]);
    let mut body = echo(seen, name, listen).to_string();
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match key {
            "code" => status = value.parse().expect("a status"),
            "location" => drop(fields.insert("Location".to_owned(), value.to_owned())),
            "bytes" => body = "a".repeat(value.parse().expect("a length")),
            "h" => {
                let (field, value) = value.split_once(':').expect("a field");
                fields.insert(field.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    let mut head = format!("HTTP/1.1 {status} X\r\n");
    if status == 304 {
        fields.clear();
    }
    let has_body = !matches!(status, 204 | 304);
    if has_body {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    fields.iter().for_each(|(field, value)| head += &format!("{field}: {value}\r\n"));
    head += "\r\n";
    if has_body && seen.method != "HEAD" {
        head += &body;
    }
    head.into_bytes()
}

/// Field names in Go's canonical form; fields that Go's server keeps elsewhere are omitted.
fn echo(seen: &Seen, name: &str, listen: &str) -> serde_json::Value {
    let mut headers: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (field, value) in &seen.fields {
        let field = canonical(field);
        if !["Host", "Transfer-Encoding", "Trailer"].contains(&field.as_str()) {
            headers.entry(field).or_default().push(value);
        }
    }
    let transfer = seen.first("Transfer-Encoding");
    let trailer = seen.first("Trailer").map(|names| BTreeMap::from([(canonical(names), ())]));
    let length = seen.first("Content-Length").map_or(0, |length| length.parse().expect("a length"));
    json!({
        "body": String::from_utf8_lossy(&seen.body),
        "cl": if transfer.is_some() { -1 } else { length },
        "headers": headers,
        "host": seen.first("Host"),
        "listen": listen,
        "method": seen.method,
        "name": name,
        "proto": "HTTP/1.1",
        "te": transfer.map(|value| vec![value]),
        "trailer": trailer,
        "uri": seen.target,
    })
}

fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + &rest.to_lowercase()
    });
    words.collect::<Vec<_>>().join("-")
}
