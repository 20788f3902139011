//! A compile context as from a static configuration: entry points `http` and `https`, defaults for the rest.

use std::io;
use std::time::Duration;

use ringway::config::compile::{CompileContext, EntryPointInfo, credential_memory};

pub fn compile_context() -> CompileContext {
    let entry = |name: &str, port, has_tls| EntryPointInfo {
        name: name.to_owned(),
        port,
        is_local: true,
        has_tls,
        is_udp: false,
        white_list: Vec::new(),
        has_auth: false,
        sanitize_path: true,
    };
    CompileContext {
        access_log_folder: None,
        entry_points: vec![entry("http", 80, false), entry("https", 443, true)],
        default_entry_points: vec!["http".to_owned()],
        keep_trailing_slash: false,
        allow_min_weight_zero: false,
        health_interval: Duration::from_secs(30),
        client_tls: Err("no https servers here".to_owned()),
        credentials: credential_memory([7; 32]),
        read: Box::new(|name| Err(io::Error::new(io::ErrorKind::NotFound, name.to_owned()))),
        auth_tls: Box::new(|_| Err("no https servers here".to_owned())),
        retry: None,
        random: |bytes| bytes.fill(4),
    }
}
