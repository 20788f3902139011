//! Templates: literal text with variables `{name}` and `{name:regex}`, compiled once (docs/reference/rules.md#templates).

use regex::bytes::{Captures, Regex};

use super::diagnostic::never_matches;
use super::pattern::{self, Subject};
use crate::diagnostics::Diagnostic;

/// The kind of text that a template matches. It determines the pattern of a bare `{name}` and the anchors of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The whole host in any letter case; `{name}` is `[^.]+`.
    Host,
    /// The whole path; `{name}` is `[^/]+`.
    Path,
    /// The beginning of the path.
    Prefix,
    /// `key=value` with both decoded; `{name}` is `.*`.
    Query,
}

/// Whether a path that matches a `Path` template agrees with it in the trailing slash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slash {
    Same,
    /// The path matches except for its trailing slash, which a redirect adds or removes (docs/reference/rules.md#trailing-slash).
    Differs,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// The template as written, trimmed.
    text: String,
    form: Form,
    /// The literal text with which every matching text begins; for a `Path` template without the trailing slash.
    head: Vec<u8>,
    /// The literal text with which every matching text ends. Only used for hosts.
    tail: Vec<u8>,
    variables: Vec<Variable>,
    /// The literal text around the variables: one piece more than there are variables.
    pieces: Vec<String>,
    /// The template as an expression without anchors, group names and flags, for [`super::prefilter`].
    expression: String,
    /// Whether a variable has an anchor, which would have another meaning in a longer expression.
    is_anchored: bool,
}

/// How a template is matched.
#[derive(Debug, Clone)]
enum Form {
    /// The template has no variables. For a `Path` template without the trailing slash, as also in `Pattern`.
    Literal(Vec<u8>),
    Pattern(Regex),
    /// The template is malformed and matches nothing (docs/reference/rules.md#templates).
    Never,
}

#[derive(Debug, Clone)]
struct Variable {
    /// The index of the first variable of the same name. Variables of one name share one value: the last one found.
    slot: usize,
    /// The expression of the variable, to check a value by itself. Only `Prefix` templates have it, because only they are rebuilt.
    alone: Option<Regex>,
}

impl Template {
    /// Compiles a template. A malformed template never matches; the second value is then the reason.
    pub fn new(text: &str, kind: Kind) -> (Template, Option<Diagnostic>) {
        match compile(text, kind) {
            Ok(template) => (template, None),
            Err(reason) => (Template { form: Form::Never, ..Template::empty(text) }, Some(reason)),
        }
    }

    /// The template as written, trimmed.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn empty(text: &str) -> Template {
        Template {
            text: text.to_owned(),
            form: Form::Literal(Vec::new()),
            head: Vec::new(),
            tail: Vec::new(),
            variables: Vec::new(),
            pieces: Vec::new(),
            expression: String::new(),
            is_anchored: false,
        }
    }

    /// Whether the template matches a host (up to its first colon), a path, the beginning of a path, or a decoded `key=value`.
    pub fn matches(&self, kind: Kind, text: &[u8]) -> bool {
        match (&self.form, kind) {
            (Form::Never, _) => false,
            (Form::Literal(literal), Kind::Host) => literal.eq_ignore_ascii_case(text),
            (Form::Literal(literal), Kind::Prefix) => text.starts_with(literal),
            (Form::Literal(literal), _) => literal == text,
            (Form::Pattern(regex), _) => regex.is_match(&pattern::as_text(text)),
        }
    }

    /// Whether the template matches the decoded key and value of a query.
    pub fn matches_pair(&self, key: &[u8], value: &[u8]) -> bool {
        match &self.form {
            Form::Literal(literal) => {
                literal.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"=")).is_some_and(|rest| rest == value)
            }
            _ => self.matches(Kind::Query, &[key, b"=", value].concat()),
        }
    }

    /// Matches a whole path. With `keep_trailing_slash`, a path that differs in its trailing slash does not match.
    pub fn matches_path(&self, path: &[u8], keep_trailing_slash: bool) -> Option<Slash> {
        let without_slash = path.strip_suffix(b"/");
        let bare = |path: &[u8]| self.matches(Kind::Path, path);
        let ends_with_slash = self.text.ends_with('/');
        if keep_trailing_slash {
            let found = if ends_with_slash { without_slash.is_some_and(bare) } else { bare(path) };
            return found.then_some(Slash::Same);
        }
        if !bare(path) && !without_slash.is_some_and(bare) {
            return None;
        }
        Some(if ends_with_slash == without_slash.is_some() { Slash::Same } else { Slash::Differs })
    }

    /// The number of regular expressions that a text is compiled to, counted without compiling: one for each `{...}`, or one for a text
    /// without `{...}` that is nevertheless compiled to an expression.
    pub fn expressions(text: &str, kind: Kind) -> usize {
        let braces = outer_braces(text).map_or(0, |braces| braces.len());
        let is_pattern = match kind {
            Kind::Host => !text.is_ascii(),
            Kind::Query => text.ends_with('='),
            Kind::Path | Kind::Prefix => false,
        };
        braces.max(usize::from(is_pattern))
    }

    /// Whether the template is malformed, so that nothing matches.
    pub fn is_dead(&self) -> bool {
        matches!(self.form, Form::Never)
    }

    pub fn is_pattern(&self) -> bool {
        matches!(self.form, Form::Pattern(_))
    }

    pub fn is_anchored(&self) -> bool {
        self.is_anchored
    }

    /// The template as an expression without anchors and flags, and for a `Path` template without the trailing slash. `None` if the
    /// template is malformed.
    pub fn expression(&self) -> Option<&str> {
        (!self.is_dead()).then_some(&self.expression)
    }

    /// The text without a final slash, if the template has no variables.
    pub fn literal(&self) -> Option<&str> {
        match &self.form {
            Form::Literal(literal) => std::str::from_utf8(literal).ok(),
            Form::Pattern(_) | Form::Never => None,
        }
    }

    pub fn head(&self) -> &[u8] {
        &self.head
    }

    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Writes the concrete prefix of `path` that this `Prefix` template matches to `out`, rebuilt from the values of the variables. Returns
    /// `None` if the template does not match, and `Some(false)` if it matches but the prefix cannot be rebuilt.
    pub fn concrete_prefix(&self, path: &[u8], out: &mut Vec<u8>) -> Option<bool> {
        out.clear();
        match &self.form {
            Form::Never => None,
            Form::Literal(literal) => path.starts_with(literal).then(|| {
                out.extend_from_slice(literal);
                true
            }),
            Form::Pattern(regex) => {
                let subject = Subject::new(path);
                let captures = regex.captures(&subject.text)?;
                Some(self.rebuild(regex, &captures, &subject, path, out).is_some())
            }
        }
    }

    fn rebuild(
        &self,
        regex: &Regex,
        captures: &Captures<'_>,
        subject: &Subject<'_>,
        path: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let values = self.values(captures);
        for (piece, variable) in self.pieces.iter().zip(&self.variables) {
            let (start, end) = values[variable.slot]?;
            out.extend_from_slice(piece.as_bytes());
            out.extend_from_slice(&path[subject.original(start)..subject.original(end)]);
        }
        out.extend_from_slice(self.pieces.last()?.as_bytes());
        let fits = regex.is_match(&pattern::as_text(out))
            || self.variables.iter().all(|variable| {
                let alone = |text: &[u8]| variable.alone.as_ref().is_some_and(|regex| regex.is_match(text));
                values[variable.slot].is_some_and(|(start, end)| alone(&subject.text[start..end]))
            });
        fits.then_some(())
    }

    /// The range of each variable's value, as Traefik v1 finds it: a group that ends no later than the group before it counts as nested and
    /// is ignored.
    fn values(&self, captures: &Captures<'_>) -> Vec<Option<(usize, usize)>> {
        let mut values = vec![None; self.variables.len()];
        let mut found = self.variables.iter();
        let mut last_end = None;
        for group in captures.iter().skip(1).flatten() {
            if last_end.is_some_and(|end| group.end() <= end) {
                continue;
            }
            let Some(variable) = found.next() else { break };
            values[variable.slot] = Some((group.start(), group.end()));
            last_end = Some(group.end());
        }
        values
    }
}

fn compile(text: &str, kind: Kind) -> Result<Template, Diagnostic> {
    if matches!(kind, Kind::Path | Kind::Prefix) && !text.is_empty() && !text.starts_with('/') {
        return Err(never_matches(format!("`{text}` does not begin with `/`; write `/{text}`")));
    }
    let braces = outer_braces(text).map_err(never_matches)?;
    let body = if kind == Kind::Path { text.strip_suffix('/').unwrap_or(text) } else { text };
    let takes_any_value = kind == Kind::Query && text.ends_with('=');
    let mut template = Template::empty(text);
    if braces.is_empty() && !takes_any_value && (kind != Kind::Host || text.is_ascii()) {
        template.head = body.as_bytes().to_vec();
        template.tail = template.head.clone();
        template.pieces.push(text.to_owned());
        template.form = Form::Literal(body.as_bytes().to_vec());
        template.expression = regex::escape(body);
        return Ok(template);
    }
    let mut expression = String::from(if kind == Kind::Host { "(?i)^" } else { "^" });
    let mut end = 0;
    let mut names: Vec<&str> = Vec::new();
    for (open, close) in braces {
        let variable = parse_variable(&text[open..close], kind)?;
        let before = regex::escape(&text[end..open]);
        expression.push_str(&format!("{before}(?P<v{}>{})", names.len(), variable.expression));
        template.expression.push_str(&format!("{before}(?:{})", variable.expression));
        template.pieces.push(text[end..open].to_owned());
        names.push(variable.name);
        let slot = names.iter().position(|name| *name == variable.name).unwrap_or_default();
        template.variables.push(Variable { slot, alone: variable.alone });
        template.tail = variable.tail;
        template.is_anchored |= variable.is_anchored;
        end = close;
    }
    template.pieces.push(text[end..].to_owned());
    template.head = template.pieces[0].as_bytes().to_vec();
    // The last piece includes a trailing slash of the template; paths are compared without it.
    let rest = &body[end.min(body.len())..];
    expression.push_str(&regex::escape(rest));
    template.expression.push_str(&regex::escape(rest));
    template.tail.extend_from_slice(rest.as_bytes());
    expression.push_str(if takes_any_value { ".*" } else { "" });
    expression.push_str(if kind == Kind::Prefix { "" } else { "$" });
    template.form = Form::Pattern(pattern::build(text, &expression)?);
    Ok(template)
}

/// A variable as parsed.
struct ParsedVariable<'a> {
    name: &'a str,
    expression: String,
    tail: Vec<u8>,
    is_anchored: bool,
    alone: Option<Regex>,
}

/// Parses one `{name}` or `{name:regex}`, braces included.
fn parse_variable(text: &str, kind: Kind) -> Result<ParsedVariable<'_>, Diagnostic> {
    let default = match kind {
        Kind::Host => "[^.]+",
        Kind::Path | Kind::Prefix => "[^/]+",
        Kind::Query => ".*",
    };
    let inner = &text[1..text.len() - 1];
    let (name, written) = inner.split_once(':').unwrap_or((inner, default));
    if name.is_empty() || written.is_empty() {
        let reason = format!("`{text}` lacks its name or its expression; write `{{name}}` or `{{name:regex}}`");
        return Err(never_matches(reason));
    }
    let translated = pattern::translate(written)?;
    let alone = match kind {
        Kind::Prefix => Some(pattern::build(written, &format!("^{}$", translated.text))?),
        Kind::Host | Kind::Path | Kind::Query => None,
    };
    let pattern::Translated { text: expression, tail, is_anchored } = translated;
    Ok(ParsedVariable { name, expression, tail, is_anchored, alone })
}

/// The byte ranges of the outermost `{...}`.
fn outer_braces(text: &str) -> Result<Vec<(usize, usize)>, String> {
    let mut ranges = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => {
                if depth == 0 {
                    start = at;
                }
                depth += 1;
            }
            b'}' => {
                depth = depth.checked_sub(1).ok_or_else(|| unbalanced(text))?;
                if depth == 0 {
                    ranges.push((start, at + 1));
                }
            }
            _ => {}
        }
    }
    if depth > 0 { Err(unbalanced(text)) } else { Ok(ranges) }
}

fn unbalanced(text: &str) -> String {
    format!("`{text}` has unbalanced braces (a `,` inside braces ends the argument, so `{{2,3}}` cannot be written)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str, kind: Kind) -> Template {
        let (template, problem) = Template::new(text, kind);
        assert_eq!(problem, None, "{text}");
        template
    }

    #[test]
    fn host_template_matches_whole_host_in_any_case() {
        let host = template("{sub:[a-z]+}.foo.bar", Kind::Host);
        assert!(host.matches(Kind::Host, b"A.Foo.bar"));
        assert!(!host.matches(Kind::Host, b"a.b.foo.bar"));
        assert!(!host.matches(Kind::Host, b"a.foo.bar."));
        assert_eq!(host.tail(), b".foo.bar");
        assert_eq!(template(r"{sub:(www|api)\.foo}.bar", Kind::Host).tail(), b".foo.bar");
        assert!(template("foo.bar", Kind::Host).matches(Kind::Host, b"FOO.bar"));
        assert!(template("{any:.*}", Kind::Host).matches(Kind::Host, b""));
        assert!(template("münchen.{x}", Kind::Host).matches(Kind::Host, "MÜNCHEN.de".as_bytes()));
    }

    #[test]
    fn tail_does_not_extend_before_last_variable() {
        assert_eq!(template("{a}-x.{b:[a-z]+}", Kind::Host).tail(), b"");
        assert_eq!(template("{a}-x.{b}z", Kind::Host).tail(), b"z");
        assert_eq!(template("{a:x|y}z", Kind::Host).tail(), b"z");
    }

    #[test]
    fn path_template_reports_differing_trailing_slash() {
        let path = template("/foo/{id}", Kind::Path);
        assert_eq!(path.matches_path(b"/foo/a", false), Some(Slash::Same));
        assert_eq!(path.matches_path(b"/foo/a/", false), Some(Slash::Differs));
        assert_eq!(path.matches_path(b"/foo/a/", true), None);
        assert_eq!(path.matches_path(b"/foo/a/b", false), None);
        let slash = template("/foo/", Kind::Path);
        assert_eq!(slash.matches_path(b"/foo", false), Some(Slash::Differs));
        assert_eq!(slash.matches_path(b"/foo/", false), Some(Slash::Same));
        assert_eq!(slash.matches_path(b"/foo", true), None);
        assert_eq!(slash.matches_path(b"/foo/", true), Some(Slash::Same));
        assert_eq!(template("/{x}/", Kind::Path).matches_path(b"/a/", true), Some(Slash::Same));
        assert_eq!(template("/", Kind::Path).matches_path(b"/", true), Some(Slash::Same));
    }

    #[test]
    fn malformed_template_never_matches_and_gives_a_reason() {
        for (text, kind) in [
            ("/{a", Kind::Path),
            ("/a}", Kind::Path),
            ("/{:x}", Kind::Path),
            ("/{a:}", Kind::Prefix),
            ("{a:(}", Kind::Host),
            ("{a:x)(y}", Kind::Host),
            ("foo", Kind::Path),
            ("{a:[0-9]{1", Kind::Host),
        ] {
            let (template, problem) = Template::new(text, kind);
            assert!(problem.is_some_and(|problem| problem.text.contains('`')), "{text}");
            assert!(template.is_dead());
            assert!(!template.matches(kind, b"/a"));
            assert_eq!(template.concrete_prefix(b"/a", &mut Vec::new()), None);
        }
    }

    #[test]
    fn prefix_is_rebuilt_from_its_variables() {
        let mut out = Vec::new();
        let mut rebuilt = |text: &str, path: &[u8]| {
            let done = template(text, Kind::Prefix).concrete_prefix(path, &mut out);
            done.map(|done| (done, String::from_utf8_lossy(&out).into_owned()))
        };
        assert_eq!(rebuilt("/one/{two}/{three:[0-9]+}", b"/one/x/12/y"), Some((true, "/one/x/12".into())));
        assert_eq!(rebuilt("/foo", b"/foobar"), Some((true, "/foo".into())));
        assert_eq!(rebuilt("/{a:(x|y)z}/{b}", b"/xz/q/r"), Some((true, "/xz/q".into())));
        assert_eq!(rebuilt("/{a}", b"/"), None);
        assert_eq!(rebuilt("/{a}/{a}", b"/x/y").map(|found| found.0), Some(true));
        // The second group ends where the first one ends: it counts as nested, as in Traefik v1, and `b` has no value.
        assert_eq!(rebuilt("/{a:x*}{b:y*}", b"/").map(|found| found.0), Some(false));
    }

    #[test]
    fn query_template_without_value_matches_any_value() {
        assert!(template("a=", Kind::Query).matches(Kind::Query, b"a=1"));
        assert!(!template("a=", Kind::Query).matches(Kind::Query, b""));
        assert!(template("a={x}", Kind::Query).matches(Kind::Query, b"a="));
        assert!(!template("a=1", Kind::Query).matches(Kind::Query, b"a=12"));
    }
}
