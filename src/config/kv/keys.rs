//! The keys of a prefix, sorted, and which objects a change of keys concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The object that a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectName {
    Backend(String),
    Frontend(String),
    /// All certificates below `tls`.
    Tls,
}

/// The key below the prefix, without slashes at its beginning; `None` if the prefix does not contain the key. Prefix and key mean the same
/// with and without a slash at the beginning.
pub fn relative_key<'k>(prefix: &str, key: &'k str) -> Option<&'k str> {
    let prefix = prefix.trim_matches('/');
    let key = key.trim_start_matches('/');
    if prefix.is_empty() {
        return Some(key);
    }
    key.strip_prefix(prefix)?.strip_prefix('/').map(|rest| rest.trim_start_matches('/'))
}

/// The keys below one prefix with their values. Stores with flat names may hold a key twice, with and without a slash at its beginning: the
/// one without a slash counts, which is how Traefik v1 writes it.
#[derive(Debug, Default, PartialEq)]
pub struct KeyTree {
    plain: BTreeMap<String, Vec<u8>>,
    with_slash: BTreeMap<String, Vec<u8>>,
}

impl KeyTree {
    /// Sets or removes a key of the prefix; returns its object if a value has changed.
    pub fn apply(&mut self, prefix: &str, key: &str, value: Option<Vec<u8>>) -> Option<ObjectName> {
        let relative = relative_key(prefix, key)?;
        let keys = if key.starts_with('/') { &mut self.with_slash } else { &mut self.plain };
        let is_changed = match value {
            Some(value) if keys.get(relative) == Some(&value) => false,
            Some(value) => {
                keys.insert(relative.to_owned(), value);
                true
            }
            None => keys.remove(relative).is_some(),
        };
        if is_changed { object_of(relative) } else { None }
    }

    /// The objects whose keys differ between two trees.
    pub fn changed_objects(&self, before: &KeyTree) -> BTreeSet<ObjectName> {
        let pairs = [(&self.plain, &before.plain), (&self.with_slash, &before.with_slash)];
        let mut changed = BTreeSet::new();
        for (now, before) in pairs {
            let is_new = |(key, value): &(&String, &Vec<u8>)| before.get(*key) != Some(*value);
            changed.extend(now.iter().filter(is_new).filter_map(|(key, _)| object_of(key)));
            changed.extend(before.keys().filter(|key| !now.contains_key(*key)).filter_map(|key| object_of(key)));
        }
        changed
    }

    /// The value of a key of the prefix.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.plain.get(key).or_else(|| self.with_slash.get(key)).map(Vec::as_slice)
    }

    /// The keys below `folder`, sorted and relative to it, each once. An empty folder means all keys.
    pub fn below(&self, folder: &str) -> BTreeMap<&str, &[u8]> {
        let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut found = BTreeMap::new();
        for keys in [&self.with_slash, &self.plain] {
            let range = keys.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
            let inside = range.map_while(|(key, value)| Some((key.strip_prefix(start.as_str())?, value.as_slice())));
            found.extend(inside);
        }
        found
    }

    /// The objects that the keys describe.
    pub fn objects(&self) -> BTreeSet<ObjectName> {
        self.plain.keys().chain(self.with_slash.keys()).filter_map(|key| object_of(key)).collect()
    }
}

/// Other keys belong to the static configuration, or to nothing.
fn object_of(key: &str) -> Option<ObjectName> {
    let (kind, rest) = key.split_once('/')?;
    let name = rest.split('/').next().filter(|name| !name.is_empty())?;
    match kind {
        "backends" => Some(ObjectName::Backend(name.to_owned())),
        "frontends" => Some(ObjectName::Frontend(name.to_owned())),
        "tls" => Some(ObjectName::Tls),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(keys: &[(&str, &str)]) -> KeyTree {
        let mut tree = KeyTree::default();
        for (key, value) in keys {
            tree.apply("/traefik", key, Some(value.as_bytes().to_vec()));
        }
        tree
    }

    #[test]
    fn prefix_means_the_same_with_and_without_slashes() {
        for prefix in ["traefik", "/traefik", "traefik/", "/traefik/"] {
            assert_eq!(relative_key(prefix, "/traefik/frontends/f/backend"), Some("frontends/f/backend"), "{prefix}");
            assert_eq!(relative_key(prefix, "traefik//alias"), Some("alias"), "{prefix}");
            assert_eq!(relative_key(prefix, "traefik2/alias"), None, "{prefix}");
        }
        assert_eq!(relative_key("/", "/alias"), Some("alias"));
    }

    #[test]
    fn key_without_slash_counts_and_its_removal_shows_the_other() {
        let mut tree = tree(&[("/traefik/frontends/f/backend", "old"), ("traefik/frontends/f/backend", "new")]);
        assert_eq!(tree.below("frontends/f"), BTreeMap::from([("backend", &b"new"[..])]));
        let changed = tree.apply("traefik", "traefik/frontends/f/backend", None);
        assert_eq!(changed, Some(ObjectName::Frontend("f".to_owned())));
        assert_eq!(tree.get("frontends/f/backend"), Some(&b"old"[..]));
    }

    #[test]
    fn only_changed_objects_are_named() {
        let before = tree(&[("traefik/backends/a/servers/s/url", "1"), ("traefik/frontends/f/backend", "a")]);
        let keys = [
            ("traefik/backends/a/servers/s/url", "2"),
            ("traefik/frontends/f/backend", "a"),
            ("traefik/tls/1/entrypoints", "x"),
        ];
        let mut now = tree(&keys);
        assert_eq!(
            now.changed_objects(&before),
            BTreeSet::from([ObjectName::Backend("a".to_owned()), ObjectName::Tls])
        );
        assert_eq!(
            now.apply("traefik", "traefik/frontends/f/backend", Some(b"a".to_vec())),
            None,
            "nothing has changed"
        );
        assert_eq!(now.apply("traefik", "traefik/entrypoints/http/address", Some(b":80".to_vec())), None);
        assert_eq!(now.apply("traefik", "other/frontends/f/backend", Some(b"a".to_vec())), None);
    }
}
