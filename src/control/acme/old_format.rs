//! Converts an `acme.json` of Traefik before 1.7, as Traefik 1.7 does: the account's fields at the top level become `Account`, and
//! `DomainsCertificate` becomes `Certificates`.

use serde_json::{Map, Value, json};

/// Whether a document has the old layout.
pub fn is_old(root: &Map<String, Value>) -> bool {
    root.contains_key("DomainsCertificate")
}

/// The document in the layout of Traefik 1.7. A registration with an authority of ACME v1, all of which have been shut down, is dropped, and
/// so is what the old layout had beside account and certificates.
pub fn convert(old: &Map<String, Value>) -> Map<String, Value> {
    let field = |name: &str| old.get(name).cloned().unwrap_or(Value::Null);
    let registration = match is_of_v1(old.get("Registration")) {
        true => Value::Null,
        false => field("Registration"),
    };
    let account = json!({
        "Email": old.get("Email").and_then(Value::as_str).unwrap_or_default(),
        "Registration": registration,
        "PrivateKey": field("PrivateKey"),
        "KeyType": old.get("KeyType").and_then(Value::as_str).unwrap_or_default(),
    });
    let list = old.get("DomainsCertificate").and_then(|list| list.get("Certs")).and_then(Value::as_array);
    let certificates: Vec<Value> = list.into_iter().flatten().filter_map(entry).collect();
    let document = json!({
        "Account": account,
        "Certificates": if certificates.is_empty() { Value::Null } else { Value::Array(certificates) },
        "HTTPChallenges": {},
        "TLSChallenges": {},
    });
    document.as_object().cloned().unwrap_or_default()
}

/// The new entry of one old certificate; `None` if a part is missing.
fn entry(old: &Value) -> Option<Value> {
    let (domains, certificate) = (old.get("Domains")?, old.get("Certificate")?);
    Some(json!({
        "Domain": { "Main": domains.get("Main")?, "SANs": domains.get("SANs").cloned().unwrap_or(Value::Null) },
        "Certificate": certificate.get("Certificate")?,
        "Key": certificate.get("PrivateKey")?,
    }))
}

fn is_of_v1(registration: Option<&Value>) -> bool {
    let uri = registration.and_then(|registration| registration.get("uri")).and_then(Value::as_str);
    uri.is_some_and(|uri| uri.contains("acme-v01.") || uri.contains("acme-staging.api") || uri.contains("/acme/reg/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_and_certificates_of_the_old_layout_are_taken_over() {
        let old = json!({
            "Email": "a@b.example",
            "Registration": { "body": { "status": "valid" }, "uri": "https://acme-v02.api.letsencrypt.org/acme/acct/1" },
            "PrivateKey": "MIIJKgIBAAKCAgEA",
            "DomainsCertificate": { "Certs": [
                { "Domains": { "Main": "a.example", "SANs": ["b.example"] },
                  "Certificate": { "Domain": "a.example", "CertURL": "u", "PrivateKey": "a2V5", "Certificate": "Y2VydA==" } },
                { "Domains": { "Main": "broken.example" } }
            ] },
            "ChallengeCerts": {}
        });
        let old = old.as_object().expect("an object");
        assert!(is_old(old));
        let new = convert(old);
        assert!(!is_old(&new));
        assert_eq!(new["Account"]["Registration"], old["Registration"]);
        assert_eq!(new["Account"]["PrivateKey"], "MIIJKgIBAAKCAgEA");
        assert_eq!(
            new["Certificates"],
            json!([{ "Domain": { "Main": "a.example", "SANs": ["b.example"] }, "Certificate": "Y2VydA==", "Key": "a2V5" }])
        );
    }

    #[test]
    fn registration_with_acme_v1_is_dropped() {
        let old = json!({ "Registration": { "uri": "https://acme-v01.api.letsencrypt.org/acme/reg/7" }, "DomainsCertificate": {} });
        let new = convert(old.as_object().expect("an object"));
        assert_eq!(new["Account"]["Registration"], Value::Null);
        assert_eq!(new["Certificates"], Value::Null);
    }
}
