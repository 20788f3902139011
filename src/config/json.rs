//! Reads a provider's document from JSON for the REST provider (docs/reference/providers.md#rest): names in any case, unknown names
//! ignored, `null` for absent, and durations as whole nanoseconds (docs/reference/static-configuration.md#values).

use serde_json::Value as Json;

use super::dynamic::DynamicConfig;
use super::text;
use super::text::tree::{Entry, Node, Table, Value};

/// The source of every value, as messages name it.
const SOURCE: &str = "the request's body";
/// The path of the only duration in a document; `*` stands for a name that the author chooses.
const PERIOD_PATH: [&str; 6] = ["frontends", "*", "ratelimit", "rateset", "*", "period"];

/// Reads a document. Its certificates are ignored, as in Traefik.
///
/// # Errors
/// Invalid JSON, or a value whose type is not the option's, in one sentence.
pub fn read(bytes: &[u8]) -> Result<DynamicConfig, String> {
    let json: Json = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if !json.is_object() {
        return Err("the document is no JSON object: write {\"backends\":{...},\"frontends\":{...}}".to_owned());
    }
    let Some(root) = node(json, &mut Vec::new())? else { return Ok(DynamicConfig::default()) };
    let read =
        text::read_tree::<DynamicConfig>(&root, "", SOURCE, &[]).map_err(|e| format!("{}; {}", e.message, e.help))?;
    Ok(DynamicConfig { tls: Vec::new(), ..read.value })
}

/// Converts a JSON value; `None` for null. `path` holds the names of the enclosing members, in lower case.
fn node(json: Json, path: &mut Vec<String>) -> Result<Option<Node>, String> {
    let value = match json {
        Json::Null => return Ok(None),
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match number.as_i64() {
            Some(nanos) if is_duration(path) => Value::Text(format!("{nanos}ns")),
            Some(whole) => Value::Integer(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) if is_duration(path) && text.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(format!(
                "{}: {text:?} has no unit: write \"{text}s\", or whole nanoseconds without quotes",
                path.join(".")
            ));
        }
        Json::String(text) => Value::Text(text),
        Json::Array(items) => {
            let items = items.into_iter().map(|item| node(item, path)).collect::<Result<Vec<_>, _>>()?;
            Value::List(items.into_iter().flatten().collect())
        }
        Json::Object(members) => {
            let mut entries = Vec::with_capacity(members.len());
            for (name, member) in members {
                path.push(name.to_ascii_lowercase());
                if let Some(node) = node(member, path)? {
                    entries.push(Entry { name, origin: node.origin.clone(), node });
                }
                path.pop();
            }
            Value::Table(Table { entries })
        }
    };
    Ok(Some(Node::from_flag(value, SOURCE)))
}

fn is_duration(path: &[String]) -> bool {
    path.len() == PERIOD_PATH.len()
        && PERIOD_PATH.iter().zip(path).all(|(wanted, name)| *wanted == "*" || wanted == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::GoDuration;

    #[test]
    fn api_output_reads_back_unchanged() {
        let text = r#"{"backends":{"b":{"servers":{"s":{"url":"http://h:1","weight":3}},"loadBalancer":{"method":"wrr"},"forwardingResponse":{"flushInterval":"1s"}}},"frontends":{"f":{"entryPoints":["http"],"backend":"b","routes":{"r":{"rule":"Host:h"}},"priority":0,"basicAuth":null,"ratelimit":{"rateset":{"a":{"period":10000000000,"average":2,"burst":3}},"extractorFunc":"client.ip"}}}}"#;
        let read = read(text.as_bytes()).expect("valid");
        let rate = &read.frontends["f"].rate_limit.as_ref().unwrap().rate_set["a"];
        assert_eq!((rate.period, rate.average, rate.burst), (GoDuration::from_secs(10), 2, 3));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn names_match_in_any_case_and_types_strictly() {
        let body = r#"{"BACKENDS":{"Keep":{"Servers":{"s":{"URL":"http://h"}}}},"nobody":1,"tls":[{"entryPoints":["x"]}],"frontends":null}"#;
        let lenient = read(body.as_bytes()).expect("valid");
        assert_eq!((lenient.backends["Keep"].servers.get("s").unwrap().weight, lenient.tls.len()), (0, 0));
        let period = |text: &str| {
            let body = format!(r#"{{"frontends":{{"f":{{"rateLimit":{{"rateSet":{{"a":{{"period":{text}}}}}}}}}}}}}"#);
            read(body.as_bytes()).map(|d| d.frontends["f"].rate_limit.as_ref().unwrap().rate_set["a"].period.0)
        };
        assert_eq!((period("7"), period("\"2s\"")), (Ok(7), Ok(2_000_000_000)));
        assert!(period("\"10\"").unwrap_err().contains("no unit"));
        for broken in ["", "[]", "{", r#"{"backends":7}"#, r#"{"frontends":{"f":{"priority":"high"}}}"#] {
            assert!(read(broken.as_bytes()).is_err(), "{broken}");
        }
        assert_eq!(read(b"{}"), Ok(DynamicConfig::default()));
    }
}
