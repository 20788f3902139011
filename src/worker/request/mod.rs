//! The path of one request, from its head to its log line: internal routes, the entry point's chain, the route, the frontend's chains, and
//! the attempts on the backend's servers. The files of this folder name no protocol version: they use messages through the traits of
//! `message::stream`.

mod attempt;
mod attempt_error;
pub mod buffered;
mod chain;
mod error_cause;
mod error_pages;
pub mod exchange;
pub mod explain;
mod fetch;
mod forward;
pub mod forward_auth;
mod frontend_reply;
mod grpc;
mod gzip;
mod interim;
mod internal;
mod internal_request;
mod local_reply;
mod outbound;
mod race;
mod reply;
mod request_body;
mod request_id;
mod request_record;
mod response;
mod response_end;
mod response_context;
mod rest_api;
mod retry_state;
mod route;
mod trace;
mod upgrade;
mod websocket;
