//! A map for few entries with texts as keys: a sorted list. Every frontend has its own map of routes, nearly always with one entry; the
//! smallest node of a `BTreeMap` has space for eleven.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A map from texts to values, sorted by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallMap<V>(Vec<(String, V)>);

impl<V> SmallMap<V> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, key: &str) -> Option<&V> {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&String, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// Inserts a value, unless the key has one.
    pub fn add(&mut self, key: String, value: V) {
        if let Err(at) = self.find(&key) {
            self.0.insert(at, (key, value));
        }
    }

    /// Inserts a value, or replaces the value that the key has.
    pub fn insert(&mut self, key: String, value: V) {
        match self.find(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// The index of the key, or the index at which it would be inserted.
    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(entry_key, _)| entry_key.as_str().cmp(key))
    }
}

impl<V> Default for SmallMap<V> {
    fn default() -> Self {
        SmallMap(Vec::new())
    }
}

/// If a key occurs twice, the map keeps the last value.
impl<V> FromIterator<(String, V)> for SmallMap<V> {
    fn from_iter<I: IntoIterator<Item = (String, V)>>(entries: I) -> Self {
        let mut map = SmallMap::default();
        entries.into_iter().for_each(|(key, value)| map.insert(key, value));
        map.0.shrink_to_fit();
        map
    }
}

impl<V, const N: usize> From<[(String, V); N]> for SmallMap<V> {
    fn from(entries: [(String, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<V: Serialize> Serialize for SmallMap<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for SmallMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<V>(std::marker::PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
            type Value = SmallMap<V>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<SmallMap<V>, A::Error> {
                let mut map = SmallMap::default();
                while let Some((key, value)) = access.next_entry()? {
                    map.insert(key, value);
                }
                map.0.shrink_to_fit();
                Ok(map)
            }
        }

        deserializer.deserialize_map(MapVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_last_value_of_a_key_wins() {
        let map: SmallMap<u8> = [("b".to_owned(), 1), ("a".to_owned(), 2), ("b".to_owned(), 3)].into();
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"a".to_owned(), &2), (&"b".to_owned(), &3)]);
        assert_eq!((map.get("b"), map.get("c"), map.len()), (Some(&3), None, 2));
        assert!(!map.is_empty());
        let mut more = map.clone();
        more.add("a".to_owned(), 9);
        more.add("aa".to_owned(), 9);
        assert_eq!(
            more.iter().map(|(key, value)| (key.as_str(), *value)).collect::<Vec<_>>(),
            [("a", 2), ("aa", 9), ("b", 3)]
        );
        let text = serde_json::to_string(&map).expect("a map");
        assert_eq!(text, r#"{"a":2,"b":3}"#);
        assert_eq!(serde_json::from_str::<SmallMap<u8>>(r#"{"b":1,"a":2,"b":3}"#).expect("a map"), map);
    }
}
