//! The XML of Route 53's API, as far as it is needed.

/// The contents of all elements with this name, in order, outer elements only.
pub fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let (mut rest, mut found) = (xml, Vec::new());
    while let Some((_, behind)) = rest.split_once(&open) {
        let Some((content, behind)) = behind.split_once(&close) else { break };
        found.push(content);
        rest = behind;
    }
    found
}

/// The text of the first element with this name, without escapes.
pub fn text(xml: &str, name: &str) -> Option<String> {
    elements(xml, name).first().map(|content| unescape(content.trim()))
}

fn unescape(text: &str) -> String {
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    named.iter().fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

/// Escapes a text for an element.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_elements_are_found_without_escapes() {
        let xml = "<R><A> 1 </A><A>&quot;x&amp;lt;&quot;</A><B/></R>";
        assert_eq!(elements(xml, "A"), [" 1 ", "&quot;x&amp;lt;&quot;"]);
        assert_eq!(text(xml, "A").as_deref(), Some("1"));
        assert_eq!(unescape("&quot;x&amp;lt;&quot;"), "\"x&lt;\"");
        assert_eq!(text(xml, "C"), None);
        assert_eq!(unescape(&escape("<\"a&b\">")), "<\"a&b\">");
    }
}
