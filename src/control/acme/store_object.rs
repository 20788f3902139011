//! The account and the certificates of `acme.json` as the object that Traefik v1 keeps in a key-value store
//! (docs/reference/key-value-stores.md#storeconfig): the layout of its files before 1.7.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::store::Store;

/// The object's JSON for a file.
///
/// # Errors
/// A sentence that says why the file cannot be used.
pub fn stored_account(path: &Path) -> Result<String, String> {
    match Store::read_document(path)? {
        Some(document) => Ok(object(&document).to_string()),
        None => Err(format!("{} is missing or empty: name the acme.json of the process so far", path.display())),
    }
}

fn object(document: &Map<String, Value>) -> Value {
    let account =
        |name: &str| document.get("Account").and_then(|account| account.get(name)).cloned().unwrap_or(Value::Null);
    let certificates = document.get("Certificates").and_then(Value::as_array);
    let certificates: Vec<Value> = certificates.into_iter().flatten().filter_map(certificate).collect();
    json!({
        "Email": account("Email").as_str().unwrap_or_default(),
        "Registration": account("Registration"),
        "PrivateKey": account("PrivateKey"),
        "KeyType": account("KeyType").as_str().unwrap_or_default(),
        "DomainsCertificate": { "Certs": certificates },
        "ChallengeCerts": {},
        "HTTPChallenge": {},
    })
}

/// The entry of one certificate; `None` if a part is missing.
fn certificate(new: &Value) -> Option<Value> {
    let domain = new.get("Domain")?;
    let main = domain.get("Main")?;
    Some(json!({
        "Domains": { "Main": main, "SANs": domain.get("SANs").cloned().unwrap_or(Value::Null) },
        "Certificate": {
            "Domain": main, "CertURL": "", "CertStableURL": "",
            "PrivateKey": new.get("Key")?, "Certificate": new.get("Certificate")?,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::super::old_format;
    use super::*;

    #[test]
    fn object_is_read_back_as_the_same_account_and_certificates() {
        let new = json!({
            "Account": { "Email": "a@b.example", "Registration": { "uri": "https://ca.example/acct/1" }, "PrivateKey": "MII", "KeyType": "4096" },
            "Certificates": [
                { "Domain": { "Main": "a.example", "SANs": ["b.example"] }, "Certificate": "Y2VydA==", "Key": "a2V5" },
                { "Domain": { "Main": "broken.example" } },
            ],
        });
        let object = object(new.as_object().expect("an object"));
        let object = object.as_object().expect("an object");
        assert!(old_format::is_old(object));
        let again = old_format::convert(object);
        assert_eq!(again["Account"], new["Account"]);
        assert_eq!(again["Certificates"], json!([new["Certificates"][0]]));
    }
}
