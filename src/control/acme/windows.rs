//! The renewal windows that the authority has given, and when to ask again.

use std::collections::HashMap;
use std::time::Duration;

use super::history::RetrySchedule;
use super::renewal::ManagedCertificate;
use super::renewal_info::{CertificateId, RenewalAnswer, RenewalWindow, pause_after_failure};

/// Requests for windows side by side.
const REQUESTS_MAX: usize = 4;

/// The window of one certificate, as far as it is known. Times are durations since the start of the manager.
#[derive(Debug, Clone, Copy)]
struct Known {
    window: Option<RenewalWindow>,
    /// The moment of the window that was chosen, in seconds since 1970.
    chosen_secs: Option<i64>,
    ask_at: Duration,
    is_asking: bool,
}

/// The windows of all certificates.
#[derive(Debug, Default)]
pub struct RenewalWindows {
    known: HashMap<CertificateId, Known>,
}

impl RenewalWindows {
    /// The certificates to ask for now, and the time until the next one.
    pub fn next(
        &mut self,
        certificates: &[ManagedCertificate],
        now: Duration,
    ) -> (Vec<CertificateId>, Option<Duration>) {
        let ids: Vec<CertificateId> = certificates.iter().filter_map(|managed| managed.id.clone()).collect();
        self.known.retain(|id, _| ids.contains(id));
        let mut running = self.known.values().filter(|known| known.is_asking).count();
        let (mut ask, mut pause) = (Vec::new(), None::<Duration>);
        for id in ids {
            let unknown = Known { window: None, chosen_secs: None, ask_at: Duration::ZERO, is_asking: false };
            let known = self.known.entry(id.clone()).or_insert(unknown);
            if known.is_asking {
                continue;
            }
            match known.ask_at.checked_sub(now).filter(|wait| !wait.is_zero()) {
                Some(wait) => pause = Some(pause.map_or(wait, |pause| pause.min(wait))),
                None if running < REQUESTS_MAX => {
                    known.is_asking = true;
                    running += 1;
                    ask.push(id);
                }
                // One of those that are running wakes the caller.
                None => {}
            }
        }
        (ask, pause)
    }

    /// Takes an answer. A window that has not changed keeps the moment that was chosen in it.
    pub fn answered(
        &mut self,
        id: &CertificateId,
        answer: &Result<RenewalAnswer, String>,
        now: Duration,
        schedule: &RetrySchedule,
        random: u32,
    ) {
        let Some(known) = self.known.get_mut(id) else { return };
        known.is_asking = false;
        let pause = match answer {
            Ok(answer) => {
                if known.window != answer.window {
                    known.window = answer.window;
                    known.chosen_secs = answer.window.map(|window| window.choose(random));
                }
                answer.pause.max(schedule.renewal_info_min)
            }
            Err(_) => pause_after_failure(schedule.renewal_info_min),
        };
        known.ask_at = now.saturating_add(pause);
    }

    /// The moment chosen for a certificate, in seconds since 1970.
    pub fn chosen_secs(&self, certificate: &ManagedCertificate) -> Option<i64> {
        self.known.get(certificate.id.as_ref()?)?.chosen_secs
    }

    /// The identifier of a certificate to name in the order that replaces it: only if the authority has given a window for it.
    pub fn replaced_id(&self, certificate: &ManagedCertificate) -> Option<CertificateId> {
        let id = certificate.id.clone()?;
        let has_window = self.known.get(&id).is_some_and(|known| known.window.is_some());
        has_window.then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::managed;
    use super::*;

    fn with_id(serial: &str) -> ManagedCertificate {
        let id = CertificateId { authority_key: "a".to_owned(), serial: serial.to_owned() };
        ManagedCertificate { id: Some(id), ..managed(&["a.x"], 90, 90) }
    }

    #[test]
    fn windows_are_asked_for_again_after_the_pause_of_the_authority() {
        let (mut windows, schedule) = (RenewalWindows::default(), RetrySchedule::default());
        let (certificate, now) = (with_id("1"), Duration::from_secs(100));
        let certificates = [certificate.clone(), managed(&["b.x"], 90, 90)];
        let (ask, pause) = windows.next(&certificates, now);
        assert_eq!((ask.len(), pause), (1, None));
        assert_eq!(windows.next(&certificates, now).0, [], "the request is running");
        assert_eq!(windows.replaced_id(&certificate), None);
        let window = Some(RenewalWindow { start_secs: 1_000, end_secs: 2_000 });
        let answer = Ok(RenewalAnswer { window, pause: Duration::from_secs(600) });
        windows.answered(&ask[0], &answer, now, &schedule, 0);
        assert_eq!(windows.chosen_secs(&certificate), Some(1_000));
        assert_eq!(windows.replaced_id(&certificate).as_ref(), Some(&ask[0]));
        assert_eq!(windows.next(&certificates, now), (vec![], Some(Duration::from_secs(600))));
        let later = now + Duration::from_secs(600);
        assert_eq!(windows.next(&certificates, later).0, ask);
        windows.answered(&ask[0], &answer, later, &schedule, u32::MAX);
        assert_eq!(windows.chosen_secs(&certificate), Some(1_000), "the same window");
        let moved =
            Ok(RenewalAnswer { window: Some(RenewalWindow { start_secs: 1, end_secs: 2 }), pause: Duration::ZERO });
        windows.answered(&ask[0], &moved, later, &schedule, 0);
        assert_eq!(windows.chosen_secs(&certificate), Some(1), "the authority wants an earlier renewal");
        assert_eq!(windows.next(&certificates, later).1, Some(schedule.renewal_info_min));
        windows.answered(&ask[0], &Err("down".to_owned()), later, &schedule, 0);
        assert_eq!(windows.chosen_secs(&certificate), Some(1), "a failure changes nothing");
        assert_eq!(windows.next(&[], later), (vec![], None));
        assert_eq!(windows.chosen_secs(&certificate), None, "the certificate is gone");
    }

    #[test]
    fn requests_for_windows_are_few_at_a_time() {
        let mut windows = RenewalWindows::default();
        let certificates: Vec<_> = (0..20).map(|serial| with_id(&serial.to_string())).collect();
        assert_eq!(windows.next(&certificates, Duration::ZERO).0.len(), REQUESTS_MAX);
        assert_eq!(windows.next(&certificates, Duration::ZERO).0.len(), 0);
    }
}
