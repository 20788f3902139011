//! Exports traces: collects the workers' finished traces, and sends them to a collector (docs/reference/tracing.md#export). Runs on the
//! control thread, and delays neither requests nor providers: a collector that is slow or away loses spans, which are counted.

mod about;
mod batch;
mod client;
mod endpoint;
mod grpc;
mod otlp;
mod request;
mod zipkin;

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::snapshot::TlsConfigs;
use crate::limits::{self, Bound};
use crate::observe::metrics::Metrics;
use crate::observe::trace::TraceReceiver;
pub use about::About;
use batch::Batch;
use client::Client;
pub use endpoint::{InvalidEndpoint, Target};
use request::SendError;

/// How often the exporter looks for finished traces.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// The first pause before spans are sent again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Where traces go, and as what.
pub struct ExportSettings {
    pub target: Target,
    /// The TLS configurations for https collectors; the text says why there are none.
    pub tls: Result<TlsConfigs, String>,
    pub timeout: Duration,
    pub about: About,
    pub receiver: TraceReceiver,
    pub metrics: Arc<Metrics>,
}

/// Exports traces until the process ends.
pub async fn run(settings: ExportSettings) {
    let client = match Client::new(&settings.target, settings.tls.as_ref(), settings.timeout) {
        Ok(client) => client,
        Err(reason) => {
            tracing::error!("tracing: {reason}: no span is exported");
            return lose_all(&settings).await;
        }
    };
    let mut exporter = Exporter { settings, client, failed_since: None, lost: 0 };
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Batch::default();
    loop {
        looks.tick().await;
        loop {
            batch.fill(&exporter.settings.receiver, Instant::now());
            if !batch.is_due(Instant::now(), exporter.settings.receiver.is_closing()) {
                break;
            }
            exporter.deliver(std::mem::take(&mut batch)).await;
        }
    }
}

/// Counts all spans as lost.
async fn lose_all(settings: &ExportSettings) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        while let Some(trace) = settings.receiver.next() {
            settings.metrics.exceeded(Bound::TraceExport, trace.spans.len() as u64);
            settings.receiver.done(trace.bytes());
        }
    }
}

struct Exporter {
    settings: ExportSettings,
    client: Client,
    /// When the collector failed first, if it has not taken spans since: the failure is in the log already.
    failed_since: Option<Instant>,
    /// Spans lost since then.
    lost: u64,
}

impl Exporter {
    /// Sends a batch, again if the collector is busy or away, and gives it up at last.
    async fn deliver(&mut self, batch: Batch) {
        let body = match &self.settings.target {
            Target::Zipkin { .. } => zipkin::body(batch.traces(), &self.settings.about),
            Target::OtlpHttp { .. } | Target::OtlpGrpc { .. } => otlp::body(batch.traces(), &self.settings.about),
        };
        self.send(body, batch.spans() as u64).await;
        self.settings.receiver.done(batch.bytes());
    }

    async fn send(&mut self, body: Bytes, spans: u64) {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=limits::TRACE_EXPORT_ATTEMPTS_MAX {
            match self.client.send(body.clone()).await {
                Ok(rejected) => return self.delivered(rejected),
                Err(SendError { reason, is_transient }) => {
                    self.failed(&reason);
                    let is_last = attempt == limits::TRACE_EXPORT_ATTEMPTS_MAX || self.settings.receiver.is_closing();
                    if !is_transient || is_last {
                        break;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.lose(spans);
    }

    fn delivered(&mut self, rejected: u64) {
        if let Some(since) = self.failed_since.take() {
            let (secs, lost) = (since.elapsed().as_secs(), std::mem::take(&mut self.lost));
            tracing::warn!("tracing: {} takes spans again after {secs} s; {lost} were lost", self.settings.target);
        }
        if rejected > 0 {
            self.failed(&format!("{rejected} spans rejected"));
            self.lose(rejected);
        }
    }

    fn failed(&mut self, reason: &str) {
        if self.failed_since.is_none() {
            self.failed_since = Some(Instant::now());
            tracing::error!(
                "tracing: {} does not take spans: {reason}; they are sent again, then dropped and counted: check {}, and that the \
                 collector runs",
                self.settings.target,
                self.settings.target.key()
            );
        }
    }

    fn lose(&mut self, spans: u64) {
        self.lost += spans;
        self.settings.metrics.exceeded(Bound::TraceExport, spans);
    }
}
