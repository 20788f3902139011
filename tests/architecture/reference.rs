//! The manual in docs/reference: each cited section exists, each key and label of the code stands in a table there, and each key and label of
//! the tables is one of the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::source::{backquoted, project_files, root, sources, string_literals};

/// Keys of the tables that are not fields of the configuration's structures, each with its reason.
const OTHER_KEYS: [(&str, &str); 3] = [
    ("forwardingresponse", "an alias of responseForwarding, the name in Traefik's API"),
    ("useapiv3", "of the macro store_table, for etcd alone"),
    ("db", "of the macro store_table, for Redis alone"),
];

#[test]
fn every_cited_section_exists() {
    let pages = pages();
    let mut broken = Vec::new();
    for path in project_files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (at, _) in text.match_indices("docs/reference/") {
            let cited: String = text[at + "docs/reference/".len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "-_.#".contains(*c))
                .collect();
            let cited = cited.trim_end_matches('.');
            let (page, anchor) = cited.split_once('#').unwrap_or((cited, ""));
            if page.is_empty() || page.chars().all(|c| c.is_ascii_uppercase() || c == '.') || !page.ends_with(".md") {
                continue;
            }
            let exists = pages.get(page).is_some_and(|page| anchor.is_empty() || page.anchors.contains(anchor));
            if !exists {
                broken.push(format!("{}: docs/reference/{cited}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "these sections do not exist:\n{}", broken.join("\n"));
}

#[test]
fn links_between_pages_lead_to_sections() {
    let pages = pages();
    let mut broken = Vec::new();
    for (name, page) in &pages {
        for (at, _) in page.text.match_indices("](") {
            let target = page.text[at + 2..].split(')').next().unwrap_or_default();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains('/') || target.contains(':') {
                continue;
            }
            let linked = pages.get(if file.is_empty() { name.as_str() } else { file });
            if !linked.is_some_and(|linked| anchor.is_empty() || linked.anchors.contains(anchor)) {
                broken.push(format!("{name}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_key_of_the_code_stands_on_a_page() {
    let documented: BTreeSet<String> = rows().iter().flat_map(|row| parts(&row.key)).collect();
    let missing: BTreeSet<String> = fields().into_iter().filter(|field| !documented.contains(field)).collect();
    assert!(missing.is_empty(), "fields of the configuration without a row in docs/reference: {missing:#?}");
}

#[test]
fn every_key_of_the_pages_is_one_of_the_code() {
    let fields = fields();
    let known =
        |part: &String| is_placeholder(part) || fields.contains(part) || OTHER_KEYS.iter().any(|(key, _)| key == part);
    let mut wrong = BTreeSet::new();
    for row in rows().iter().filter(|row| !row.key.starts_with("traefik.")) {
        if !row.key.split('.').all(|part| is_placeholder(part) || known(&part.to_lowercase())) {
            wrong.insert(format!("{}: {}", row.page, row.key));
        }
    }
    assert!(wrong.is_empty(), "keys in docs/reference that the code does not read: {wrong:#?}");
}

#[test]
fn every_label_of_the_code_stands_on_a_page() {
    let documented: BTreeSet<String> =
        rows().iter().flat_map(|row| row.label.clone()).map(|label| with_stars(&label)).collect();
    let missing: Vec<String> = labels().into_iter().filter(|label| !documented.contains(label)).collect();
    assert!(missing.is_empty(), "labels of src/config/labels/known.rs without a row in docs/reference: {missing:#?}");
}

#[test]
fn every_label_of_the_pages_is_one_of_the_code() {
    let labels = labels();
    let mut wrong = BTreeSet::new();
    for row in rows().iter().filter(|row| row.is_supported) {
        for label in row.label.iter().map(|label| with_stars(label)) {
            // Labels of a segment are those of the container behind the segment's name.
            let container = label.replacen("traefik.*.", "traefik.", 1);
            if !labels.contains(&label) && !labels.contains(&container) {
                wrong.insert(format!("{}: {label}", row.page));
            }
        }
    }
    assert!(wrong.is_empty(), "labels in docs/reference that the code does not read: {wrong:#?}");
}

struct Page {
    text: String,
    anchors: BTreeSet<String>,
}

/// A row of a table of keys.
struct Row {
    page: String,
    /// As written, or empty in a table of labels alone.
    key: String,
    label: Option<String>,
    /// False if the row says that Ringway does not read the key or label.
    is_supported: bool,
}

fn pages() -> BTreeMap<String, Page> {
    let folder = root().join("docs/reference");
    let pages: BTreeMap<String, Page> = fs::read_dir(folder)
        .expect("docs/reference")
        .flatten()
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).expect("a page");
            let anchors = anchors(&text);
            (entry.file_name().to_string_lossy().into_owned(), Page { text, anchors })
        })
        .collect();
    assert!(pages.len() >= 12, "only {} pages", pages.len());
    pages
}

/// The anchors of headings, as GitHub makes them, and those of `<a id="...">`.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if !is_code && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
        found.extend(line.split("<a id=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    found
}

/// The rows of all tables of settings: their header begins with `key` or `label` and has the column `a wrong value`.
fn rows() -> Vec<Row> {
    let mut found = Vec::new();
    for (page, Page { text, .. }) in pages() {
        let mut columns: Option<(Option<usize>, Option<usize>)> = None;
        for line in text.lines() {
            let Some(inner) = line.strip_prefix('|') else {
                columns = None;
                continue;
            };
            let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
            if ["key", "label"].contains(&cells[0]) && cells.contains(&"a wrong value") {
                let column = |name| cells.iter().position(|cell| *cell == name);
                columns = Some((column("key"), column("label")));
                continue;
            }
            let Some((key, label)) = columns else { continue };
            let first = |column: Option<usize>| column.and_then(|at| backquoted(cells.get(at)?).next());
            let (key, label) = (first(key).unwrap_or_default(), first(label));
            if !key.is_empty() || label.is_some() {
                let is_supported = !line.contains("not supported");
                found.push(Row { page: page.clone(), key, label, is_supported });
            }
        }
    }
    assert!(found.len() > 300, "only {} rows of keys", found.len());
    found
}

/// The names of all fields that are read from toml, in lower case and without underscores, and the names that replace them.
fn fields() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let configuration = |path: &str| path.starts_with("src/config/static_config/") || path == "src/config/dynamic.rs";
    for source in sources().iter().filter(|source| configuration(&source.path)) {
        let read =
            |structure: &&str| structure.split("struct ").next().is_some_and(|head| head.contains("Deserialize"));
        for structure in source.code.split("#[derive(").skip(1).filter(read) {
            let body =
                structure.split_once('{').and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(body, _)| body);
            let names = body.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
            found.extend(names.map(|(name, _)| name.trim().trim_start_matches("r#").replace('_', "").to_lowercase()));
        }
    }
    assert!(found.len() > 150, "only {} fields", found.len());
    found
}

/// The labels that src/config/labels/known.rs lists, with `*` for free names.
fn labels() -> BTreeSet<String> {
    let sources = sources();
    let known = sources.iter().find(|source| source.path == "src/config/labels/known.rs").expect("known.rs");
    let lists: Vec<&str> = known.code.split("const ").skip(1).collect();
    let mut at = 0;
    let literals = string_literals(known);
    let mut found = BTreeSet::new();
    for list in lists {
        let count = list.split(';').next().unwrap_or_default().matches('"').count() / 2;
        let prefix = match list.split(':').next().unwrap_or_default() {
            "CONTAINER" => "traefik.",
            "FRONTEND" => "traefik.frontend.",
            _ => "",
        };
        for literal in literals.iter().skip(at).take(count).filter(|_| !prefix.is_empty()) {
            found.insert(with_stars(&format!("{prefix}{literal}")));
        }
        at += count;
    }
    assert!(found.len() > 100, "only {} labels", found.len());
    found
}

fn parts(key: &str) -> Vec<String> {
    key.split('.').map(|part| part.trim_end_matches("[]").to_lowercase()).collect()
}

/// `NAME`, `N`, `0`: a part that the user chooses.
fn is_placeholder(part: &str) -> bool {
    part == "*" || part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-' || c == '_')
}

/// The label with `*` in the place of each free part.
fn with_stars(label: &str) -> String {
    label.split('.').map(|part| if is_placeholder(part) { "*" } else { part }).collect::<Vec<_>>().join(".")
}
