//! acme.json with any content: a file that cannot be parsed is not changed, and saving a certificate keeps every value that does not belong
//! to Ringway.
#![no_main]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use ringway::control::acme::store::{Store, Stored};
use serde_json::Value;

fuzz_target!(|content: &[u8]| {
    // A folder in memory: the store syncs every write.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder");
    let path = folder.path().join("acme.json");
    write(&path, content);
    let Ok(mut store) = Store::open(&path) else {
        let left = fs::read(&path).expect("the file");
        // A file left by Ringway's own interrupted save may be truncated: such a file begins with the new content, or with zeros.
        let rest = content.strip_prefix(&*left).expect("a damaged file was changed").trim_ascii_start();
        return assert!(rest.is_empty() || matches!(rest[0], b'#' | 0), "a damaged file was cut");
    };
    let before: Option<Value> = serde_json::from_slice(content).ok();
    let held = store.certificates();
    let new = Stored {
        main: "new.example".to_owned(),
        sans: vec!["www.new.example".to_owned()],
        certificate: b"chain".to_vec(),
        key: b"key".to_vec(),
    };
    store.put(&new).expect("saved");

    // The file is locked as long as the store is open.
    drop(store);
    let again = Store::open(&path).expect("what was saved opens").certificates();
    let others = |list: &[Stored]| -> Vec<Stored> {
        list.iter().filter(|stored| !stored.is_for_same_names(&new)).cloned().collect()
    };
    assert!(again.contains(&new));
    assert_eq!(others(&again), others(&held));
    let after: Value = serde_json::from_slice(&fs::read(&path).expect("the file")).expect("JSON");
    let before = before.as_ref().and_then(Value::as_object);
    // A file of Traefik before 1.7 is converted; the old one is kept beside it.
    if before.is_some_and(|before| before.contains_key("DomainsCertificate")) {
        let copy = fs::read(path.with_file_name("acme.json.bak")).expect("the copy");
        return assert!(content.starts_with(&copy), "the copy is another file");
    }
    for (key, value) in before.into_iter().flatten() {
        assert!(
            matches!(key.as_str(), "Certificates" | "RingwayOrders") || after.get(key) == Some(value),
            "{key} was changed"
        );
    }
});

fn write(path: &PathBuf, content: &[u8]) {
    fs::write(path, content).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
}
