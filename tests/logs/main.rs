//! Logs as others read them: jq, GoAccess and fail2ban of Debian, the journal of systemd, and files that the process rotates.

#[path = "../support/mod.rs"]
mod support;

mod files;
mod journal;
mod readers;
