//! Findings as text for a person: the message, the line with a caret or the container with its label, the meaning, the remedy.

use annotate_snippets::{AnnotationKind, Level as Title, Renderer, Snippet};

use super::finding::{Finding, Level, Place};

/// Renders a finding, without a line end.
pub fn text(finding: &Finding) -> String {
    let title = match finding.level {
        Level::Error => Title::ERROR,
        Level::Warning => Title::WARNING,
        Level::Note => Title::NOTE,
    };
    let title = title.primary_title(finding.message.as_str()).id(finding.code.name());
    let meaning = Title::NOTE.with_name("meaning").message(finding.meaning());
    let help = Title::NOTE.with_name("help").message(finding.help());
    let group = match &finding.place {
        Place::Line { file, line, column, width, text: Some(text) } => {
            let start = offset(text, column.saturating_sub(1));
            let end = offset(text, column.saturating_sub(1) + width);
            let snippet = Snippet::source(text.as_str())
                .path(file.as_str())
                .line_start(*line)
                .annotation(AnnotationKind::Primary.span(start..end));
            title.element(snippet).element(meaning).element(help)
        }
        _ => title.element(meaning).element(help),
    };
    let rendered = Renderer::plain().render(&[group]);
    match place_line(&finding.place) {
        None => rendered,
        Some(place) => match rendered.split_once('\n') {
            Some((first, rest)) => format!("{first}\n --> {place}\n{rest}"),
            None => format!("{rendered}\n --> {place}"),
        },
    }
}

/// The place of a finding whose line is not shown.
fn place_line(place: &Place) -> Option<String> {
    match place {
        Place::Line { text: Some(_), .. } | Place::Unknown => None,
        Place::Line { file, line, column, text: None, .. } => {
            Some(format!("{file}:{line}:{column} (the line may hold a secret and is not shown)"))
        }
        Place::File(file) => Some(file.clone()),
        Place::Flag(flag) => Some(flag.clone()),
        Place::Container { name, label: Some(label) } => Some(format!("container {name}, label {label}")),
        Place::Container { name, label: None } => Some(format!("container {name}")),
    }
}

/// The byte offset of a character.
fn offset(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;

    #[test]
    fn line_is_shown_with_a_caret_below_the_characters_that_are_meant() {
        let place = Place::Line {
            file: "traefik.toml".to_owned(),
            line: 7,
            column: 3,
            width: 6,
            text: Some("ä adress = \":80\"".to_owned()),
        };
        let finding = Finding::new(Level::Warning, Code::UnknownKey, "unknown key x.adress").at(place);
        let shown = text(&finding);
        assert!(shown.starts_with("warning[unknown-key]: unknown key x.adress\n --> traefik.toml:7:3\n"), "{shown}");
        assert!(shown.contains("7 | ä adress = \":80\"\n  |   ^^^^^^\n"), "{shown}");
        assert!(shown.contains(&format!("= meaning: {}", Code::UnknownKey.meaning())), "{shown}");
        assert!(shown.contains(&format!("= help: {}", Code::UnknownKey.help())), "{shown}");
    }

    #[test]
    fn line_with_a_secret_is_named_and_not_shown() {
        let place = Place::Line { file: "f".to_owned(), line: 2, column: 1, width: 9, text: None };
        let shown = text(&Finding::new(Level::Error, Code::InvalidUser, "user 1").at(place));
        assert!(shown.contains("\n --> f:2:1 (the line may hold a secret and is not shown)\n"), "{shown}");
    }

    #[test]
    fn container_is_named_with_its_label() {
        let place = Place::Container { name: "shop-1".to_owned(), label: Some("traefik.port".to_owned()) };
        let shown = text(&Finding::new(Level::Error, Code::InvalidLabel, "no port").at(place));
        assert!(shown.contains("\n --> container shop-1, label traefik.port\n"), "{shown}");
    }
}
