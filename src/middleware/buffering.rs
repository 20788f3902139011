//! Limits for whole bodies and repeated exchanges (docs/reference/middlewares.md#buffering). The worker does the buffering; what may be kept, what
//! is refused and when the exchange is repeated is decided here.

use super::expression::{self, Comparison, Expression, InvalidExpression, Literal, Operator};
use super::{Request, Verdict};
use crate::http::{BodyFraming, Reply};
use crate::limits::EXTRA_ROUNDS_MAX;

/// What stays in memory of a body when nothing is configured; the rest goes to a temporary file.
pub const MEM_BYTES_DEFAULT: u64 = 1 << 20;

/// Sizes as configured, in bytes; 0 or less means no limit for the `max` ones and the default for the `mem` ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BufferingSizes {
    pub max_request: i64,
    pub mem_request: i64,
    pub max_response: i64,
    pub mem_response: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Buffering {
    /// `None`: no limit.
    pub request_bytes_max: Option<u64>,
    pub request_mem_bytes: u64,
    pub response_bytes_max: Option<u64>,
    pub response_mem_bytes: u64,
    retry: Option<Expression<Test>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Method(Operator, String),
    Attempts(Operator, i64),
    Status(Operator, i64),
    /// `IsNetworkError()` stands alone, without operator.
    NetworkError,
}

impl Buffering {
    /// `retry_expression`: empty for none.
    pub fn new(sizes: BufferingSizes, retry_expression: &str) -> Result<Self, InvalidExpression> {
        let limit = |bytes: i64| u64::try_from(bytes).ok().filter(|&bytes| bytes > 0);
        let retry = (!retry_expression.is_empty()).then(|| parse(retry_expression)).transpose()?;
        Ok(Buffering {
            request_bytes_max: limit(sizes.max_request),
            request_mem_bytes: limit(sizes.mem_request).unwrap_or(MEM_BYTES_DEFAULT),
            response_bytes_max: limit(sizes.max_response),
            response_mem_bytes: limit(sizes.mem_response).unwrap_or(MEM_BYTES_DEFAULT),
            retry,
        })
    }

    /// A declared length above the limit is refused before a byte is read.
    pub fn on_request(&self, request: &Request) -> Verdict {
        match (request.head.body, self.request_bytes_max) {
            (BodyFraming::Length(bytes), Some(max)) if bytes > max => {
                Verdict::Reply { reply: Buffering::request_too_large(), label: None }
            }
            _ => Verdict::Next,
        }
    }

    /// The answer to a body that turns out to be too large.
    pub fn request_too_large() -> Reply {
        Reply::text(413, "Request Entity Too Large")
    }

    /// The answer in place of a response that is too large.
    pub fn response_too_large() -> Reply {
        Reply::text(500, "Internal Server Error")
    }

    /// Whether the exchange is repeated after the `attempt`-th round (the first is 1) ended with `status`.
    pub fn again(&self, attempt: u32, method: &[u8], status: u16) -> bool {
        let Some(retry) = &self.retry else { return false };
        attempt <= EXTRA_ROUNDS_MAX
            && retry.holds(&|test| match test {
                Test::Method(operator, text) => operator.holds(method, text.as_bytes()),
                Test::Attempts(operator, number) => operator.holds(i64::from(attempt), *number),
                Test::Status(operator, number) => operator.holds(i64::from(status), *number),
                Test::NetworkError => status == 502 || status == 504,
            })
    }

    /// Request bodies must be kept for a possible further round.
    pub fn may_repeat(&self) -> bool {
        self.retry.is_some()
    }
}

fn parse(text: &str) -> Result<Expression<Test>, InvalidExpression> {
    expression::parse_with_predicates(text, &["IsNetworkError"], compile)
}

fn compile(comparison: Comparison) -> Result<Test, String> {
    let Comparison { function, arguments, operator, literal } = comparison;
    if !arguments.is_empty() {
        return Err(format!("{function}() without arguments"));
    }
    match (function.as_str(), operator, literal) {
        ("RequestMethod", Some(operator), Some(Literal::Text(text))) => Ok(Test::Method(operator, text)),
        ("RequestMethod", ..) => Err("RequestMethod() compared with a text in quotes".into()),
        ("Attempts", Some(operator), Some(Literal::Int(number))) => Ok(Test::Attempts(operator, number)),
        ("ResponseCode", Some(operator), Some(Literal::Int(number))) => Ok(Test::Status(operator, number)),
        ("Attempts" | "ResponseCode", ..) => Err(format!("{function}() compared with a whole number")),
        ("IsNetworkError", None, _) => Ok(Test::NetworkError),
        _ => Err("RequestMethod(), Attempts(), ResponseCode() or IsNetworkError()".into()),
    }
}
