//! Suggests the name that was probably meant by a misspelt one.

/// The largest edit distance of a suggestion; one edit per three letters is allowed. With more, any two short words would match.
const EDITS_MAX: usize = 3;
/// Letters of the longest name that gets a suggestion. Comparing a longer name takes time and does not help its author.
const LETTERS_MAX: usize = 200;

/// The candidate closest to `written` by edit distance, regardless of case; `None` if no candidate is close enough to be a misspelling.
pub fn did_you_mean<S: AsRef<str>>(written: &str, candidates: impl IntoIterator<Item = S>) -> Option<S> {
    let written: Vec<char> = written.chars().take(LETTERS_MAX + 1).map(|letter| letter.to_ascii_lowercase()).collect();
    if written.len() > LETTERS_MAX {
        return None;
    }
    let allowed = written.len().div_ceil(3).min(EDITS_MAX);
    let mut best: Option<(usize, S)> = None;
    let mut letters = Vec::new();
    for candidate in candidates {
        // A later candidate must be closer than the best one so far: among thousands of names, few are compared letter by letter.
        let allowed = match &best {
            Some((0, _)) => break,
            Some((edits, _)) => edits - 1,
            None => allowed,
        };
        letters.clear();
        letters.extend(candidate.as_ref().chars().take(LETTERS_MAX * 2).map(|letter| letter.to_ascii_lowercase()));
        let (from, to) = without_common_ends(&written, &letters);
        best = edit_distance(from, to, allowed).map(|edits| (edits, candidate)).or(best);
    }
    best.map(|(_, candidate)| candidate)
}

/// Both texts without the letters that they begin and end with alike, which no edit has to change.
fn without_common_ends<'t>(mut from: &'t [char], mut to: &'t [char]) -> (&'t [char], &'t [char]) {
    while let ([a, from_rest @ ..], [b, to_rest @ ..]) = (from, to)
        && a == b
    {
        (from, to) = (from_rest, to_rest);
    }
    while let ([from_rest @ .., a], [to_rest @ .., b]) = (from, to)
        && a == b
    {
        (from, to) = (from_rest, to_rest);
    }
    (from, to)
}

/// The number of insertions, deletions, replacements and swaps of neighbours that turn one text into the other; `None` if it is above
/// `allowed`.
fn edit_distance(from: &[char], to: &[char], allowed: usize) -> Option<usize> {
    if from.len().abs_diff(to.len()) > allowed {
        return None;
    }
    if allowed == 0 {
        return (from == to).then_some(0);
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
        // If two rows in sequence exceed the bound everywhere, all later rows do. One row is not enough: a swap starts from the row before.
        if current.iter().chain(&last).all(|edits| *edits > allowed) {
            return None;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    Some(last[to.len()]).filter(|edits| *edits <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_edits_up_to_the_bound() {
        for (from, to, edits) in [
            ("", "abc", 3),
            ("adress", "address", 1),
            ("watch", "watch", 0),
            ("wacth", "watch", 1),
            ("kitten", "sitting", 3),
        ] {
            let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
            for (from, to) in [(&from, &to), (&to, &from)] {
                assert_eq!(super::edit_distance(from, to, edits), Some(edits), "{from:?} -> {to:?}");
                assert_eq!(super::edit_distance(from, to, 9), Some(edits), "{from:?} -> {to:?}");
                assert_eq!(
                    edits.checked_sub(1).and_then(|fewer| super::edit_distance(from, to, fewer)),
                    None,
                    "{from:?} -> {to:?}"
                );
            }
        }
    }

    #[test]
    fn did_you_mean_suggests_close_names_only() {
        let names = ["address", "compress", "tls"];
        assert_eq!(did_you_mean("adress", names), Some("address"));
        assert_eq!(did_you_mean("COMPRES", names), Some("compress"));
        assert_eq!(did_you_mean("transport", names), None);
        assert_eq!(did_you_mean("x", [""; 0]), None);
        assert_eq!(did_you_mean("b12", ["b13", "b21", "B12", "b12"]), Some("B12"));
        assert_eq!(did_you_mean("abcabc", ["abcabcabc", "acbabc", "abcbac"]), Some("acbabc"));
        assert_eq!((did_you_mean("addressing", names), did_you_mean("addressings", names)), (Some("address"), None));
        assert_eq!(did_you_mean(&"address".repeat(100_000), names), None);
    }
}
