//! The change from root to an ordinary user, after the ports are opened and before any other thread is started: Linux keeps the user per
//! thread.

use std::fs;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Forbids core dumps of this process, and access to its memory by other processes of the same user: it holds private keys and passwords. A
/// limit of 0 for core files is not enough: the kernel passes dumps to a program (`core_pattern`) whatever the limit is.
pub fn forbid_dumps() {
    if let Err(e) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!("core dumps cannot be switched off: {e}");
    }
}

/// Changes to the user that `user` names (`name`, `name:group`, or numbers), with the groups that `/etc/group` gives it.
///
/// # Errors
/// A message for the log: the process must not continue as root.
pub fn drop_to(user: &str) -> Result<(), String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let identity = Identity::find(user, &read("/etc/passwd"), &read("/etc/group"))?;
    if rustix::process::geteuid().as_raw() == identity.user && rustix::process::getegid().as_raw() == identity.group {
        return Ok(());
    }
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(format!(
            "user {user}: {threads} threads run already, and some would stay root: please report this"
        ));
    }
    let (uid, gid) = (Uid::from_raw(identity.user), Gid::from_raw(identity.group));
    let groups: Vec<Gid> = identity.groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let dropped = set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid));
    dropped.map_err(|e| {
        format!("user {user}: {e}: only root can change to another user; start as root, or remove the key")
    })?;
    if set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok() && identity.user != 0 {
        return Err(format!("user {user}: root privileges could be regained: please report this"));
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Identity {
    user: u32,
    group: u32,
    /// The primary `group` and the supplementary groups.
    groups: Vec<u32>,
}

impl Identity {
    /// Looks `text` up in the contents of `/etc/passwd` and `/etc/group`: a static program in an empty image has no other source.
    fn find(text: &str, passwd: &str, group: &str) -> Result<Identity, String> {
        let (name, wanted_group) = text.split_once(':').map_or((text, None), |(name, group)| (name, Some(group)));
        let account = lines(passwd).find(|fields| fields[0] == name || fields.get(2) == Some(&name));
        let number = |fields: &Vec<&str>, at: usize| fields.get(at).and_then(|n| n.parse::<u32>().ok());
        let user = account.as_ref().and_then(|fields| number(fields, 2)).or(name.parse().ok());
        let user =
            user.ok_or_else(|| format!("user {text}: /etc/passwd has no {name}: add the user, or write a number"))?;
        let group_id = match wanted_group {
            Some(wanted) => {
                let entry = lines(group).find(|fields| fields[0] == wanted);
                let id = entry.and_then(|fields| number(&fields, 2)).or(wanted.parse().ok());
                id.ok_or_else(|| format!("user {text}: /etc/group has no {wanted}: add the group, or write a number"))?
            }
            None => account
                .as_ref()
                .and_then(|fields| number(fields, 3))
                .ok_or_else(|| format!("user {text}: /etc/passwd does not say its group: write {text}:GROUP"))?,
        };
        let login = account.map_or(name, |fields| fields[0]);
        let is_member =
            |fields: &Vec<&str>| fields.get(3).is_some_and(|all| all.split(',').any(|member| member == login));
        let supplementary =
            lines(group).filter(is_member).filter_map(|fields| number(&fields, 2)).filter(|id| *id != group_id);
        Ok(Identity { user, group: group_id, groups: std::iter::once(group_id).chain(supplementary).collect() })
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.trim().split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_is_found_by_name_or_number_with_its_groups() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nproxy:x:13:14:proxy:/bin:/usr/sbin/nologin\n";
        let group = "root:x:0:\nproxy:x:14:\ndocker:x:998:anna,proxy\nweb:x:33:\n";
        let identity = |text: &str| Identity::find(text, passwd, group);
        let found = |user, group, groups: &[u32]| Ok(Identity { user, group, groups: groups.to_vec() });
        for (text, expected) in [
            ("proxy", found(13, 14, &[14, 998])),
            ("13", found(13, 14, &[14, 998])),
            ("proxy:web", found(13, 33, &[33, 998])),
            ("proxy:docker", found(13, 998, &[998])),
            ("65534:65534", found(65534, 65534, &[65534])),
        ] {
            assert_eq!(identity(text), expected, "{text}");
        }
        for (text, part) in [("nobody", "add the user"), ("proxy:none", "add the group"), ("1000", "write 1000:GROUP")]
        {
            let error = identity(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
