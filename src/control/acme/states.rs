//! The state of every certificate of ACME, for the API, the dashboard and the metrics.

use std::collections::HashSet;
use std::time::Duration;

use crate::observe::certificates::CertificateState;

use super::challenge::ChallengeKind;
use super::history::FailureHistory;
use super::plan::CertificateOrder;
use super::renewal::ManagedCertificate;

/// The source of these certificates.
pub const SOURCE: &str = "acme";

/// The values that [`describe`] needs.
pub struct StateInputs<'a> {
    pub certificates: &'a [ManagedCertificate],
    pub planned: &'a [CertificateOrder],
    pub busy: &'a HashSet<CertificateOrder>,
    /// The names for which no certificate can be requested, with the reasons.
    pub refused: &'a [(String, String)],
    pub history: &'a FailureHistory,
    pub challenge: &'a ChallengeKind,
    pub now_secs: i64,
    /// Now, as the history counts.
    pub now: Duration,
}

/// The states of all certificates of the file, of orders for names without a certificate, and of names that cannot be requested.
pub fn describe(inputs: &StateInputs<'_>) -> Vec<CertificateState> {
    let mut states: Vec<CertificateState> =
        inputs.certificates.iter().map(|managed| of_certificate(inputs, managed)).collect();
    let renews = |order: &CertificateOrder| {
        let mut names = order.names.clone();
        names.sort_unstable();
        inputs.certificates.iter().any(|managed| managed.stored.sorted_names() == names)
    };
    states.extend(inputs.planned.iter().filter(|order| !renews(order)).map(|order| of_order(inputs, order)));
    states.extend(inputs.refused.iter().map(|(name, reason)| CertificateState {
        names: vec![name.clone()],
        source: SOURCE.to_owned(),
        next_step: "none: the name cannot be requested".to_owned(),
        last_error: reason.clone(),
        ..CertificateState::default()
    }));
    states
}

fn of_certificate(inputs: &StateInputs<'_>, managed: &ManagedCertificate) -> CertificateState {
    let sorted = managed.stored.sorted_names();
    let is_same = |order: &&CertificateOrder| {
        let mut names = order.names.clone();
        names.sort_unstable();
        names == sorted
    };
    let renewal = inputs.planned.iter().chain(inputs.busy).find(is_same);
    let mut state = match renewal {
        Some(order) => of_order(inputs, order),
        None if managed.is_due(inputs.now_secs) => {
            step(inputs, "none: its names have other certificates or are not in use", None)
        }
        None => step(inputs, "renewal", managed.due_secs()),
    };
    state.names = managed.stored.names();
    state.not_after_secs = managed.certificate.as_ref().map(|certificate| certificate.not_after_secs);
    state
}

fn of_order(inputs: &StateInputs<'_>, order: &CertificateOrder) -> CertificateState {
    let wait = inputs.history.not_before(order).saturating_sub(inputs.now);
    let at = inputs.now_secs.saturating_add(i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
    let mut state = match inputs.busy.contains(order) {
        true => step(inputs, "order running", None),
        false => step(inputs, "order", Some(at)),
    };
    state.names = order.names.clone();
    state.last_error = inputs.history.last(order).map(|failures| failures.reason.clone()).unwrap_or_default();
    state
}

fn step(inputs: &StateInputs<'_>, next_step: &str, at: Option<i64>) -> CertificateState {
    CertificateState {
        source: SOURCE.to_owned(),
        challenge: inputs.challenge.name().to_owned(),
        next_step: next_step.to_owned(),
        next_step_secs: at,
        ..CertificateState::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::OrderError;
    use super::super::history::RetrySchedule;
    use super::super::tests::managed;
    use super::*;

    #[test]
    fn every_certificate_order_and_refused_name_has_a_state() {
        let order = |names: &[&str]| CertificateOrder { names: names.iter().map(|name| (*name).to_owned()).collect() };
        let certificates = [managed(&["valid.x"], 80, 90), managed(&["due.x"], 5, 90)];
        let planned = [order(&["due.x"]), order(&["new.x"])];
        let mut history = FailureHistory::default();
        let error = OrderError::because("no way");
        history.failed(&planned[1], &error, Duration::ZERO, &RetrySchedule::default(), 0);
        let states = describe(&StateInputs {
            certificates: &certificates,
            planned: &planned,
            busy: &[planned[0].clone()].into(),
            refused: &[("nas".to_owned(), "local".to_owned())],
            history: &history,
            challenge: &ChallengeKind::TlsAlpn,
            now_secs: 0,
            now: Duration::from_secs(10),
        });
        let shown: Vec<_> = states
            .iter()
            .map(|state| (state.names.join(","), state.next_step.as_str(), state.last_error.as_str()))
            .collect();
        assert_eq!(shown[0], ("valid.x".to_owned(), "renewal", ""));
        assert_eq!(shown[1], ("due.x".to_owned(), "order running", ""));
        assert_eq!(shown[2], ("new.x".to_owned(), "order", "no way"));
        assert_eq!((shown[3].0.as_str(), shown[3].2), ("nas", "local"));
        assert_eq!(states[2].next_step_secs, Some(50));
        assert_eq!(states[0].challenge, "tls-alpn-01");
        assert_eq!(states[0].not_after_secs, Some(80 * 86_400));
    }
}
