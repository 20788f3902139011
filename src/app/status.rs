//! `ringway status [--watch]`: the state of the running proxy on one screen, from its API (docs/reference/command-line.md#status).

mod screen;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::explain::{api, api_fields};
use super::fail;
use super::own_pages::OwnPages;
use crate::cli::{Invocation, Style};

const PERIOD: Duration = Duration::from_secs(2);

/// Clears a terminal and moves to its upper left corner.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// The answers of the API that the screen shows.
pub struct Answers {
    pub runtime: Value,
    pub health: Value,
    pub connections: Value,
    pub history: Value,
    pub servers: Value,
    pub certificates: Value,
    pub containers: Value,
    pub rejected: Value,
    pub errors: Value,
    pub url: String,
    pub now_secs: i64,
}

/// Prints the state. Exit code 0 if the proxy answers; with `--watch` it ends with the process.
pub fn run(invocation: &Invocation, env: &dyn Fn(&str) -> Option<String>) -> ExitCode {
    let is_terminal = io::stdout().is_terminal();
    let style = Style::of(is_terminal, env);
    let watches = invocation.options.watch;
    loop {
        let screen = match answers(invocation) {
            Ok(answers) => screen::screen(&answers, style),
            Err(e) if !watches => return fail(&format!("Error reading the state: {e}")),
            Err(e) => format!("{}\n", style.error(&e)),
        };
        let clear = if watches && is_terminal { CLEAR } else { "" };
        let written = io::stdout().write_all(format!("{clear}{screen}").as_bytes()).and_then(|()| io::stdout().flush());
        if !watches || written.is_err() {
            return ExitCode::SUCCESS;
        }
        thread::sleep(PERIOD);
    }
}

fn answers(invocation: &Invocation) -> Result<Answers, String> {
    let pages = api(&invocation.static_config)?;
    let fields = api_fields(invocation.options.api_user.as_deref());
    let get = |page: &str| get(&pages, page, &fields);
    Ok(Answers {
        runtime: get("api/runtime")?,
        health: get("health")?,
        connections: get("api/connections")?,
        history: get("api/history")?,
        servers: get("api/servers")?,
        certificates: get("api/ringway/certificates")?,
        containers: get("api/containers")?,
        rejected: get("api/rejected")?,
        errors: get("api/errors")?,
        url: pages.url("api"),
        now_secs: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs() as i64),
    })
}

fn get(pages: &OwnPages, page: &str, fields: &[String]) -> Result<Value, String> {
    let unreachable =
        |e: String| format!("{} cannot be asked: {e}; is the proxy running with this configuration?", pages.url("api"));
    let (url, answer) = pages.request("GET", page, fields).map_err(unreachable)?;
    match answer.status.split(' ').next() {
        Some("200") => {
            serde_json::from_slice(&answer.body).map_err(|e| format!("the answer of {url} cannot be read: {e}"))
        }
        Some("401") => Err("the API asks for a user: add --user NAME:PASSWORD".to_owned()),
        _ => Err(format!("{url} answers {}", answer.status)),
    }
}
