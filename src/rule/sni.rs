//! Rules of TCP routes, and the table that finds the route of a connection by the name in its ClientHello
//! (docs/reference/layer4.md#rules). The order is: the exact name, the patterns by rank, then `*`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;

use super::diagnostic::never_matches;
use super::host::lower_host_name;
use super::invalid::InvalidRule;
use super::parse::{Piece, check_expressions, check_length, split};
use super::router::PRIORITY_LAST;
use super::template::{Kind, Template};
use crate::diagnostics::Diagnostic;

/// The rule of a TCP frontend: one `HostSNI` or `HostSNIRegexp`.
#[derive(Debug, Clone)]
pub struct SniRule {
    matchers: Vec<SniMatcher>,
    text_bytes: usize,
    warnings: Vec<Diagnostic>,
}

#[derive(Debug, Clone)]
enum SniMatcher {
    /// A name in lower case without a trailing dot.
    Name(String),
    Pattern(Template),
    /// `*`: every connection, also one without a name.
    Any,
}

impl SniRule {
    /// Parses the rule texts of one frontend. `None` if none of them has `HostSNI` or `HostSNIRegexp`: it is the rule of an HTTP frontend.
    ///
    /// # Errors
    /// A wrong grammar, or `HostSNI` beside another matcher.
    pub fn parse_all(texts: &[&str]) -> Result<Option<SniRule>, InvalidRule> {
        if !texts.iter().any(|text| mentions_sni(text)) {
            return Ok(None);
        }
        let text_bytes = texts.iter().map(|text| text.len()).sum();
        check_length(text_bytes)?;
        let pieces: Vec<Piece<'_>> = texts.iter().map(|text| split(text)).collect::<Result<Vec<_>, _>>()?.concat();
        check_expressions(&pieces)?;
        if let Some(other) = pieces.iter().find(|piece| !is_sni(piece)) {
            return Err(InvalidRule::NotOfTcp { piece: other.text.to_owned() });
        }
        if let [_, second, ..] = &*pieces {
            return Err(InvalidRule::SecondSni { piece: second.text.to_owned() });
        }
        let mut rule = SniRule { matchers: Vec::new(), text_bytes, warnings: Vec::new() };
        pieces.iter().for_each(|piece| rule.add(piece));
        Ok(Some(rule))
    }

    /// Diagnostics about names and patterns that never match.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Whether the rule takes connections without a name, and those with a name that no other route has.
    pub fn is_catch_all(&self) -> bool {
        self.matchers.iter().any(|matcher| matches!(matcher, SniMatcher::Any))
    }

    /// Whether the rule has anything besides `*`.
    pub fn needs_name(&self) -> bool {
        self.matchers.iter().any(|matcher| !matches!(matcher, SniMatcher::Any))
    }

    /// The rule for an entry point without TLS, where only `*` can take a connection.
    pub fn without_names(mut self) -> SniRule {
        self.matchers.retain(|matcher| matches!(matcher, SniMatcher::Any));
        self
    }

    fn add(&mut self, piece: &Piece<'_>) {
        for argument in &piece.arguments {
            let matcher = match (piece.name, argument.as_str()) {
                ("HostSNI", "*") => SniMatcher::Any,
                ("HostSNI", name) => {
                    let name = lower_host_name(name);
                    if let Some(problem) = name_problem(&name) {
                        self.warnings.push(never_matches(format!("HostSNI `{name}` never matches: {problem}")));
                    }
                    SniMatcher::Name(name)
                }
                (_, pattern) => {
                    let (template, problem) = Template::new(&lower_host_name(pattern), Kind::Host);
                    let reworded = |problem: Diagnostic| {
                        let text = format!("HostSNIRegexp template never matches: {problem}");
                        Diagnostic { bound: problem.bound, ..never_matches(text) }
                    };
                    self.warnings.extend(problem.map(reworded));
                    SniMatcher::Pattern(template)
                }
            };
            self.matchers.push(matcher);
        }
    }
}

/// Whether the rule of a TCP frontend takes connections of any name; `None` for other rules. Only the grammar is read.
pub fn has_catch_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<bool> {
    let mut found = None;
    for text in texts.into_iter().filter(|text| mentions_sni(text)) {
        let pieces = split(text).unwrap_or_default();
        let is_any = |piece: &Piece<'_>| piece.name == "HostSNI" && piece.arguments.iter().any(|name| name == "*");
        found = Some(found == Some(true) || pieces.iter().any(is_any));
    }
    found
}

/// The literal names in the rule of a TCP frontend, in lower case; `None` for other rules. Only the grammar is read.
pub fn literal_names(text: &str) -> Option<Vec<String>> {
    if !mentions_sni(text) {
        return None;
    }
    let pieces = split(text).unwrap_or_default();
    let names = pieces.into_iter().filter(|piece| piece.name == "HostSNI").flat_map(|piece| piece.arguments);
    let names = names.filter(|name| name != "*").map(|name| lower_host_name(&name));
    Some(names.filter(|name| name_problem(name).is_none()).collect())
}

fn is_sni(piece: &Piece<'_>) -> bool {
    matches!(piece.name, "HostSNI" | "HostSNIRegexp")
}

/// Whether a text is the rule of a TCP route, or was meant as one.
fn mentions_sni(text: &str) -> bool {
    text.split(';').any(|piece| piece.trim_start_matches(':').trim_start().starts_with("HostSNI"))
}

/// Why no ClientHello has this name.
fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains([':', '/']) {
        return Some("write a name without a port");
    }
    if name.contains('*') {
        return Some("a `*` stands alone, write for example `HostSNIRegexp:{sub:[^.]+}.example.com`");
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return Some("clients send no IP address as name (RFC 6066, section 3), write `HostSNI:*`");
    }
    (!name.is_ascii()).then_some("clients send names in ASCII, write the form that begins with `xn--`")
}

/// A rule with its priority, and the value that stands for the frontend.
#[derive(Debug, Clone)]
pub struct SniRoute<T> {
    pub rule: SniRule,
    /// Ranked as the priority of an HTTP route (docs/reference/rules.md#order).
    pub priority: i64,
    pub provider: String,
    pub name: String,
    pub value: T,
}

/// All TCP routes of one entry point.
#[derive(Debug)]
pub struct SniRoutes<T> {
    names: HashMap<String, T>,
    /// In the order of the ranks.
    patterns: Vec<(Template, T)>,
    catch_all: Option<T>,
}

/// A part of a route that gets no connection, because a route of a higher rank has the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    pub provider: String,
    pub name: String,
    /// The name that both have; `*` for the catch-all.
    pub host: String,
    /// The frontend that gets the connections, and its provider.
    pub winner: String,
    pub winner_provider: String,
    /// Whether no part of the route gets connections.
    pub is_complete: bool,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unreachable { host, winner, winner_provider, .. } = self;
        write!(f, "HostSNI `{host}` is also in the rule of frontend {winner} ({winner_provider}), which ranks first")
    }
}

impl<T> Default for SniRoutes<T> {
    fn default() -> Self {
        SniRoutes { names: HashMap::new(), patterns: Vec::new(), catch_all: None }
    }
}

impl<T: Clone> SniRoutes<T> {
    /// Builds the table. Of two routes with the same name, the first in the order of ranks gets its connections. The list has the others,
    /// except those that come last because their servers are unavailable.
    pub fn build(mut routes: Vec<SniRoute<T>>) -> (Self, Vec<Unreachable>) {
        routes.sort_by(|a, b| rank(a).cmp(&rank(b)));
        let mut table = SniRoutes::default();
        let mut unreachable = Vec::new();
        let mut owners: HashMap<String, usize> = HashMap::new();
        for (index, route) in routes.iter().enumerate() {
            let before = unreachable.len();
            let mut has_place = false;
            for matcher in &route.rule.matchers {
                let host = match matcher {
                    SniMatcher::Pattern(template) => {
                        has_place |= !template.is_dead();
                        table.patterns.push((template.clone(), route.value.clone()));
                        continue;
                    }
                    SniMatcher::Name(name) => name.as_str(),
                    SniMatcher::Any => "*",
                };
                let owner = *owners.entry(host.to_owned()).or_insert(index);
                if owner == index {
                    has_place = true;
                    table.set(matcher, &route.value);
                } else if route.priority != PRIORITY_LAST {
                    unreachable.push(shadowed(route, host, &routes[owner]));
                }
            }
            unreachable[before..].iter_mut().for_each(|part| part.is_complete = !has_place);
        }
        (table, unreachable)
    }

    fn set(&mut self, matcher: &SniMatcher, value: &T) {
        match matcher {
            SniMatcher::Name(name) => {
                self.names.insert(name.clone(), value.clone());
            }
            SniMatcher::Any => self.catch_all = Some(value.clone()),
            SniMatcher::Pattern(_) => {}
        }
    }
}

impl<T> SniRoutes<T> {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty() && self.catch_all.is_none()
    }

    /// Whether the route of a connection depends on its ClientHello.
    pub fn needs_name(&self) -> bool {
        !self.names.is_empty() || !self.patterns.is_empty()
    }

    /// The route of a connection: by its exact name, by the first pattern, else `*`. `name` is in lower case and has no trailing dot;
    /// `None` stands for a connection whose client has sent none.
    pub fn find(&self, name: Option<&str>) -> Option<&T> {
        name.and_then(|name| self.find_name(name)).or(self.catch_all.as_ref())
    }

    fn find_name(&self, name: &str) -> Option<&T> {
        let by_pattern = || self.patterns.iter().find(|(pattern, _)| pattern.matches(Kind::Host, name.as_bytes()));
        self.names.get(name).or_else(|| by_pattern().map(|(_, value)| value))
    }

    /// All routes as text, `HostSNI:name`, with their values: the names sorted, then the patterns by rank, then `*`.
    pub fn entries(&self) -> Vec<(String, &T)> {
        let mut names: Vec<(String, &T)> =
            self.names.iter().map(|(name, value)| (format!("HostSNI:{name}"), value)).collect();
        names.sort_by(|a, b| a.0.cmp(&b.0));
        let patterns =
            self.patterns.iter().map(|(pattern, value)| (format!("HostSNIRegexp:{}", pattern.text()), value));
        names.extend(patterns);
        names.extend(self.catch_all.as_ref().map(|value| ("HostSNI:*".to_owned(), value)));
        names
    }

    /// Whether a route has exactly this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// The route of all connections that no other route takes.
    pub fn catch_all(&self) -> Option<&T> {
        self.catch_all.as_ref()
    }
}

/// The position of a route among others: by priority, then by provider and name.
fn rank<T>(route: &SniRoute<T>) -> (Reverse<i64>, &str, &str) {
    let priority = match route.priority {
        configured if configured > 0 || configured == PRIORITY_LAST => configured,
        _ => route.rule.text_bytes as i64,
    };
    (Reverse(priority), &route.provider, &route.name)
}

fn shadowed<T>(route: &SniRoute<T>, host: &str, owner: &SniRoute<T>) -> Unreachable {
    Unreachable {
        provider: route.provider.clone(),
        name: route.name.clone(),
        host: host.to_owned(),
        winner: owner.name.clone(),
        winner_provider: owner.provider.clone(),
        is_complete: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SniRule {
        SniRule::parse_all(&[text]).expect(text).expect("a rule of TCP")
    }

    fn route(name: &'static str, rule: &str, priority: i64) -> SniRoute<&'static str> {
        SniRoute { rule: parsed(rule), priority, provider: "file".to_owned(), name: name.to_owned(), value: name }
    }

    #[test]
    fn rule_without_host_sni_is_none_and_faulty_one_names_its_piece() {
        for text in ["Host:a", "Bogus:a", "", "Host:a;PathPrefix:/HostSNI"] {
            assert!(SniRule::parse_all(&[text]).expect(text).is_none(), "{text}");
        }
        for (texts, part) in [
            (&["HostSNI:a;PathPrefix:/x"][..], "`PathPrefix:/x`"),
            (&["HostSNI:a", "Host:b"], "`Host:b`"),
            (&["HostSNI:a;HostSNIRegexp:{s}.b"], "a second HostSNI"),
            (&["HostSNI"], "no argument"),
            (&["HostSni:a;HostSNI:b"], "write `HostSNI`"),
        ] {
            let error = SniRule::parse_all(texts).expect_err(part).to_string();
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
        let long = format!("HostSNI:{}", "a.example,".repeat(7000));
        assert!(SniRule::parse_all(&[&long]).expect_err("too long").bound().is_some());
    }

    #[test]
    fn name_that_no_client_sends_gives_a_warning() {
        for (text, part) in [
            ("HostSNI:a:443", "without a port"),
            ("HostSNI:*.a", "HostSNIRegexp"),
            ("HostSNI:10.0.0.1", "HostSNI:*"),
            ("HostSNI:m\u{fc}nchen.de", "xn--"),
            ("HostSNIRegexp:{a", "never matches"),
        ] {
            let warnings: String = parsed(text).warnings().iter().map(|warning| warning.text.clone()).collect();
            assert!(warnings.contains(part), "{text}: {warnings:?}");
        }
        assert!(parsed("HostSNI:a.example., B.example,*").warnings().is_empty());
    }

    #[test]
    fn exact_name_comes_before_patterns_by_rank_and_those_before_any() {
        let (table, unreachable) = SniRoutes::build(vec![
            route("any", "HostSNI:*", 100),
            route("short", "HostSNIRegexp:{s:[a-z]+}.example", 0),
            route("long", "HostSNIRegexp:{sub:[a-z0-9]+}.example", 0),
            route("first", "HostSNIRegexp:{s:api-.*}.example", 900),
            route("exact", "HostSNI:WWW.example.,mail.example", 1),
        ]);
        assert_eq!(unreachable, []);
        for (name, found) in [
            (Some("www.example"), "exact"),
            (Some("mail.example"), "exact"),
            (Some("db.example"), "long"),
            (Some("api-x.example"), "first"),
            (Some("a-b.example"), "any"),
            (None, "any"),
        ] {
            assert_eq!(table.find(name), Some(&found), "{name:?}");
        }
        assert!(table.needs_name() && table.has_name("www.example") && !table.has_name("db.example"));
        assert_eq!(table.catch_all(), Some(&"any"));
    }

    #[test]
    fn table_without_any_finds_no_other_name() {
        let (table, _) = SniRoutes::build(vec![route("a", "HostSNI:a.example", 0)]);
        assert_eq!((table.find(Some("b.example")), table.find(None), table.is_empty()), (None, None, false));
        let (any, _) = SniRoutes::build(vec![route("any", "HostSNI:*", 0)]);
        assert!(!any.needs_name() && any.find(None).is_some());
        assert!(SniRoutes::<u8>::default().is_empty());
    }

    #[test]
    fn second_route_with_a_name_is_reported_with_the_winner() {
        let (table, unreachable) = SniRoutes::build(vec![
            route("b", "HostSNI:a.example,b.example", 0),
            route("a", "HostSNI:a.example", 50),
            route("c", "HostSNI:b.example", PRIORITY_LAST),
            route("y", "HostSNI:*", 0),
            route("x", "HostSNI:*", 0),
        ]);
        assert_eq!((table.find(Some("a.example")), table.find(Some("b.example"))), (Some(&"a"), Some(&"b")));
        assert_eq!(table.catch_all(), Some(&"x"));
        let shown: Vec<_> = unreachable
            .iter()
            .map(|part| (part.name.as_str(), part.host.as_str(), part.winner.as_str(), part.is_complete))
            .collect();
        assert_eq!(shown, [("b", "a.example", "a", false), ("y", "*", "x", true)]);
    }
}
