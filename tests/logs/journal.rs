//! The process log in the journal of systemd: a receiver in place of the journal's socket, in a mount namespace of its own.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::support::ringway::{DRIVERS, Setup};
use crate::support::{run, tool_or_skip};

const CONFIG: &str = r#"
logLevel = "INFO"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[file]
[backends.one.servers.one]
url = "http://127.0.0.1:1"
[frontends.one]
backend = "one"
[frontends.one.routes.all]
rule = "PathPrefix:/"
"#;

/// Starts the program with standard output and the variable of a service, and the folder over systemd's.
const WRAPPER: &str = "mkdir -p /run/systemd && mount --bind \"$0\" /run/systemd && \
    export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1) && exec \"$@\"";

/// An entry of the journal's native protocol.
fn parse(mut entry: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    while !entry.is_empty() {
        let end = entry.iter().position(|byte| matches!(byte, b'=' | b'\n')).expect("a name");
        let (name, rest) = (text(&entry[..end]), &entry[end + 1..]);
        let (value, rest) = match entry[end] {
            b'=' => rest.split_at(rest.iter().position(|byte| *byte == b'\n').expect("an end")),
            _ => {
                let (length, rest) = rest.split_at(8);
                rest.split_at(
                    usize::try_from(u64::from_le_bytes(length.try_into().expect("eight bytes"))).expect("a length"),
                )
            }
        };
        fields.insert(name, text(value));
        entry = &rest[1..];
    }
    fields
}

#[test]
fn facts_of_lines_are_fields_of_the_journal() {
    let may_mount = run("unshare", &["-m", "true"]).status.success();
    if !tool_or_skip("unshare, as root", may_mount) {
        return;
    }
    for driver in DRIVERS {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("journal")).expect("a folder");
        let receiver = UnixDatagram::bind(folder.path().join("journal/socket")).expect("a socket");
        receiver.set_read_timeout(Some(Duration::from_millis(500))).expect("a time limit");
        let path = folder.path().display().to_string();
        let proxy = Setup::new(driver, CONFIG).under(&["unshare", "-m", "sh", "-c", WRAPPER, &path]).spawn();
        proxy.await_port(proxy.http);
        let end = Instant::now() + Duration::from_secs(30);
        let (mut buffer, mut seen) = ([0; 65_536], Vec::new());
        let failed = loop {
            assert!(Instant::now() < end, "({driver}): {seen:#?} {}", proxy.log());
            proxy.curl(&["-o", "/dev/null", &proxy.url("/")]);
            let Ok(length) = receiver.recv(&mut buffer) else { continue };
            let fields = parse(&buffer[..length]);
            if fields["MESSAGE"].starts_with("backend server failed: ") {
                break fields;
            }
            seen.push(fields);
        };
        let field = |name: &str| failed.get(name).map(String::as_str);
        assert_eq!((field("PRIORITY"), field("SYSLOG_IDENTIFIER")), (Some("4"), Some("ringway")), "({driver})");
        assert_eq!(
            (field("RINGWAY_BACKEND"), field("RINGWAY_SERVER")),
            (Some("one"), Some("http://127.0.0.1:1")),
            "({driver})"
        );
        assert!(failed["MESSAGE"].contains(" backend=one"), "({driver}): {failed:?}");
        assert!(seen.iter().any(|fields| fields["PRIORITY"] == "6"), "({driver}): {seen:#?}");
        assert_eq!(proxy.log(), "", "({driver}): lines on standard output");
    }
}
