//! Compares a response with the recorded one, except for details of Go and of the recording machine.

use serde_json::Value;

use crate::recording::Recorded;
use crate::support::Answer;

/// Fields with times and framing: the test client has checked the framing by reading the response.
const NOT_COMPARED: [&str; 4] = ["date", "content-length", "transfer-encoding", "connection"];

/// Returns the differences: `status ...`, `field NAME ...`, `body ...` or `echo KEY ...`.
pub fn problems(recorded: &Recorded, given: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    if recorded.status != given.status {
        problems.push(format!("status {} instead of {}", given.status, recorded.status));
    }
    if given.first("Date").is_none() && given.status != 400 {
        problems.push("field Date is missing".to_owned());
    }
    let names = recorded.fields.iter().chain(&given.fields).map(|(name, _)| name.to_ascii_lowercase());
    let mut names: Vec<String> = names.filter(|name| !NOT_COMPARED.contains(&name.as_str())).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (old, new) = (values(&recorded.fields, &name), values(&given.fields, &name));
        if old != new {
            problems.push(format!("field {name} {new:?} instead of {old:?}"));
        }
    }
    bodies(&recorded.body, &given.text(), &mut problems);
    problems
}

fn values(fields: &[(String, String)], name: &str) -> Vec<String> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| generated(value)).collect()
}

/// Random values are only compared by their position.
fn generated(value: &str) -> String {
    let mut out = value.to_owned();
    for (before, after) in [("nonce=\"", '"'), ("opaque=\"", '"'), ("'nonce-", '\'')] {
        if let Some(at) = out.find(before).map(|at| at + before.len())
            && let Some(length) = out[at..].find(after)
        {
            out.replace_range(at..at + length, "RANDOM");
        }
    }
    out
}

fn bodies(old: &str, new: &str, problems: &mut Vec<String>) {
    let (parsed_old, parsed_new) = (serde_json::from_str::<Value>(old), serde_json::from_str::<Value>(new));
    let (Ok(Value::Object(mut old_echo)), Ok(Value::Object(mut new_echo))) = (parsed_old, parsed_new) else {
        if old.trim_end() != new.trim_end() {
            problems.push(format!("body {new:?} instead of {old:?}"));
        }
        return;
    };
    let (old_headers, new_headers) = (old_echo.remove("headers"), new_echo.remove("headers"));
    old_echo.extend(fields(old_headers, true));
    new_echo.extend(fields(new_headers, false));
    for key in old_echo.keys().chain(new_echo.keys().filter(|key| !old_echo.contains_key(*key))) {
        let (old, new) = (old_echo.get(key), new_echo.get(key));
        if old != new {
            problems.push(format!("echo {key} {} instead of {}", shown(new), shown(old)));
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("nothing".to_owned(), Value::to_string)
}

/// The fields that the server received. Traefik adds an Accept-Encoding and a User-Agent towards servers, and `vm` is the machine of
/// the recording (docs/reference/backends.md#forwarding).
fn fields(headers: Option<Value>, is_recorded: bool) -> Vec<(String, Value)> {
    let Some(Value::Object(headers)) = headers else { return Vec::new() };
    let mut fields: Vec<(String, Value)> = headers.into_iter().collect();
    if is_recorded {
        fields.retain(|(name, value)| {
            !(name == "Accept-Encoding" && value[0] == "gzip"
                || name == "User-Agent" && value[0] == "Go-http-client/1.1")
        });
    }
    for (name, value) in &mut fields {
        match name.as_str() {
            "X-Forwarded-Server" => *value = Value::from("this machine"),
            // curl's response to a challenge depends on the challenge.
            "Authorization" => *value = Value::from(value[0].as_str().and_then(|text| text.split(' ').next())),
            _ => {}
        }
    }
    fields
}

/// The name of the server that responded.
pub fn name_of(answer: &Answer) -> String {
    let echo: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
    echo["name"].as_str().unwrap_or("none").to_owned()
}
