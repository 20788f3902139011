//! What to ask the certificate authority for, and when to try again. Pure: time and random numbers are arguments.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::tls::certificate::{Certificate, name_covers};

use super::store::{Stored, unique_names};

/// Certificates with less left are renewed (docs/reference/acme.md#orders-and-renewal), unless they live so short that a third is less.
const RENEW_BEFORE_SECS: i64 = 30 * 86_400;

/// Names that should have a certificate together: one frontend's hosts, or one `[[acme.domains]]` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DomainRequest {
    /// The first name.
    pub main: String,
    /// The others.
    pub sans: Vec<String>,
}

impl DomainRequest {
    /// In their normal form.
    fn names(&self) -> Vec<String> {
        unique_names(std::iter::once(&self.main).chain(&self.sans))
    }
}

/// Everything that is wanted at the moment; the control plane publishes it anew when frontends change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredCertificates {
    /// From `[[acme.domains]]` and, with onHostRule, from the frontends' Host rules.
    pub requests: Vec<DomainRequest>,
    /// Names (also `*.x`) that certificates from the configuration cover already.
    pub covered: Vec<String>,
}

/// A certificate that is in the store, with what was read from it; `None` when it cannot be read.
#[derive(Debug, Clone)]
pub struct ManagedCertificate {
    /// As in the file.
    pub stored: Stored,
    /// As handshakes use it.
    pub certificate: Option<std::sync::Arc<Certificate>>,
}

/// One certificate to ask for: first name is the main one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateOrder {
    /// Lower-cased, unique, at least one.
    pub names: Vec<String>,
}

/// What [`jobs`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OrderPlan {
    /// To be obtained or renewed.
    pub jobs: Vec<CertificateOrder>,
    /// Names that can never be obtained this way, with the reason.
    pub refused: Vec<(String, String)>,
}

/// Which certificates are missing or due for renewal at `now_secs` (seconds since 1970).
///
/// As in Traefik, a name is not requested when any certificate covers it, and what is left of a request becomes a
/// certificate of its own (docs/reference/acme.md#which-names). Names are also taken once only when two requests share them. A certificate that is
/// due covers nothing: its renewal does.
pub fn plan_orders(wanted: &DesiredCertificates, held: &[ManagedCertificate], now_secs: i64) -> OrderPlan {
    let mut plan = OrderPlan::default();
    let (due, lasting): (Vec<&ManagedCertificate>, Vec<&ManagedCertificate>) =
        held.iter().partition(|old| is_due(old.certificate.as_deref(), now_secs));
    let in_use: HashSet<String> = wanted.requests.iter().flat_map(DomainRequest::names).collect();
    due.into_iter().for_each(|old| plan.renew(old.stored.names(), &in_use));
    for request in &wanted.requests {
        let mut names = request.names();
        names.retain(|name| !is_covered(name, wanted, &lasting, &plan.jobs) && plan.may_ask_for(name));
        if !names.is_empty() {
            plan.jobs.push(CertificateOrder { names });
        }
    }
    plan
}

impl OrderPlan {
    /// A certificate is renewed whole or not at all. One that cannot be had again, or of whose names some are in use and some
    /// are not, would take those in use down with the rest (a name that was given up mostly leads nowhere): they get
    /// certificates of their own. One that nobody uses is renewed, as in Traefik.
    fn renew(&mut self, names: Vec<String>, in_use: &HashSet<String>) {
        let obtainable = names.iter().filter(|name| self.may_ask_for(name)).count();
        let used = names.iter().filter(|name| in_use.contains(*name)).count();
        let is_whole = obtainable == names.len() && (used == names.len() || used == 0);
        if is_whole && !names.is_empty() {
            self.jobs.push(CertificateOrder { names });
        }
    }

    /// Notes why, if not.
    fn may_ask_for(&mut self, name: &str) -> bool {
        let why = unobtainable(name);
        let may = why.is_none();
        self.refused.extend(why.map(|why| (name.to_owned(), why)));
        may
    }
}

/// Is it time to renew: fewer than 30 days left, or than a third of its life if that is less; or is it unreadable?
pub fn is_due(certificate: Option<&Certificate>, now_secs: i64) -> bool {
    certificate.is_none_or(|certificate| due_from_secs(certificate) <= now_secs)
}

/// The time until the next certificate becomes due. One that is due already has its own pauses.
pub fn next_due(held: &[ManagedCertificate], now_secs: i64) -> Option<Duration> {
    let certificates = held.iter().filter_map(|old| old.certificate.as_deref());
    let waits = certificates.filter_map(|certificate| u64::try_from(due_from_secs(certificate) - now_secs).ok());
    waits.filter(|secs| *secs > 0).min().map(Duration::from_secs)
}

/// The first second at which it is due.
fn due_from_secs(certificate: &Certificate) -> i64 {
    let life = certificate.not_after_secs - certificate.not_before_secs;
    certificate.not_after_secs - RENEW_BEFORE_SECS.min(life / 3) + 1
}

/// Of several certificates for the same names only the one that lasts longest: a renewal takes the place of one, and the others would
/// be due for ever.
pub fn lasting_longest(mut held: Vec<ManagedCertificate>) -> Vec<ManagedCertificate> {
    held.sort_by_key(|held| Reverse(held.certificate.as_ref().map(|certificate| certificate.not_after_secs)));
    let mut seen = HashSet::new();
    held.retain(|held| seen.insert(held.stored.sorted_names()));
    held
}

fn is_covered(
    name: &str,
    wanted: &DesiredCertificates,
    lasting: &[&ManagedCertificate],
    jobs: &[CertificateOrder],
) -> bool {
    wanted.covered.iter().any(|own| name_covers(&own.to_lowercase(), name))
        || lasting.iter().filter_map(|old| old.certificate.as_ref()).any(|certificate| certificate.covers(name))
        || jobs.iter().flat_map(|job| &job.names).any(|own| own == name)
}

fn unobtainable(name: &str) -> Option<String> {
    if name.contains('*') {
        return Some("a wildcard needs the DNS challenge, which this proxy does not have: list the names".into());
    }
    let label = |label: &str| {
        let fine = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        fine && (1..=63).contains(&label.len())
    };
    match name.len() <= 253 && name.split('.').all(label) {
        true => None,
        false => Some("it is not a DNS name: write international names in their xn-- form".into()),
    }
}

/// How often to try again after failures.
#[derive(Debug, Clone, Copy)]
pub struct RetrySchedule {
    /// Pause after the first failure; every further one triples it.
    pub retry_first: Duration,
    /// The longest pause.
    pub retry_max: Duration,
    /// Pause between looks at what is due when nothing else happens.
    pub check_every: Duration,
    /// The longest time for one certificate from order to file.
    pub order_max: Duration,
}

impl Default for RetrySchedule {
    /// At 0, 2, 8, 26, 80 minutes and so on up to every 12 hours: four tries in the first hour stay under the five
    /// failed validations per hour that Let's Encrypt allows for a name.
    fn default() -> RetrySchedule {
        RetrySchedule {
            retry_first: Duration::from_secs(120),
            retry_max: Duration::from_secs(12 * 3600),
            check_every: Duration::from_secs(24 * 3600),
            order_max: Duration::from_secs(180),
        }
    }
}

impl RetrySchedule {
    /// The pause after `failures` failures in a row, up to a fifth longer by `random` so that many proxies (or
    /// names) that failed together do not come back together.
    pub fn pause(&self, failures: u32, random: u32) -> Duration {
        let factor = 3u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.retry_first.saturating_mul(factor).min(self.retry_max);
        pause + pause.mul_f64(0.2 * f64::from(random) / f64::from(u32::MAX))
    }
}

/// Failures by job, so that each has its own rhythm. Time is counted from an origin that the caller chooses.
#[derive(Debug, Default)]
pub struct FailureHistory {
    failed: HashMap<CertificateOrder, (u32, Duration)>,
}

impl FailureHistory {
    /// Notes a failure at `now` and returns how many there were and the pause before the next try.
    pub fn failed(
        &mut self,
        job: &CertificateOrder,
        now: Duration,
        pacing: &RetrySchedule,
        random: u32,
    ) -> (u32, Duration) {
        let entry = self.failed.entry(job.clone()).or_default();
        entry.0 += 1;
        let pause = pacing.pause(entry.0, random);
        entry.1 = now + pause;
        (entry.0, pause)
    }

    /// Forgets the failures of a job. Should the new certificate look due at once (a clock that is wrong by months, an
    /// authority that issues it in the past), it is not ordered again before the longest pause is over.
    pub fn succeeded(&mut self, job: &CertificateOrder, now: Duration, pacing: &RetrySchedule) {
        self.failed.insert(job.clone(), (0, now + pacing.retry_max));
    }

    /// Forgets jobs that nobody wants any more. The renewal of a certificate that is `held` pauses on: it is wanted again as soon as all of
    /// its names are.
    pub fn keep_only(&mut self, jobs: &[CertificateOrder], held: &[ManagedCertificate]) {
        self.failed.retain(|job, _| jobs.contains(job) || held.iter().any(|old| old.stored.names() == job.names));
    }

    /// When a job may be tried: zero when it has not failed.
    pub fn not_before(&self, job: &CertificateOrder) -> Duration {
        self.failed.get(job).map_or(Duration::ZERO, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const DAY: i64 = 86_400;

    fn held(names: &[&str], left_days: i64, life_days: i64) -> ManagedCertificate {
        let made = Certificate::generated([0; 32], std::time::SystemTime::UNIX_EPOCH).unwrap();
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let stored = Stored { main: names[0].clone(), sans: names[1..].to_vec(), certificate: vec![], key: vec![] };
        let not_before_secs = (left_days - life_days) * DAY;
        let certificate = Certificate { names, not_before_secs, not_after_secs: left_days * DAY, ..made };
        ManagedCertificate { stored, certificate: Some(Arc::new(certificate)) }
    }

    fn want(requests: &[&[&str]], covered: &[&str]) -> DesiredCertificates {
        let text = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let request = |names: &&[&str]| DomainRequest { main: names[0].into(), sans: text(&names[1..]) };
        DesiredCertificates { requests: requests.iter().map(request).collect(), covered: text(covered) }
    }

    fn names(plan: &OrderPlan) -> Vec<String> {
        plan.jobs.iter().map(|job| job.names.join(",")).collect()
    }

    #[test]
    fn only_uncovered_names_are_requested_once() {
        let wanted = want(&[&["A.x.", "b.x", "a.x"], &["b.x", "c.x"], &["d.y"], &["own.z", "e.z"]], &["*.y", "OWN.z"]);
        assert_eq!(names(&plan_orders(&wanted, &[], 0)), ["a.x,b.x", "c.x", "e.z"]);
        assert_eq!(names(&plan_orders(&wanted, &[held(&["a.x", "*.z"], 80, 90)], 0)), ["b.x", "c.x"]);
    }

    #[test]
    fn renewal_is_due_under_30_days_or_a_third() {
        assert_eq!(
            names(&plan_orders(&DesiredCertificates::default(), &[held(&["a.x", "b.x"], 29, 90)], 0)),
            ["a.x,b.x"]
        );
        assert!(plan_orders(&DesiredCertificates::default(), &[held(&["a.x"], 30, 90)], 0).jobs.is_empty());
        assert!(plan_orders(&DesiredCertificates::default(), &[held(&["a.x"], 3, 6)], 0).jobs.is_empty());
        assert_eq!(names(&plan_orders(&DesiredCertificates::default(), &[held(&["a.x"], 1, 6)], 0)), ["a.x"]);
        assert_eq!(names(&plan_orders(&DesiredCertificates::default(), &[held(&["a.x"], -5, 90)], 0)), ["a.x"]);
        let unreadable = ManagedCertificate { certificate: None, ..held(&["a.x"], 80, 90) };
        assert_eq!(names(&plan_orders(&DesiredCertificates::default(), &[unreadable], 0)), ["a.x"]);
    }

    #[test]
    fn a_due_renewal_and_a_request_for_the_same_name_are_one_job() {
        let unreadable = ManagedCertificate { certificate: None, ..held(&["a.x"], 80, 90) };
        assert_eq!(names(&plan_orders(&want(&[&["a.x"]], &[]), &[unreadable], 0)), ["a.x"]);
    }

    #[test]
    fn the_next_certificate_that_becomes_due_is_waited_for() {
        let hour = Duration::from_secs(3600);
        let wait = |held: &[ManagedCertificate], now| next_due(held, now);
        // A life of 6 hours: due when less than 2 are left, so from the second after 4 of them are over.
        let mut short = held(&["a.x"], 0, 0);
        let made = Certificate {
            not_before_secs: 0,
            not_after_secs: 6 * 3600,
            ..Arc::into_inner(short.certificate.unwrap()).unwrap()
        };
        short.certificate = Some(Arc::new(made));
        let second = Duration::from_secs(1);
        assert_eq!(wait(std::slice::from_ref(&short), 0), Some(4 * hour + second));
        assert_eq!(wait(&[held(&["b.x"], 90, 90), short.clone()], 4 * 3600), Some(second));
        assert!(!is_due(short.certificate.as_deref(), 4 * 3600) && is_due(short.certificate.as_deref(), 4 * 3600 + 1));
        assert_eq!(wait(&[held(&["b.x"], 90, 90), short.clone()], 4 * 3600 + 1), Some(60 * 24 * hour - 4 * hour));
        assert_eq!(wait(&[short, ManagedCertificate { certificate: None, ..held(&["c.x"], 80, 90) }], 7 * 3600), None);
    }

    #[test]
    fn names_that_were_given_up_take_no_other_down() {
        let due = [held(&["a.x", "B.x."], 29, 90)];
        let plans =
            |requests: &[&[&str]], due: &[ManagedCertificate]| names(&plan_orders(&want(requests, &[]), due, 0));
        assert_eq!(plans(&[&["b.x"], &["a.x"]], &due), ["a.x,b.x"], "all are in use");
        assert_eq!(plans(&[&["A.x"]], &due), ["a.x"], "b.x would make the renewal fail for ever");
        assert_eq!(plans(&[&["c.x"]], &due), ["a.x,b.x", "c.x"], "nobody uses it");
        assert_eq!(plans(&[&["a.x"]], &[due[0].clone(), held(&["a.x"], 80, 90)]), [""; 0], "a.x has its own");
        assert_eq!(plans(&[&["a.x"]], &[held(&["a.x", "b.x"], 30, 90)]), [""; 0], "it is not due");
    }

    #[test]
    fn hosts_of_a_wildcard_that_is_due_get_certificates_of_their_own() {
        let due = [held(&["*.x", "x"], 29, 90)];
        let plan = plan_orders(&want(&[&["a.x", "b.x"], &["x"]], &[]), &due, 0);
        assert_eq!(names(&plan), ["a.x,b.x", "x"]);
        assert_eq!(plan.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["*.x"]);
        assert!(
            plan_orders(&DesiredCertificates::default(), &due, 0).jobs.is_empty(),
            "the authority would refuse it for ever"
        );
    }

    #[test]
    fn of_certificates_for_the_same_names_the_one_that_lasts_longest_is_kept() {
        let unreadable = ManagedCertificate { certificate: None, ..held(&["a.x", "b.x"], 99, 99) };
        let all = vec![unreadable, held(&["a.x", "b.x"], 5, 90), held(&["a.x"], 6, 90), held(&["b.x", "A.x"], 80, 90)];
        let kept: Vec<i64> =
            lasting_longest(all).iter().map(|held| held.certificate.as_ref().unwrap().not_after_secs).collect();
        assert_eq!(kept, [80 * DAY, 6 * DAY]);
    }

    #[test]
    fn wildcards_and_non_names_are_refused_with_a_reason() {
        let plan = plan_orders(&want(&[&["*.x", "ok.x"], &["bad name"], &[""]], &[]), &[], 0);
        assert_eq!(names(&plan), ["ok.x"]);
        assert_eq!(plan.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["*.x", "bad name"]);
    }

    #[test]
    fn pauses_grow_threefold_up_to_the_limit() {
        let pacing = RetrySchedule::default();
        let minutes = |failures| pacing.pause(failures, 0).as_secs() / 60;
        assert_eq!([1, 2, 3, 4].map(minutes), [2, 6, 18, 54]);
        assert_eq!(pacing.pause(40, 0), pacing.retry_max);
        assert_eq!(pacing.pause(1, u32::MAX), Duration::from_secs(144));
    }

    #[test]
    fn attempts_are_kept_by_job() {
        let (mut attempts, job) = (FailureHistory::default(), CertificateOrder { names: vec!["a.x".into()] });
        let pacing = RetrySchedule::default();
        assert_eq!(attempts.not_before(&job), Duration::ZERO);
        assert_eq!(attempts.failed(&job, Duration::from_secs(10), &pacing, 0), (1, Duration::from_secs(120)));
        assert_eq!(attempts.failed(&job, Duration::from_secs(200), &pacing, 0).0, 2);
        assert_eq!(attempts.not_before(&job), Duration::from_secs(560));
        attempts.succeeded(&job, Duration::from_secs(600), &pacing);
        assert_eq!(attempts.not_before(&job), Duration::from_secs(600) + pacing.retry_max);
        let held = [held(&["a.x"], 0, 90)];
        attempts.keep_only(&[], &held);
        assert_eq!(attempts.not_before(&job), Duration::from_secs(600) + pacing.retry_max, "its renewal pauses on");
        attempts.keep_only(&[], &[]);
        assert_eq!(attempts.not_before(&job), Duration::ZERO);
    }
}
