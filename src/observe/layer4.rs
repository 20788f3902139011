//! Terms of layer 4 that the access log and the metrics share.

/// The protocol of a route of layer 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer4 {
    Tcp,
    Udp,
}

/// Why a TCP connection, or a UDP session, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Both directions ended in order, that of the client first.
    ClientClosed,
    /// Both directions ended in order, that of the server first.
    ServerClosed,
    /// The client reset the connection or vanished.
    ClientReset,
    /// The server reset the connection or vanished.
    ServerReset,
    /// The client ended the connection without close_notify: its stream may have been cut by an attacker (RFC 8446 6.1).
    ClientTruncated,
    /// No byte went in either direction for the idle timeout.
    Idle,
    /// The white list does not contain the client's address.
    WhiteList,
    /// The connection limit was reached.
    ConnectionLimit,
    /// The backend has no server, or none that is up.
    NoServer,
    /// No server could be connected to.
    ConnectFailed,
    /// The client's TLS handshake failed or took too long.
    Handshake,
    /// The session gave its place to a newer one.
    Evicted,
    /// The configuration no longer has the session's server.
    ServerRemoved,
    /// The process ended.
    Shutdown,
    /// A bug in Ringway ended the connection.
    InternalError,
}

impl EndReason {
    /// All reasons, in the order in which `/metrics` lists them.
    pub const ALL: [EndReason; 15] = [
        EndReason::ClientClosed,
        EndReason::ServerClosed,
        EndReason::ClientReset,
        EndReason::ServerReset,
        EndReason::ClientTruncated,
        EndReason::Idle,
        EndReason::WhiteList,
        EndReason::ConnectionLimit,
        EndReason::NoServer,
        EndReason::ConnectFailed,
        EndReason::Handshake,
        EndReason::Evicted,
        EndReason::ServerRemoved,
        EndReason::Shutdown,
        EndReason::InternalError,
    ];

    /// The text in log lines, and the value of the label.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::ClientClosed => "client_closed",
            EndReason::ServerClosed => "server_closed",
            EndReason::ClientReset => "client_reset",
            EndReason::ServerReset => "server_reset",
            EndReason::ClientTruncated => "client_truncated",
            EndReason::Idle => "idle_timeout",
            EndReason::WhiteList => "white_list",
            EndReason::ConnectionLimit => "connection_limit",
            EndReason::NoServer => "no_server",
            EndReason::ConnectFailed => "connect_failed",
            EndReason::Handshake => "handshake_failed",
            EndReason::Evicted => "evicted",
            EndReason::ServerRemoved => "server_removed",
            EndReason::Shutdown => "shutdown",
            EndReason::InternalError => "internal_error",
        }
    }
}

// Counters are indexed by discriminant: `ALL` lists every variant, in declaration order.
const _: () = {
    let mut at = 0;
    while at < EndReason::ALL.len() {
        assert!(EndReason::ALL[at] as usize == at);
        at += 1;
    }
    assert!(EndReason::InternalError as usize + 1 == EndReason::ALL.len());
};
