//! Joins the listings of all Docker hosts to one, of which one configuration is made: containers with the same labels form one backend,
//! whichever host they run on (docs/reference/providers.md#several-docker-hosts).

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::settings::DockerProviderSettings;
use crate::config::Rejected;
use crate::config::labels::{ContainerFacts, DockerSettings, HostSettings, shown_name};

/// The containers, or the tasks of services, that one Engine lists.
#[derive(Debug, Clone, Default)]
pub struct HostListing {
    pub containers: Vec<ContainerFacts>,
    /// The networks of the proxy's own container; empty if that is not a container of this Engine.
    pub own_networks: BTreeSet<String>,
    pub rejected: Vec<Rejected>,
    /// Messages for the log.
    pub warnings: Vec<String>,
}

impl HostListing {
    /// Marks everything in the listing as one of the host with this key; an empty key changes nothing.
    pub fn of_host(mut self, key: &str) -> HostListing {
        if key.is_empty() {
            return self;
        }
        self.containers.iter_mut().for_each(|container| key.clone_into(&mut container.host));
        self.rejected.iter_mut().for_each(|rejected| rejected.name = shown_name(&rejected.name, key));
        self.warnings.iter_mut().for_each(|warning| *warning = format!("host {key}: {warning}"));
        self
    }
}

/// The containers of all hosts, and how their labels are read.
#[derive(Debug)]
pub struct Joined<'l> {
    pub containers: Cow<'l, [ContainerFacts]>,
    pub labels: DockerSettings,
    pub rejected: Vec<Rejected>,
    pub warnings: Vec<String>,
}

/// Joins the listings, which are in the order of the hosts; `None`: the host is unreachable, and has no containers.
pub fn join<'l>(settings: &DockerProviderSettings, listings: &[Option<&'l HostListing>]) -> Joined<'l> {
    let mut labels = settings.labels.clone();
    for (index, host) in settings.hosts.iter().enumerate() {
        let own_networks = listings.get(index).and_then(|listing| Some(listing.as_ref()?.own_networks.clone()));
        let host = HostSettings { own_networks: own_networks.unwrap_or_default(), ..host.labels.clone() };
        labels.hosts.insert(settings.host_key(index).to_owned(), host);
    }
    let present: Vec<&HostListing> = listings.iter().flatten().copied().collect();
    if settings.hosts.is_empty() {
        labels.own_networks = present.first().map(|listing| listing.own_networks.clone()).unwrap_or_default();
    }
    let containers = match present.as_slice() {
        [only] => Cow::Borrowed(only.containers.as_slice()),
        several => Cow::Owned(several.iter().flat_map(|listing| listing.containers.iter().cloned()).collect()),
    };
    let rejected = present.iter().flat_map(|listing| listing.rejected.iter().cloned()).collect();
    let warnings = present.iter().flat_map(|listing| listing.warnings.iter().cloned()).collect();
    Joined { containers, labels, rejected, warnings }
}

#[cfg(test)]
mod tests {
    use super::super::settings::DockerHost;
    use super::*;
    use crate::config::Severity;
    use crate::config::labels::rejection;

    fn settings(names: &[&str]) -> DockerProviderSettings {
        let host = |name: &&str| DockerHost { name: (*name).to_owned(), ..DockerHost::default() };
        DockerProviderSettings { hosts: names.iter().map(host).collect(), ..Default::default() }
    }

    fn listing(id: &str) -> HostListing {
        let facts = ContainerFacts { id: id.into(), name: format!("/{id}"), ..ContainerFacts::default() };
        HostListing {
            containers: vec![facts],
            own_networks: BTreeSet::from([format!("net-{id}")]),
            rejected: vec![rejection("container odd".to_owned(), "unreadable".to_owned(), Severity::Rejected)],
            warnings: vec!["slow".to_owned()],
        }
    }

    #[test]
    fn objects_of_several_hosts_are_told_apart_by_the_host() {
        let settings = settings(&["a", "b"]);
        let (a, b) = (listing("x").of_host(settings.host_key(0)), listing("x").of_host(settings.host_key(1)));
        let joined = join(&settings, &[Some(&a), Some(&b)]);
        let names: Vec<String> = joined.containers.iter().map(ContainerFacts::shown_name).collect();
        assert_eq!(names, ["x@a", "x@b"]);
        let rejected: Vec<&str> = joined.rejected.iter().map(|rejected| rejected.name.as_str()).collect();
        assert_eq!(rejected, ["container odd@a", "container odd@b"]);
        assert_eq!(joined.warnings, ["host a: slow", "host b: slow"]);
        assert_eq!(joined.labels.own_networks(&joined.containers[1]), &BTreeSet::from(["net-x".to_owned()]));
    }

    #[test]
    fn unreachable_host_has_no_containers_and_the_others_keep_theirs() {
        let settings = settings(&["a", "b"]);
        let b = listing("y").of_host("b");
        let joined = join(&settings, &[None, Some(&b)]);
        assert_eq!(joined.containers.iter().map(ContainerFacts::shown_name).collect::<Vec<_>>(), ["y@b"]);
        assert_eq!(joined.labels.hosts.len(), 2);
    }

    #[test]
    fn only_host_and_the_engine_without_a_host_keep_plain_names() {
        for settings in [settings(&["a"]), settings(&[])] {
            let only = listing("x").of_host(settings.host_key(0));
            let joined = join(&settings, &[Some(&only)]);
            assert_eq!(joined.containers[0].shown_name(), "x");
            assert_eq!(joined.rejected[0].name, "container odd");
            let own = joined.labels.own_networks(&joined.containers[0]);
            assert_eq!(own, &BTreeSet::from(["net-x".to_owned()]), "{:?}", settings.hosts);
        }
    }
}
