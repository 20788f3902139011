//! Colours of texts for terminals (docs/reference/command-line.md#colours).

/// Whether texts have colours: ANSI escape sequences, as every terminal of today reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    is_coloured: bool,
}

impl Style {
    pub const PLAIN: Style = Style { is_coloured: false };

    /// The style of an output. Only a terminal gets colours, unless `NO_COLOR` has a value or `TERM` is `dumb`.
    pub fn of(is_terminal: bool, env: &dyn Fn(&str) -> Option<String>) -> Style {
        let has_no_color = env("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env("TERM").is_some_and(|term| term == "dumb");
        if is_terminal && !has_no_color && !is_dumb { Style { is_coloured: true } } else { Style::PLAIN }
    }

    /// A heading: bold.
    pub fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Text that the user types: cyan.
    pub fn literal(self, text: &str) -> String {
        self.paint("36", text)
    }

    /// Something that works: green.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Something wrong: bold red.
    pub fn error(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_without_no_color_gets_colours() {
        let none = |_: &str| None;
        assert_eq!(Style::of(true, &none).heading("a"), "\x1b[1ma\x1b[0m");
        assert_eq!(Style::of(false, &none), Style::PLAIN);
        let no_color = |value: &'static str| move |name: &str| (name == "NO_COLOR").then(|| value.to_owned());
        assert_eq!(Style::of(true, &no_color("1")), Style::PLAIN);
        assert_ne!(Style::of(true, &no_color("")), Style::PLAIN);
        assert_eq!(Style::of(true, &|name: &str| (name == "TERM").then(|| "dumb".to_owned())), Style::PLAIN);
    }
}
