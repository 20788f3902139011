//! A radix tree over bytes: finds all stored keys with which a text begins in one pass over the text.

/// A map from byte strings to values. The cost of a look-up depends on the length of the text, not on the number of keys.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    nodes: Vec<Node<V>>,
}

#[derive(Debug)]
struct Node<V> {
    /// The bytes between the parent and this node; empty for the root only.
    label: Box<[u8]>,
    value: Option<V>,
    /// The first byte of each child's label and the index of the child, sorted by that byte.
    children: Vec<(u8, u32)>,
}

impl<V> Trie<V> {
    pub fn new() -> Self {
        Trie { nodes: vec![Node { label: Box::default(), value: None, children: Vec::new() }] }
    }

    /// The value of `key`, made by `make` if the key is new.
    pub fn entry(&mut self, key: &[u8], make: impl FnOnce() -> V) -> &mut V {
        let node = self.node_of(key);
        self.nodes[node].value.get_or_insert_with(make)
    }

    /// Calls `found` for the value of each key that `text` begins with, shortest first.
    pub fn prefixes<'a>(&'a self, text: &[u8], mut found: impl FnMut(&'a V)) {
        let mut node = &self.nodes[0];
        let mut rest = text;
        loop {
            if let Some(value) = &node.value {
                found(value);
            }
            let Some(first) = rest.first() else { return };
            let Ok(child) = node.children.binary_search_by_key(first, |child| child.0) else { return };
            node = &self.nodes[node.children[child].1 as usize];
            let Some(after) = rest.strip_prefix(&*node.label) else { return };
            rest = after;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes[0].value.is_none()
    }

    /// Replaces every value by `change` of it.
    pub fn map<W>(self, mut change: impl FnMut(V) -> W) -> Trie<W> {
        let nodes = self.nodes.into_iter();
        let nodes = nodes.map(|n| Node { label: n.label, value: n.value.map(&mut change), children: n.children });
        Trie { nodes: nodes.collect() }
    }

    /// The node of exactly this key. Adds nodes, and splits an edge, if there is none.
    fn node_of(&mut self, key: &[u8]) -> usize {
        let mut at = 0;
        let mut rest = key;
        while let Some(&first) = rest.first() {
            let slot = match self.nodes[at].children.binary_search_by_key(&first, |child| child.0) {
                Ok(slot) => slot,
                Err(slot) => return self.attach(at, slot, rest),
            };
            let child = self.nodes[at].children[slot].1 as usize;
            let common = self.nodes[child].label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < self.nodes[child].label.len() {
                self.split(child, common);
            }
            at = child;
            rest = &rest[common..];
        }
        at
    }

    /// Adds a leaf to `parent`, at position `slot` of its children.
    fn attach(&mut self, parent: usize, slot: usize, label: &[u8]) -> usize {
        let new = self.nodes.len();
        self.nodes.push(Node { label: label.into(), value: None, children: Vec::new() });
        self.nodes[parent].children.insert(slot, (label[0], new as u32));
        new
    }

    /// Splits the edge to `node` after `len` bytes: `node` becomes the upper half, and its content moves to a new lower half.
    fn split(&mut self, node: usize, len: usize) {
        let lower = self.nodes.len();
        let upper = &mut self.nodes[node];
        let below = Node {
            label: upper.label[len..].into(),
            value: upper.value.take(),
            children: std::mem::take(&mut upper.children),
        };
        upper.children.push((below.label[0], lower as u32));
        upper.label = upper.label[..len].into();
        self.nodes.push(below);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(trie: &Trie<String>, text: &str) -> Vec<String> {
        let mut keys = Vec::new();
        trie.prefixes(text.as_bytes(), |value| keys.push(value.clone()));
        keys
    }

    #[test]
    fn prefixes_of_a_text_are_found_shortest_first() {
        let mut trie = Trie::new();
        assert!(trie.is_empty());
        for key in ["/foo/bar", "/foo", "/", "/fob", "", "/foo/baz"] {
            trie.entry(key.as_bytes(), || key.to_owned());
        }
        assert_eq!(found(&trie, "/foo/bart"), ["", "/", "/foo", "/foo/bar"]);
        assert_eq!(found(&trie, "x"), [""]);
        assert!(!trie.is_empty());
    }

    proptest! {
        #[test]
        fn prefixes_equal_a_scan_over_all_keys(keys in prop::collection::vec("[ab]{0,5}", 0..30), text in "[ab]{0,8}") {
            let mut trie = Trie::new();
            for key in &keys {
                trie.entry(key.as_bytes(), || key.clone());
            }
            let mut expected: Vec<String> = keys.into_iter().filter(|key| text.starts_with(key)).collect();
            expected.sort_by_key(String::len);
            expected.dedup();
            prop_assert_eq!(found(&trie, &text), expected);
        }
    }
}
