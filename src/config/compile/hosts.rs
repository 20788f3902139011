//! Lists the host names that rules name literally: `acme.onHostRule` requests certificates for them.

use super::layer4::{DefaultEntryPoints, default_entry_points as kind_of_defaults};
use crate::config::dynamic::{DynamicConfig, Frontend};
use crate::rule::{Rule, parse_domains, sni};

/// Lists the hosts of each rule of the frontends on `entry_point`, in the order of the frontends' names. Rules without literal hosts are
/// not in the list, nor are those of TCP frontends whose TLS does not end here.
pub fn host_rules(document: &DynamicConfig, entry_point: &str, default_entry_points: &[String]) -> Vec<Vec<String>> {
    hosts_by_frontend(document, entry_point, default_entry_points).map(|(_, hosts)| hosts).collect()
}

/// Like [`host_rules`], with the name of each rule's frontend.
pub fn hosts_by_frontend<'d>(
    document: &'d DynamicConfig,
    entry_point: &'d str,
    default_entry_points: &'d [String],
) -> impl Iterator<Item = (&'d str, Vec<String>)> {
    let serves = move |frontend: &Frontend| match frontend.entry_points.as_slice() {
        [] if kind_of_defaults(document, frontend) == DefaultEntryPoints::None => false,
        [] => default_entry_points.iter().any(|name| name == entry_point),
        names => names.iter().any(|name| name == entry_point),
    };
    let frontends = document.frontends.iter().filter(move |(_, frontend)| serves(frontend) && !frontend.passthrough);
    let rules = frontends.flat_map(|(name, frontend)| frontend.routes.values().map(move |route| (name, route)));
    rules.map(|(name, route)| (name.as_str(), hosts(&route.rule))).filter(|(_, hosts)| !hosts.is_empty())
}

fn hosts(rule: &str) -> Vec<String> {
    match sni::literal_names(rule) {
        Some(names) => names,
        None => parse_domains(rule).unwrap_or_default(),
    }
}

/// Whether a rule of a frontend on `entry_point` has a condition on the host that `name` meets. Rules without such a condition do not count.
pub fn has_host_route(
    document: &DynamicConfig,
    entry_point: &str,
    default_entry_points: &[String],
    name: &str,
) -> bool {
    let serves = |names: &Vec<String>| {
        let names = if names.is_empty() { default_entry_points } else { names.as_slice() };
        names.iter().any(|name| name == entry_point)
    };
    let mut frontends = document.frontends.values().filter(|frontend| serves(&frontend.entry_points));
    frontends.any(|frontend| {
        let rule = Rule::parse_all(frontend.routes.values().map(|route| route.rule.as_str()));
        rule.is_ok_and(|rule| rule.names_host(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::dynamic::{Frontend, Route};

    #[test]
    fn host_rules_lists_literal_hosts_of_one_entry_point() {
        let mut document = DynamicConfig::default();
        for (name, rule, entry) in [
            ("a", "Host:a.test,b.test;PathPrefix:/x", "https"),
            ("b", "HostRegexp:{s:.+}.test", "https"),
            ("c", "Host:c.test", "http"),
            ("d", "Host:d.test", ""),
            ("e", "HostSNI:E.test,f.test", "https"),
            ("f", "HostSNIRegexp:{s:.+}.test", "https"),
            ("g", "HostSNI:g.test,*", ""),
            ("h", "HostSNI:h.test", ""),
            ("passthrough", "HostSNI:p.test", "https"),
            ("x", "HostSNI:*", "https"),
        ] {
            let entry_points = if entry.is_empty() { Vec::new() } else { vec![entry.to_owned()] };
            let routes = [("r".to_owned(), Route { rule: rule.to_owned() })].into();
            let passthrough = name == "passthrough";
            let frontend = Frontend { entry_points, routes, passthrough, ..Frontend::default() };
            document.frontends.insert(name.to_owned(), frontend);
        }
        let expected = [vec!["a.test", "b.test"], vec!["d.test"], vec!["e.test", "f.test"], vec!["h.test"]];
        assert_eq!(host_rules(&document, "https", &["https".to_owned()]), expected);
    }

    #[test]
    fn route_for_a_host_is_found_by_name_and_by_pattern() {
        let mut document = DynamicConfig::default();
        for (name, rule) in
            [("a", "Host:a.test"), ("b", "HostRegexp:{s:[a-z]+}.b.test;PathPrefix:/x"), ("c", "PathPrefix:/")]
        {
            let routes = [("r".to_owned(), Route { rule: rule.to_owned() })].into();
            document.frontends.insert(name.to_owned(), Frontend { routes, ..Frontend::default() });
        }
        let is_found = |entry: &str, name: &str| has_host_route(&document, entry, &["https".to_owned()], name);
        assert!(is_found("https", "a.test") && is_found("https", "shop.b.test"));
        assert!(!is_found("https", "7.b.test") && !is_found("https", "c.test") && !is_found("http", "a.test"));
    }
}
