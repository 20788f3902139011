//! When a certificate is renewed: in the window that the authority suggests (RFC 9773), else with a third of its lifetime left.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::tls::certificate::Certificate;

use super::renewal_info::CertificateId;
use super::store::Stored;

/// A certificate is renewed this time before it expires, or with a third of its lifetime left if that is less
/// (docs/reference/acme.md#orders-and-renewal).
const RENEW_BEFORE_SECS: i64 = 30 * 86_400;
/// A suggested time is not followed further than to this part of the lifetime before the end: a certificate must not lapse by it.
const SUGGESTED_LATEST_PART: i64 = 6;

/// A certificate of the store.
#[derive(Debug, Clone)]
pub struct ManagedCertificate {
    /// The entry of the file.
    pub stored: Stored,
    /// The parsed certificate for handshakes; `None` if it cannot be parsed.
    pub certificate: Option<Arc<Certificate>>,
    /// The second (since 1970) that was chosen in the authority's window, if the authority suggests one.
    pub suggested_secs: Option<i64>,
    /// The identifier for the authority; `None` for a certificate that no authority has issued.
    pub id: Option<CertificateId>,
}

impl ManagedCertificate {
    /// Whether the certificate has to be renewed at `now_secs`.
    pub fn is_due(&self, now_secs: i64) -> bool {
        self.due_secs().is_none_or(|due| due <= now_secs)
    }

    /// The first second (since 1970) at which the certificate is due; `None` for one that cannot be read, which is always due.
    pub fn due_secs(&self) -> Option<i64> {
        let certificate = self.certificate.as_deref()?;
        let lifetime = certificate.not_after_secs.saturating_sub(certificate.not_before_secs);
        let latest = certificate.not_after_secs - lifetime / SUGGESTED_LATEST_PART;
        Some(self.suggested_secs.map_or_else(|| due_by_lifetime(certificate), |suggested| suggested.min(latest)))
    }
}

/// The first second at which a certificate is due by its lifetime. Up to a tenth of the time that is left then is added, by a number that
/// each certificate has of its own: certificates that were issued together are not renewed together.
fn due_by_lifetime(certificate: &Certificate) -> i64 {
    let lifetime = certificate.not_after_secs.saturating_sub(certificate.not_before_secs).max(0);
    let before = RENEW_BEFORE_SECS.min(lifetime / 3);
    let hash = certificate.key.cert.first().map(|der| digest(&SHA256, der));
    let own =
        hash.as_ref().and_then(|hash| hash.as_ref().first_chunk::<4>()).map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let jitter = i64::from(own) * (before / 10) / i64::from(u32::MAX);
    certificate.not_after_secs - before + jitter + 1
}

/// The time until the next certificate becomes due. Certificates that are due already do not count: their orders have pauses of their own.
pub fn next_due(certificates: &[ManagedCertificate], now_secs: i64) -> Option<Duration> {
    let waits = certificates.iter().filter_map(|managed| u64::try_from(managed.due_secs()? - now_secs).ok());
    waits.filter(|secs| *secs > 0).min().map(Duration::from_secs)
}

/// Keeps, of several certificates for the same names, only the one that expires last: a renewal replaces only one of them, so the others
/// would stay due indefinitely.
pub fn lasting_longest(mut certificates: Vec<ManagedCertificate>) -> Vec<ManagedCertificate> {
    certificates.sort_by_key(|managed| Reverse(managed.certificate.as_ref().map(|c| c.not_after_secs)));
    let mut seen = HashSet::new();
    certificates.retain(|managed| seen.insert(managed.stored.sorted_names()));
    certificates
}

#[cfg(test)]
mod tests {
    use super::super::tests::managed;
    use super::*;

    const DAY: i64 = 86_400;

    /// Renews a certificate whenever it is due, for two years in steps of a minute. Returns the shortest and the longest time that a
    /// certificate had left when its renewal came, in seconds.
    fn simulate(life_days: i64) -> (i64, i64) {
        let (mut current, mut left) = (managed(&["a.x"], life_days, life_days), Vec::new());
        for now in (0..2 * 365 * DAY).step_by(60) {
            let ends = current.certificate.as_ref().unwrap().not_after_secs;
            assert!(ends > now, "a certificate of {life_days} days lapsed");
            if current.is_due(now) {
                left.push(ends - now);
                let mut next = managed(&["a.x"], 0, 0);
                let renewed = Arc::get_mut(next.certificate.as_mut().unwrap()).unwrap();
                (renewed.not_before_secs, renewed.not_after_secs) = (now, now + life_days * DAY);
                current = next;
            }
        }
        (*left.iter().min().unwrap(), *left.iter().max().unwrap())
    }

    #[test]
    fn certificates_of_every_lifetime_are_renewed_with_a_third_left() {
        for (life_days, third_secs) in [(6, 2 * DAY), (45, 15 * DAY), (64, 64 * DAY / 3), (90, 30 * DAY)] {
            let (shortest, longest) = simulate(life_days);
            assert!(longest <= third_secs, "{life_days} days: renewed with {longest} s left");
            assert!(shortest >= third_secs * 9 / 10 - 60, "{life_days} days: renewed with {shortest} s left");
        }
        let (shortest, longest) = simulate(397);
        assert!(longest <= 30 * DAY && shortest >= 27 * DAY - 60, "a year: as in Traefik");
    }

    #[test]
    fn suggested_time_wins_but_lets_no_certificate_lapse() {
        let mut certificate = managed(&["a.x"], 90, 90);
        certificate.suggested_secs = Some(5 * DAY);
        assert!(!certificate.is_due(5 * DAY - 1) && certificate.is_due(5 * DAY), "earlier than a third");
        certificate.suggested_secs = Some(-DAY);
        assert!(certificate.is_due(0), "the window is over");
        certificate.suggested_secs = Some(400 * DAY);
        assert_eq!(certificate.due_secs(), Some(75 * DAY));
        let unreadable = ManagedCertificate { certificate: None, ..certificate };
        assert!(unreadable.is_due(0));
    }

    #[test]
    fn next_due_is_time_until_next_certificate_becomes_due() {
        let (soon, later) = (managed(&["a.x"], 6, 6), managed(&["b.x"], 90, 90));
        let due = soon.due_secs().unwrap();
        let wait = |now| next_due(&[later.clone(), soon.clone()], now);
        assert_eq!(wait(0), Some(Duration::from_secs(due as u64)));
        assert_eq!(wait(due - 1), Some(Duration::from_secs(1)));
        assert_eq!(wait(due), Some(Duration::from_secs((later.due_secs().unwrap() - due) as u64)), "soon is due");
        assert_eq!(next_due(&[ManagedCertificate { certificate: None, ..soon }], 0), None);
    }

    #[test]
    fn longest_lasting_certificate_for_same_names_is_kept() {
        let unreadable = ManagedCertificate { certificate: None, ..managed(&["a.x", "b.x"], 99, 99) };
        let all = vec![
            unreadable,
            managed(&["a.x", "b.x"], 5, 90),
            managed(&["a.x"], 6, 90),
            managed(&["b.x", "A.x"], 80, 90),
        ];
        let kept: Vec<i64> =
            lasting_longest(all).iter().map(|managed| managed.certificate.as_ref().unwrap().not_after_secs).collect();
        assert_eq!(kept, [80 * DAY, 6 * DAY]);
    }
}
