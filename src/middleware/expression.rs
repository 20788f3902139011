//! Parser of the expressions of circuit breakers and buffering retries (docs/reference/middlewares.md#expressions): comparisons
//! `Function(args) op literal`, joined by `&&` and `||`, with parentheses. A recursive descent; the caller defines the functions.

use std::fmt;

/// Maximum nesting of parentheses, so that no configuration exhausts the stack.
const DEPTH_MAX: usize = 64;

/// A parsed expression over comparisons of type `T`.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression<T> {
    And(Box<Expression<T>>, Box<Expression<T>>),
    Or(Box<Expression<T>>, Box<Expression<T>>),
    Test(T),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A literal with its type: `1` and `1.0` are not the same (docs/reference/middlewares.md#expressions).
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Int(i64),
    Float(f64),
    Text(String),
}

/// A comparison as written; the caller compiles it into its own type.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub function: String,
    pub arguments: Vec<Literal>,
    /// `None` for a predicate, a function that is a test by itself.
    pub operator: Option<Operator>,
    pub literal: Option<Literal>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidExpression {
    pub text: String,
    /// Byte offset of the error.
    pub at: usize,
    pub expected: String,
}

impl Operator {
    pub fn holds<V: PartialOrd>(self, left: V, right: V) -> bool {
        match self {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::LessEqual => left <= right,
            Operator::Greater => left > right,
            Operator::GreaterEqual => left >= right,
        }
    }
}

impl<T> Expression<T> {
    pub fn holds(&self, test: &impl Fn(&T) -> bool) -> bool {
        match self {
            Expression::And(left, right) => left.holds(test) && right.holds(test),
            Expression::Or(left, right) => left.holds(test) || right.holds(test),
            Expression::Test(comparison) => test(comparison),
        }
    }

    pub fn visit(&self, act: &mut impl FnMut(&T)) {
        match self {
            Expression::And(left, right) | Expression::Or(left, right) => {
                left.visit(act);
                right.visit(act);
            }
            Expression::Test(comparison) => act(comparison),
        }
    }
}

/// Parses `text`. `compile` checks the function and the types of one comparison; its error says what is expected instead.
pub fn parse<T>(
    text: &str,
    compile: impl FnMut(Comparison) -> Result<T, String>,
) -> Result<Expression<T>, InvalidExpression> {
    parse_with_predicates(text, &[], compile)
}

/// As [`parse`]; the functions in `predicates` are written without operator and literal.
pub fn parse_with_predicates<T>(
    text: &str,
    predicates: &'static [&'static str],
    mut compile: impl FnMut(Comparison) -> Result<T, String>,
) -> Result<Expression<T>, InvalidExpression> {
    let mut parser = Parser { text, at: 0, depth: 0, predicates };
    let expression = parser.disjunction(&mut compile)?;
    parser.skip_blanks();
    if parser.at < text.len() {
        return Err(parser.expected("&&, || or the end"));
    }
    Ok(expression)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    predicates: &'static [&'static str],
}

type Parsed<T> = Result<T, InvalidExpression>;

impl Parser<'_> {
    fn disjunction<T>(&mut self, compile: &mut impl FnMut(Comparison) -> Result<T, String>) -> Parsed<Expression<T>> {
        let mut left = self.conjunction(compile)?;
        while self.accept("||") {
            left = Expression::Or(Box::new(left), Box::new(self.conjunction(compile)?));
        }
        Ok(left)
    }

    fn conjunction<T>(&mut self, compile: &mut impl FnMut(Comparison) -> Result<T, String>) -> Parsed<Expression<T>> {
        let mut left = self.term(compile)?;
        while self.accept("&&") {
            left = Expression::And(Box::new(left), Box::new(self.term(compile)?));
        }
        Ok(left)
    }

    fn term<T>(&mut self, compile: &mut impl FnMut(Comparison) -> Result<T, String>) -> Parsed<Expression<T>> {
        if !self.accept("(") {
            let begin = self.at;
            let comparison = self.comparison()?;
            let invalid = |expected| InvalidExpression { text: self.text.to_owned(), at: begin, expected };
            return compile(comparison).map(Expression::Test).map_err(invalid);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.expected(&format!("at most {DEPTH_MAX} nested parentheses")));
        }
        let inside = self.disjunction(compile)?;
        self.depth -= 1;
        if self.accept(")") { Ok(inside) } else { Err(self.expected(")")) }
    }

    fn comparison(&mut self) -> Parsed<Comparison> {
        let function = self.name()?;
        if !self.accept("(") {
            return Err(self.expected("( after the function's name"));
        }
        let mut arguments = Vec::new();
        while !self.accept(")") {
            if !arguments.is_empty() && !self.accept(",") {
                return Err(self.expected(", or )"));
            }
            arguments.push(self.literal()?);
        }
        if self.predicates.contains(&function.as_str()) {
            return Ok(Comparison { function, arguments, operator: None, literal: None });
        }
        let operator = Some(self.operator()?);
        Ok(Comparison { function, arguments, operator, literal: Some(self.literal()?) })
    }

    fn name(&mut self) -> Parsed<String> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        let len = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.expected("a function's name"));
        }
        self.at += len;
        Ok(rest[..len].to_owned())
    }

    fn operator(&mut self) -> Parsed<Operator> {
        // Longer operators first: "<=" begins like "<".
        const OPERATORS: [(&str, Operator); 6] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::LessEqual),
            (">=", Operator::GreaterEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let found = OPERATORS.iter().find(|(sign, _)| self.accept(sign));
        found.map(|(_, operator)| *operator).ok_or_else(|| self.expected("==, !=, <, <=, > or >="))
    }

    fn literal(&mut self) -> Parsed<Literal> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        if let Some(quote) = rest.chars().next().filter(|c| *c == '"' || *c == '`') {
            let inside = &rest[1..];
            let len = inside.find(quote).ok_or_else(|| self.expected("a closing quote"))?;
            self.at += len + 2;
            return Ok(Literal::Text(inside[..len].to_owned()));
        }
        let len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let digits = &rest[..len];
        let literal = match digits.contains('.') {
            true => digits.parse().ok().map(Literal::Float),
            false => digits.parse().ok().map(Literal::Int),
        };
        self.at += len;
        literal.ok_or_else(|| self.expected("a number or a quoted text"))
    }

    fn accept(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let found = self.text[self.at..].starts_with(sign);
        self.at += if found { sign.len() } else { 0 };
        found
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expected(&self, expected: &str) -> InvalidExpression {
        InvalidExpression { text: self.text.to_owned(), at: self.at, expected: expected.to_owned() }
    }
}

impl fmt::Display for InvalidExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the expression {:?} cannot be read at character {}: expected {}",
            self.text,
            self.at + 1,
            self.expected
        )
    }
}

impl std::error::Error for InvalidExpression {}
