//! UDP: datagrams of a client go to one server, over a socket of their own, and the server's datagrams go back to that client. Each worker
//! has its own listening sockets and its own table of sessions; one task moves all datagrams, so that no session needs a task.

mod drain;
mod held;
mod server;
mod service;
mod session;
mod session_table;
mod sessions;

pub use service::run;
