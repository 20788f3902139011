//! Takes the workers' counts into the history of the dashboard, once a second (docs/reference/api.md#history).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{MissedTickBehavior, interval};

use crate::observe::metrics::Metrics;

const TICK: Duration = Duration::from_secs(1);

/// Runs until the process ends, or not at all without `[api]`.
pub async fn run(metrics: Arc<Metrics>) {
    let Some(traffic) = metrics.traffic() else { return };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is due at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        traffic.tick(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX));
    }
}
