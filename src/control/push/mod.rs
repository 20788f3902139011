//! Pushes metrics to StatsD, DataDog and InfluxDB, with the names of Traefik 1.7 (docs/reference/metrics.md#pushed-metrics). Each receiver
//! has a task of its own on the control plane's thread: a receiver that is away delays nothing else.

mod change;
mod influxdb;
mod influxdb_http;
mod statsd;
mod udp;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::observe::Published;
use crate::observe::metrics::{Metrics, Reading};
use change::Change;
use influxdb_http::InfluxDbClient;
use statsd::Dialect;

/// A receiver of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub protocol: Protocol,
    /// `host:port`, or the URL of InfluxDB's HTTP API.
    pub address: String,
    pub interval: Duration,
}

/// How a receiver is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    StatsD,
    DataDog,
    InfluxDbUdp,
    InfluxDbHttp { database: String, retention_policy: String },
}

impl Protocol {
    /// The table of the main configuration file.
    fn table(&self) -> &'static str {
        match self {
            Protocol::StatsD => "metrics.statsd",
            Protocol::DataDog => "metrics.datadog",
            Protocol::InfluxDbUdp | Protocol::InfluxDbHttp { .. } => "metrics.influxdb",
        }
    }
}

/// Pushes to one receiver until the process ends. The first push follows one interval after the start.
pub async fn run(receiver: Receiver, metrics: Arc<Metrics>, published: Arc<ArcSwap<Published>>) {
    let mut before = Reading::default();
    let mut ticks = interval_at(Instant::now() + receiver.interval, receiver.interval);
    // A push that took longer than the interval is not made up for.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sender = Sender::new(&receiver);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let now = metrics.reading();
        let servers = published.load().servers();
        let lines = lines_of(&receiver.protocol, &Change::new(&before, &now, &servers));
        before = now;
        // The values of a push that fails are lost, as in Traefik: a receiver that comes back would get all of them as those of one moment.
        match sender.send(lines).await {
            Ok(()) => is_failing = false,
            // Logged once until a push succeeds.
            Err(_) if is_failing => {}
            Err(reason) => {
                is_failing = true;
                let (table, address) = (receiver.protocol.table(), visible(&receiver.address));
                tracing::error!(
                    "{table}: metrics cannot be pushed to {address}: {reason}. The values of this time are lost; the next ones follow"
                );
            }
        }
    }
}

/// An address without the password that a URL may have.
fn visible(address: &str) -> String {
    match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://***{}", &address[..scheme], &address[at..]),
        _ => address.to_owned(),
    }
}

fn lines_of(protocol: &Protocol, change: &Change<'_>) -> Vec<String> {
    match protocol {
        Protocol::StatsD => statsd::lines(change, Dialect::StatsD),
        Protocol::DataDog => statsd::lines(change, Dialect::DataDog),
        Protocol::InfluxDbUdp | Protocol::InfluxDbHttp { .. } => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            influxdb::lines(change, now.as_nanos())
        }
    }
}

/// The connection to a receiver.
enum Sender {
    Udp(udp::UdpSender),
    Http(Box<InfluxDbClient>),
}

impl Sender {
    fn new(receiver: &Receiver) -> Self {
        match &receiver.protocol {
            Protocol::InfluxDbHttp { database, retention_policy } => {
                Sender::Http(Box::new(InfluxDbClient::new(&receiver.address, database, retention_policy)))
            }
            _ => Sender::Udp(udp::UdpSender::new(&receiver.address)),
        }
    }

    async fn send(&mut self, lines: Vec<String>) -> Result<(), String> {
        match self {
            Sender::Udp(sender) => sender.send(&lines).await,
            Sender::Http(client) => client.write(&lines).await,
        }
    }
}

#[cfg(test)]
mod tests;
