//! Local replies: responses made by the proxy itself (docs/reference/entry-points.md#local-replies,
//! docs/reference/middlewares.md#local-replies).

use std::borrow::Cow;

/// Status, fields and body of a local reply. Date, Content-Length and Connection are added when the reply is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(Cow<'static, str>, Cow<'static, [u8]>)>,
    pub body: Cow<'static, [u8]>,
    /// The connection closes after this reply.
    pub close: bool,
}

impl Reply {
    /// A plain text reply: `Content-Type: text/plain; charset=utf-8`.
    pub fn text(status: u16, body: impl Into<Cow<'static, str>>) -> Self {
        let body = match body.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Reply { status, fields: vec![("Content-Type".into(), b"text/plain; charset=utf-8".into())], body, close: false }
    }

    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, [u8]>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }
}
