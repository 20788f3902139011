//! `ringway healthcheck`: requests `/ping` from the running proxy (docs/reference/command-line.md#healthcheck). Meant for a HEALTHCHECK in
//! an image without a shell or curl.

use std::process::ExitCode;

use super::own_pages::OwnPages;
use crate::config::static_config::StaticConfig;

/// Sends `HEAD /ping` to the ping entry point. Exit code 0 for status 200, else 1; prints the reason.
pub fn run(config: &StaticConfig) -> ExitCode {
    match probe(config) {
        Ok((url, status)) if status.starts_with("200") => {
            println!("OK: {url}");
            ExitCode::SUCCESS
        }
        Ok((_, status)) => {
            println!("Bad healthcheck status: {status}");
            ExitCode::FAILURE
        }
        Err(e) => {
            println!("Error calling healthcheck: {e}");
            ExitCode::FAILURE
        }
    }
}

fn probe(config: &StaticConfig) -> Result<(String, String), String> {
    let ping = config.ping.as_ref().ok_or("please enable `ping` to use health check")?;
    let entry = config
        .entry_points
        .get(&ping.entry_point)
        .ok_or_else(|| format!("ping.entryPoint {:?} does not exist", ping.entry_point))?;
    let pages = OwnPages::of(entry, config)?;
    let (url, answer) = pages.request("HEAD", "ping", &[])?;
    Ok((url, answer.status))
}
