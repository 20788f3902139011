//! Error pages: which statuses are replaced, and the page that is fetched instead (docs/reference/middlewares.md#error-pages).

use std::fmt;
use std::sync::Arc;

/// Host and X-Forwarded-Host of the request for an error page.
pub const PAGE_HOST: &str = "0.0.0.0";

/// A frontend's error pages. The first page whose ranges contain the status is fetched.
#[derive(Debug, Default)]
pub struct ErrorPages {
    pages: Vec<ErrorPage>,
}

#[derive(Debug)]
pub struct ErrorPage {
    statuses: StatusRanges,
    backend: Arc<str>,
    query: String,
}

/// Ranges of statuses such as `404` and `500-599`, both ends included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusRanges(Vec<(u16, u16)>);

/// A request for an error page: `GET target` without body, with the client's request fields, [`PAGE_HOST`] as Host and
/// X-Forwarded-Host, and without X-Forwarded-For and X-Real-Ip. The client gets `status` with the page's fields and body;
/// the status of the page's own response is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPageRequest {
    pub backend: Arc<str>,
    pub target: Vec<u8>,
    pub status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidStatus(String);

impl ErrorPages {
    pub fn new(pages: Vec<ErrorPage>) -> Self {
        ErrorPages { pages }
    }

    /// The statuses that are replaced, as `404, 500-599`.
    pub fn statuses_text(&self) -> String {
        let ranges = self.pages.iter().flat_map(|page| page.statuses.pairs());
        let text = |&(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        ranges.map(text).collect::<Vec<_>>().join(", ")
    }

    pub fn page_for(&self, status: u16) -> Option<ErrorPageRequest> {
        self.pages.iter().find(|page| page.statuses.contains(status)).map(|page| page.request(status))
    }
}

impl ErrorPage {
    /// `backend`: name of the backend that serves the page; `query`: path of the page, in which `{status}` is replaced by the status.
    pub fn new(statuses: &[String], backend: &str, query: &str) -> Result<Self, InvalidStatus> {
        let statuses = StatusRanges::parse(statuses)?;
        let slash = if query.starts_with('/') { "" } else { "/" };
        Ok(ErrorPage { statuses, backend: backend.into(), query: format!("{slash}{query}") })
    }

    fn request(&self, status: u16) -> ErrorPageRequest {
        let target = self.query.replace("{status}", &status.to_string()).into_bytes();
        ErrorPageRequest { backend: self.backend.clone(), target, status }
    }
}

impl StatusRanges {
    pub fn parse(texts: &[String]) -> Result<Self, InvalidStatus> {
        let range = |text: &String| {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            let number = |digits: &str| digits.trim().parse::<u16>().ok();
            number(from).zip(number(to)).ok_or_else(|| InvalidStatus(text.clone()))
        };
        Ok(StatusRanges(texts.iter().map(range).collect::<Result<_, _>>()?))
    }

    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|&(from, to)| (from..=to).contains(&status))
    }

    /// The ranges as pairs, both ends included.
    pub fn pairs(&self) -> &[(u16, u16)] {
        &self.0
    }
}

impl fmt::Display for InvalidStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no status: write one (404) or a range (500-599)", self.0)
    }
}

impl std::error::Error for InvalidStatus {}
