//! Reads from the static configuration which receivers metrics are pushed to.

use std::time::Duration;

use crate::config::duration::GoDuration;
use crate::config::static_config::StaticConfig;
use crate::control::push::{Protocol, Receiver};

/// The shortest interval of pushes: a shorter one would keep the control plane's thread busy.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// The receivers of `[metrics]`, after [`StaticConfig::resolve`].
pub fn receivers(config: &StaticConfig) -> Vec<Receiver> {
    let Some(metrics) = &config.metrics else { return Vec::new() };
    let statsd = metrics
        .statsd
        .as_ref()
        .map(|table| receiver(Protocol::StatsD, &table.address, "localhost:8125", &table.push_interval));
    let datadog = metrics
        .datadog
        .as_ref()
        .map(|table| receiver(Protocol::DataDog, &table.address, "localhost:8125", &table.push_interval));
    let influxdb = metrics.influxdb.as_ref().map(|table| {
        let protocol = match table.protocol.as_str() {
            "http" => Protocol::InfluxDbHttp {
                database: table.database.clone(),
                retention_policy: table.retention_policy.clone(),
            },
            _ => Protocol::InfluxDbUdp,
        };
        receiver(protocol, &table.address, "localhost:8089", &table.push_interval)
    });
    statsd.into_iter().chain(datadog).chain(influxdb).collect()
}

fn receiver(protocol: Protocol, address: &str, default: &str, interval: &str) -> Receiver {
    let address = if address.is_empty() { default } else { address };
    let interval = GoDuration::parse_with_unit(interval).ok().and_then(GoDuration::positive);
    Receiver { protocol, address: address.to_owned(), interval: interval.unwrap_or(INTERVAL_DEFAULT).max(INTERVAL_MIN) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::read;

    fn receivers_of(text: &str) -> (Vec<Receiver>, Vec<String>) {
        let mut config = read::<StaticConfig>(text, "t").expect("valid").value;
        let warnings = config.resolve();
        (receivers(&config), warnings)
    }

    #[test]
    fn tables_become_receivers_with_the_defaults_of_traefik() {
        let (all, warnings) =
            receivers_of("[metrics.statsd]\n[metrics.datadog]\npushInterval='1m'\n[metrics.influxdb]");
        let row = |protocol, address: &str, secs| Receiver {
            protocol,
            address: address.into(),
            interval: Duration::from_secs(secs),
        };
        assert_eq!(
            all,
            [
                row(Protocol::StatsD, "localhost:8125", 10),
                row(Protocol::DataDog, "localhost:8125", 60),
                row(Protocol::InfluxDbUdp, "localhost:8089", 10),
            ]
        );
        assert_eq!(warnings, Vec::<String>::new());
        assert!(receivers_of("[metrics.prometheus]").0.is_empty());
    }

    #[test]
    fn options_of_influxdb_that_cannot_work_are_replaced_with_a_warning() {
        let (all, warnings) = receivers_of("[metrics.influxdb]\nprotocol='http'\naddress='db:8086'\ndatabase='t'");
        let http = Protocol::InfluxDbHttp { database: "t".into(), retention_policy: String::new() };
        assert_eq!((&all[0].protocol, all[0].address.as_str()), (&http, "http://db:8086"));
        assert!(warnings[0].contains("metrics.influxdb.address"), "{warnings:?}");
        let (all, warnings) = receivers_of("[metrics.influxdb]\nprotocol='tcp'\ndatabase='t'\npushInterval='0s'");
        assert_eq!((&all[0].protocol, all[0].interval), (&Protocol::InfluxDbUdp, Duration::from_secs(10)));
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }
}
