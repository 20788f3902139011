//! The facts besides a container's own labels that decide its address.

use super::container::{ContainerFacts, DockerSettings};

/// The number of `container:X` links that are followed. Docker allows no cycle, but a damaged response might contain one.
pub(super) const CONTAINER_LINKS_MAX: usize = 8;

/// The facts besides the container's own labels that decide its address.
#[derive(Debug, Clone, Copy)]
pub struct AddressContext<'a> {
    pub settings: &'a DockerSettings,
    /// All containers, to find those whose network another container uses.
    pub containers: &'a [ContainerFacts],
}

impl<'a> AddressContext<'a> {
    /// The container of this host with this id or name.
    pub(super) fn find(&self, host: &str, id_or_name: &str) -> Option<&'a ContainerFacts> {
        self.containers.iter().filter(|c| c.host == host).find(|c| c.id == id_or_name || c.plain_name() == id_or_name)
    }
}
