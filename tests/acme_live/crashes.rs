//! acme.json when the process is killed at any of its writes.

use std::path::Path;
use std::process::Command;

use ringway::control::acme::store::Store;

use crate::running::*;
use crate::support::{installed, tool_or_skip};

/// The variable that makes the test a process that only saves.
const SAVES: &str = "RINGWAY_TEST_SAVES";
const TEST: &str = "crashes::kill_at_every_write_leaves_a_whole_file";
/// The system calls that change the file, its folder or what is on the disk.
const CALLS: [&str; 7] = ["write", "pwrite64", "fsync", "rename", "ftruncate", "unlink", "openat"];
/// More than a process of this test makes of any call on these files.
const CALLS_MAX: usize = 60;

#[test]
fn kill_at_every_write_leaves_a_whole_file() {
    if let Some(storage) = std::env::var_os(SAVES) {
        return save_twice(Path::new(&storage));
    }
    if !tool_or_skip("strace", installed("strace")) {
        return;
    }
    for call in CALLS {
        let mut kills = 0;
        for number in 1..=CALLS_MAX {
            if !kill_at(call, number) {
                break;
            }
            kills += 1;
        }
        println!("{call}: killed {kills} times");
        let is_used = matches!(call, "write" | "fsync" | "rename" | "openat");
        assert!(kills > 0 || !is_used, "{call} was never made");
        assert!(kills < CALLS_MAX, "{call}: not all were tried");
    }
}

/// Kills a process that saves at its call with this number. Returns whether the process was killed.
fn kill_at(call: &str, number: usize) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("acme.json");
    write_private(&storage, &traefiks_file(&[ending_soon("old.example", 60)]));
    let temporary = folder.path().join(".acme.json.ringway-new");
    let mut command = Command::new("strace");
    command.args(["-f", "-q", "-o", "/dev/null"]);
    command.arg("-P").arg(&storage).arg("-P").arg(&temporary).arg("-P").arg(folder.path());
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:signal=KILL:when={number}")]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", TEST]).env(SAVES, &storage);
    let output = command.output().unwrap();
    // The next start repairs what the crash left.
    let store = Store::open(&storage).unwrap_or_else(|e| panic!("{call} {number}: {e}"));
    let mains: Vec<String> = store.certificates().into_iter().map(|certificate| certificate.main).collect();
    let wanted = ["old.example", "first.example", "second.example"];
    assert!((1..=3).any(|count| mains == wanted[..count]), "{call} {number}: {mains:?}");
    if output.status.success() {
        assert_eq!(mains, wanted);
    }
    !output.status.success()
}

fn save_twice(storage: &Path) {
    let mut store = Store::open(storage).unwrap();
    store.put(&ending_soon("first.example", 60)).unwrap();
    store.put(&ending_soon("second.example", 60)).unwrap();
}
