//! The words of comments: the field's terms instead of the words that an earlier version of the project invented. CONTRIBUTING.md has the rule.

use crate::source::sources;

/// Words and phrases that comments and texts do not use, and what they say instead.
const BANNED: [(&str, &str); 16] = [
    ("lets nobody in", "denies all requests"),
    ("lets everybody in", "allows all requests"),
    ("left out", "rejected (an object) or ignored (an option)"),
    ("set aside", "ejected"),
    ("kept connection", "pooled connection"),
    ("closed doors", "not accepting"),
    ("whoever", "the actor: client, supervisor, provider"),
    ("nobody", "the actor: no client, no server"),
    ("somebody", "the actor: a client, a process"),
    ("everybody", "all clients, every provider"),
    ("for ever", "indefinitely"),
    ("anew", "again, new"),
    ("seldom", "rarely"),
    ("patience", "timeout"),
    ("goes along", "is transferred"),
    ("walks through", "passes through"),
];

/// First words of a doc comment that name no subject.
const NO_SUBJECT: [&str; 11] =
    ["It", "Its", "One", "Those", "Whose", "Who", "Whoever", "What", "Nobody", "Somebody", "Everybody"];

#[test]
fn comments_use_the_terms_of_the_field() {
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let Some(comment) = comment_of(line) else { continue };
            let comment = comment.to_lowercase();
            for (phrase, better) in BANNED.iter().filter(|(phrase, _)| contains_words(&comment, phrase)) {
                broken.push(format!("{}:{}: \"{phrase}\": write {better}", source.path, number + 1));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn doc_comments_begin_with_their_subject() {
    let mut broken = Vec::new();
    for source in sources() {
        let mut previous = "";
        for (number, line) in source.text.lines().enumerate() {
            let trimmed = line.trim_start();
            let begins = trimmed.starts_with("///") && !previous.trim_start().starts_with("///");
            previous = line;
            let first = trimmed.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
            if begins && NO_SUBJECT.contains(&first.trim_end_matches([',', ':', '.'])) {
                broken.push(format!("{}:{}: {}", source.path, number + 1, trimmed));
            }
        }
    }
    assert!(broken.is_empty(), "these doc comments begin without their subject:\n{}", broken.join("\n"));
}

/// The comment of a line: the text behind two slashes that are not part of a URL.
fn comment_of(line: &str) -> Option<&str> {
    let at = line.match_indices("//").map(|(at, _)| at).find(|at| !line[..*at].ends_with(':'))?;
    Some(&line[at..])
}

/// Whether `phrase` stands in `text` as whole words.
fn contains_words(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
        before && text[at + phrase.len()..].chars().next().is_none_or(|c| !c.is_alphanumeric())
    })
}

#[test]
fn phrases_are_found_as_whole_words_only() {
    assert!(contains_words("it is left out.", "left out") && !contains_words("shift left outer", "left out"));
}
