//! Options that are read and checked, but have no effect: not built yet, or refused (COMPAT.md says which). THE list: remove a row
//! when its effect exists.

use super::{EntryPoint, StaticConfig};

/// An option's path, and whether it is set.
type Row<T> = (&'static str, fn(&T) -> bool);

/// Options of an entry point.
const OF_ENTRY_POINT: [Row<EntryPoint>; 1] = [("proxyProtocol", |entry_point| entry_point.proxy_protocol.is_some())];

/// Options outside entry points.
const ELSEWHERE: [Row<StaticConfig>; 12] = [
    ("metrics.datadog", |fixed| fixed.metrics.as_ref().is_some_and(|metrics| metrics.datadog.is_some())),
    ("metrics.statsd", |fixed| fixed.metrics.as_ref().is_some_and(|metrics| metrics.statsd.is_some())),
    ("metrics.influxdb", |fixed| fixed.metrics.as_ref().is_some_and(|metrics| metrics.influxdb.is_some())),
    ("tracing", |fixed| fixed.tracing.is_some()),
    ("cluster", |fixed| fixed.cluster.is_some()),
    ("hostResolver", |fixed| fixed.host_resolver.is_some()),
    ("acme.tlsChallenge", |fixed| fixed.acme.as_ref().is_some_and(|acme| acme.tls_challenge.is_some())),
    ("acme.dnsChallenge", |fixed| fixed.acme.as_ref().is_some_and(|acme| acme.dns_challenge.is_some())),
    ("acme.onDemand", |fixed| fixed.acme.as_ref().is_some_and(|acme| acme.on_demand)),
    ("acme.preferredChain", |fixed| fixed.acme.as_ref().is_some_and(|acme| !acme.preferred_chain.is_empty())),
    ("acme.overrideCertificates", |fixed| fixed.acme.as_ref().is_some_and(|acme| acme.override_certificates)),
    ("file.constraints", |fixed| fixed.file.as_ref().is_some_and(|file| !file.constraints.is_empty())),
];

/// The options that this configuration sets and Ringway does not act on, by path. Takes a resolved configuration.
/// Providers that Ringway does not have are reported by [`Fixed::resolve`].
pub fn unsupported_options(fixed: &StaticConfig) -> Vec<String> {
    let of_entry_points = fixed.entry_points.iter().flat_map(|(name, entry_point)| {
        let set = OF_ENTRY_POINT.iter().filter(|(_, is_set)| is_set(entry_point));
        set.map(move |(key, _)| format!("entryPoints.{name}.{key}"))
    });
    let elsewhere = ELSEWHERE.iter().filter(|(_, is_set)| is_set(fixed)).map(|(key, _)| (*key).to_owned());
    of_entry_points.chain(elsewhere).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::read;

    #[test]
    fn only_what_is_set_is_listed() {
        let mut plain = StaticConfig::default();
        plain.resolve();
        assert_eq!(unsupported_options(&plain), Vec::<String>::new());
        let text = "[tracing]\n[etcd]\nendpoint='x'\n[entryPoints.a]\naddress=':1'\n[entryPoints.a.proxyProtocol]";
        let mut fixed = read::<StaticConfig>(text, "t").expect("valid").value;
        fixed.resolve();
        assert_eq!(unsupported_options(&fixed), ["entryPoints.a.proxyProtocol", "tracing"]);
    }
}
