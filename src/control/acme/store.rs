//! `acme.json` in Traefik's layout (docs/reference/acme.md#acme-json).
//!
//! The file stays one that Traefik 1.7 can take back: its own account is never touched, ours stands under a key that
//! Traefik ignores, and what is unknown to us is written back as it was.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use instant_acme::AccountCredentials;
use serde_json::{Map, Value, json};

use super::atomic_file::{self, OsFile, Saved};

/// Where our own account stands. Traefik's is an RSA key, which our ACME client cannot sign with.
const OWN_ACCOUNT: &str = "RingwayAccount";

/// The file and what it holds.
#[derive(Debug)]
pub struct Store {
    disk: OsFile,
    shown: String,
    root: Map<String, Value>,
    /// The last save failed: the file is behind what is in memory.
    unsaved: bool,
}

/// One entry of `Certificates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `Domain.Main`.
    pub main: String,
    /// `Domain.SANs`.
    pub sans: Vec<String>,
    /// PEM chain.
    pub certificate: Vec<u8>,
    /// PEM key.
    pub key: Vec<u8>,
}

impl Stored {
    /// Main name and the others, lower-cased, without trailing dots, each once, in order.
    pub fn names(&self) -> Vec<String> {
        unique_names(std::iter::once(&self.main).chain(&self.sans))
    }

    /// Is this a certificate for the same names, so that one replaces the other?
    pub fn is_for_same_names(&self, other: &Stored) -> bool {
        self.sorted_names() == other.sorted_names()
    }

    /// The same for all certificates of which one replaces the other.
    pub fn sorted_names(&self) -> Vec<String> {
        let mut names = self.names();
        names.sort_unstable();
        names
    }
}

/// Lower-cased names without trailing dots and blanks, each once, in order (docs/reference/acme.md#which-names).
pub fn unique_names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut unique = Vec::new();
    for name in names {
        let name = name.trim().trim_end_matches('.').to_lowercase();
        if !name.is_empty() && !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

impl Store {
    /// Opens the file, repairing an interrupted save. A missing or empty file is created at once, as Traefik does;
    /// any other is left byte for byte until there is something to save.
    ///
    /// # Errors
    /// A sentence for the log; ACME is then off and the proxy goes on (docs/reference/acme.md#when-acme-is-off, docs/reference/static-configuration.md#errors).
    pub fn open(path: &Path) -> Result<Store, String> {
        let mut disk = OsFile::new(path);
        let shown = path.display().to_string();
        disk.check_permissions()?;
        let found = atomic_file::load(&mut disk).map_err(|e| format!("{shown} cannot be read: {e}"))?;
        match found {
            Some(content) => {
                let root = parse(&content).map_err(|e| format!("{shown} {e}"))?;
                Ok(Store { disk, root, shown, unsaved: false })
            }
            None => {
                let mut store = Store { disk, root: empty(), shown, unsaved: false };
                store.save()?;
                Ok(store)
            }
        }
    }

    /// All usable entries; those without certificate or key are dropped (docs/reference/acme.md#acme-json).
    pub fn certificates(&self) -> Vec<Stored> {
        let list = self.root.get("Certificates").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(stored).collect()
    }

    /// Adds a certificate, in the place of the first one for the same names if there is one; further ones go. Saves.
    ///
    /// # Errors
    /// A sentence for the log when the file cannot be written; the certificate is still in memory.
    pub fn put(&mut self, new: &Stored) -> Result<Saved, String> {
        let entry = self.root.entry("Certificates").or_insert(Value::Null);
        if !entry.is_array() {
            *entry = Value::Array(Vec::new());
        }
        if let Some(list) = entry.as_array_mut() {
            let mut is_placed = false;
            list.retain_mut(|entry| match stored(entry) {
                None => false,
                Some(old) if !old.is_for_same_names(new) => true,
                Some(_) => {
                    *entry = entry_of(new, Some(entry));
                    !std::mem::replace(&mut is_placed, true)
                }
            });
            if !is_placed {
                list.push(entry_of(new, None));
            }
        }
        self.save()
    }

    /// Our account with the directory at `ca_server`, if one was registered before.
    pub fn account(&self, ca_server: &str) -> Option<AccountCredentials> {
        let own = self.root.get(OWN_ACCOUNT)?;
        if own.get("directory").and_then(Value::as_str) != Some(ca_server) {
            return None;
        }
        serde_json::from_value(own.clone()).ok()
    }

    /// Does the file hold an account that Traefik registered?
    pub fn has_traefik_account(&self) -> bool {
        self.root.get("Account").and_then(|account| account.get("PrivateKey")).is_some_and(|key| !key.is_null())
    }

    /// Remembers our account, or forgets it.
    ///
    /// # Errors
    /// A sentence for the log when the file cannot be written.
    pub fn set_account(&mut self, account: Option<&AccountCredentials>) -> Result<Saved, String> {
        match account {
            Some(account) => {
                let value = serde_json::to_value(account).map_err(|e| e.to_string())?;
                self.root.insert(OWN_ACCOUNT.into(), value);
            }
            None => {
                self.root.remove(OWN_ACCOUNT);
            }
        }
        self.save()
    }

    /// The last save failed, and none has succeeded since.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Writes all that is in memory.
    ///
    /// # Errors
    /// A sentence for the log when the file cannot be written; see [`Store::is_unsaved`].
    pub fn save(&mut self) -> Result<Saved, String> {
        let text = serde_json::to_vec_pretty(&self.root).map_err(|e| e.to_string())?;
        let saved = atomic_file::save(&mut self.disk, &text);
        self.unsaved = saved.is_err();
        saved.map_err(|e| format!("{} cannot be written: {e}; make the file writable for the proxy", self.shown))
    }
}

fn parse(content: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(content) {
        Ok(Value::Object(root)) if root.contains_key("DomainsCertificate") => Err("has the layout of Traefik before \
            1.7: start Traefik 1.7 once with it, or remove the file to obtain certificates anew"
            .into()),
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err("is not an acme.json file: restore it or remove it to obtain certificates anew".into()),
        Err(e) => Err(format!("is damaged ({e}): restore it or remove it to obtain certificates anew")),
    }
}

/// What Traefik writes when there is nothing yet.
fn empty() -> Map<String, Value> {
    let value = json!({
        "Account": { "Email": "", "Registration": null, "PrivateKey": null, "KeyType": "" },
        "Certificates": null,
        "HTTPChallenges": {},
        "TLSChallenges": {},
    });
    value.as_object().cloned().unwrap_or_default()
}

fn stored(value: &Value) -> Option<Stored> {
    let bytes = |key: &str| {
        let text = value.get(key)?.as_str().filter(|text| !text.is_empty())?;
        BASE64_STANDARD.decode(text).ok()
    };
    let domain = value.get("Domain")?;
    let sans = domain.get("SANs").and_then(Value::as_array);
    Some(Stored {
        main: domain.get("Main")?.as_str()?.to_owned(),
        sans: sans.into_iter().flatten().filter_map(|san| san.as_str().map(str::to_owned)).collect(),
        certificate: bytes("Certificate")?,
        key: bytes("Key")?,
    })
}

/// The entry for a certificate, over the fields of the entry it replaces, so that unknown ones stay.
fn entry_of(new: &Stored, old: Option<&Value>) -> Value {
    let mut entry = old.and_then(Value::as_object).cloned().unwrap_or_default();
    let sans = if new.sans.is_empty() { Value::Null } else { json!(new.sans) };
    entry.insert("Domain".into(), json!({ "Main": new.main, "SANs": sans }));
    entry.insert("Certificate".into(), BASE64_STANDARD.encode(&new.certificate).into());
    entry.insert("Key".into(), BASE64_STANDARD.encode(&new.key).into());
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.json");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        (folder, path)
    }

    fn entry(main: &str, sans: &[&str], text: &str) -> Stored {
        let sans = sans.iter().map(|san| san.to_string()).collect();
        Stored { main: main.into(), sans, certificate: text.into(), key: b"key".to_vec() }
    }

    const TRAEFIKS: &str = r#"{
  "Account": {
    "Email": "a@b.example",
    "Registration": { "body": { "status": "valid" }, "uri": "https://ca.example/acct/1" },
    "PrivateKey": "MIIJKgIBAAKCAgEA",
    "KeyType": "4096"
  },
  "Certificates": [
    { "Domain": { "Main": "a.example", "SANs": null }, "Certificate": "Y2VydA==", "Key": "a2V5", "Extra": 1 },
    { "Domain": { "Main": "empty.example", "SANs": null }, "Certificate": "", "Key": "a2V5" },
    { "Domain": { "Main": "b.example", "SANs": ["c.example"] }, "Certificate": "Y2VydA==", "Key": "a2V5" }
  ],
  "HTTPChallenges": {},
  "TLSChallenges": {},
  "Later": { "kept": true }
}"#;

    #[test]
    fn reads_traefiks_file_and_leaves_it_alone() {
        let (_folder, path) = file(TRAEFIKS);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.certificates(), [entry("a.example", &[], "cert"), entry("b.example", &["c.example"], "cert")]);
        assert!(store.has_traefik_account());
        assert!(store.account("https://ca.example/directory").is_none());
        assert_eq!(fs::read_to_string(&path).unwrap(), TRAEFIKS);
    }

    #[test]
    fn saving_keeps_what_is_unknown_and_replaces_by_domain() {
        let (_folder, path) = file(TRAEFIKS);
        let mut store = Store::open(&path).unwrap();
        store.put(&entry("a.example", &[], "renewed")).unwrap();
        store.put(&entry("d.example", &[], "new")).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let before: Value = serde_json::from_str(TRAEFIKS).unwrap();
        assert_eq!(written["Account"], before["Account"]);
        assert_eq!(written["Later"], before["Later"]);
        assert_eq!(written["Certificates"].as_array().unwrap().len(), 3);
        assert_eq!(written["Certificates"][0]["Extra"], 1);
        assert_eq!(written["Certificates"][0]["Certificate"], BASE64_STANDARD.encode("renewed"));
        assert_eq!(written["Certificates"][2]["Domain"], json!({"Main": "d.example", "SANs": null}));
        let again = Store::open(&path).unwrap().certificates();
        assert_eq!(again.iter().map(|c| c.main.as_str()).collect::<Vec<_>>(), ["a.example", "b.example", "d.example"]);
    }

    #[test]
    fn of_entries_for_the_same_names_one_is_left() {
        let (_folder, path) = file("");
        let mut store = Store::open(&path).unwrap();
        store.put(&entry("a.example", &["b.example"], "first")).unwrap();
        store.put(&entry("c.example", &[], "other")).unwrap();
        let mut twice: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let list = twice["Certificates"].as_array_mut().unwrap();
        list.push(entry_of(&entry("B.example.", &["a.example"], "second"), None));
        fs::write(&path, twice.to_string()).unwrap();
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.certificates().len(), 3);
        let renewed = entry("a.example", &["b.example"], "renewed");
        store.put(&renewed).unwrap();
        assert_eq!(Store::open(&path).unwrap().certificates(), [renewed, entry("c.example", &[], "other")]);
    }

    /// The fuzzer's finding: read and written inexactly, such a number is another one afterwards.
    #[test]
    fn numbers_of_other_programs_come_out_as_they_went_in() {
        let (_folder, path) = file(r#"{"Later": [6e100, 6e49, 0.1, 123456789.12345679]}"#);
        let before: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        Store::open(&path).unwrap().put(&entry("a.example", &[], "new")).unwrap();
        let after: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(after["Later"], before["Later"]);
    }

    #[test]
    fn a_missing_or_empty_file_is_created_private_and_pretty() {
        for content in [None, Some("")] {
            let (_folder, path) = file(content.unwrap_or_default());
            if content.is_none() {
                fs::remove_file(&path).unwrap();
            }
            assert!(Store::open(&path).unwrap().certificates().is_empty());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("{\n  \"Account\": {\n    \"Email\": \"\""), "{text}");
        }
    }

    #[test]
    fn damaged_and_foreign_files_say_so_and_stay() {
        for content in ["{", "[]", "{} {}", "{} # notes", "\"Account\"\0x", r#"{"DomainsCertificate": {}}"#] {
            let (_folder, path) = file(content);
            let message = Store::open(&path).unwrap_err();
            assert!(message.contains("acme.json"), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }
}
