//! The rule grammar and its one parser (docs/reference/rules.md#grammar).

use super::contradiction::{contradictions, host_problem, method_problem};
use super::diagnostic::{RULES, never_matches};
use super::host::lower_host_name;
use super::invalid::{InvalidRule, NAMES};
use super::matcher::{FIELDS_NOT_IN_HEADERS, HeaderTest, Matcher, Prefix, is_outside_headers};
use super::modifier::Modifiers;
use super::pattern;
use super::template::{Kind, Template};
use crate::diagnostics::{Code, Diagnostic};
use crate::limits::{RULE_BYTES_MAX, RULE_EXPRESSIONS_MAX};

/// The rule of a frontend: conditions that must all hold, and the modifiers of the path of a request that meets them.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) modifiers: Modifiers,
    text_bytes: usize,
    hosts: Vec<String>,
    warnings: Vec<Diagnostic>,
}

impl Rule {
    /// Parses one rule text.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests and a fuzz target parse single rules with it"))]
    pub fn parse(text: &str) -> Result<Rule, InvalidRule> {
        Rule::parse_all([text])
    }

    /// Parses the rule texts of one frontend. A request must match all of them; if a path modifier is repeated, the last one counts.
    /// Without any text the rule matches every request.
    pub fn parse_all<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Rule, InvalidRule> {
        let mut rule = Rule {
            matchers: Vec::new(),
            modifiers: Modifiers::default(),
            text_bytes: 0,
            hosts: Vec::new(),
            warnings: Vec::new(),
        };
        let mut pieces = Vec::new();
        for text in texts {
            rule.text_bytes += text.len();
            check_length(rule.text_bytes)?;
            pieces.extend(split(text)?);
        }
        check_expressions(&pieces)?;
        for piece in pieces {
            rule.add(piece)?;
        }
        let mut seen = std::collections::HashSet::new();
        rule.hosts.retain(|host| seen.insert(host.clone()));
        rule.warnings.extend(contradictions(&rule.matchers));
        Ok(rule)
    }

    /// The names of all `Host` matchers, lower-cased, without duplicates.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Whether the rule has conditions on the host and a lower-cased `name` meets all of them.
    pub fn names_host(&self, name: &str) -> bool {
        let on_host = |matcher: &Matcher| match matcher {
            Matcher::Host(names) => Some(names.iter().any(|own| own == name)),
            Matcher::HostRegexp(templates) => Some(templates.iter().any(|t| t.matches(Kind::Host, name.as_bytes()))),
            _ => None,
        };
        let mut met = self.matchers.iter().filter_map(on_host).peekable();
        met.peek().is_some() && met.all(|is_met| is_met)
    }

    /// Diagnostics about parts of the rule that never match or have no effect; Traefik v1 accepts them without a message.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// The priority of a route without a configured one: the length of its rule texts in bytes (docs/reference/rules.md#order).
    pub fn default_priority(&self) -> i64 {
        self.text_bytes as i64
    }

    fn add(&mut self, piece: Piece<'_>) -> Result<(), InvalidRule> {
        let Piece { name, arguments, text } = piece;
        match name {
            "Host" => self.host(arguments),
            "HostRegexp" => self.host_regexp(arguments),
            "Path" => self.path(arguments),
            "PathPrefix" => self.prefix(arguments),
            "PathStrip" => {
                self.modifiers.strip(longest_first(arguments.clone()));
                self.path(longest_first(arguments));
            }
            "PathPrefixStrip" => {
                self.modifiers.strip(longest_first(arguments.clone()));
                self.prefix(longest_first(arguments));
            }
            "PathStripRegex" => {
                self.strip_regex(longest_first(arguments.clone()));
                self.path(longest_first(arguments));
            }
            "PathPrefixStripRegex" => {
                let templates = self.strip_regex(longest_first(arguments));
                self.matchers.push(Matcher::PathPrefix(templates.into_iter().map(Prefix::Template).collect()));
            }
            "Method" => {
                let methods: Vec<String> = arguments.iter().map(|method| method.to_uppercase()).collect();
                self.warnings.extend(methods.iter().filter_map(|method| method_problem(method)));
                self.matchers.push(Matcher::Method(methods));
            }
            "Headers" => self.headers(text, arguments, |value| Ok(HeaderTest::Exactly(value)))?,
            "HeadersRegexp" => {
                self.headers(text, arguments, |value| pattern::compile(&value).map(HeaderTest::Pattern))?
            }
            "Query" => self.query(text, arguments)?,
            "HostSNI" | "HostSNIRegexp" => return Err(InvalidRule::OnlyOfTcp { piece: text.to_owned() }),
            "AddPrefix" => {
                let prefix = last(arguments);
                if !prefix.starts_with('/') {
                    self.warn(format!(
                        "`{text}`: the prefix has no leading slash: write `/{prefix}` \
                         (with sanitizePath = false the forwarded path is not valid)"
                    ));
                }
                self.modifiers.add_prefix(prefix);
            }
            "ReplacePath" => {
                let path = last(arguments);
                if !path.starts_with('/') {
                    self.warn(format!(
                        "`{text}`: the path has no leading slash: write `/{path}` \
                         (with sanitizePath = false the forwarded path is not valid)"
                    ));
                }
                self.modifiers.replace_path(path);
            }
            _ => {
                if let Err(problem) = self.modifiers.replace_path_regex(&last(arguments)) {
                    let rewrite = |problem| format!("`{text}`: {problem}; the path is not replaced");
                    let problem = problem.reworded(rewrite);
                    self.warnings.push(Diagnostic { code: Code::RuleWithoutEffect, ..problem.about(RULES) });
                }
            }
        }
        Ok(())
    }

    /// Adds a warning about a part that does not do what it says.
    fn warn(&mut self, warning: String) {
        self.warnings.push(Diagnostic::new(Code::RuleWithoutEffect, RULES, warning));
    }

    fn host(&mut self, arguments: Vec<String>) {
        let names: Vec<String> = arguments.iter().map(|name| lower_host_name(name)).collect();
        for name in &names {
            if let Some(problem) = host_problem(name) {
                self.warnings.push(never_matches(format!("Host `{name}` never matches: {problem}")));
            }
        }
        self.hosts.extend(names.iter().filter(|name| !name.is_empty()).cloned());
        self.matchers.push(Matcher::Host(names));
    }

    fn host_regexp(&mut self, arguments: Vec<String>) {
        let templates = arguments.iter().map(|argument| {
            let lowered = lower_host_name(argument);
            if ["\\D", "\\S", "\\W", "\\B", "\\P"].iter().any(|class| argument.contains(class)) {
                self.warn(format!(
                    "HostRegexp `{argument}` is lower-cased as a whole, also `\\D`, `\\S`, `\\W`: write a class such as `[^0-9]`"
                ));
            }
            self.template("HostRegexp", &lowered, Kind::Host)
        });
        let templates = templates.collect();
        self.matchers.push(Matcher::HostRegexp(templates));
    }

    fn path(&mut self, arguments: Vec<String>) {
        let templates = arguments.iter().map(|argument| self.template("path", argument, Kind::Path)).collect();
        self.matchers.push(Matcher::Path(templates));
    }

    fn prefix(&mut self, arguments: Vec<String>) {
        let prefixes = arguments.into_iter().map(|argument| match argument.contains('{') {
            true => Prefix::Template(self.template("PathPrefix", &argument, Kind::Prefix)),
            false => Prefix::Literal(argument),
        });
        let prefixes = prefixes.collect();
        self.matchers.push(Matcher::PathPrefix(prefixes));
    }

    fn strip_regex(&mut self, arguments: Vec<String>) -> Vec<Template> {
        let templates: Vec<Template> = arguments.iter().map(|a| self.template("strip", a, Kind::Prefix)).collect();
        self.modifiers.strip_regex(templates.clone());
        templates
    }

    fn template(&mut self, matcher: &str, text: &str, kind: Kind) -> Template {
        let (template, problem) = Template::new(text, kind);
        if let Some(problem) = problem {
            let text = format!("{matcher} template never matches: {problem}");
            self.warnings.push(Diagnostic { bound: problem.bound, ..never_matches(text) });
        }
        template
    }

    fn headers(
        &mut self,
        piece: &str,
        arguments: Vec<String>,
        read: impl Fn(String) -> Result<HeaderTest, pattern::InvalidPattern>,
    ) -> Result<(), InvalidRule> {
        if !arguments.len().is_multiple_of(2) {
            return Err(InvalidRule::OddArguments { piece: piece.to_owned(), count: arguments.len() });
        }
        let mut tests: Vec<(String, HeaderTest)> = Vec::new();
        for pair in arguments.chunks_exact(2) {
            let [name, value] = [&pair[0], &pair[1]];
            if is_outside_headers(name) {
                let fields = FIELDS_NOT_IN_HEADERS.join(", ");
                self.warnings.push(never_matches(format!("`{piece}` never matches: {fields} cannot be tested")));
            }
            let test = match value.is_empty() {
                true => HeaderTest::Present,
                false => read(value.clone())
                    .map_err(|error| InvalidRule::InvalidPattern { piece: piece.to_owned(), error })?,
            };
            tests.retain(|(earlier, _)| earlier != name);
            tests.push((name.clone(), test));
        }
        self.matchers.push(Matcher::Headers(tests));
        Ok(())
    }

    fn query(&mut self, piece: &str, arguments: Vec<String>) -> Result<(), InvalidRule> {
        let mut tests = Vec::new();
        for argument in arguments {
            let Some((key, _)) = argument.split_once('=').filter(|(_, value)| !value.contains('=')) else {
                return Err(InvalidRule::InvalidQuery { piece: piece.to_owned(), argument });
            };
            tests.push((key.to_owned(), self.template("Query", &argument, Kind::Query)));
        }
        self.matchers.push(Matcher::Query(tests));
        Ok(())
    }
}

/// The names of a rule's `Host` matchers, for which ACME's `onHostRule` orders certificates (docs/reference/acme.md#which-names):
/// lower-cased, in the order of the rule, empty without a `Host`. Only the grammar is checked; `Host` matchers without a name are an error.
pub fn parse_domains(text: &str) -> Result<Vec<String>, InvalidRule> {
    let mut is_host_rule = false;
    let mut domains = Vec::new();
    for piece in split(text)? {
        if piece.name == "Host" {
            is_host_rule = true;
            domains.extend(piece.arguments.iter().map(|name| lower_host_name(name)).filter(|name| !name.is_empty()));
        }
    }
    if is_host_rule && domains.is_empty() {
        return Err(InvalidRule::NoDomain { text: text.to_owned() });
    }
    Ok(domains)
}

/// The number of regular expressions that a rule text is compiled to. 0 if its grammar is wrong: the rule is then not compiled.
pub fn expressions(text: &str) -> usize {
    split(text).map_or(0, |pieces| pieces.iter().map(Piece::expressions).sum())
}

/// Checks the length of all rule texts of a frontend together.
pub(super) fn check_length(bytes: usize) -> Result<(), InvalidRule> {
    if bytes > RULE_BYTES_MAX { Err(InvalidRule::TooLong { bytes }) } else { Ok(()) }
}

/// Checks the number of regular expressions, before the first of them is compiled: compiling takes the time.
pub(super) fn check_expressions(pieces: &[Piece<'_>]) -> Result<(), InvalidRule> {
    let count: usize = pieces.iter().map(Piece::expressions).sum();
    if count > RULE_EXPRESSIONS_MAX { Err(InvalidRule::TooManyExpressions) } else { Ok(()) }
}

/// A matcher or modifier of a rule, with its arguments.
#[derive(Clone)]
pub(super) struct Piece<'a> {
    pub name: &'a str,
    pub arguments: Vec<String>,
    /// The piece as written.
    pub text: &'a str,
}

impl Piece<'_> {
    /// The number of regular expressions that the piece is compiled to.
    fn expressions(&self) -> usize {
        let templates = |kind| self.arguments.iter().map(|text| Template::expressions(text, kind)).sum();
        match self.name {
            "HostRegexp" | "HostSNIRegexp" => templates(Kind::Host),
            "Query" => templates(Kind::Query),
            "HeadersRegexp" => self.arguments.len() / 2,
            "ReplacePathRegex" => 1,
            // Of the other pieces only paths have templates. If another argument has braces, the count is merely too high.
            _ => templates(Kind::Path),
        }
    }
}

/// Splits a rule into its pieces at every `;`. Empty pieces are ignored.
pub(super) fn split(text: &str) -> Result<Vec<Piece<'_>>, InvalidRule> {
    let pieces: Vec<&str> = text.split(';').filter(|piece| !piece.is_empty()).collect();
    if pieces.is_empty() {
        return Err(InvalidRule::Empty);
    }
    pieces.into_iter().map(split_piece).collect()
}

/// Splits a piece at every `:` into its name and its arguments, and those at every `,`. Empty parts are ignored: a run of colons inside of
/// an argument becomes a single one.
fn split_piece(text: &str) -> Result<Piece<'_>, InvalidRule> {
    let piece = || text.to_owned();
    let mut parts = text.split(':').filter(|part| !part.is_empty());
    let name = parts.next().ok_or_else(|| InvalidRule::NoName { piece: piece() })?.trim();
    if !NAMES.contains(&name) {
        return Err(InvalidRule::UnknownName { piece: piece(), name: name.to_owned() });
    }
    let rest = parts.collect::<Vec<_>>().join(":");
    let arguments: Vec<String> = rest.split(',').filter(|a| !a.is_empty()).map(|a| a.trim().to_owned()).collect();
    if arguments.is_empty() {
        return Err(InvalidRule::NoArguments { piece: piece() });
    }
    Ok(Piece { name, arguments, text })
}

fn longest_first(mut arguments: Vec<String>) -> Vec<String> {
    arguments.sort_by_key(|argument| std::cmp::Reverse(argument.len()));
    arguments
}

fn last(mut arguments: Vec<String>) -> String {
    arguments.pop().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Bound;

    fn error(text: &str) -> String {
        Rule::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn error_names_the_piece_and_its_correction() {
        assert!(error("").contains("empty rule"));
        assert!(error(";;").contains("empty rule"));
        let names = "a.example,".repeat(RULE_BYTES_MAX / 10 + 1);
        assert!(error(&format!("Host:{names}")).contains("bytes where 65536 are allowed"));
        assert!(Rule::parse(&format!("Host:{}", &names[..RULE_BYTES_MAX - 5])).is_ok());
        assert!(error("Host:a;:").contains("`:`: no matcher"));
        assert!(error("host:a").contains("write `Host`"));
        assert!(error("Bogus:a").contains("use one of Host, HostRegexp"));
        assert!(error("Host").contains("no argument"));
        assert!(error("Host:,,").contains("no argument"));
        assert!(error("Headers:X-A").contains("1 arguments"));
        assert!(error("HeadersRegexp:X-A,(").contains("`(`"));
        assert!(error("Query:a=1=2").contains("exactly one `=`"));
        assert!(error("Query:a").contains("exactly one `=`"));
    }

    #[test]
    fn rule_with_too_many_expressions_is_rejected() {
        let variables = "/{n:[0-9]+}".repeat(RULE_EXPRESSIONS_MAX / 2);
        let fits = format!("PathPrefix:{variables};PathStrip:{variables}");
        assert!(Rule::parse(&fits).expect("as many as are allowed").warnings().is_empty());
        let one_more =
            ["HostRegexp:{sub:[a-z]+}.d", "HeadersRegexp:A,b", "Query:a=", "Query:a={x}", "ReplacePathRegex:a b"];
        for piece in one_more.into_iter().chain(["HostRegexp:\u{e9}.d", "PathPrefixStripRegex:/{x}"]) {
            let rejected = Rule::parse_all([fits.as_str(), piece]).expect_err(piece);
            assert_eq!(rejected.bound(), Some(Bound::RuleExpressions), "{piece}");
            assert!(rejected.to_string().contains("more than 64 regular expressions"), "{rejected}");
        }
        let without = "Host:a,b;Path:/a,/b;Headers:A,b;Query:a=b;HostRegexp:a.d;AddPrefix:/x";
        assert!(Rule::parse_all([fits.as_str(), without]).is_ok(), "plain text has no expressions");
    }

    /// An expression may take megabytes of memory and a considerable part of a second of the only thread of the control plane.
    #[test]
    fn expressions_are_counted_before_the_first_is_compiled() {
        let invalid_at_first =
            format!("HeadersRegexp:A,(;{}", r"HeadersRegexp:A,\pL{200};".repeat(RULE_EXPRESSIONS_MAX));
        assert_eq!(Rule::parse(&invalid_at_first).expect_err("rejected"), InvalidRule::TooManyExpressions);
    }

    #[test]
    fn oversized_expression_reports_its_bound() {
        let too_large = r"\pL{1000}";
        let rejected = Rule::parse(&format!("HeadersRegexp:A,{too_large}")).expect_err("rejected");
        assert_eq!(rejected.bound(), Some(Bound::RegexProgram), "{rejected}");
        let rules = [format!("Path:/{{a:{too_large}}}"), format!("ReplacePathRegex:{too_large} b")];
        for rule in rules {
            let parsed = Rule::parse(&rule).expect(&rule);
            let [diagnostic] = parsed.warnings() else { panic!("{rule}: {:?}", parsed.warnings()) };
            assert_eq!(diagnostic.bound, Some(Bound::RegexProgram), "{diagnostic}");
        }
    }

    #[test]
    fn separators_collapse_and_arguments_are_trimmed() {
        let rule = Rule::parse(";:Host: A.b , , c ;Host:::1").expect("valid");
        assert_eq!(rule.hosts(), ["a.b", "c", "1"]);
        assert_eq!(rule.default_priority(), 27);
        assert_eq!(Rule::parse("Host:a:80").expect("valid").hosts(), ["a:80"]);
    }

    #[test]
    fn rule_texts_of_a_frontend_are_combined() {
        let rule = Rule::parse_all(["Host:a", "PathPrefix:/b"]).expect("valid");
        assert_eq!(rule.matchers.len(), 2);
        assert_eq!(rule.default_priority(), 19);
        assert!(Rule::parse_all([]).expect("matches everything").matchers.is_empty());
        assert!(Rule::parse_all(["Host:a", ""]).is_err());
    }

    #[test]
    fn part_that_never_matches_gives_a_warning() {
        let warned = |text: &str| {
            Rule::parse(text)
                .expect(text)
                .warnings()
                .iter()
                .map(|diagnostic| format!("{diagnostic}\n"))
                .collect::<String>()
        };
        assert_eq!(warned("Host:a;PathPrefixStrip:/b;Headers:X-A,1;ReplacePathRegex:^/a /b"), "");
        assert!(warned("Path:foo").contains("write `/foo`"));
        assert!(warned("HostRegexp:{a:[0-9]{2,3}}").contains("unbalanced braces"));
        assert!(warned(r"HostRegexp:{a:\D+}").contains("lower-cased"));
        assert!(warned("Host:a:80").contains("without a port"));
        assert!(warned("Headers:Host,a").contains("never matches"));
        assert!(warned("AddPrefix:z").contains("leading slash"));
        assert!(warned("ReplacePath:z").contains("leading slash"));
        assert!(warned("ReplacePathRegex:^/a").contains("one space"));
        assert!(warned("ReplacePathRegex:( /a").contains("regular expression"));
    }

    #[test]
    fn domains_come_from_host_matchers_only() {
        assert_eq!(parse_domains("Host: Foo.Bar ,b;Path:/x"), Ok(vec!["foo.bar".into(), "b".into()]));
        assert_eq!(parse_domains("Path:/x;Headers:odd"), Ok(vec![]));
        assert!(matches!(parse_domains("Host: ;Path:/x"), Err(InvalidRule::NoDomain { .. })));
        assert!(parse_domains("Bogus:x").is_err());
    }
}
