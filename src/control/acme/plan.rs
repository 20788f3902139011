//! Plans which certificates to order from the certificate authority, and when to try again after failures. Pure functions: time and random
//! numbers are arguments.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::tls::certificate::{Certificate, name_covers};

use super::store::{Stored, unique_names};

/// A certificate is renewed this time before it expires, or with a third of its lifetime left if that is less
/// (docs/reference/acme.md#orders-and-renewal).
const RENEW_BEFORE_SECS: i64 = 30 * 86_400;

/// The names of one desired certificate: the hosts of a frontend's rule, or one `[[acme.domains]]` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DomainRequest {
    /// The first name.
    pub main: String,
    /// The other names.
    pub sans: Vec<String>,
}

impl DomainRequest {
    /// All names, normalised by [`unique_names`].
    fn names(&self) -> Vec<String> {
        unique_names(std::iter::once(&self.main).chain(&self.sans))
    }
}

/// The certificates that the configuration asks for now. The control plane publishes a new value when frontends change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredCertificates {
    /// The requests of `[[acme.domains]]` and, with `onHostRule`, of the frontends' Host rules.
    pub requests: Vec<DomainRequest>,
    /// The names (also `*.x`) that certificates of the configuration cover.
    pub covered: Vec<String>,
}

/// A certificate of the store.
#[derive(Debug, Clone)]
pub struct ManagedCertificate {
    /// The entry of the file.
    pub stored: Stored,
    /// The parsed certificate for handshakes; `None` if it cannot be parsed.
    pub certificate: Option<std::sync::Arc<Certificate>>,
}

/// A certificate to order. The first name is the main one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateOrder {
    /// At least one name; lower-cased and unique.
    pub names: Vec<String>,
}

/// The result of [`plan_orders`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OrderPlan {
    /// The certificates to obtain or renew.
    pub jobs: Vec<CertificateOrder>,
    /// The names that cannot be obtained by the HTTP challenge, each with the reason.
    pub refused: Vec<(String, String)>,
}

/// Plans the orders for certificates that are missing or due for renewal at `now_secs` (seconds since 1970).
///
/// As in Traefik, a name is not requested if any certificate covers it, and the other names of the request become a certificate of their
/// own (docs/reference/acme.md#which-names). A name that two requests share is ordered with the first one only. A certificate that is due
/// does not cover its names; its renewal does.
pub fn plan_orders(desired: &DesiredCertificates, certificates: &[ManagedCertificate], now_secs: i64) -> OrderPlan {
    let mut plan = OrderPlan::default();
    let (due, valid): (Vec<&ManagedCertificate>, Vec<&ManagedCertificate>) =
        certificates.iter().partition(|managed| is_due(managed.certificate.as_deref(), now_secs));
    let in_use: HashSet<String> = desired.requests.iter().flat_map(DomainRequest::names).collect();
    due.into_iter().for_each(|managed| plan.renew(managed.stored.names(), &in_use));
    for request in &desired.requests {
        let mut names = request.names();
        names.retain(|name| !is_covered(name, desired, &valid, &plan.jobs) && plan.check_obtainable(name));
        if !names.is_empty() {
            plan.jobs.push(CertificateOrder { names });
        }
    }
    plan
}

impl OrderPlan {
    /// Plans the renewal of a due certificate with `names`, for all of them or not at all. A certificate with a name that cannot be
    /// obtained, or with some names in use and some not, is not renewed: the order would fail for the names in use too, because a name that
    /// is no longer used mostly does not lead to this proxy any more. The names in use get certificates of their own. A certificate
    /// without any name in use is renewed, as in Traefik.
    fn renew(&mut self, names: Vec<String>, in_use: &HashSet<String>) {
        let obtainable = names.iter().filter(|name| self.check_obtainable(name)).count();
        let used = names.iter().filter(|name| in_use.contains(*name)).count();
        let is_whole = obtainable == names.len() && (used == names.len() || used == 0);
        if is_whole && !names.is_empty() {
            self.jobs.push(CertificateOrder { names });
        }
    }

    /// Whether a certificate for `name` can be obtained. If not, the name is added to `refused` with the reason.
    fn check_obtainable(&mut self, name: &str) -> bool {
        let reason = unobtainable_reason(name);
        let is_obtainable = reason.is_none();
        self.refused.extend(reason.map(|reason| (name.to_owned(), reason)));
        is_obtainable
    }
}

/// Whether a certificate has to be renewed: it cannot be read (`None`), or has fewer than 30 days left, or than a third of its lifetime if
/// that is less.
pub fn is_due(certificate: Option<&Certificate>, now_secs: i64) -> bool {
    certificate.is_none_or(|certificate| due_from_secs(certificate) <= now_secs)
}

/// The time until the next certificate becomes due. Certificates that are due already do not count: [`FailureHistory`] has their pauses.
pub fn next_due(certificates: &[ManagedCertificate], now_secs: i64) -> Option<Duration> {
    let readable = certificates.iter().filter_map(|managed| managed.certificate.as_deref());
    let waits = readable.filter_map(|certificate| u64::try_from(due_from_secs(certificate) - now_secs).ok());
    waits.filter(|secs| *secs > 0).min().map(Duration::from_secs)
}

/// The first second (since 1970) at which a certificate is due.
fn due_from_secs(certificate: &Certificate) -> i64 {
    let lifetime = certificate.not_after_secs - certificate.not_before_secs;
    certificate.not_after_secs - RENEW_BEFORE_SECS.min(lifetime / 3) + 1
}

/// Keeps, of several certificates for the same names, only the one that expires last: a renewal replaces only one of them, so the others
/// would stay due indefinitely.
pub fn lasting_longest(mut certificates: Vec<ManagedCertificate>) -> Vec<ManagedCertificate> {
    certificates.sort_by_key(|managed| Reverse(managed.certificate.as_ref().map(|c| c.not_after_secs)));
    let mut seen = HashSet::new();
    certificates.retain(|managed| seen.insert(managed.stored.sorted_names()));
    certificates
}

fn is_covered(
    name: &str,
    desired: &DesiredCertificates,
    valid: &[&ManagedCertificate],
    orders: &[CertificateOrder],
) -> bool {
    desired.covered.iter().any(|covered| name_covers(&covered.to_lowercase(), name))
        || valid.iter().filter_map(|managed| managed.certificate.as_ref()).any(|certificate| certificate.covers(name))
        || orders.iter().flat_map(|order| &order.names).any(|ordered| ordered == name)
}

/// Why no certificate for `name` can be obtained; `None` if one can.
fn unobtainable_reason(name: &str) -> Option<String> {
    if name.contains('*') {
        return Some("a wildcard needs the DNS challenge, which this proxy does not have: list the names".into());
    }
    if name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
        return Some("it is an address, and certificates are requested for names alone".into());
    }
    if name.contains('_') {
        return Some("no authority signs a name with an underscore".into());
    }
    let is_label = |label: &str| {
        let has_label_bytes = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        has_label_bytes && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => None,
        false => {
            Some("it is not a DNS name: write it without a port, and international names in their xn-- form".into())
        }
    }
}

/// Last labels of names that exist in one network or on one machine only (RFC 2606, RFC 6761, RFC 6762 and custom).
const LOCAL_DOMAINS: [&str; 11] =
    ["localhost", "local", "internal", "lan", "home", "corp", "intranet", "test", "example", "invalid", "localdomain"];

/// Takes names that no public authority signs out of the requests: names of one label, and of local domains. One of them makes a public
/// authority refuse the whole order. Returns the other requests, and the names with the reason.
pub fn without_local_names(desired: &DesiredCertificates) -> (DesiredCertificates, Vec<(String, String)>) {
    let mut refused = Vec::new();
    let mut requests = Vec::new();
    for request in &desired.requests {
        let (local, public): (Vec<String>, Vec<String>) = request.names().into_iter().partition(|name| is_local(name));
        let reason = "it is a name of a local network, which a public authority does not sign".to_owned();
        let is_served =
            |name: &String| desired.covered.iter().any(|covered| name_covers(&covered.to_lowercase(), name));
        refused.extend(local.into_iter().filter(|name| !is_served(name)).map(|name| (name, reason.clone())));
        let mut names = public.into_iter();
        if let Some(main) = names.next() {
            requests.push(DomainRequest { main, sans: names.collect() });
        }
    }
    (DesiredCertificates { requests, covered: desired.covered.clone() }, refused)
}

fn is_local(name: &str) -> bool {
    // What is no name at all is refused by `unobtainable_reason`, which knows more of it.
    let is_name = unobtainable_reason(name).is_none();
    is_name && name.rsplit_once('.').is_none_or(|(_, last)| LOCAL_DOMAINS.contains(&last))
}

/// The pauses between attempts, and the time-out of an order.
#[derive(Debug, Clone, Copy)]
pub struct RetrySchedule {
    /// The pause after the first failure; every further failure triples it.
    pub retry_first: Duration,
    /// The maximum pause.
    pub retry_max: Duration,
    /// The maximum time between two checks of which certificates are due.
    pub check_every: Duration,
    /// The time-out of one attempt, from the order to the saved file.
    pub order_max: Duration,
}

impl Default for RetrySchedule {
    /// Attempts at 0, 2, 8, 26, 80 minutes and so on, with pauses up to 12 hours: four attempts in the first hour stay below the five
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
    /// The pause after `failures` failures in a row. `random` lengthens it by up to a fifth, so that proxies (or names) that failed at the
    /// same time do not try again at the same time.
    pub fn pause(&self, failures: u32, random: u32) -> Duration {
        let factor = 3u32.saturating_pow(failures.saturating_sub(1));
        let pause = self.retry_first.saturating_mul(factor).min(self.retry_max);
        pause + pause.mul_f64(0.2 * f64::from(random) / f64::from(u32::MAX))
    }
}

/// The failures in a row of each order, and the time before which the order is not tried again. Times are durations since an origin that
/// the caller chooses.
#[derive(Debug, Default)]
pub struct FailureHistory {
    failed: HashMap<CertificateOrder, (u32, Duration)>,
}

impl FailureHistory {
    /// Records a failure at `now`. Returns the number of failures in a row and the pause before the next attempt.
    pub fn failed(
        &mut self,
        order: &CertificateOrder,
        now: Duration,
        schedule: &RetrySchedule,
        random: u32,
    ) -> (u32, Duration) {
        let entry = self.failed.entry(order.clone()).or_default();
        entry.0 += 1;
        let pause = schedule.pause(entry.0, random);
        entry.1 = now + pause;
        (entry.0, pause)
    }

    /// Forgets the failures of an order. If the new certificate is due at once (the clock is wrong by months, or the authority dates it
    /// in the past), it is not ordered again before the maximum pause has elapsed.
    pub fn succeeded(&mut self, order: &CertificateOrder, now: Duration, schedule: &RetrySchedule) {
        self.failed.insert(order.clone(), (0, now + schedule.retry_max));
    }

    /// Forgets orders that are not planned any more. The pause of an order that renews one of `certificates` is kept: the renewal is
    /// planned again as soon as all its names are in use again.
    pub fn keep_only(&mut self, planned: &[CertificateOrder], certificates: &[ManagedCertificate]) {
        let renews = |order: &CertificateOrder| certificates.iter().any(|old| old.stored.names() == order.names);
        self.failed.retain(|order, _| planned.contains(order) || renews(order));
    }

    /// The time before which an order must not be tried; zero if it has neither failed nor succeeded.
    pub fn not_before(&self, order: &CertificateOrder) -> Duration {
        self.failed.get(order).map_or(Duration::ZERO, |(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const DAY: i64 = 86_400;

    fn managed(names: &[&str], left_days: i64, life_days: i64) -> ManagedCertificate {
        let generated = Certificate::generated([0; 32], std::time::SystemTime::UNIX_EPOCH).unwrap();
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let stored = Stored { main: names[0].clone(), sans: names[1..].to_vec(), certificate: vec![], key: vec![] };
        let not_before_secs = (left_days - life_days) * DAY;
        let certificate = Certificate { names, not_before_secs, not_after_secs: left_days * DAY, ..generated };
        ManagedCertificate { stored, certificate: Some(Arc::new(certificate)) }
    }

    fn desire(requests: &[&[&str]], covered: &[&str]) -> DesiredCertificates {
        let text = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let request = |names: &&[&str]| DomainRequest { main: names[0].into(), sans: text(&names[1..]) };
        DesiredCertificates { requests: requests.iter().map(request).collect(), covered: text(covered) }
    }

    fn names(plan: &OrderPlan) -> Vec<String> {
        plan.jobs.iter().map(|order| order.names.join(",")).collect()
    }

    #[test]
    fn only_uncovered_names_are_requested_once() {
        let desired =
            desire(&[&["A.x.", "b.x", "a.x"], &["b.x", "c.x"], &["d.y"], &["own.z", "e.z"]], &["*.y", "OWN.z"]);
        assert_eq!(names(&plan_orders(&desired, &[], 0)), ["a.x,b.x", "c.x", "e.z"]);
        assert_eq!(names(&plan_orders(&desired, &[managed(&["a.x", "*.z"], 80, 90)], 0)), ["b.x", "c.x"]);
    }

    #[test]
    fn renewal_is_due_under_30_days_or_a_third() {
        assert_eq!(
            names(&plan_orders(&DesiredCertificates::default(), &[managed(&["a.x", "b.x"], 29, 90)], 0)),
            ["a.x,b.x"]
        );
        assert!(plan_orders(&DesiredCertificates::default(), &[managed(&["a.x"], 30, 90)], 0).jobs.is_empty());
        assert!(plan_orders(&DesiredCertificates::default(), &[managed(&["a.x"], 3, 6)], 0).jobs.is_empty());
        assert_eq!(names(&plan_orders(&DesiredCertificates::default(), &[managed(&["a.x"], 1, 6)], 0)), ["a.x"]);
        assert_eq!(names(&plan_orders(&DesiredCertificates::default(), &[managed(&["a.x"], -5, 90)], 0)), ["a.x"]);
        let unreadable = ManagedCertificate { certificate: None, ..managed(&["a.x"], 80, 90) };
        assert_eq!(names(&plan_orders(&DesiredCertificates::default(), &[unreadable], 0)), ["a.x"]);
    }

    #[test]
    fn due_renewal_and_request_for_same_name_are_one_order() {
        let unreadable = ManagedCertificate { certificate: None, ..managed(&["a.x"], 80, 90) };
        assert_eq!(names(&plan_orders(&desire(&[&["a.x"]], &[]), &[unreadable], 0)), ["a.x"]);
    }

    #[test]
    fn next_due_is_time_until_next_certificate_becomes_due() {
        let hour = Duration::from_secs(3600);
        let wait = |certificates: &[ManagedCertificate], now| next_due(certificates, now);
        // A lifetime of 6 hours: due when less than 2 hours are left, so 4 hours and one second after its beginning.
        let mut short = managed(&["a.x"], 0, 0);
        let six_hours = Certificate {
            not_before_secs: 0,
            not_after_secs: 6 * 3600,
            ..Arc::into_inner(short.certificate.unwrap()).unwrap()
        };
        short.certificate = Some(Arc::new(six_hours));
        let second = Duration::from_secs(1);
        assert_eq!(wait(std::slice::from_ref(&short), 0), Some(4 * hour + second));
        assert_eq!(wait(&[managed(&["b.x"], 90, 90), short.clone()], 4 * 3600), Some(second));
        assert!(!is_due(short.certificate.as_deref(), 4 * 3600) && is_due(short.certificate.as_deref(), 4 * 3600 + 1));
        assert_eq!(wait(&[managed(&["b.x"], 90, 90), short.clone()], 4 * 3600 + 1), Some(60 * 24 * hour - 4 * hour));
        assert_eq!(
            wait(&[short, ManagedCertificate { certificate: None, ..managed(&["c.x"], 80, 90) }], 7 * 3600),
            None
        );
    }

    #[test]
    fn unused_names_do_not_block_renewal_of_used_names() {
        let due = [managed(&["a.x", "B.x."], 29, 90)];
        let plans =
            |requests: &[&[&str]], due: &[ManagedCertificate]| names(&plan_orders(&desire(requests, &[]), due, 0));
        assert_eq!(plans(&[&["b.x"], &["a.x"]], &due), ["a.x,b.x"], "all are in use");
        assert_eq!(plans(&[&["A.x"]], &due), ["a.x"], "b.x would make every renewal fail");
        assert_eq!(plans(&[&["c.x"]], &due), ["a.x,b.x", "c.x"], "none of its names is in use");
        assert_eq!(
            plans(&[&["a.x"]], &[due[0].clone(), managed(&["a.x"], 80, 90)]),
            [""; 0],
            "a.x has a certificate of its own"
        );
        assert_eq!(plans(&[&["a.x"]], &[managed(&["a.x", "b.x"], 30, 90)]), [""; 0], "the certificate is not due");
    }

    #[test]
    fn hosts_of_due_wildcard_get_certificates_of_their_own() {
        let due = [managed(&["*.x", "x"], 29, 90)];
        let plan = plan_orders(&desire(&[&["a.x", "b.x"], &["x"]], &[]), &due, 0);
        assert_eq!(names(&plan), ["a.x,b.x", "x"]);
        assert_eq!(plan.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["*.x"]);
        assert!(
            plan_orders(&DesiredCertificates::default(), &due, 0).jobs.is_empty(),
            "the authority would always refuse it"
        );
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

    #[test]
    fn wildcards_and_non_names_are_refused_with_a_reason() {
        let plan = plan_orders(&desire(&[&["*.x", "ok.x"], &["bad name"], &[""]], &[]), &[], 0);
        assert_eq!(names(&plan), ["ok.x"]);
        assert_eq!(plan.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["*.x", "bad name"]);
    }

    #[test]
    fn name_that_cannot_be_ordered_costs_itself_alone() {
        let odd = ["192.168.0.3", "[fd00::1]", "fd00::1", "a_b.x", "a.x:8443", "-a.x", "a..x"];
        for name in odd {
            let plan = plan_orders(&desire(&[&[name, "tipi.test"]], &[]), &[], 0);
            assert_eq!(names(&plan), ["tipi.test"], "{name}");
            assert_eq!(plan.refused.len(), 1, "{:?}", plan.refused);
        }
        assert_eq!(names(&plan_orders(&desire(&[&["a.x.", "b.x"]], &[]), &[], 0)), ["a.x,b.x"]);
        let long = format!("{}.x", "a.".repeat(130));
        assert_eq!(names(&plan_orders(&desire(&[&[&long, "b.x"]], &[]), &[], 0)), ["b.x"]);
    }

    #[test]
    fn local_names_are_taken_out_for_a_public_authority() {
        let desired =
            desire(&[&["nas", "a.x", "nas.local", "app.localhost"], &["printer.lan"], &["own.local"]], &["own.local"]);
        let (public, refused) = without_local_names(&desired);
        assert_eq!(names(&plan_orders(&public, &[], 0)), ["a.x"]);
        let refused: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(refused, ["nas", "nas.local", "app.localhost", "printer.lan"]);
        // Addresses are left to the plan, which has the better reason.
        assert_eq!(without_local_names(&desire(&[&["10.0.0.1"]], &[])).1, []);
    }

    #[test]
    fn pauses_grow_threefold_up_to_the_limit() {
        let schedule = RetrySchedule::default();
        let minutes = |failures| schedule.pause(failures, 0).as_secs() / 60;
        assert_eq!([1, 2, 3, 4].map(minutes), [2, 6, 18, 54]);
        assert_eq!(schedule.pause(40, 0), schedule.retry_max);
        assert_eq!(schedule.pause(1, u32::MAX), Duration::from_secs(144));
    }

    #[test]
    fn failures_are_kept_per_order() {
        let (mut failures, order) = (FailureHistory::default(), CertificateOrder { names: vec!["a.x".into()] });
        let schedule = RetrySchedule::default();
        assert_eq!(failures.not_before(&order), Duration::ZERO);
        assert_eq!(failures.failed(&order, Duration::from_secs(10), &schedule, 0), (1, Duration::from_secs(120)));
        assert_eq!(failures.failed(&order, Duration::from_secs(200), &schedule, 0).0, 2);
        assert_eq!(failures.not_before(&order), Duration::from_secs(560));
        failures.succeeded(&order, Duration::from_secs(600), &schedule);
        assert_eq!(failures.not_before(&order), Duration::from_secs(600) + schedule.retry_max);
        let certificates = [managed(&["a.x"], 0, 90)];
        failures.keep_only(&[], &certificates);
        assert_eq!(
            failures.not_before(&order),
            Duration::from_secs(600) + schedule.retry_max,
            "the renewal keeps its pause"
        );
        failures.keep_only(&[], &[]);
        assert_eq!(failures.not_before(&order), Duration::ZERO);
    }
}
