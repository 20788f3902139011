//! Whether two host names are so close that one was probably meant for the other.

/// Typing mistakes that still count as close.
const MISTAKES_MAX: usize = 2;
/// The longest name that is compared letter by letter.
const NAME_BYTES_MAX: usize = 253;

/// Whether one name is the other with labels in front (`www.shop.example`), or differs by at most two letters.
pub(super) fn is_near(one: &str, other: &str) -> bool {
    if one.is_empty() || other.is_empty() || one.len().max(other.len()) > NAME_BYTES_MAX {
        return false;
    }
    let extends = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|front| front.ends_with('.'));
    extends(one, other) || extends(other, one) || mistakes(one.as_bytes(), other.as_bytes()) <= MISTAKES_MAX
}

/// The letters that must be inserted, removed or replaced (Levenshtein); any number above `MISTAKES_MAX` if the lengths differ by more.
fn mistakes(one: &[u8], other: &[u8]) -> usize {
    if one.len().abs_diff(other.len()) > MISTAKES_MAX {
        return MISTAKES_MAX + 1;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, a) in one.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (b, above) in other.iter().zip(row.iter_mut().skip(1)) {
            let cost = (diagonal + usize::from(a != b)).min(left + 1).min(*above + 1);
            diagonal = *above;
            *above = cost;
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_differ_by_labels_in_front_or_two_letters() {
        for (one, other, expected) in [
            ("www.shop.example", "shop.example", true),
            ("shop.example", "www.shop.example", true),
            ("shpo.example", "shop.example", true),
            ("shop.exmple", "shop.example", true),
            ("shopping.example", "shop.example", false),
            ("blog.example", "shop.example", false),
            ("myshop.example", "shop.example", true),
            ("notmyshop.example", "shop.example", false),
            ("", "a", false),
        ] {
            assert_eq!(is_near(one, other), expected, "{one} {other}");
        }
        assert_eq!((mistakes(b"abc", b"abc"), mistakes(b"abc", b"axcd"), mistakes(b"", b"ab")), (0, 2, 2));
    }
}
