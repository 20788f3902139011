//! Selects the certificate of a handshake (docs/reference/entry-points.md#certificate-selection).
//!
//! All names are indexed when the store is made: a handshake needs one hash lookup for the exact name and one more for each leading label,
//! and no allocation.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The longest name that SNI can carry, in bytes (RFC 1035 2.3.4).
const NAME_BYTES_MAX: usize = 253;

/// The certificates of one entry point, by source. [`CertStore::new`] indexes them.
#[derive(Debug, Clone, Default)]
pub struct EntryPointCerts {
    /// The entry point's name.
    pub entry_point: String,
    /// `entryPoints.X.tls.certificates`, in file order.
    pub static_certificates: Vec<Arc<Certificate>>,
    /// Certificates of the file provider's `[[tls]]` and of other providers. For a name the first wins
    /// (docs/reference/providers.md#certificate-keys).
    pub dynamic: Vec<Arc<Certificate>>,
    /// Certificates from ACME. For the same name `dynamic` wins.
    pub acme: Vec<Arc<Certificate>>,
    /// `entryPoints.X.tls.defaultCertificate`; if unset, the first of `static_certificates` is the default, and without any the generated certificate.
    pub default: Option<Arc<Certificate>>,
}

/// An index of the certificates of all entry points. Immutable: a change makes a new store, published through `ArcSwap`.
#[derive(Debug, Default)]
pub struct CertStore {
    points: HashMap<Box<str>, PointIndex>,
}

#[derive(Debug, Default)]
struct PointIndex {
    names: HashMap<Box<str>, Arc<Certificate>>,
    /// Highest number of leading `*` labels in any of `names`, which bounds the search.
    stars_max: usize,
    default: Option<Arc<Certificate>>,
}

/// Is told the server name of a handshake for which there is no certificate but the default one. Must not block.
pub type UnknownName = Arc<dyn Fn(&str) + Send + Sync>;

/// Selects certificates for the handshakes of one entry point, or of one of its listeners.
pub struct Resolver {
    entry_point: Box<str>,
    store: Arc<ArcSwap<CertStore>>,
    strict: bool,
    /// The address of the listener, which clients without SNI are taken to ask for.
    local: Option<Box<str>>,
    /// With certificates on demand.
    on_unknown: Option<UnknownName>,
}

impl CertStore {
    /// Indexes certificates by entry point. `generated` is the default certificate of entry points without certificates.
    pub fn new(points: impl IntoIterator<Item = EntryPointCerts>, generated: Option<&Arc<Certificate>>) -> CertStore {
        let index = |point: EntryPointCerts| (point.entry_point.as_str().into(), PointIndex::new(&point, generated));
        CertStore { points: points.into_iter().map(index).collect() }
    }
}

/// The certificate for a handshake, and why it is that one.
#[derive(Debug, Clone)]
pub enum Selected {
    /// A certificate with a name that covers the one that the client asks for.
    Named(Arc<Certificate>),
    /// The default certificate: no other one covers the name.
    Default(Arc<Certificate>),
    /// The handshake is refused: no certificate covers the name, and `sniStrict` is set, or there is no certificate at all.
    Refused,
}

impl PointIndex {
    fn new(point: &EntryPointCerts, generated: Option<&Arc<Certificate>>) -> PointIndex {
        let mut index = PointIndex::default();
        // The first certificate of a name is kept: the order is that of precedence.
        for certificate in point.static_certificates.iter().chain(&point.dynamic).chain(&point.acme) {
            for name in &certificate.names {
                index.stars_max = index.stars_max.max(leading_stars(name));
                index.names.entry(name.as_str().into()).or_insert_with(|| certificate.clone());
            }
        }
        let default = point.default.as_ref().or(point.static_certificates.first()).or(generated);
        index.default = default.cloned();
        index
    }

    /// The certificate for a name. Traefik selects the lexicographically greatest matching name. `*` sorts before every character with
    /// which a host name can start, so that means the exact name, then one star, then two: the order of this search.
    fn find(&self, name: &str) -> Option<&Arc<Certificate>> {
        let mut lowered = [0u8; NAME_BYTES_MAX];
        let name = lower(name, &mut lowered)?;
        if let Some(found) = self.names.get(name) {
            return Some(found);
        }
        let mut candidate = [0u8; 2 * NAME_BYTES_MAX];
        let mut rest = name;
        for stars in 1..=self.stars_max {
            // After the last label the tail is empty: Traefik also tries `*`, `*.*` and so on.
            let (_, tail) = rest.split_once('.').unwrap_or((rest, ""));
            let pattern = starred(stars, tail, &mut candidate)?;
            if let Some(found) = self.names.get(pattern) {
                return Some(found);
            }
            if tail.is_empty() {
                return None;
            }
            rest = tail;
        }
        None
    }
}

impl Resolver {
    /// The resolver of one entry point. With `strict` (`sniStrict`), a handshake whose name matches no certificate, or without SNI, is
    /// refused.
    pub fn new(entry_point: &str, store: Arc<ArcSwap<CertStore>>, strict: bool) -> Resolver {
        Resolver { entry_point: entry_point.into(), store, strict, local: None, on_unknown: None }
    }

    /// As [`Resolver::new`], for a listener that is bound to one address: clients without SNI get the certificate for that address if there
    /// is one, as in Traefik. The ClientHello does not contain the address to which a client connected, so for a listener on all
    /// addresses such clients get the default certificate.
    pub fn for_listener(entry_point: &str, store: Arc<ArcSwap<CertStore>>, strict: bool, local: IpAddr) -> Resolver {
        let local = (!local.is_unspecified()).then(|| local.to_string().into());
        Resolver { local, ..Resolver::new(entry_point, store, strict) }
    }

    /// The resolver, with a function that is told the names without a certificate (`acme.onDemand`).
    pub fn with_on_demand(self, on_unknown: UnknownName) -> Resolver {
        Resolver { on_unknown: Some(on_unknown), ..self }
    }

    /// The certificate for an SNI name, or for a client without one.
    pub fn certificate(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let selected = self.select(name);
        if let Selected::Named(found) = &selected {
            return Some(Arc::clone(&found.key));
        }
        if let (Some(name), Some(on_unknown)) = (name, &self.on_unknown) {
            on_unknown(name);
        }
        match selected {
            Selected::Named(found) | Selected::Default(found) => Some(Arc::clone(&found.key)),
            Selected::Refused => None,
        }
    }

    /// The certificate for an SNI name, or for a client without one. Nothing is told of an unknown name.
    pub fn select(&self, name: Option<&str>) -> Selected {
        let store = self.store.load();
        let Some(point) = store.points.get(&self.entry_point) else { return Selected::Refused };
        if let Some(found) = name.or(self.local.as_deref()).and_then(|name| point.find(name)) {
            return Selected::Named(Arc::clone(found));
        }
        match point.default.as_ref().filter(|_| !self.strict) {
            Some(default) => Selected::Default(Arc::clone(default)),
            None => Selected::Refused,
        }
    }

    /// Whether a request for `host` is misdirected on a connection whose client named `server_name` in its handshake (RFC 9110 15.5.20):
    /// another certificate covers `host`, and the one of `server_name` does not. A client sends such a request if it takes two servers
    /// for one; on a connection of its own it gets the other certificate. `host` has neither a port nor brackets. The certificates are
    /// those of now, which a renewal may have replaced since the handshake.
    pub fn is_misdirected(&self, server_name: &str, host: &str) -> bool {
        let store = self.store.load();
        let Some(point) = store.points.get(&self.entry_point) else { return false };
        let (Some(given), Some(other)) = (point.find(server_name).or(point.default.as_ref()), point.find(host)) else {
            return false;
        };
        !Arc::ptr_eq(given, other) && !given.names.iter().any(|pattern| covers(pattern, host))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certificate(hello.server_name())
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("entry_point", &self.entry_point).field("strict", &self.strict).finish()
    }
}

/// Whether a certificate's name covers a host: each leading `*` stands for one label.
fn covers(pattern: &str, host: &str) -> bool {
    let mut labels = host.split('.');
    let mut is_leading = true;
    let is_equal = pattern.split('.').all(|wanted| {
        is_leading &= wanted == "*";
        labels.next().is_some_and(|label| is_leading || label.eq_ignore_ascii_case(wanted))
    });
    is_equal && labels.next().is_none()
}

fn leading_stars(name: &str) -> usize {
    name.split('.').take_while(|label| *label == "*").count()
}

/// Writes `name` to `buffer` in lower case (ASCII); `None` for a name longer than SNI allows.
fn lower<'a>(name: &str, buffer: &'a mut [u8; NAME_BYTES_MAX]) -> Option<&'a str> {
    let lowered = buffer.get_mut(..name.len())?;
    lowered.copy_from_slice(name.as_bytes());
    lowered.make_ascii_lowercase();
    std::str::from_utf8(lowered).ok()
}

/// Writes a pattern to `buffer`: `stars` times `*`, then `tail` unless it is empty, joined by dots.
fn starred<'a>(stars: usize, tail: &str, buffer: &'a mut [u8; 2 * NAME_BYTES_MAX]) -> Option<&'a str> {
    let head = 2 * stars - 1;
    let length = if tail.is_empty() { head } else { head + 1 + tail.len() };
    let pattern = buffer.get_mut(..length)?;
    for (at, byte) in pattern[..head].iter_mut().enumerate() {
        *byte = if at % 2 == 0 { b'*' } else { b'.' };
    }
    if !tail.is_empty() {
        pattern[head] = b'.';
        pattern[head + 1..].copy_from_slice(tail.as_bytes());
    }
    std::str::from_utf8(pattern).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Arc<Certificate> {
        let params = rcgen::CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
        let mut params = params;
        params.distinguished_name = rcgen::DistinguishedName::new();
        let pair = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&pair).unwrap().pem();
        Arc::new(Certificate::from_pem(pem.as_bytes(), pair.serialize_pem().as_bytes()).unwrap())
    }

    fn resolver(point: EntryPointCerts, strict: bool) -> Resolver {
        let generated = Arc::new(Certificate::generated([7; 32], std::time::SystemTime::UNIX_EPOCH).unwrap());
        let point = EntryPointCerts { entry_point: "https".into(), ..point };
        Resolver::new("https", Arc::new(ArcSwap::from_pointee(CertStore::new([point], Some(&generated)))), strict)
    }

    fn is(found: Option<Arc<CertifiedKey>>, wanted: &Certificate) -> bool {
        found.is_some_and(|found| Arc::ptr_eq(&found, &wanted.key))
    }

    #[test]
    fn exact_name_wins_over_one_star_and_that_over_two() {
        let (exact, one, two) = (certificate(&["a.b.c"]), certificate(&["*.b.c"]), certificate(&["*.*.c"]));
        let point = EntryPointCerts { dynamic: vec![two.clone(), one.clone(), exact.clone()], ..Default::default() };
        let resolver = resolver(point, false);
        assert!(is(resolver.certificate(Some("a.b.c")), &exact));
        assert!(is(resolver.certificate(Some("A.B.C")), &exact));
        assert!(is(resolver.certificate(Some("x.b.c")), &one));
        assert!(is(resolver.certificate(Some("x.y.c")), &two));
        assert!(!is(resolver.certificate(Some("b.c")), &one));
        assert!(!is(resolver.certificate(Some("w.x.y.c")), &two));
    }

    #[test]
    fn static_wins_over_dynamic_over_acme_for_the_same_name() {
        let (fixed, dynamic, acme) =
            (certificate(&["*.b.c"]), certificate(&["a.b.c", "*.b.c"]), certificate(&["a.b.c"]));
        let point = EntryPointCerts {
            static_certificates: vec![fixed.clone()],
            dynamic: vec![dynamic.clone()],
            acme: vec![acme],
            ..Default::default()
        };
        let resolver = resolver(point, false);
        assert!(is(resolver.certificate(Some("a.b.c")), &dynamic));
        assert!(is(resolver.certificate(Some("z.b.c")), &fixed));
    }

    #[test]
    fn no_match_gives_the_default_or_a_refusal_if_strict() {
        let (first, given) = (certificate(&["a.b"]), certificate(&["d.e"]));
        let point = EntryPointCerts { static_certificates: vec![first.clone()], ..Default::default() };
        assert!(is(resolver(point.clone(), false).certificate(Some("x.y")), &first));
        assert!(is(resolver(point.clone(), false).certificate(None), &first));
        assert!(resolver(point.clone(), true).certificate(Some("x.y")).is_none());
        assert!(resolver(point.clone(), true).certificate(None).is_none());
        assert!(is(resolver(point.clone(), true).certificate(Some("a.b")), &first));
        let point = EntryPointCerts { default: Some(given.clone()), ..point };
        assert!(is(resolver(point, false).certificate(Some("x.y")), &given));
        assert!(resolver(EntryPointCerts::default(), false).certificate(Some("x.y")).is_some());
    }

    #[test]
    fn listener_on_one_address_has_a_certificate_without_sni() {
        let (first, own) = (certificate(&["a.b"]), certificate(&["192.0.2.1"]));
        let static_certificates = vec![first.clone(), own.clone()];
        let store = CertStore::new(
            [EntryPointCerts { entry_point: "e".into(), static_certificates, ..Default::default() }],
            None,
        );
        let store = Arc::new(ArcSwap::from_pointee(store));
        let at = |ip: &str| Resolver::for_listener("e", store.clone(), true, ip.parse().unwrap());
        assert!(is(at("192.0.2.1").certificate(None), &own));
        assert!(at("192.0.2.2").certificate(None).is_none());
        assert!(at("0.0.0.0").certificate(None).is_none());
    }

    #[test]
    fn overlong_and_empty_names_match_nothing() {
        let point = EntryPointCerts { static_certificates: vec![certificate(&["*.b.c"])], ..Default::default() };
        let resolver = resolver(point, true);
        assert!(resolver.certificate(Some(&"a.".repeat(200))).is_none());
        assert!(resolver.certificate(Some("")).is_none());
        assert!(resolver.certificate(Some(".")).is_none());
        assert!(resolver.certificate(Some("...")).is_none());
    }

    #[test]
    fn request_is_misdirected_if_only_another_certificate_covers_its_host() {
        let (wide, exact, other) = (certificate(&["*.b.c", "b.c"]), certificate(&["a.b.c"]), certificate(&["d.e"]));
        let dynamic = vec![wide, exact, other.clone(), certificate(&["192.0.2.1"])];
        let point = EntryPointCerts { dynamic, default: Some(other), ..Default::default() };
        let resolver = resolver(point, false);
        for (server_name, host, is_misdirected, why) in [
            ("x.b.c", "d.e", true, "another certificate"),
            ("x.b.c", "D.E", true, "case does not count"),
            ("x.b.c", "192.0.2.1", true, "the certificate of an address"),
            ("x.b.c", "y.b.c", false, "the same certificate"),
            ("x.b.c", "b.c", false, "the same certificate by another name"),
            ("x.b.c", "a.b.c", false, "the exact name has its own certificate, but the wildcard covers it too"),
            ("a.b.c", "x.b.c", true, "the exact name's certificate does not cover the wildcard's"),
            ("a.b.c", "z.y", false, "no certificate covers the host: a connection of its own would change nothing"),
            ("z.y", "a.b.c", true, "the default certificate was given"),
            ("z.y", "d.e", false, "the default certificate covers the host"),
            ("z.y", "", false, "no host"),
        ] {
            assert_eq!(resolver.is_misdirected(server_name, host), is_misdirected, "{server_name} {host}: {why}");
        }
    }

    #[test]
    fn leading_stars_cover_one_label_each() {
        for (pattern, host, is_covered) in [
            ("a.b", "A.B", true),
            ("*.b", "a.b", true),
            ("*.b", "b", false),
            ("*.b", "x.a.b", false),
            ("*.*.b", "x.a.b", true),
            ("a.*.b", "a.x.b", false),
            ("a.b", "a.b.c", false),
            ("", "a", false),
        ] {
            assert_eq!(covers(pattern, host), is_covered, "{pattern} {host}");
        }
    }

    #[test]
    fn unknown_entry_point_has_no_certificate() {
        let store = Arc::new(ArcSwap::from_pointee(CertStore::default()));
        let resolver = Resolver::new("nowhere", store, false);
        assert!(resolver.certificate(Some("a.b")).is_none() && !resolver.is_misdirected("a.b", "c.d"));
    }
}
