//! The descriptions of keys: rows of the tables in the reference, which `tests/architecture` compares with the fields of the configuration. Help,
//! man page and completions take their texts from here, so that a key is described once.

/// The pages whose tables have keys of the static configuration.
const PAGES: [&str; 10] = [
    include_str!("../../docs/reference/static-configuration.md"),
    include_str!("../../docs/reference/entry-points.md"),
    include_str!("../../docs/reference/layer4.md"),
    include_str!("../../docs/reference/providers.md"),
    include_str!("../../docs/reference/key-value-stores.md"),
    include_str!("../../docs/reference/acme.md"),
    include_str!("../../docs/reference/api.md"),
    include_str!("../../docs/reference/logs.md"),
    include_str!("../../docs/reference/metrics.md"),
    include_str!("../../docs/reference/tracing.md"),
];

/// Tables that stand for others: their keys are described there.
const SAME_AS: [(&str, &str); 6] = [
    ("web.auth.", "entryPoints.NAME.auth."),
    ("web.metrics.", "metrics."),
    ("zookeeper.", "etcd."),
    ("consul.", "etcd."),
    ("redis.", "etcd."),
    ("docker.tls.", "entryPoints.NAME.auth.forward.tls."),
];

/// A row of a table of keys, without marks of formatting.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The key as the page spells it.
    key: String,
    /// The type, then what the key does.
    pub text: String,
    pub default: String,
    pub wrong_value: String,
}

/// All rows of keys.
pub(super) struct Manual {
    rows: Vec<Row>,
}

impl Manual {
    pub(super) fn read() -> Manual {
        Manual { rows: PAGES.iter().flat_map(|page| rows(page)).collect() }
    }

    /// The row of a key in any case.
    pub(super) fn row(&self, key: &str) -> Option<&Row> {
        let find = |key: &str| self.rows.iter().find(|row| row.key.eq_ignore_ascii_case(key));
        find(key).or_else(|| {
            let (prefix, other) = SAME_AS.iter().find(|(prefix, _)| key.starts_with(prefix))?;
            find(&key.replacen(prefix, other, 1))
        })
    }

    /// The rows of keys below a key, each with the rest of its key.
    pub(super) fn below<'m>(&'m self, key: &str) -> impl Iterator<Item = (&'m str, &'m Row)> + 'm {
        let prefix = format!("{key}.");
        self.rows.iter().filter_map(move |row| Some((row.key.strip_prefix(&prefix)?, row)))
    }
}

impl Row {
    /// The first sentence of the description, without the type: the line of a list.
    pub(super) fn summary(&self) -> String {
        let text = self.text.split_once(": ").map_or(self.text.as_str(), |(_, description)| description);
        let end = [". ", "; ", " ("].iter().filter_map(|mark| text.find(mark)).filter(|at| *at > 15).min();
        text[..end.unwrap_or(text.len())].trim_end_matches('.').to_owned()
    }
}

fn rows(page: &str) -> Vec<Row> {
    let mut found = Vec::new();
    let mut columns = None;
    for line in page.lines() {
        let Some(inner) = line.strip_prefix('|') else {
            columns = None;
            continue;
        };
        let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
        let at = |name: &str| cells.iter().position(|cell| *cell == name);
        if let (Some(key), Some(wrong)) = (at("key"), at("a wrong value")) {
            columns = Some((key, at("type"), at("default"), wrong));
            continue;
        }
        let Some((key, text, default, wrong)) = columns else { continue };
        let cell = |at: Option<usize>| at.and_then(|at| cells.get(at)).copied().unwrap_or_default();
        let Some(name) = cell(Some(key)).split('`').nth(1) else { continue };
        found.push(Row {
            key: name.to_owned(),
            text: plain(cell(text.or(Some(key + 1)))),
            default: plain(cell(default)),
            wrong_value: plain(cell(Some(wrong))),
        });
    }
    found
}

/// The rows of a table of two columns, by the first cell of its header.
pub(super) fn table(page: &str, header: &str) -> Vec<(String, String)> {
    let header = format!("| {header} |");
    let lines = page.lines().skip_while(|line| !line.starts_with(&header)).skip(2);
    let cells = |line: &str| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        Some((plain(cells.next()?), plain(cells.next()?)))
    };
    lines.map_while(cells).collect()
}

/// A cell without backquotes, and with the text of links alone.
fn plain(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    let mut rest = cell;
    while let Some((before, after)) = rest.split_once('[') {
        let link = after.split_once("](").and_then(|(shown, tail)| Some((shown, tail.split_once(')')?.1)));
        let is_link = |shown: &str| !shown.contains(['[', ']']);
        match link.filter(|(shown, _)| is_link(shown)) {
            Some((shown, tail)) => {
                text.push_str(before);
                text.push_str(shown);
                rest = tail;
            }
            None => {
                text.push_str(before);
                text.push('[');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text.replace('`', "").replace("\\_", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cell_loses_its_marks_and_keeps_the_texts_of_links() {
        assert_eq!(plain("bool: see [TLS](#tls) and `[api]`, `a[0]`"), "bool: see TLS and [api], a[0]");
    }

    #[test]
    fn summary_is_the_first_sentence_without_the_type() {
        let manual = Manual::read();
        let summary = |key: &str| manual.row(key).expect(key).summary();
        assert_eq!(
            summary("maxIdleConnsPerHost"),
            "idle connections kept for one server, divided among the workers and rounded up"
        );
        assert_eq!(summary("docker"), "routes from containers, see providers.md");
    }
}
