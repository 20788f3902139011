//! The bounds that `ringway_bounds_exceeded_total{bound="..."}` counts: the proxy has a defined reaction to each, and the counter says how
//! often it happened.

/// A bound that was exceeded; most are named after their constant in [`limits`](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A client did not send a whole head within `readTimeout`: its connection was closed.
    HeadRead,
    /// A client sent no request for `idleTimeout`: its connection was closed.
    Idle,
    /// A client's TLS handshake took too long: its connection was closed.
    Handshake,
    /// A peer's PROXY header was not complete in time: its connection was closed.
    ProxyHeader,
    /// A peer's PROXY header was too long: its connection was closed.
    ProxyHeaderBytes,
    /// A request body was not complete within `readTimeout`: 408.
    BodyRead,
    /// A peer took no bytes of a message, or sent no bytes of a body, for the stall timeout.
    StalledBody,
    /// A client sent its body below the minimum data rate: 408.
    BodyBytesPerStall,
    /// A connect to a server, TLS handshake included, was not complete in time: 504 unless another server took the request.
    Dial,
    /// A server sent no response head within `responseHeaderTimeout`: 504.
    ResponseHeader,
    /// An authentication server's response was not complete in time: 500.
    AuthAnswer,
    /// A body has a malformed chunk, or a chunk size with too many digits.
    ChunkFraming,
    /// A body's chunk extensions exceed its payload by too much.
    ChunkOverhead,
    /// A body has too many trailers, or too long ones.
    Trailers,
    /// A body that had to be held whole was longer than allowed for one body.
    BufferedBody,
    /// The worker's memory budget for bodies and heads was used up: 503, or 500 for a response.
    HeldBytes,
    /// A worker served as many HTTP/2 streams as it may: the stream was refused.
    StreamsPerWorker,
    /// A client opened and reset streams too often: its HTTP/2 connection was ended.
    Http2RapidReset,
    /// A peer's faults made the proxy reset streams too often: its HTTP/2 connection was ended.
    Http2ProvokedResets,
    /// A peer sent too many HTTP/2 frames that carry no part of a message: its connection was ended.
    Http2ControlFrames,
    /// A peer sent too many empty frames, or pieces of header blocks: its HTTP/2 connection was ended.
    Http2EmptyFrames,
    /// A header block was longer than the proxy decodes: its HTTP/2 connection was ended.
    Http2HeaderBlock,
    /// A worker had as many UDP sessions as it may: the one that had been idle longest ended.
    UdpSessions,
    /// The queue for slow password hashes was full: 503.
    VerifyQueue,
    /// A log line was dropped because its writer's queue was full.
    LogQueue,
    /// A log line could not be written: most often because the disk is full.
    LogFile,
    /// Spans were dropped because the exporter's queue was full.
    TraceQueue,
    /// Spans were dropped because the collector did not take them.
    TraceExport,
    /// A container was rejected: too many labels, too long ones, or segments that inherit too much.
    LabelsPerContainer,
    /// A frontend was rejected: its rule is too long.
    RuleBytes,
    /// A frontend was rejected because its rule has too many regular expressions, or a container because its frontends together have.
    RuleExpressions,
    /// A compiled regular expression was too large: its frontend was rejected, or that part of the rule never matches.
    RegexProgram,
    /// A certificate was rejected, or not requested from ACME, because there are too many.
    Certificates,
}

impl Bound {
    /// All bounds, in the order in which `/metrics` lists them.
    pub const ALL: [Bound; 33] = [
        Bound::HeadRead,
        Bound::Idle,
        Bound::Handshake,
        Bound::ProxyHeader,
        Bound::ProxyHeaderBytes,
        Bound::BodyRead,
        Bound::StalledBody,
        Bound::BodyBytesPerStall,
        Bound::Dial,
        Bound::ResponseHeader,
        Bound::AuthAnswer,
        Bound::ChunkFraming,
        Bound::ChunkOverhead,
        Bound::Trailers,
        Bound::BufferedBody,
        Bound::HeldBytes,
        Bound::StreamsPerWorker,
        Bound::Http2RapidReset,
        Bound::Http2ProvokedResets,
        Bound::Http2ControlFrames,
        Bound::Http2EmptyFrames,
        Bound::Http2HeaderBlock,
        Bound::UdpSessions,
        Bound::VerifyQueue,
        Bound::LogQueue,
        Bound::LogFile,
        Bound::TraceQueue,
        Bound::TraceExport,
        Bound::LabelsPerContainer,
        Bound::RuleBytes,
        Bound::RuleExpressions,
        Bound::RegexProgram,
        Bound::Certificates,
    ];

    /// The bounds that only HTTP/2 has.
    pub const HTTP2: [Bound; 5] = [
        Bound::Http2RapidReset,
        Bound::Http2ProvokedResets,
        Bound::Http2ControlFrames,
        Bound::Http2EmptyFrames,
        Bound::Http2HeaderBlock,
    ];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Bound::HeadRead => "head_read_secs",
            Bound::Idle => "idle_secs",
            Bound::Handshake => "handshake_secs",
            Bound::ProxyHeader => "proxy_header_secs",
            Bound::ProxyHeaderBytes => "proxy_header_bytes",
            Bound::BodyRead => "body_read_secs",
            Bound::StalledBody => "stalled_body_secs",
            Bound::BodyBytesPerStall => "body_bytes_per_stall",
            Bound::Dial => "dial_secs",
            Bound::ResponseHeader => "response_header_secs",
            Bound::AuthAnswer => "auth_answer_secs",
            Bound::ChunkFraming => "chunk_framing",
            Bound::ChunkOverhead => "chunk_overhead_bytes",
            Bound::Trailers => "trailer_bytes",
            Bound::BufferedBody => "buffered_body_bytes",
            Bound::HeldBytes => "held_bytes_per_worker",
            Bound::StreamsPerWorker => "streams_per_worker",
            Bound::Http2RapidReset => "http2_rapid_reset",
            Bound::Http2ProvokedResets => "http2_provoked_resets",
            Bound::Http2ControlFrames => "http2_control_frames",
            Bound::Http2EmptyFrames => "http2_empty_frames",
            Bound::Http2HeaderBlock => "http2_header_block",
            Bound::UdpSessions => "udp_sessions_per_worker",
            Bound::VerifyQueue => "verify_queue",
            Bound::LogQueue => "log_queue_bytes",
            Bound::LogFile => "log_file_bytes",
            Bound::TraceQueue => "trace_queue_bytes",
            Bound::TraceExport => "trace_export_attempts",
            Bound::LabelsPerContainer => "labels_per_container",
            Bound::RuleBytes => "rule_bytes",
            Bound::RuleExpressions => "rule_expressions",
            Bound::RegexProgram => "regex_program_bytes",
            Bound::Certificates => "certificates",
        }
    }
}

// Counters are indexed by discriminant: `ALL` lists every variant, in declaration order.
const _: () = {
    let mut at = 0;
    while at < Bound::ALL.len() {
        assert!(Bound::ALL[at] as usize == at);
        at += 1;
    }
    assert!(Bound::Certificates as usize + 1 == Bound::ALL.len());
};
