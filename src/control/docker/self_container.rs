//! Finds the container that the proxy itself runs in, so that server addresses in that container's networks are preferred.

use std::collections::BTreeSet;
use std::fs;

use crate::config::labels::ContainerFacts;

/// The length of a container's full id.
const ID_DIGITS: usize = 64;
/// The length of the id prefix that Docker sets as the container's host name.
const SHORT_ID_DIGITS: usize = 12;

/// The ids that the proxy's own container may have; empty if the proxy runs on a host.
pub fn candidates() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (mounts, groups) = (read("/proc/self/mountinfo"), read("/proc/self/cgroup"));
    ids(&mounts, &groups, read("/proc/sys/kernel/hostname").trim())
}

/// The names of the networks of the proxy's own container; empty if that container is not in the list.
pub fn networks(containers: &[ContainerFacts], candidates: &[String]) -> BTreeSet<String> {
    let own =
        candidates.iter().find_map(|id| containers.iter().find(|container| container.id.starts_with(id.as_str())));
    own.map(|container| container.networks.keys().cloned().collect()).unwrap_or_default()
}

fn ids(mountinfo: &str, cgroup: &str, hostname: &str) -> Vec<String> {
    // Docker mounts these three files from the container's own directory. On a host they are no mount points.
    let mounted = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(&mount_point).then_some(root)
    });
    let groups = cgroup.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let long = mounted.chain(groups).filter_map(full_id);
    let short = Some(hostname).filter(|name| name.len() == SHORT_ID_DIGITS && is_hex(name));
    let mut ids: Vec<String> = long.chain(short).map(str::to_owned).collect();
    // The same id comes from up to three mounts and several control groups.
    ids.dedup();
    ids
}

/// Finds the last part of a path that is a full id, as in `/docker/ID`, `docker-ID.scope` or `/containers/ID/hosts`.
fn full_id(path: &str) -> Option<&str> {
    path.split(['/', '-', '.']).rfind(|piece| piece.len() == ID_DIGITS && is_hex(piece))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn own_id_is_found_in_mounts_groups_and_host_name() {
        let id = "0123456789abcdef".repeat(4);
        let mount = format!("52 40 8:1 /var/lib/docker/containers/{id}/hosts /etc/hosts rw - ext4 /dev/sda1 rw");
        let mounts = format!("{mount}\n{}", mount.replace("hosts", "hostname"));
        assert_eq!(ids(&mounts, "", "web"), [id.as_str()]);
        assert_eq!(ids("", &format!("4:cpu:/docker/{id}\n0::/"), "web"), [id.as_str()]);
        assert_eq!(ids("", &format!("0::/system.slice/docker-{id}.scope"), "web"), [id.as_str()]);
        assert_eq!(ids("", "0::/", "0123456789ab"), ["0123456789ab"]);
    }

    #[test]
    fn host_that_sees_container_mounts_has_no_own_id() {
        let id = "0123456789abcdef".repeat(4);
        let shm = format!("60 40 0:52 / /var/lib/docker/containers/{id}/mounts/shm rw - tmpfs shm rw");
        assert_eq!(ids(&shm, "0::/init.scope", "build-host"), [""; 0]);
    }

    #[test]
    fn own_networks_are_those_of_the_own_container_id() {
        let networks_of = |name: &str| BTreeMap::from([(name.to_owned(), Default::default())]);
        let container = |id: &str, network: &str| ContainerFacts {
            id: id.into(),
            networks: networks_of(network),
            ..ContainerFacts::default()
        };
        let all = [container("aaa1", "front"), container("bbb2", "back")];
        assert_eq!(networks(&all, &["bbb".to_owned()]), BTreeSet::from(["back".to_owned()]));
        assert_eq!(networks(&all, &[]), BTreeSet::new());
    }
}
