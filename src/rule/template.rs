//! Templates: literal text with `{name}` and `{name:regex}` in it, compiled once (docs/reference/rules.md#templates).

use regex::bytes::{Captures, Regex};

use super::diagnostic::Diagnostic;
use super::pattern::{self, Subject};

/// What a template is matched against; it decides the pattern of a bare `{name}` and how the template is anchored.
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

/// How a path agrees with a `Path` template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slash {
    Same,
    /// The path matches but for its trailing slash: a redirect adds or removes it (docs/reference/rules.md#trailing-slash).
    Differs,
}

#[derive(Debug, Clone)]
pub(crate) struct Template {
    /// As written, trimmed.
    text: String,
    form: Form,
    /// Every matching text begins with this; of a `Path` template without its trailing slash.
    head: Vec<u8>,
    /// Every matching text ends with this; only known for hosts.
    tail: Vec<u8>,
    variables: Vec<Variable>,
    /// Literal text around the variables: one piece more than there are variables.
    pieces: Vec<String>,
    /// As an expression without anchors, names and letter case, for [`super::prefilter`].
    expression: String,
    /// One of its variables has an anchor, which would mean something else in a longer expression.
    is_anchored: bool,
}

#[derive(Debug, Clone)]
enum Form {
    /// No variables. Of a `Path` template without its trailing slash, as in `Pattern`.
    Literal(Vec<u8>),
    Pattern(Regex),
    /// Malformed: the router answers as if the text was not there (docs/reference/rules.md#templates).
    Never,
}

#[derive(Debug, Clone)]
struct Variable {
    /// The first variable of the same name: they share one value, the last one found.
    slot: usize,
    /// Checks a value by itself; only prefixes are rebuilt and need it.
    alone: Option<Regex>,
}

impl Template {
    /// Compiles a template. A malformed one never matches; the second value then says what is wrong with it.
    pub fn new(text: &str, kind: Kind) -> (Template, Option<Diagnostic>) {
        match compile(text, kind) {
            Ok(template) => (template, None),
            Err(reason) => (Template { form: Form::Never, ..Template::empty(text) }, Some(reason)),
        }
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

    /// Matches a host (cut at its first colon), a path by prefix, or a decoded `key=value`.
    pub fn matches(&self, kind: Kind, text: &[u8]) -> bool {
        match (&self.form, kind) {
            (Form::Never, _) => false,
            (Form::Literal(literal), Kind::Host) => literal.eq_ignore_ascii_case(text),
            (Form::Literal(literal), Kind::Prefix) => text.starts_with(literal),
            (Form::Literal(literal), _) => literal == text,
            (Form::Pattern(regex), _) => regex.is_match(&pattern::as_text(text)),
        }
    }

    /// Matches the decoded key and value of a query.
    pub fn matches_pair(&self, key: &[u8], value: &[u8]) -> bool {
        match &self.form {
            Form::Literal(literal) => {
                literal.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"=")).is_some_and(|rest| rest == value)
            }
            _ => self.matches(Kind::Query, &[key, b"=", value].concat()),
        }
    }

    /// Matches a whole path. With `keep_trailing_slash` a path that differs in it does not match.
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

    /// How many regular expressions a text has to be compiled to, counted without compiling one: one for each `{...}`, or one for
    /// a text that needs one for another reason.
    pub fn expressions(text: &str, kind: Kind) -> usize {
        let braces = outer_braces(text).map_or(0, |braces| braces.len());
        let is_pattern = match kind {
            Kind::Host => !text.is_ascii(),
            Kind::Query => text.ends_with('='),
            Kind::Path | Kind::Prefix => false,
        };
        braces.max(usize::from(is_pattern))
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.form, Form::Never)
    }

    pub fn is_pattern(&self) -> bool {
        matches!(self.form, Form::Pattern(_))
    }

    pub fn is_anchored(&self) -> bool {
        self.is_anchored
    }

    /// What it matches, without anchors and letter case; `None` for a malformed one. Of a `Path` template without its trailing slash.
    pub fn expression(&self) -> Option<&str> {
        (!self.is_dead()).then_some(&self.expression)
    }

    pub fn head(&self) -> &[u8] {
        &self.head
    }

    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The concrete prefix of `path` that this `Prefix` template stands for, rebuilt from its variables into `out`.
    /// `None`: does not match. `Some(false)`: matches, but the variables do not give the prefix back.
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

    /// Values by name, as the v1 router finds them: groups that end no later than the one before are taken for nested ones.
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
        return Err(format!("`{text}` does not begin with `/`; write `/{text}`").into());
    }
    let braces = outer_braces(text)?;
    let body = if kind == Kind::Path { text.strip_suffix('/').unwrap_or(text) } else { text };
    let any_value = kind == Kind::Query && text.ends_with('=');
    let mut template = Template::empty(text);
    if braces.is_empty() && !any_value && (kind != Kind::Host || text.is_ascii()) {
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
        let variable = read_variable(&text[open..close], kind)?;
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
    // A template that ends with a slash has it in its last piece; a path is compared without it.
    let rest = &body[end.min(body.len())..];
    expression.push_str(&regex::escape(rest));
    template.expression.push_str(&regex::escape(rest));
    template.tail.extend_from_slice(rest.as_bytes());
    expression.push_str(if any_value { ".*" } else { "" });
    expression.push_str(if kind == Kind::Prefix { "" } else { "$" });
    template.form = Form::Pattern(pattern::build(text, &expression)?);
    Ok(template)
}

struct ReadVariable<'a> {
    name: &'a str,
    expression: String,
    tail: Vec<u8>,
    is_anchored: bool,
    alone: Option<Regex>,
}

/// Reads one `{name}` or `{name:regex}`, braces included.
fn read_variable(text: &str, kind: Kind) -> Result<ReadVariable<'_>, Diagnostic> {
    let default = match kind {
        Kind::Host => "[^.]+",
        Kind::Path | Kind::Prefix => "[^/]+",
        Kind::Query => ".*",
    };
    let inner = &text[1..text.len() - 1];
    let (name, written) = inner.split_once(':').unwrap_or((inner, default));
    if name.is_empty() || written.is_empty() {
        return Err(format!("`{text}` lacks its name or its expression; write `{{name}}` or `{{name:regex}}`").into());
    }
    let translated = pattern::translate(written)?;
    let alone = match kind {
        Kind::Prefix => Some(pattern::build(written, &format!("^{}$", translated.text))?),
        Kind::Host | Kind::Path | Kind::Query => None,
    };
    let pattern::Translated { text: expression, tail, is_anchored } = translated;
    Ok(ReadVariable { name, expression, tail, is_anchored, alone })
}

/// Byte ranges of the outermost `{...}`.
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

    fn made(text: &str, kind: Kind) -> Template {
        let (template, problem) = Template::new(text, kind);
        assert_eq!(problem, None, "{text}");
        template
    }

    #[test]
    fn hosts_match_whole_and_in_any_case() {
        let host = made("{sub:[a-z]+}.foo.bar", Kind::Host);
        assert!(host.matches(Kind::Host, b"A.Foo.bar"));
        assert!(!host.matches(Kind::Host, b"a.b.foo.bar"));
        assert!(!host.matches(Kind::Host, b"a.foo.bar."));
        assert_eq!(host.tail(), b".foo.bar");
        assert_eq!(made(r"{sub:(www|api)\.foo}.bar", Kind::Host).tail(), b".foo.bar");
        assert!(made("foo.bar", Kind::Host).matches(Kind::Host, b"FOO.bar"));
        assert!(made("{any:.*}", Kind::Host).matches(Kind::Host, b""));
        assert!(made("münchen.{x}", Kind::Host).matches(Kind::Host, "MÜNCHEN.de".as_bytes()));
    }

    #[test]
    fn a_tail_ends_where_the_last_variable_begins() {
        assert_eq!(made("{a}-x.{b:[a-z]+}", Kind::Host).tail(), b"");
        assert_eq!(made("{a}-x.{b}z", Kind::Host).tail(), b"z");
        assert_eq!(made("{a:x|y}z", Kind::Host).tail(), b"z");
    }

    #[test]
    fn paths_differ_in_a_trailing_slash() {
        let path = made("/foo/{id}", Kind::Path);
        assert_eq!(path.matches_path(b"/foo/a", false), Some(Slash::Same));
        assert_eq!(path.matches_path(b"/foo/a/", false), Some(Slash::Differs));
        assert_eq!(path.matches_path(b"/foo/a/", true), None);
        assert_eq!(path.matches_path(b"/foo/a/b", false), None);
        let slash = made("/foo/", Kind::Path);
        assert_eq!(slash.matches_path(b"/foo", false), Some(Slash::Differs));
        assert_eq!(slash.matches_path(b"/foo/", false), Some(Slash::Same));
        assert_eq!(slash.matches_path(b"/foo", true), None);
        assert_eq!(slash.matches_path(b"/foo/", true), Some(Slash::Same));
        assert_eq!(made("/{x}/", Kind::Path).matches_path(b"/a/", true), Some(Slash::Same));
        assert_eq!(made("/", Kind::Path).matches_path(b"/", true), Some(Slash::Same));
    }

    #[test]
    fn malformed_templates_never_match_and_say_why() {
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
    fn prefixes_are_rebuilt_from_their_variables() {
        let mut out = Vec::new();
        let mut rebuilt = |text: &str, path: &[u8]| {
            let done = made(text, Kind::Prefix).concrete_prefix(path, &mut out);
            done.map(|done| (done, String::from_utf8_lossy(&out).into_owned()))
        };
        assert_eq!(rebuilt("/one/{two}/{three:[0-9]+}", b"/one/x/12/y"), Some((true, "/one/x/12".into())));
        assert_eq!(rebuilt("/foo", b"/foobar"), Some((true, "/foo".into())));
        assert_eq!(rebuilt("/{a:(x|y)z}/{b}", b"/xz/q/r"), Some((true, "/xz/q".into())));
        assert_eq!(rebuilt("/{a}", b"/"), None);
        assert_eq!(rebuilt("/{a}/{a}", b"/x/y").map(|found| found.0), Some(true));
        // The v1 router takes the second, equally long group for a nested one and finds no value for `b`.
        assert_eq!(rebuilt("/{a:x*}{b:y*}", b"/").map(|found| found.0), Some(false));
    }

    #[test]
    fn query_templates_take_any_value_when_none_is_given() {
        assert!(made("a=", Kind::Query).matches(Kind::Query, b"a=1"));
        assert!(!made("a=", Kind::Query).matches(Kind::Query, b""));
        assert!(made("a={x}", Kind::Query).matches(Kind::Query, b"a="));
        assert!(!made("a=1", Kind::Query).matches(Kind::Query, b"a=12"));
    }
}
