//! The names of spans, as Traefik 1.7 makes them, cut to `spanNameLimit` (docs/reference/tracing.md#spans).

use aws_lc_rs::digest::{SHA256, digest};

use super::span::{Detail, RequestFacts, Span};

/// Bytes of a cut name that are no name of an object: `Entrypoint `, the hash and what separates them; so for the others.
const ENTRY_POINT_BYTES: usize = 21;
const FORWARD_BYTES: usize = 18;
const FRONTEND_BYTES: usize = 18;
/// A lower limit is raised to so many bytes more than those.
const RAISED_BY: usize = 3;
const HASH_DIGITS: usize = 8;

/// Makes the names of spans.
#[derive(Debug, Clone, Copy)]
pub struct SpanNames {
    limit: Option<usize>,
}

impl SpanNames {
    /// `limit` is `spanNameLimit`; 0 and less is no limit.
    pub fn new(limit: i64) -> SpanNames {
        SpanNames { limit: usize::try_from(limit).ok().filter(|&limit| limit > 0) }
    }

    pub fn of(&self, request: &RequestFacts, span: &Span) -> String {
        match &span.detail {
            Detail::EntryPoint { name } => self.entry_point(name, &request.host),
            Detail::Frontend { frontend, .. } => self.frontend(frontend),
            Detail::Attempt { frontend, backend, .. } => self.forward(frontend, backend),
            Detail::ForwardAuth { .. } => "Auth Forward".to_owned(),
        }
    }

    fn entry_point(&self, name: &str, host: &str) -> String {
        let whole = format!("Entrypoint {name} {host}");
        let Some(room) = self.room(&whole, ENTRY_POINT_BYTES) else { return whole };
        format!("Entrypoint {} {} {}", shortened(name, room / 2), shortened(host, room / 2), hash(&whole))
    }

    fn forward(&self, frontend: &str, backend: &str) -> String {
        let whole = format!("forward {frontend}/{backend}");
        let Some(room) = self.room(&whole, FORWARD_BYTES) else { return whole };
        format!("forward {}/{}/{}", shortened(frontend, room / 2), shortened(backend, room / 2), hash(&whole))
    }

    fn frontend(&self, name: &str) -> String {
        let whole = format!("frontend {name}");
        let Some(room) = self.room(&whole, FRONTEND_BYTES) else { return whole };
        format!("frontend {} {}", shortened(name, room), hash(&whole))
    }

    /// The bytes that are left for names of objects, if the whole name is too long.
    fn room(&self, whole: &str, fixed: usize) -> Option<usize> {
        let limit = self.limit.filter(|&limit| whole.len() > limit)?;
        Some(if limit < fixed { RAISED_BY } else { limit - fixed })
    }
}

/// A text cut to about `bytes`, as Traefik cuts it.
fn shortened(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let kept = if bytes > 3 { bytes - 3 } else { bytes };
    let end = (0..=kept).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    format!("{}...", text.get(..end).unwrap_or_default())
}

fn hash(name: &str) -> String {
    let digest = digest(&SHA256, name.as_bytes());
    let digits = digest.as_ref().iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_traefik() {
        // The rows of Traefik's own tests.
        let long = "some-service-100.slug.namespace.environment.domain.tld";
        let exact = "some-service1.namespace.environment.domain.tld";
        let names = SpanNames::new(101);
        assert_eq!(names.forward("a.tld", "a.tld"), "forward a.tld/a.tld");
        assert_eq!(names.forward(exact, exact), format!("forward {exact}/{exact}"));
        let cut = "some-service-100.slug.namespace.enviro...";
        assert_eq!(names.forward(long, long), format!("forward {cut}/{cut}/bc4a0d48"));
        assert_eq!(
            names.forward(
                "some-service1.frontend.namespace.environment.domain.tld",
                "some-service1.backend.namespace.environment.domain.tld"
            ),
            "forward some-service1.frontend.namespace.envir.../some-service1.backend.namespace.enviro.../fa49dd23"
        );
        assert_eq!(SpanNames::new(25).entry_point("test", "www.test.com"), "Entrypoint te... ww... 39b97e58");
        assert_eq!(SpanNames::new(0).entry_point("test", "www.test.com"), "Entrypoint test www.test.com");
    }

    #[test]
    fn tiny_limit_is_raised() {
        let name = SpanNames::new(5).entry_point("http", "a.example.org");
        assert!(name.starts_with("Entrypoint h... a... "), "{name}");
        assert_eq!(SpanNames::new(-1).frontend("x"), "frontend x");
        assert!(SpanNames::new(30).frontend("é".repeat(40).as_str()).len() <= 32);
    }
}
