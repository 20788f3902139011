//! The contents of `acme.json`, in Traefik's layout (docs/reference/acme.md#acme-json).
//!
//! Traefik 1.7 can read the file again at any time: Traefik's account is never changed, Ringway's account is stored under a key that
//! Traefik ignores, and unknown fields are written back unchanged.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use instant_acme::AccountCredentials;
use serde_json::{Map, Value, json};

use super::atomic_file::{self, FileStamp, OsFile, Saved};
use super::old_format;
use super::pending::{self, PendingOrder};

/// The key of Ringway's account. Traefik's account has an RSA key, which the ACME client library cannot sign with.
const OWN_ACCOUNT: &str = "RingwayAccount";

/// The file and its contents in memory.
#[derive(Debug)]
pub struct Store {
    file: OsFile,
    /// The path for messages.
    shown_path: String,
    root: Map<String, Value>,
    /// Whether the last save failed, so that the file is older than `root`.
    unsaved: bool,
    /// The file's state after the last load or save.
    stamp: Option<FileStamp>,
}

/// Why [`Store::open`] failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// Another process uses the file: it may end.
    InUse(String),
    /// The file cannot be used.
    Unusable(String),
}

impl From<String> for OpenError {
    fn from(reason: String) -> OpenError {
        OpenError::Unusable(reason)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (OpenError::InUse(reason) | OpenError::Unusable(reason)) = self;
        f.write_str(reason)
    }
}

/// An entry of `Certificates`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `Domain.Main`.
    pub main: String,
    /// `Domain.SANs`.
    pub sans: Vec<String>,
    /// The certificate chain in PEM.
    pub certificate: Vec<u8>,
    /// The private key in PEM.
    pub key: Vec<u8>,
}

impl Stored {
    /// The main name and the other names, normalised by [`unique_names`].
    pub fn names(&self) -> Vec<String> {
        unique_names(std::iter::once(&self.main).chain(&self.sans))
    }

    /// Whether both certificates are for the same names, so that one replaces the other.
    pub fn is_for_same_names(&self, other: &Stored) -> bool {
        self.sorted_names() == other.sorted_names()
    }

    /// The names in sorted order: equal for certificates that replace each other.
    pub fn sorted_names(&self) -> Vec<String> {
        let mut names = self.names();
        names.sort_unstable();
        names
    }
}

/// Normalises names: lower case, without blanks around them and trailing dots, each name once, in the given order
/// (docs/reference/acme.md#which-names).
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
    /// Opens the file for this process alone and repairs an interrupted save. A missing or empty file is created at once, as in Traefik; a
    /// file of Traefik before 1.7 is converted; any other file stays byte for byte until there is something to save.
    ///
    /// # Errors
    /// A sentence for the log; ACME is then off and the proxy keeps serving (docs/reference/acme.md#when-acme-is-off).
    pub fn open(path: &Path) -> Result<Store, OpenError> {
        let mut file = OsFile::new(path);
        let shown_path = path.display().to_string();
        file.check_permissions()?;
        if !file.lock().map_err(|e| format!("{shown_path} cannot be locked: {e}"))? {
            return Err(OpenError::InUse(format!(
                "{shown_path} is in use by another process: each process needs a file of its own"
            )));
        }
        let content = atomic_file::load(&mut file).map_err(|e| format!("{shown_path} cannot be read: {e}"))?;
        let stamp = file.stamp();
        let root = content.map(|content| parse(&content).map_err(|e| format!("{shown_path} {e}"))).transpose()?;
        match root {
            Some(root) if old_format::is_old(&root) => {
                let mut store = Store { root: old_format::convert(&root), file, shown_path, unsaved: false, stamp };
                store.file.back_up().map_err(|e| format!("{} cannot be copied to .bak: {e}", store.shown_path))?;
                store.save()?;
                tracing::warn!(
                    "{} had the layout of Traefik before 1.7: converted, the old file is in {0}.bak",
                    store.shown_path
                );
                Ok(store)
            }
            Some(root) => Ok(Store { file, root, shown_path, unsaved: false, stamp }),
            None => {
                let mut store = Store { file, root: empty(), shown_path, unsaved: false, stamp };
                store.save()?;
                Ok(store)
            }
        }
    }

    /// The usable entries of a file that another process may be using: nothing is repaired, created or locked.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn read_certificates(path: &Path) -> Result<Vec<Stored>, String> {
        Ok(Store::read_document(path)?.map(|root| entries(&root)).unwrap_or_default())
    }

    /// The document of a file that another process may be using, in the layout of Traefik 1.7; `None` if the file is missing or empty.
    ///
    /// # Errors
    /// A sentence for the log.
    pub fn read_document(path: &Path) -> Result<Option<Map<String, Value>>, String> {
        let shown_path = path.display().to_string();
        let mut file = OsFile::new(path);
        let content = atomic_file::peek(&mut file).map_err(|e| format!("{shown_path} cannot be read: {e}"))?;
        let Some(content) = content else { return Ok(None) };
        let root = parse(&content).map_err(|e| format!("{shown_path} {e}"))?;
        Ok(Some(if old_format::is_old(&root) { old_format::convert(&root) } else { root }))
    }

    /// The usable entries. Entries without a certificate or key are ignored (docs/reference/acme.md#acme-json).
    pub fn certificates(&self) -> Vec<Stored> {
        entries(&self.root)
    }

    /// The unfinished order for `names` with the authority whose directory is `directory`.
    pub fn pending_order(&self, directory: &str, names: &[String]) -> Option<PendingOrder> {
        pending::find(&self.root, directory, names)
    }

    /// Stores an unfinished order and saves the file.
    ///
    /// # Errors
    /// A sentence for the log if the file cannot be written.
    pub fn set_pending_order(&mut self, directory: &str, order: &PendingOrder) -> Result<Saved, String> {
        pending::insert(&mut self.root, directory, order);
        self.save()
    }

    /// Removes the unfinished order for `names` and saves the file, if there is one.
    ///
    /// # Errors
    /// A sentence for the log if the file cannot be written.
    pub fn remove_pending_order(&mut self, names: &[String]) -> Result<(), String> {
        match pending::remove(&mut self.root, names) {
            true => self.save().map(drop),
            false => Ok(()),
        }
    }

    /// Adds a certificate, removes its unfinished order and saves the file. The certificate replaces the first entry for the same names; further entries for these names,
    /// and unusable entries, are removed.
    ///
    /// # Errors
    /// A sentence for the log if the file cannot be written; the certificate stays in memory.
    pub fn put(&mut self, new: &Stored) -> Result<Saved, String> {
        pending::remove(&mut self.root, &new.names());
        let entry = self.root.entry("Certificates").or_insert(Value::Null);
        if !entry.is_array() {
            *entry = Value::Array(Vec::new());
        }
        if let Some(list) = entry.as_array_mut() {
            let mut is_placed = false;
            list.retain_mut(|entry| match parse_entry(entry) {
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

    /// Ringway's account with the authority whose directory is `ca_server`, if one has been registered.
    pub fn account(&self, ca_server: &str) -> Option<AccountCredentials> {
        let account = self.root.get(OWN_ACCOUNT)?;
        if account.get("directory").and_then(Value::as_str) != Some(ca_server) {
            return None;
        }
        serde_json::from_value(account.clone()).ok()
    }

    /// Whether the file holds an account that Traefik registered.
    pub fn has_traefik_account(&self) -> bool {
        self.root.get("Account").and_then(|account| account.get("PrivateKey")).is_some_and(|key| !key.is_null())
    }

    /// Stores Ringway's account, or removes it if `None`, and saves the file.
    ///
    /// # Errors
    /// A sentence for the log if the file cannot be written.
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

    /// Whether the last save failed.
    pub fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// Writes the contents in memory to the file.
    ///
    /// # Errors
    /// A sentence for the log if the file cannot be written; see [`Store::is_unsaved`].
    pub fn save(&mut self) -> Result<Saved, String> {
        self.adopt_foreign_certificates();
        let text = serde_json::to_vec_pretty(&self.root).map_err(|e| e.to_string())?;
        let saved = atomic_file::save(&mut self.file, &text);
        self.stamp = self.file.stamp();
        self.unsaved = saved.is_err();
        saved.map_err(|e| format!("{} cannot be written: {e}; make the file writable for the proxy", self.shown_path))
    }

    /// Notices that another program, which takes no lock, has written the file, and keeps the certificates that only that program has. A
    /// failed save of our own may have changed the file too.
    fn adopt_foreign_certificates(&mut self) {
        if self.unsaved || self.stamp == self.file.stamp() {
            return;
        }
        let content = atomic_file::peek(&mut self.file).ok().flatten().unwrap_or_default();
        let foreign = parse(&content).map(|root| entries(&root)).unwrap_or_default();
        let own = self.certificates();
        let mut kept = 0;
        for entry in foreign.iter().filter(|entry| !own.iter().any(|own| own.is_for_same_names(entry))) {
            if let Some(list) = self.root.get_mut("Certificates").and_then(Value::as_array_mut) {
                list.push(entry_of(entry, None));
                kept += 1;
            }
        }
        tracing::error!(
            "{} was changed by another program: {kept} of its certificates are kept, other changes are overwritten; \
             give each program a file of its own",
            self.shown_path
        );
    }
}

fn parse(content: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(content) {
        Ok(Value::Object(root)) => Ok(root),
        Ok(_) => Err("is not an acme.json file: restore it or remove it to obtain certificates anew".into()),
        Err(e) => Err(format!("is damaged ({e}): restore it or remove it to obtain certificates anew")),
    }
}

/// The document that Traefik writes while there is no account and no certificate.
fn empty() -> Map<String, Value> {
    let value = json!({
        "Account": { "Email": "", "Registration": null, "PrivateKey": null, "KeyType": "" },
        "Certificates": null,
        "HTTPChallenges": {},
        "TLSChallenges": {},
    });
    value.as_object().cloned().unwrap_or_default()
}

/// The usable entries of `Certificates`.
fn entries(root: &Map<String, Value>) -> Vec<Stored> {
    let list = root.get("Certificates").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(parse_entry).collect()
}

/// Parses an entry of `Certificates`; `None` if the certificate or the key is missing or is not base64.
fn parse_entry(value: &Value) -> Option<Stored> {
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

/// Makes the entry for a certificate. Unknown fields of the replaced entry `old` are kept.
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

    fn file_with(content: &str) -> (tempfile::TempDir, std::path::PathBuf) {
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
    fn traefik_file_is_read_and_not_changed() {
        let (_folder, path) = file_with(TRAEFIKS);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.certificates(), [entry("a.example", &[], "cert"), entry("b.example", &["c.example"], "cert")]);
        assert!(store.has_traefik_account());
        assert!(store.account("https://ca.example/directory").is_none());
        assert_eq!(fs::read_to_string(&path).unwrap(), TRAEFIKS);
    }

    #[test]
    fn save_keeps_unknown_fields_and_replaces_by_names() {
        let (_folder, path) = file_with(TRAEFIKS);
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
        drop(store);
        let again = Store::open(&path).unwrap().certificates();
        assert_eq!(again.iter().map(|c| c.main.as_str()).collect::<Vec<_>>(), ["a.example", "b.example", "d.example"]);
    }

    #[test]
    fn put_leaves_one_entry_for_the_same_names() {
        let (_folder, path) = file_with("");
        let mut store = Store::open(&path).unwrap();
        store.put(&entry("a.example", &["b.example"], "first")).unwrap();
        store.put(&entry("c.example", &[], "other")).unwrap();
        drop(store);
        let mut twice: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let list = twice["Certificates"].as_array_mut().unwrap();
        list.push(entry_of(&entry("B.example.", &["a.example"], "second"), None));
        fs::write(&path, twice.to_string()).unwrap();
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.certificates().len(), 3);
        let renewed = entry("a.example", &["b.example"], "renewed");
        store.put(&renewed).unwrap();
        drop(store);
        assert_eq!(Store::open(&path).unwrap().certificates(), [renewed, entry("c.example", &[], "other")]);
    }

    /// A finding of the fuzzer: if such a number is read or written inexactly, its value changes.
    #[test]
    fn unknown_numbers_are_saved_with_the_same_value() {
        let (_folder, path) = file_with(r#"{"Later": [6e100, 6e49, 0.1, 123456789.12345679]}"#);
        let before: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        Store::open(&path).unwrap().put(&entry("a.example", &[], "new")).unwrap();
        let after: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(after["Later"], before["Later"]);
    }

    #[test]
    fn missing_or_empty_file_is_created_with_mode_600_and_indent() {
        for content in [None, Some("")] {
            let (_folder, path) = file_with(content.unwrap_or_default());
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
    fn damaged_or_foreign_file_is_an_error_and_unchanged() {
        for content in ["{", "[]", "{} {}", "{} # notes", "\"Account\"\0x"] {
            let (_folder, path) = file_with(content);
            let message = Store::open(&path).unwrap_err().to_string();
            assert!(message.contains("acme.json"), "{message}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    fn file_in_use_is_noticed_until_its_process_ends() {
        for saves in [0, 1] {
            let (_folder, path) = file_with(TRAEFIKS);
            let mut first = Store::open(&path).unwrap();
            // A save replaces the file: the new file is locked too.
            for _ in 0..saves {
                first.put(&entry("new.example", &[], "new")).unwrap();
            }
            let refused = Store::open(&path).unwrap_err();
            assert!(matches!(&refused, OpenError::InUse(reason) if reason.contains("another process")), "{refused}");
            assert_eq!(Store::read_certificates(&path).unwrap().len(), 2 + saves);
            drop(first);
            Store::open(&path).unwrap();
        }
    }

    #[test]
    fn certificates_of_a_program_without_locks_are_kept() {
        let (_folder, path) = file_with(TRAEFIKS);
        let mut store = Store::open(&path).unwrap();
        let foreign = TRAEFIKS.replace("\"Certificates\": [", "\"Certificates\": [{ \"Domain\": { \"Main\": \"foreign.example\", \"SANs\": null }, \"Certificate\": \"Y2VydA==\", \"Key\": \"a2V5\" },");
        fs::write(&path, foreign).unwrap();
        store.put(&entry("new.example", &[], "new")).unwrap();
        let mains: Vec<String> = Store::read_certificates(&path).unwrap().into_iter().map(|c| c.main).collect();
        assert_eq!(mains, ["a.example", "b.example", "new.example", "foreign.example"]);
        store.put(&entry("next.example", &[], "next")).unwrap();
        assert_eq!(Store::read_certificates(&path).unwrap().len(), 5, "its own saves are no foreign ones");
    }

    #[test]
    fn old_layout_is_converted_with_a_copy() {
        let old = r#"{"Email": "a@b.example", "PrivateKey": "MIIJ", "DomainsCertificate": {"Certs": [{"Domains":
            {"Main": "a.example", "SANs": null}, "Certificate": {"PrivateKey": "a2V5", "Certificate": "Y2VydA=="}}]}}"#;
        let (_folder, path) = file_with(old);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.certificates(), [entry("a.example", &[], "cert")]);
        assert!(store.has_traefik_account());
        let copy = path.with_file_name("acme.json.bak");
        assert_eq!(fs::read_to_string(&copy).unwrap(), old);
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written["Account"]["Email"], "a@b.example");
    }

    #[test]
    fn unfinished_order_goes_with_its_certificate() {
        let (_folder, path) = file_with(TRAEFIKS);
        let mut store = Store::open(&path).unwrap();
        let names = ["b.x".to_owned(), "a.x".to_owned()];
        store.set_pending_order("dir", &PendingOrder::new(&names, "https://ca.test/1")).unwrap();
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert!(store.pending_order("dir", &names).is_some());
        store.put(&entry("a.x", &["b.x"], "new")).unwrap();
        assert!(store.pending_order("dir", &names).is_none());
        let written = fs::read_to_string(&path).unwrap();
        assert!(!written.contains("RingwayOrders"), "{written}");
    }
}
