//! Limits of buffered bodies and the decision to repeat an exchange (docs/reference/middlewares.md#buffering). The worker reads and holds
//! the bodies; this file decides how large they may be, which are refused and when the exchange is repeated.

use super::expression::{self, Comparison, Expression, InvalidExpression, Literal, Operator};
use super::{Request, Verdict};
use crate::http::{BodyFraming, Reply};
use crate::limits::EXTRA_ROUNDS_MAX;

/// Traefik's default for the `mem` sizes. Without effect here: a body is held in memory whole, nothing is written to disk.
pub const MEM_BYTES_DEFAULT: u64 = 1 << 20;

/// Configured sizes in bytes. 0 or less: no limit of its own for a `max` size (the worker's limits remain), the default for a `mem` size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BufferingSizes {
    pub max_request: i64,
    pub mem_request: i64,
    pub max_response: i64,
    pub mem_response: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Buffering {
    /// `None`: only the worker's own limit, `BUFFERED_BODY_BYTES_MAX`, applies.
    pub request_bytes_max: Option<u64>,
    /// Without effect, as is `response_mem_bytes`: see [`MEM_BYTES_DEFAULT`].
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
    /// `IsNetworkError()`, a predicate without operator and literal.
    NetworkError,
}

impl Buffering {
    /// `retry_expression`: empty if the exchange is never repeated.
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

    /// Refuses a request whose `Content-Length` is above the limit, before its body is read.
    pub fn on_request(&self, request: &Request) -> Verdict {
        match (request.head.body, self.request_bytes_max) {
            (BodyFraming::Length(bytes), Some(max)) if bytes > max => {
                Verdict::Reply { reply: Buffering::request_too_large(), label: None }
            }
            _ => Verdict::Next,
        }
    }

    /// The local reply to a request whose body is too large.
    pub fn request_too_large() -> Reply {
        Reply::text(413, "Request Entity Too Large")
    }

    /// The local reply in place of a response whose body is too large.
    pub fn response_too_large() -> Reply {
        Reply::text(500, "Internal Server Error")
    }

    /// Whether the exchange is repeated after round `attempt` (the first is 1) ended with `status`.
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
