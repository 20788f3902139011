//! Guessing which name was meant.

/// One slip per three letters and no more than these: more would turn every short word into every other.
const SLIPS_MAX: usize = 3;
/// Letters of the longest name that is guessed at. Whoever writes longer ones is not helped by a guess, and comparing takes time.
const LETTERS_MAX: usize = 200;

/// The candidate closest to `written` by edit distance, case aside; `None` when none is close enough to be a slip.
pub fn did_you_mean<S: AsRef<str>>(written: &str, candidates: impl IntoIterator<Item = S>) -> Option<S> {
    let written: Vec<char> = written.chars().take(LETTERS_MAX + 1).map(|letter| letter.to_ascii_lowercase()).collect();
    if written.len() > LETTERS_MAX {
        return None;
    }
    let allowed = written.len().div_ceil(3).min(SLIPS_MAX);
    let close = |candidate: S| {
        let letters = candidate.as_ref().chars().map(|letter| letter.to_ascii_lowercase());
        edit_distance(&written, &letters.collect::<Vec<_>>(), allowed).map(|slips| (slips, candidate))
    };
    candidates.into_iter().filter_map(close).min_by_key(|(slips, _)| *slips).map(|(_, best)| best)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other; `None` for more than are allowed.
fn edit_distance(from: &[char], to: &[char], allowed: usize) -> Option<usize> {
    if from.len().abs_diff(to.len()) > allowed {
        return None;
    }
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
        // What a row has exceeded no later one makes good, but for a swap, which begins in the row before.
        if current.iter().chain(&last).all(|slips| *slips > allowed) {
            return None;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    Some(last[to.len()]).filter(|slips| *slips <= allowed)
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
            let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
            for (from, to) in [(&from, &to), (&to, &from)] {
                assert_eq!(super::edit_distance(from, to, slips), Some(slips), "{from:?} -> {to:?}");
                assert_eq!(super::edit_distance(from, to, 9), Some(slips), "{from:?} -> {to:?}");
                assert_eq!(
                    slips.checked_sub(1).and_then(|fewer| super::edit_distance(from, to, fewer)),
                    None,
                    "{from:?} -> {to:?}"
                );
            }
        }
    }

    #[test]
    fn guesses_only_what_is_close() {
        let names = ["address", "compress", "tls"];
        assert_eq!(did_you_mean("adress", names), Some("address"));
        assert_eq!(did_you_mean("COMPRES", names), Some("compress"));
        assert_eq!(did_you_mean("transport", names), None);
        assert_eq!(did_you_mean("x", [""; 0]), None);
        assert_eq!((did_you_mean("addressing", names), did_you_mean("addressings", names)), (Some("address"), None));
        assert_eq!(did_you_mean(&"address".repeat(100_000), names), None);
    }
}
