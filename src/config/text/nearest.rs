//! Guessing which name was meant.

/// The candidate closest to `written` by edit distance, case aside; `None` when none is close enough to be a slip.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let letters = written.chars().count();
    let allowed = slips_allowed(letters);
    let (distance, best) = candidates
        .into_iter()
        // A name that is longer by more slips is none of these; what a stranger wrote may be as long as its file.
        .filter(|candidate| candidate.chars().count().abs_diff(letters) <= allowed)
        .map(|candidate| (distance(&written, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= allowed).then_some(best)
}

/// One slip per three letters: more would turn every short word into every other.
fn slips_allowed(letters: usize) -> usize {
    const SLIPS_MAX: usize = 3;
    letters.div_ceil(3).min(SLIPS_MAX)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before_last = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut current = vec![row + 1; to.len() + 1];
        for (column, b) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *a == to[column - 1] && from[row - 1] == *b {
                best = best.min(before_last[column - 1] + 1);
            }
            current[column + 1] = best;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_slips() {
        for (from, to, slips) in [
            ("", "abc", 3),
            ("adress", "address", 1),
            ("watch", "watch", 0),
            ("wacth", "watch", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), slips, "{from} -> {to}");
            assert_eq!(distance(to, from), slips, "{to} -> {from}");
        }
    }

    #[test]
    fn guesses_only_what_is_close() {
        let names = ["address", "compress", "tls"];
        assert_eq!(nearest("adress", names), Some("address"));
        assert_eq!(nearest("COMPRES", names), Some("compress"));
        assert_eq!(nearest("transport", names), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!((nearest("addressing", names), nearest("addressings", names)), (Some("address"), None));
        assert_eq!(nearest(&"address".repeat(100_000), names), None);
    }
}
