//! Reads the fields of an Engine's JSON one by one. Engines differ in what they leave out, so nothing here depends on the whole having the
//! expected form: a missing field or `null` is empty, a number may be written as text and text as a number, and a field of another type is
//! an error of its object alone.

use serde_json::Value;

use crate::config::labels::values::parse_bool;

/// A reader of one object's fields that remembers the first one with an unexpected type.
#[derive(Debug, Default)]
pub struct Fields {
    unexpected: Option<String>,
}

impl Fields {
    /// The text at the path; empty if there is none.
    pub fn text(&mut self, object: &Value, path: &[&str]) -> String {
        match self.at(object, path) {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => self.unexpected(path, other, "text").unwrap_or_default(),
        }
    }

    /// The whole number at the path.
    pub fn whole(&mut self, object: &Value, path: &[&str]) -> Option<i64> {
        match self.at(object, path) {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            value => {
                let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
                number.or_else(|| self.unexpected(path, value, "a whole number"))
            }
        }
    }

    /// The boolean at the path.
    pub fn flag(&mut self, object: &Value, path: &[&str]) -> Option<bool> {
        match self.at(object, path) {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::Bool(flag) => Some(*flag),
            value => {
                let text = value.as_str().and_then(parse_bool);
                let flag = text.or_else(|| Some(value.as_i64()? != 0));
                flag.or_else(|| self.unexpected(path, value, "true or false"))
            }
        }
    }

    /// The names and values of the object at the path; none if it is missing.
    pub fn entries<'v>(
        &mut self,
        object: &'v Value,
        path: &[&str],
    ) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
        let value = self.at(object, path);
        // Some Engines write an empty map as an empty list.
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        let entries = value.as_object();
        if entries.is_none() && !is_empty {
            self.unexpected::<()>(path, value, "an object");
        }
        entries.into_iter().flatten()
    }

    /// The elements of the list at the path; none if it is missing.
    pub fn items<'v>(&mut self, object: &'v Value, path: &[&str]) -> impl Iterator<Item = &'v Value> + use<'v> {
        let value = self.at(object, path);
        let items = value.as_array();
        if items.is_none() && !value.is_null() {
            self.unexpected::<()>(path, value, "a list");
        }
        items.into_iter().flatten()
    }

    /// Whether all fields that were read had a type that can be used.
    ///
    /// # Errors
    /// The first field that had not, and its content.
    pub fn finish(self) -> Result<(), String> {
        self.unexpected.map_or(Ok(()), Err)
    }

    /// The value at the path; `null` if a part of the path is missing.
    fn at<'v>(&mut self, object: &'v Value, path: &[&str]) -> &'v Value {
        let mut current = object;
        for (depth, name) in path.iter().enumerate() {
            if !current.is_object() && !current.is_null() {
                self.unexpected::<()>(&path[..depth], current, "an object");
                return &Value::Null;
            }
            current = &current[*name];
        }
        current
    }

    fn unexpected<T>(&mut self, path: &[&str], value: &Value, expected: &str) -> Option<T> {
        let field = if path.is_empty() { "the description".to_owned() } else { format!("its {}", path.join(".")) };
        self.unexpected.get_or_insert_with(|| format!("{field} is {} and not {expected}", shortened(value)));
        None
    }
}

/// The elements of a list that an Engine gives as a whole response; `null` is an empty list.
///
/// # Errors
/// The response is no list.
pub fn elements(response: &Value) -> Result<&[Value], String> {
    match response {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        other => Err(format!("the Engine's response is {} and no list", shortened(other))),
    }
}

/// The value as JSON, cut to the length of a line in the log.
fn shortened(value: &Value) -> String {
    const CHARS_MAX: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_null_and_other_spellings_are_read() {
        let object = json!({"a": {"b": null, "n": "7", "t": 8, "f": "true", "z": 0}, "list": null, "map": []});
        let mut fields = Fields::default();
        assert_eq!(fields.text(&object, &["a", "b"]), "");
        assert_eq!(fields.text(&object, &["no", "where"]), "");
        assert_eq!(fields.text(&object, &["a", "t"]), "8");
        assert_eq!(fields.whole(&object, &["a", "n"]), Some(7));
        assert_eq!(fields.whole(&object, &["a", "x"]), None);
        assert_eq!(fields.flag(&object, &["a", "f"]), Some(true));
        assert_eq!(fields.flag(&object, &["a", "z"]), Some(false));
        assert_eq!(fields.items(&object, &["list"]).count(), 0);
        assert_eq!(fields.entries(&object, &["map"]).count(), 0);
        assert_eq!(fields.finish(), Ok(()));
    }

    #[test]
    fn first_field_of_another_type_is_named() {
        let object = json!({"State": {"Running": {"x": 1}}, "Config": "none"});
        let mut fields = Fields::default();
        assert_eq!(fields.flag(&object, &["State", "Running"]), None);
        assert_eq!(fields.entries(&object, &["Config", "Labels"]).count(), 0);
        assert_eq!(fields.finish(), Err(r#"its State.Running is {"x":1} and not true or false"#.to_owned()));
        let mut fields = Fields::default();
        fields.text(&object, &["Config", "Labels", "a"]);
        assert_eq!(fields.finish(), Err(r#"its Config is "none" and not an object"#.to_owned()));
        let mut fields = Fields::default();
        assert_eq!(fields.text(&json!(5), &["Id"]), "");
        assert_eq!(fields.finish(), Err("the description is 5 and not an object".to_owned()));
    }

    #[test]
    fn response_that_is_no_list_is_an_error() {
        assert_eq!(elements(&Value::Null), Ok(&[][..]));
        assert_eq!(elements(&json!([1])).map(<[Value]>::len), Ok(1));
        assert!(elements(&json!({"message": "x".repeat(200)})).unwrap_err().len() < 120);
    }
}
