//! The arrival: the entry point of a request or connection, and the certificate of its TLS handshake.

use super::asked::{Asked, Scheme};
use super::{Explainer, closed};
use crate::observe::explanation::{CertificateFacts, EntryPointFacts, Explanation};
use crate::tls::resolver::Selected;
use crate::worker::resources::entry_point::EntryPoint;

impl Explainer<'_> {
    /// The index of the entry point at which the request arrives: the one that the query names, else the one that listens on the URL's port,
    /// else the first one of the right kind, with a note. `None` if there is none; the outcome then says so.
    ///
    /// # Errors
    /// The query names an entry point that does not exist, or that is of another kind.
    pub(super) fn entry_point(&self, asked: &Asked, explanation: &mut Explanation) -> Result<Option<usize>, String> {
        let points = || self.entry_points.iter().enumerate();
        let (index, why) = if let Some(name) = &asked.entry_point {
            let found = points().find(|(_, point)| point.name.eq_ignore_ascii_case(name));
            let (index, point) = found.ok_or_else(|| self.unknown_entry_point(name))?;
            if !is_suitable(point, asked.scheme) {
                return Err(format!("entry point {} takes {}, not {}", point.name, kind(point), asked.url));
            }
            (index, "named in the question".to_owned())
        } else if let Some((index, _)) = points().find(|(_, point)| on_port(point, asked)) {
            (index, format!("listens on port {}", asked.port))
        } else {
            // Ports of a container differ from those that are published; internal pages are the least likely choice.
            let suitable = || points().filter(|(_, point)| is_suitable(point, asked.scheme));
            let has_routes =
                |index: usize| self.snapshot.routers.get(index).is_some_and(|router| router.values().next().is_some());
            let serving = suitable().find(|(index, point)| point.exposed.is_none() && has_routes(*index));
            let plain = || suitable().find(|(_, point)| point.exposed.is_none());
            let Some((index, point)) = serving.or_else(plain).or_else(|| suitable().next()) else {
                explanation.outcome = closed(format!("no entry point takes {}", wanted(asked.scheme)));
                return Ok(None);
            };
            explanation.notes.push(format!(
                "no entry point for {} listens on port {}: {} is taken; entryPoint=NAME names another one",
                wanted(asked.scheme),
                asked.port,
                point.name
            ));
            (index, format!("the first one for {}", wanted(asked.scheme)))
        };
        let point = self.entry_points.get(index);
        explanation.entry_point = point.map(|point| EntryPointFacts {
            name: point.name.clone(),
            address: point.address.to_string(),
            tls: point.tls.is_some(),
            trusts_client: point.trust.includes(asked.from.ip().to_canonical()),
            why,
        });
        Ok(Some(index))
    }

    fn unknown_entry_point(&self, name: &str) -> String {
        let names: Vec<&str> = self.entry_points.iter().map(|point| point.name.as_str()).collect();
        format!("entry point {name:?} does not exist: use one of {}", names.join(", "))
    }

    /// The certificate of the handshake. Returns whether there is one.
    pub(super) fn certificate(&self, asked: &Asked, entry: &EntryPoint, explanation: &mut Explanation) -> bool {
        let Some(resolver) = &entry.resolver else { return true };
        let name = asked.sni.as_deref();
        let shown = name.unwrap_or("no name");
        let (certificate, is_default) = match resolver.select(name) {
            Selected::Named(certificate) => (certificate, false),
            Selected::Default(certificate) => (certificate, true),
            Selected::Refused => {
                explanation.outcome = closed(format!(
                    "the TLS handshake fails: no certificate covers {shown}, and there is no default one, or sniStrict is set"
                ));
                return false;
            }
        };
        let now = i64::try_from(self.now.unix_secs).unwrap_or(i64::MAX);
        let is_current = (certificate.not_before_secs..=certificate.not_after_secs).contains(&now);
        let why = match (is_default, is_current) {
            (_, false) => format!("it covers {shown}, but is not valid now"),
            (true, true) => format!("the default certificate: no other one covers {shown}"),
            (false, true) => format!("it covers {shown}"),
        };
        explanation.certificate = Some(CertificateFacts {
            names: certificate.names.clone(),
            not_after_secs: certificate.not_after_secs,
            is_default,
            is_valid: is_current && !is_default,
            why,
        });
        true
    }
}

fn on_port(point: &EntryPoint, asked: &Asked) -> bool {
    point.address.port() == asked.port && is_suitable(point, asked.scheme)
}

/// Whether the entry point takes connections of this kind.
fn is_suitable(point: &EntryPoint, scheme: Scheme) -> bool {
    match scheme {
        Scheme::Udp => point.is_udp,
        Scheme::Tcp => !point.is_udp,
        // A TCP route with passthrough takes TLS on an entry point without a certificate, too.
        Scheme::Tls => !point.is_udp,
        _ => !point.is_udp && point.tls.is_some() == scheme.has_tls(),
    }
}

fn kind(point: &EntryPoint) -> &'static str {
    match (point.is_udp, point.tls.is_some()) {
        (true, _) => "datagrams",
        (false, true) => "TLS",
        (false, false) => "requests without TLS",
    }
}

fn wanted(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Udp => "datagrams",
        Scheme::Tcp => "TCP connections",
        Scheme::Tls => "TLS connections",
        _ if scheme.has_tls() => "TLS",
        _ => "requests without TLS",
    }
}
