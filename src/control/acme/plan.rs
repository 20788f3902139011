//! Plans which certificates to order from the certificate authority. Pure functions: time and the history of failures are arguments.

use std::collections::HashSet;

use crate::tls::certificate::name_covers;

use super::desired::{DesiredCertificates, DomainRequest};
use super::names::{Obtainable, unobtainable_reason};
use super::renewal::ManagedCertificate;

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
    /// The names that cannot be obtained, each with the reason.
    pub refused: Vec<(String, String)>,
}

/// The conditions of a plan beside names and certificates.
#[derive(Debug, Clone, Default)]
pub struct PlanRules {
    pub obtainable: Obtainable,
    /// Names that get a certificate of their own, because they keep failing.
    pub left_out: HashSet<String>,
}

/// Plans the orders for certificates that are missing or due for renewal at `now_secs` (seconds since 1970).
///
/// As in Traefik, a name is not requested if any certificate covers it, and the other names of the request become a certificate of their
/// own (docs/reference/acme.md#which-names). A name that two requests share is ordered with the first one only. A certificate that is due
/// does not cover its names; its renewal does. A certificate whose names have other valid certificates is not renewed.
pub fn plan_orders(
    desired: &DesiredCertificates,
    certificates: &[ManagedCertificate],
    now_secs: i64,
    rules: &PlanRules,
) -> OrderPlan {
    let mut plan = OrderPlan::default();
    let (due, valid): (Vec<&ManagedCertificate>, Vec<&ManagedCertificate>) =
        certificates.iter().partition(|managed| managed.is_due(now_secs));
    let in_use: HashSet<String> = desired.requests.iter().flat_map(DomainRequest::names).collect();
    let is_served =
        |name: &String| valid.iter().filter_map(|managed| managed.certificate.as_ref()).any(|c| c.covers(name));
    for managed in due {
        let names = managed.stored.names();
        if !names.iter().all(is_served) {
            plan.renew(names, &in_use, rules);
        }
    }
    for request in &desired.requests {
        let mut names = request.names();
        names.retain(|name| !is_covered(name, desired, &valid, &plan.jobs) && plan.check_obtainable(name, rules));
        let (alone, together): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| rules.left_out.contains(name));
        plan.jobs.extend((!together.is_empty()).then_some(CertificateOrder { names: together }));
        plan.jobs.extend(alone.into_iter().map(|name| CertificateOrder { names: vec![name] }));
    }
    plan
}

impl OrderPlan {
    /// Plans the renewal of a due certificate with `names`, for all of them or not at all. A certificate with a name that cannot be
    /// obtained, or with some names in use and some not, is not renewed: the order would fail for the names in use too, because a name that
    /// is no longer used mostly does not lead to this proxy any more. The names in use get certificates of their own, and so do names
    /// beside one that keeps failing. A certificate without any name in use is renewed, as in Traefik.
    fn renew(&mut self, names: Vec<String>, in_use: &HashSet<String>, rules: &PlanRules) {
        let obtainable = names.iter().filter(|name| self.check_obtainable(name, rules)).count();
        let used = names.iter().filter(|name| in_use.contains(*name)).count();
        let fails = names.len() > 1 && used > 0 && names.iter().any(|name| rules.left_out.contains(name));
        let is_whole = obtainable == names.len() && (used == names.len() || used == 0) && !fails;
        if is_whole && !names.is_empty() {
            self.jobs.push(CertificateOrder { names });
        }
    }

    /// Whether a certificate for `name` can be obtained. If not, the name is added to `refused` with the reason.
    fn check_obtainable(&mut self, name: &str, rules: &PlanRules) -> bool {
        let reason = unobtainable_reason(name, rules.obtainable);
        let is_obtainable = reason.is_none();
        self.refused.extend(reason.map(|reason| (name.to_owned(), reason)));
        is_obtainable
    }
}

/// Whether a certificate of the configuration, a valid certificate of the store or an earlier order covers `name`.
fn is_covered(
    name: &str,
    desired: &DesiredCertificates,
    valid: &[&ManagedCertificate],
    orders: &[CertificateOrder],
) -> bool {
    desired.covered.iter().any(|covered| name_covers(&covered.to_lowercase(), name))
        || valid.iter().filter_map(|managed| managed.certificate.as_ref()).any(|certificate| certificate.covers(name))
        || orders.iter().flat_map(|order| &order.names).any(|ordered| name_covers(ordered, name))
}

#[cfg(test)]
mod tests {
    use super::super::names::without_local_names;
    use super::super::tests::managed;
    use super::*;

    fn plan_orders(desired: &DesiredCertificates, certificates: &[ManagedCertificate], now_secs: i64) -> OrderPlan {
        super::plan_orders(desired, certificates, now_secs, &PlanRules::default())
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
    fn due_renewal_and_request_for_same_name_are_one_order() {
        let unreadable = ManagedCertificate { certificate: None, ..managed(&["a.x"], 80, 90) };
        assert_eq!(names(&plan_orders(&desire(&[&["a.x"]], &[]), &[unreadable], 0)), ["a.x"]);
    }

    #[test]
    fn unused_names_do_not_block_renewal_of_used_names() {
        let due = [managed(&["a.x", "B.x."], 26, 90)];
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
        assert_eq!(plans(&[&["a.x"]], &[managed(&["a.x", "b.x"], 31, 90)]), [""; 0], "the certificate is not due");
    }

    #[test]
    fn hosts_of_due_wildcard_get_certificates_of_their_own() {
        let due = [managed(&["*.x", "x"], 26, 90)];
        let plan = plan_orders(&desire(&[&["a.x", "b.x"], &["x"]], &[]), &due, 0);
        assert_eq!(names(&plan), ["a.x,b.x", "x"]);
        assert_eq!(plan.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["*.x"]);
        assert!(
            plan_orders(&DesiredCertificates::default(), &due, 0).jobs.is_empty(),
            "the authority would always refuse it"
        );
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
    }

    #[test]
    fn wildcard_covers_names_of_later_requests() {
        let rules = PlanRules { obtainable: Obtainable { wildcards: true, addresses: false }, ..PlanRules::default() };
        let desired = desire(&[&["*.x", "x"], &["a.x", "a.b.x"], &["*.*.x"]], &[]);
        let plan = super::plan_orders(&desired, &[], 0, &rules);
        assert_eq!(names(&plan), ["*.x,x", "a.b.x"]);
        assert_eq!(plan.refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["*.*.x"]);
        let stored = managed(&["*.x"], 80, 90);
        let plan = super::plan_orders(&desire(&[&["a.x"]], &[]), &[stored], 0, &PlanRules::default());
        assert_eq!(names(&plan), [""; 0], "a stored wildcard covers the name, whatever the challenge is now");
    }

    #[test]
    fn addresses_are_ordered_with_the_profile_only() {
        let rules = PlanRules { obtainable: Obtainable { wildcards: false, addresses: true }, ..PlanRules::default() };
        let desired = desire(&[&["192.0.2.1", "a.x"], &["2001:db8::1"], &["[2001:db8::1]"]], &[]);
        assert_eq!(names(&super::plan_orders(&desired, &[], 0, &rules)), ["192.0.2.1,a.x", "2001:db8::1"]);
        assert_eq!(names(&plan_orders(&desired, &[], 0)), ["a.x"]);
        let (_, refused) = without_local_names(&desire(&[&["192.168.0.1", "9.9.9.9", "fd00::1"]], &[]));
        assert_eq!(refused.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["192.168.0.1", "fd00::1"]);
    }

    #[test]
    fn name_that_keeps_failing_is_ordered_alone() {
        let rules =
            PlanRules { left_out: ["bad.x", "worse.x", "d.x"].map(str::to_owned).into(), ..PlanRules::default() };
        let desired = desire(&[&["a.x", "bad.x", "b.x", "worse.x"]], &[]);
        let plan = |certificates: &[ManagedCertificate]| names(&super::plan_orders(&desired, certificates, 0, &rules));
        assert_eq!(plan(&[]), ["a.x,b.x", "bad.x", "worse.x"]);
        let due = managed(&["a.x", "bad.x", "b.x", "worse.x"], 10, 90);
        assert_eq!(plan(&[due]), ["a.x,b.x", "bad.x", "worse.x"], "the renewal leaves them out too");
        let due = managed(&["a.x", "b.x"], 10, 90);
        let others = [due, managed(&["a.x"], 80, 90), managed(&["b.x"], 80, 90)];
        assert_eq!(names(&plan_orders(&desire(&[&["a.x", "b.x"]], &[]), &others, 0)), [""; 0], "both have another one");
        let unused = managed(&["c.x", "d.x"], 10, 90);
        assert_eq!(plan(&[unused])[0], "c.x,d.x", "nothing else would renew it");
    }
}
