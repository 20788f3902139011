//! Lists the host names that rules name literally: `acme.onHostRule` requests certificates for them.

use crate::config::dynamic::DynamicConfig;
use crate::rule::parse_domains;

/// Lists the hosts of each rule of the frontends on `entry_point`, in the order of the frontends' names. Rules without literal hosts are
/// not in the list.
pub fn host_rules(document: &DynamicConfig, entry_point: &str, default_entry_points: &[String]) -> Vec<Vec<String>> {
    let serves = |names: &Vec<String>| {
        let names = if names.is_empty() { default_entry_points } else { names.as_slice() };
        names.iter().any(|name| name == entry_point)
    };
    let frontends = document.frontends.values().filter(|frontend| serves(&frontend.entry_points));
    let rules = frontends.flat_map(|frontend| frontend.routes.values());
    rules.map(|route| parse_domains(&route.rule).unwrap_or_default()).filter(|hosts| !hosts.is_empty()).collect()
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
        ] {
            let entry_points = if entry.is_empty() { Vec::new() } else { vec![entry.to_owned()] };
            let routes = [("r".to_owned(), Route { rule: rule.to_owned() })].into();
            document.frontends.insert(name.to_owned(), Frontend { entry_points, routes, ..Frontend::default() });
        }
        assert_eq!(host_rules(&document, "https", &["https".to_owned()]), [vec!["a.test", "b.test"], vec!["d.test"]]);
    }
}
