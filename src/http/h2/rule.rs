//! Why an HTTP/2 connection or stream is ended, in one table: error code, words for the log, and the source of the rule.

/// The error codes of RFC 9113 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    NoError,
    ProtocolError,
    InternalError,
    FlowControlError,
    SettingsTimeout,
    StreamClosed,
    FrameSizeError,
    RefusedStream,
    Cancel,
    CompressionError,
    ConnectError,
    EnhanceYourCalm,
    InadequateSecurity,
    Http11Required,
    Other(u32),
}

impl ErrorCode {
    /// The codes that have a name, in the order of their numbers.
    pub const NAMED: [ErrorCode; 14] = [
        ErrorCode::NoError,
        ErrorCode::ProtocolError,
        ErrorCode::InternalError,
        ErrorCode::FlowControlError,
        ErrorCode::SettingsTimeout,
        ErrorCode::StreamClosed,
        ErrorCode::FrameSizeError,
        ErrorCode::RefusedStream,
        ErrorCode::Cancel,
        ErrorCode::CompressionError,
        ErrorCode::ConnectError,
        ErrorCode::EnhanceYourCalm,
        ErrorCode::InadequateSecurity,
        ErrorCode::Http11Required,
    ];

    pub fn of(number: u32) -> ErrorCode {
        usize::try_from(number)
            .ok()
            .and_then(|index| ErrorCode::NAMED.get(index).copied())
            .unwrap_or(ErrorCode::Other(number))
    }

    pub fn number(self) -> u32 {
        match self {
            ErrorCode::Other(number) => number,
            named => ErrorCode::NAMED.iter().position(|code| *code == named).map_or(0, |index| index as u32),
        }
    }

    /// The code's name in RFC 9113 7.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::NoError => "NO_ERROR",
            ErrorCode::ProtocolError => "PROTOCOL_ERROR",
            ErrorCode::InternalError => "INTERNAL_ERROR",
            ErrorCode::FlowControlError => "FLOW_CONTROL_ERROR",
            ErrorCode::SettingsTimeout => "SETTINGS_TIMEOUT",
            ErrorCode::StreamClosed => "STREAM_CLOSED",
            ErrorCode::FrameSizeError => "FRAME_SIZE_ERROR",
            ErrorCode::RefusedStream => "REFUSED_STREAM",
            ErrorCode::Cancel => "CANCEL",
            ErrorCode::CompressionError => "COMPRESSION_ERROR",
            ErrorCode::ConnectError => "CONNECT_ERROR",
            ErrorCode::EnhanceYourCalm => "ENHANCE_YOUR_CALM",
            ErrorCode::InadequateSecurity => "INADEQUATE_SECURITY",
            ErrorCode::Http11Required => "HTTP_1_1_REQUIRED",
            ErrorCode::Other(_) => "unknown code",
        }
    }
}

/// Why a connection is ended with GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionError {
    pub code: ErrorCode,
    pub why: &'static str,
    /// The source of the rule.
    pub source: &'static str,
}

/// A rule that a peer has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Preface,
    FirstFrame,
    FrameTooLong,
    FrameLength,
    StreamZero,
    NotStreamZero,
    IdleStream,
    ClosedStream,
    StreamIdentifier,
    BlockInterrupted,
    NoBlock,
    BlockTooLong,
    Compression,
    Padding,
    SelfDependency,
    PushPromise,
    SettingsValue,
    WindowExceeded,
    WindowIncrement,
    WindowOverflow,
    DataAfterEnd,
    GoawayIdentifier,
    Flood,
}

impl Rule {
    pub fn row(self) -> (ErrorCode, &'static str, &'static str) {
        use ErrorCode::{
            CompressionError, EnhanceYourCalm, FlowControlError, FrameSizeError, ProtocolError, StreamClosed,
        };
        match self {
            Rule::Preface => (ProtocolError, "the connection does not begin with the preface", "RFC 9113 3.4"),
            Rule::FirstFrame => (ProtocolError, "the first frame is not SETTINGS", "RFC 9113 3.4"),
            Rule::FrameTooLong => (FrameSizeError, "a frame is longer than SETTINGS_MAX_FRAME_SIZE", "RFC 9113 4.2"),
            Rule::FrameLength => (FrameSizeError, "a frame has a length that its type does not allow", "RFC 9113 4.2"),
            Rule::StreamZero => (ProtocolError, "a frame that needs a stream is on stream 0", "RFC 9113 6"),
            Rule::NotStreamZero => (ProtocolError, "a frame of the connection is on a stream", "RFC 9113 6"),
            Rule::IdleStream => (ProtocolError, "a frame on a stream that was not opened", "RFC 9113 5.1"),
            Rule::ClosedStream => (StreamClosed, "a frame on a stream that is closed", "RFC 9113 5.1"),
            Rule::StreamIdentifier => {
                (ProtocolError, "a stream identifier that the peer may not use", "RFC 9113 5.1.1")
            }
            Rule::BlockInterrupted => (ProtocolError, "a header block is interrupted by another frame", "RFC 9113 4.3"),
            Rule::NoBlock => (ProtocolError, "CONTINUATION without a header block", "RFC 9113 6.10"),
            Rule::BlockTooLong => (EnhanceYourCalm, "a header block is longer than the limit", "RFC 9113 10.5.1"),
            Rule::Compression => (CompressionError, "a header block cannot be decoded", "RFC 9113 4.3"),
            Rule::Padding => (ProtocolError, "the padding is as long as the frame", "RFC 9113 6.1"),
            Rule::SelfDependency => (ProtocolError, "a stream depends on itself", "RFC 7540 5.3.1"),
            Rule::PushPromise => (ProtocolError, "PUSH_PROMISE although it is forbidden", "RFC 9113 6.6"),
            Rule::SettingsValue => (ProtocolError, "a setting has a value that is not allowed", "RFC 9113 6.5.2"),
            Rule::WindowExceeded => (FlowControlError, "more data than the window allows", "RFC 9113 6.9.1"),
            Rule::WindowIncrement => (ProtocolError, "WINDOW_UPDATE with the increment 0", "RFC 9113 6.9"),
            Rule::WindowOverflow => (FlowControlError, "a window above 2^31-1", "RFC 9113 6.9.1"),
            Rule::DataAfterEnd => (StreamClosed, "a frame after the end of the stream", "RFC 9113 5.1"),
            Rule::GoawayIdentifier => {
                (ProtocolError, "a GOAWAY with a higher last stream identifier than the one before", "RFC 9113 6.8")
            }
            Rule::Flood => (EnhanceYourCalm, "too many frames that cost more than they bring", "RFC 9113 10.5"),
        }
    }

    pub fn code(self) -> ErrorCode {
        self.row().0
    }
}

impl From<Rule> for ConnectionError {
    fn from(rule: Rule) -> Self {
        let (code, why, source) = rule.row();
        ConnectionError { code, why, source }
    }
}
