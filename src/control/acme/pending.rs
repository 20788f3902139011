//! Orders that are not finished, remembered in the file: a restart continues them instead of ordering again.

use serde_json::{Map, Value, json};

/// The key of the list in the file; Traefik ignores it.
pub const PENDING_ORDERS: &str = "RingwayOrders";

/// An order that is not finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingOrder {
    /// The names, sorted.
    pub names: Vec<String>,
    /// The order's address at the authority.
    pub url: String,
    /// The key of the certificate in PEM, once the authority may have issued it.
    pub key: Option<String>,
}

/// Where orders are remembered.
pub trait PendingOrders {
    /// The order for these names.
    fn of(&self, names: &[String]) -> Option<PendingOrder>;
    /// Remembers an order, in place of an earlier one for its names.
    fn remember(&self, order: &PendingOrder);
    /// Forgets the order for these names.
    fn forget(&self, names: &[String]);
}

impl PendingOrder {
    pub fn new(names: &[String], url: &str) -> PendingOrder {
        PendingOrder { names: sorted(names), url: url.to_owned(), key: None }
    }

    fn is_for(&self, names: &[String]) -> bool {
        self.names == sorted(names)
    }

    fn parse(value: &Value) -> Option<PendingOrder> {
        let names = value.get("names")?.as_array()?.iter();
        Some(PendingOrder {
            names: names.map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?,
            url: value.get("url")?.as_str()?.to_owned(),
            key: value.get("key").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names
}

/// The order for `names` with the authority whose directory is `directory`.
pub fn find(root: &Map<String, Value>, directory: &str, names: &[String]) -> Option<PendingOrder> {
    let list = root.get(PENDING_ORDERS)?.as_array()?;
    let of_authority = list.iter().filter(|value| value.get("directory").and_then(Value::as_str) == Some(directory));
    of_authority.filter_map(PendingOrder::parse).find(|order| order.is_for(names))
}

/// Adds an order to the document, in place of an earlier one for its names.
pub fn insert(root: &mut Map<String, Value>, directory: &str, order: &PendingOrder) {
    remove(root, &order.names);
    let value = json!({ "names": order.names, "url": order.url, "key": order.key, "directory": directory });
    match root.entry(PENDING_ORDERS).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(list) => list.push(value),
        other => *other = Value::Array(vec![value]),
    }
}

/// Removes the order for these names; an empty list is removed as a whole. Returns whether there was one.
pub fn remove(root: &mut Map<String, Value>, names: &[String]) -> bool {
    let Some(list) = root.get_mut(PENDING_ORDERS).and_then(Value::as_array_mut) else { return false };
    let before = list.len();
    list.retain(|value| PendingOrder::parse(value).is_some_and(|order| !order.is_for(names)));
    let is_removed = list.len() < before;
    if list.is_empty() {
        root.remove(PENDING_ORDERS);
    }
    is_removed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn order_is_found_by_its_names_in_any_order_and_its_authority() {
        let mut root = Map::new();
        let mut order = PendingOrder::new(&names(&["b.x", "a.x"]), "https://ca.test/order/1");
        insert(&mut root, "https://ca.test/dir", &order);
        assert_eq!(find(&root, "https://ca.test/dir", &names(&["a.x", "b.x"])), Some(order.clone()));
        assert_eq!(find(&root, "https://other.test/dir", &names(&["a.x", "b.x"])), None);
        assert_eq!(find(&root, "https://ca.test/dir", &names(&["a.x"])), None);
        order.key = Some("key".to_owned());
        insert(&mut root, "https://ca.test/dir", &order);
        assert_eq!(root[PENDING_ORDERS].as_array().map(Vec::len), Some(1));
        assert_eq!(find(&root, "https://ca.test/dir", &names(&["a.x", "b.x"])), Some(order));
        assert!(remove(&mut root, &names(&["b.x", "a.x"])) && root.is_empty());
        assert!(!remove(&mut root, &names(&["a.x"])));
    }

    #[test]
    fn damaged_list_is_replaced() {
        let mut root = Map::new();
        root.insert(PENDING_ORDERS.to_owned(), json!("text"));
        let order = PendingOrder::new(&names(&["a.x"]), "url");
        assert_eq!(find(&root, "dir", &names(&["a.x"])), None);
        insert(&mut root, "dir", &order);
        assert_eq!(find(&root, "dir", &names(&["a.x"])), Some(order));
    }
}
