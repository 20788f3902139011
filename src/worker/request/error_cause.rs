//! The cause of a response with an error status, as `/api/errors` shows it (docs/reference/api.md#errors).

use std::borrow::Cow;

/// The facts about a request that ended with an error status.
pub struct ErrorSource<'a> {
    pub status: u16,
    /// The status of the server's response, if it sent one.
    pub answered: Option<u16>,
    /// Why the last attempt failed; empty if none failed.
    pub failure: &'a str,
    /// The middleware, or the reason, that the access log names.
    pub label: Option<&'a str>,
    pub has_frontend: bool,
}

impl<'a> ErrorSource<'a> {
    pub fn cause(&self) -> Cow<'a, str> {
        match (self.answered, self.failure) {
            (Some(status), _) if status == self.status => format!("the server answered {status}").into(),
            (_, failure) if !failure.is_empty() && self.status >= 500 => match failure.strip_prefix("connecting to it")
            {
                Some(reason) => format!("connecting to the server{reason}").into(),
                None => failure.into(),
            },
            (Some(_), _) if self.status == 502 => "the server broke off its response".into(),
            _ => self.own_cause(),
        }
    }

    /// The cause of a response that the proxy made itself.
    fn own_cause(&self) -> Cow<'a, str> {
        let reason = match (self.status, self.label) {
            (499, _) => "the client closed the connection before the end of its response",
            (404, Some("backend not found")) => "no route matches the request",
            (400, _) => "the request is malformed",
            (401, _) => "credentials are missing or wrong",
            (403, _) => "the client is not allowed: white list or forward authentication",
            (408, _) => "the client sent its request too slowly",
            (413, _) => "the body of the request is larger than buffering allows",
            (421, _) => "the request came over the connection of another host",
            (429, _) => "the client exceeds a rate limit or a connection limit",
            (503, _) if self.has_frontend => "no server of the backend is available, or its circuit breaker is open",
            (500.., _) => "the proxy could not answer",
            _ => "refused by the proxy",
        };
        match self.label {
            Some(label) if label != "backend not found" => format!("{reason} ({label})").into(),
            _ => reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_name_the_server_the_failure_or_the_middleware() {
        let none = ErrorSource { status: 404, answered: None, failure: "", label: None, has_frontend: false };
        for (source, cause) in [
            (ErrorSource { status: 500, answered: Some(500), ..none }, "the server answered 500"),
            (
                ErrorSource { status: 502, failure: "connecting to it: refused", ..none },
                "connecting to the server: refused",
            ),
            (ErrorSource { status: 502, answered: Some(200), ..none }, "the server broke off its response"),
            (ErrorSource { label: Some("backend not found"), ..none }, "no route matches the request"),
            (ErrorSource { status: 401, label: Some("Auth"), ..none }, "credentials are missing or wrong (Auth)"),
            (
                ErrorSource { status: 503, has_frontend: true, ..none },
                "no server of the backend is available, or its circuit breaker is open",
            ),
        ] {
            assert_eq!(source.cause(), cause);
        }
    }
}
