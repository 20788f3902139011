//! What is counted as `ringway_bounds_exceeded_total{bound="..."}`: for each bound there is a defined answer, and this number says how
//! often it had to be given.

/// A bound that was exceeded, named after its constant in [`limits`](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A client began a head and did not end it in time: its connection was closed.
    HeadRead,
    /// A client asked nothing for `idleTimeout`: its connection was closed.
    Idle,
    /// A client's TLS handshake took too long: its connection was closed.
    Handshake,
    /// A request's body did not come whole within `readTimeout`: 408.
    BodyRead,
    /// A peer took none of a message for too long, or sent none of a body.
    StalledBody,
    /// A client sent its body too slowly: 408.
    BodyBytesPerStall,
    /// A server did not take a connection in time, TLS handshake included: 504 if no other one took the request.
    Dial,
    /// A server did not answer within `responseHeaderTimeout`: 504.
    ResponseHeader,
    /// An authentication server's answer did not come whole in time: 500.
    AuthAnswer,
    /// A body whose chunks are malformed, or have sizes of too many digits.
    ChunkFraming,
    /// A body whose chunk extensions outweigh its payload.
    ChunkOverhead,
    /// A body with too many trailers, or too long ones.
    Trailers,
    /// A body that had to be held whole was longer than may be held of one.
    BufferedBody,
    /// The worker held too many bodies to take in another piece: 503, or 500 for a response.
    HeldBytes,
    /// Too many requests waited for a slow password hash: 503.
    VerifyQueue,
    /// A line of a log that found its writer's queue full.
    LogQueue,
    /// A line of a log that could not be written: most often, the disk is full.
    LogFile,
    /// A container with too many labels, or too long ones, was left out, or one whose segments inherit too much.
    LabelsPerContainer,
    /// A frontend whose rule is too long was left out.
    RuleBytes,
    /// A frontend whose rule has too many regular expressions was left out, or a container whose frontends have.
    RuleExpressions,
    /// A regular expression that is too large when compiled: its frontend was left out, or that part of the rule never matches.
    RegexProgram,
    /// A certificate that was left out, or not asked for, because there are too many.
    Certificates,
}

impl Bound {
    /// In the order in which they are told.
    pub const ALL: [Bound; 22] = [
        Bound::HeadRead,
        Bound::Idle,
        Bound::Handshake,
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
        Bound::VerifyQueue,
        Bound::LogQueue,
        Bound::LogFile,
        Bound::LabelsPerContainer,
        Bound::RuleBytes,
        Bound::RuleExpressions,
        Bound::RegexProgram,
        Bound::Certificates,
    ];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Bound::HeadRead => "head_read_secs",
            Bound::Idle => "idle_secs",
            Bound::Handshake => "handshake_secs",
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
            Bound::VerifyQueue => "verify_queue",
            Bound::LogQueue => "log_queue_bytes",
            Bound::LogFile => "log_file_bytes",
            Bound::LabelsPerContainer => "labels_per_container",
            Bound::RuleBytes => "rule_bytes",
            Bound::RuleExpressions => "rule_expressions",
            Bound::RegexProgram => "regex_program_bytes",
            Bound::Certificates => "certificates",
        }
    }
}

// A bound is counted at its place in the list: the two orders are one, and the last one is in it.
const _: () = {
    let mut at = 0;
    while at < Bound::ALL.len() {
        assert!(Bound::ALL[at] as usize == at);
        at += 1;
    }
    assert!(Bound::Certificates as usize + 1 == Bound::ALL.len());
};
