//! Privileges are dropped to the necessary ones, and no secret is shown anywhere.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup, run_with_config};
use crate::support::{free_port, stdout_of, tool_or_skip, wait_for};

/// The user nobody, by number: an empty image has no user names.
const NOBODY: &str = "65534";
/// The capability NET_BIND_SERVICE alone, in the notation of /proc.
const ONE_CAPABILITY: &str = "0000000000000400";
const NO_CAPABILITY: &str = "0000000000000000";

const CONFIG: &str = r#"
@top@
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.low]
address = "@low@"
[accessLog]
filePath = "@dir@/access.log"
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
entryPoints = ["http", "low"]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
"#;

fn setup(driver: &str, origin: &Origin, top: &str, low: &str) -> Setup {
    Setup::new(driver, CONFIG).fill("@top@", top).fill("@low@", low).fill("@origin@", origin.address)
}

fn is_root() -> bool {
    tool_or_skip("root: only root can change the user, which", rustix::process::geteuid().is_root())
}

/// An address with a port below 1024, on a loopback address that no other test uses.
fn low_address() -> String {
    let number = free_port();
    format!("127.77.{}.{}:{}", number >> 8, number & 255, 97)
}

/// The distinct values of a field of /proc over all threads.
fn of_threads(pid: u32, field: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten();
    let value = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix(field)).map(|value| value.trim().to_owned())
    };
    let mut values: Vec<String> = tasks.filter_map(value).collect();
    values.sort();
    values.dedup();
    values
}

fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("its mode");
}

#[test]
fn root_binds_ports_and_another_user_serves() {
    if !is_root() {
        return;
    }
    for driver in DRIVERS {
        let (origin, low) = (Origin::start(), low_address());
        let top = format!("logLevel = \"INFO\"\nuser = \"{NOBODY}:{NOBODY}\"");
        let setup = setup(driver, &origin, &top, &low);
        open_to_all(setup.folder.path());
        let proxy = setup.start();
        let pid = proxy.pid();
        let everywhere = format!("{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}");
        assert_eq!(of_threads(pid, "Uid:"), [&*everywhere], "{driver}");
        assert_eq!(of_threads(pid, "Gid:"), [everywhere], "{driver}");
        assert_eq!(of_threads(pid, "Groups:"), [NOBODY], "{driver}");
        assert_eq!(of_threads(pid, "CapEff:"), [NO_CAPABILITY], "{driver}");
        assert_eq!(of_threads(pid, "CapPrm:"), [NO_CAPABILITY], "{driver}");
        let low_url = format!("http://{low}/");
        assert!(proxy.curl(&["-i", &low_url]).starts_with("HTTP/1.1 200 "), "{driver}");
        // The successor cannot open the port itself: it gets the socket from its predecessor.
        proxy.signal("USR2");
        let _successor = proxy.successor(1);
        assert!(proxy.curl(&["-i", &low_url]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
    }
}

#[test]
fn log_files_belong_to_the_user_and_follow_rotation() {
    if !is_root() {
        return;
    }
    let (origin, low) = (Origin::start(), low_address());
    let top = format!(
        "logLevel = \"INFO\"\nuser = \"{NOBODY}:{NOBODY}\"\n[traefikLog]\nfilePath = \"@dir@/logs/process.log\""
    );
    let setup = setup(DRIVERS[0], &origin, &top, &low);
    open_to_all(setup.folder.path());
    // The program does not follow the user's link to a file that the user may not write.
    let (logs, closed) = (setup.folder.path().join("logs"), setup.folder.path().join("closed.txt"));
    fs::create_dir(&logs).expect("a folder");
    open_to_all(&logs);
    fs::write(&closed, "").expect("a file of root");
    symlink(&closed, logs.join("process.log")).expect("a link");
    let proxy = setup.start();
    proxy.await_log("process.log cannot be opened (Permission denied", 1);
    assert_eq!(fs::read_to_string(&closed).expect("root's file"), "", "{}", proxy.log());
    drop(proxy);

    let setup = self::setup(DRIVERS[0], &origin, &top, &low);
    open_to_all(setup.folder.path());
    let proxy = setup.start();
    let file = proxy.file("logs").join("process.log");
    let said = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    wait_for("the log's file", Duration::from_secs(10), || {
        if said(&file).contains("worker(s) on") { Ok(()) } else { Err(said(&file)) }
    });
    assert_eq!(fs::metadata(&file).expect("the log").uid().to_string(), NOBODY);
    fs::rename(&file, file.with_extension("1")).expect("renamed");
    proxy.signal("USR1");
    wait_for("a new file", Duration::from_secs(10), || fs::metadata(&file).map(drop).map_err(|e| e.to_string()));
    assert!(!said(&file.with_extension("1")).contains("cannot be opened"), "{}", said(&file.with_extension("1")));
}

#[test]
fn certificate_unreadable_by_user_is_served_and_reported() {
    if !is_root() {
        return;
    }
    let (origin, low) = (Origin::start(), low_address());
    let top = format!(
        "user = \"{NOBODY}:{NOBODY}\"\n[entryPoints.https]\naddress = \"127.0.0.1:@https@\"\n[entryPoints.https.tls]\n\
         [[entryPoints.https.tls.certificates]]\ncertFile = \"@dir@/closed/c.pem\"\nkeyFile = \"@dir@/closed/c.key\""
    );
    let setup = setup(DRIVERS[0], &origin, &top, &low);
    open_to_all(setup.folder.path());
    let closed = setup.folder.path().join("closed");
    fs::create_dir(&closed).expect("a folder");
    let (pem, key) = (closed.join("c.pem").display().to_string(), closed.join("c.key").display().to_string());
    let made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=closed.example",
    ];
    stdout_of("openssl", &[&made[..], &["-keyout", &key, "-out", &pem]].concat());
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("its mode");
    let proxy = setup.start();
    assert_eq!(proxy.log().matches(&format!("not readable by user {NOBODY}:{NOBODY}")).count(), 2, "{}", proxy.log());
    let url = format!("https://127.0.0.1:{}/", proxy.https);
    assert!(proxy.curl(&["-kv", "--stderr", "-", &url]).contains("closed.example"), "{}", proxy.log());
    // Longer than two polls of the files: for the user the unreadable files have not changed.
    std::thread::sleep(Duration::from_secs(11));
    assert!(
        !proxy.log().contains("certificate rejected") && !proxy.log().contains("cannot be read"),
        "{}",
        proxy.log()
    );
}

#[test]
fn ordinary_user_needs_one_capability() {
    if !is_root() {
        return;
    }
    for driver in DRIVERS {
        let (origin, low) = (Origin::start(), low_address());
        let sets = ["inh-caps", "ambient-caps", "bounding-set"].map(|set| format!("--{set}=-all,+net_bind_service"));
        let [user, group] = ["reuid", "regid"].map(|id| format!("--{id}={NOBODY}"));
        let mut setup = setup(driver, &origin, "", &low).under(&[
            "setpriv",
            &user,
            &group,
            "--clear-groups",
            &sets[0],
            &sets[1],
            &sets[2],
        ]);
        open_to_all(setup.folder.path());
        // The user nobody cannot read the build folder, so the test uses a copy.
        let copy = setup.folder.path().join("ringway");
        fs::copy(&setup.program, &copy).expect("a copy");
        setup.program = copy.display().to_string();
        let proxy = setup.start();
        assert!(proxy.curl(&["-i", &format!("http://{low}/")]).starts_with("HTTP/1.1 200 "), "{}", proxy.log());
        assert_eq!(of_threads(proxy.pid(), "CapEff:"), [ONE_CAPABILITY], "{driver}");
    }
}

#[test]
fn unknown_user_refuses_the_start() {
    for (user, part) in [("nobody-of-that-name", "add the user"), ("12345", "write 12345:GROUP")] {
        let config = format!("user = \"{user}\"\n[entryPoints.http]\naddress = \"127.0.0.1:{}\"\n", free_port());
        let (code, said) = run_with_config(&[], &config);
        assert!(code == Some(1) && said.contains(part), "{user}: {said}");
    }
}

/// The secrets of the configuration. The password is "secret", for digest too.
const SECRETS: &str = r#"
logLevel = "DEBUG"
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[api]
[rest]
[metrics.prometheus]
[accessLog]
filePath = "@dir@/access.log"
format = "json"
@fields@
[file]
[backends.one.servers.a]
url = "http://@origin@"
[frontends.all]
backend = "one"
[frontends.all.routes.r]
rule = "PathPrefix:/"
[frontends.old]
backend = "one"
basicAuth = ["test:$apr1$salt1234$G61s9lpZAELkzUFCbj/53/"]
[frontends.old.routes.r]
rule = "PathPrefix:/old"
[frontends.basic]
backend = "one"
[frontends.basic.auth.basic]
users = ["test:$apr1$salt1234$G61s9lpZAELkzUFCbj/53/"]
[frontends.basic.routes.r]
rule = "PathPrefix:/basic"
[frontends.digest]
backend = "one"
[frontends.digest.auth.digest]
users = ["test:traefik:a2688e031edb4be6a3797f3882655c05"]
[frontends.digest.routes.r]
rule = "PathPrefix:/digest"
[frontends.filed]
backend = "one"
[frontends.filed.auth.basic]
usersFile = "@dir@/users"
[frontends.filed.routes.r]
rule = "PathPrefix:/filed"
[frontends.asked]
backend = "one"
[frontends.asked.auth.forward]
address = "https://@origin@/"
[frontends.asked.auth.forward.tls]
cert = """@cert@"""
key = """@key@"""
insecureSkipVerify = true
[frontends.asked.routes.r]
rule = "PathPrefix:/asked"
[[tls]]
entryPoints = ["https"]
[tls.certificate]
certFile = """@cert@"""
keyFile = """@key@"""
"#;

const USER_LINE: &str = "test:$apr1$salt1234$G61s9lpZAELkzUFCbj/53/";

/// A document for the REST provider with these users.
fn document(users: &str) -> String {
    let frontend = format!(r#""backend":"b","routes":{{"r":{{"rule":"PathPrefix:/put"}}}},"auth":{{"basic":{users}}}"#);
    format!(
        r#"{{"backends":{{"b":{{"servers":{{"s":{{"url":"http://@origin@"}}}}}}}},"frontends":{{"put":{{{frontend}}}}}}}"#
    )
}

/// Puts invalid documents and a valid one; returns all responses.
fn put_documents(proxy: &Ringway, origin: &Origin) -> String {
    let url = format!("http://127.0.0.1:{}/api/providers/rest", proxy.api);
    let put = |users: &str| {
        let text = document(users).replace("@origin@", &origin.address.to_string());
        proxy.curl(&["-i", "-X", "PUT", "-d", &text, &url])
    };
    let wrong = [format!(r#"{{"users":{{"{USER_LINE}":1}}}}"#), format!(r#"{{"users":["{USER_LINE}"],}}"#)];
    let wrong = wrong.map(|users| put(&users));
    assert!(wrong.iter().all(|answer| answer.starts_with("HTTP/1.1 400 ")), "{wrong:?}");
    let taken = put(&format!(r#"{{"users":["{USER_LINE}"]}}"#));
    assert!(taken.starts_with("HTTP/1.1 200 ") && taken.contains("PathPrefix:/put"), "{taken}");
    // Before the document is in force, "/" responds, which needs no password.
    wait_for("the document is in force", Duration::from_secs(15), || {
        let answer = proxy.curl(&["-i", &proxy.url("/put")]);
        if answer.starts_with("HTTP/1.1 401 ") { Ok(()) } else { Err(answer) }
    });
    let answer = proxy.curl(&["-i", "-u", "test:secret", &proxy.url("/put")]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    wrong.concat() + &taken
}

/// The access log in JSON, once it has the line of this path.
fn access_log(proxy: &Ringway, path: &str) -> String {
    wait_for("the last line of the access log", Duration::from_secs(10), || {
        let log = fs::read_to_string(proxy.file("access.log")).unwrap_or_default();
        if log.contains(&format!("\"RequestPath\":\"{path}\"")) { Ok(log) } else { Err(log) }
    })
}

#[test]
fn no_page_and_no_log_shows_a_secret() {
    let made = tempfile::tempdir().expect("a folder");
    let (cert, key) = (made.path().join("c.pem"), made.path().join("k.pem"));
    let (cert_path, key_path) = (cert.to_string_lossy(), key.to_string_lossy());
    let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=a.test"];
    let out = ["-keyout", &key_path, "-out", &cert_path];
    stdout_of("openssl", &[&["req", "-x509", "-nodes", "-days", "2"], &ec[..], &out[..]].concat());
    let (cert, key) = (fs::read_to_string(&cert).expect("made"), fs::read_to_string(&key).expect("made"));
    let redact = "[accessLog.fields.headers.names]\nAuthorization = \"redact\"";
    for (driver, fields) in DRIVERS.into_iter().zip(["", redact]) {
        let origin = Origin::start();
        let setup = Setup::new(driver, SECRETS).fill("@fields@", fields);
        let setup = setup.fill("@cert@", &cert).fill("@key@", &key).fill("@origin@", origin.address);
        let proxy = setup.file("users", format!("{USER_LINE}\n")).start();
        for path in ["/old", "/basic", "/filed"] {
            let answer = proxy.curl(&["-i", "-u", "test:secret", &proxy.url(path)]);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
            proxy.curl(&["-u", "test:hunter2-is-wrong", &proxy.url(path)]);
        }
        proxy.curl(&["--digest", "-u", "test:secret", &proxy.url("/digest")]);
        proxy.curl(&["-H", "Authorization: Bearer token-of-a-client", &proxy.url("/asked")]);
        let said = put_documents(&proxy, &origin);
        proxy.curl(&[&proxy.url("/last")]);
        let pages =
            ["/api", "/api/providers", "/api/providers/file", "/api/rejected", "/api/runtime", "/health", "/metrics"];
        let pages =
            pages.into_iter().chain(["/api/providers/rest", "/dashboard/", "/api/providers/file/frontends/basic"]);
        let shown = pages.map(|page| (page, proxy.page(page)));
        let mut shown: Vec<(&str, String)> = shown.collect();
        assert!(shown[1].1.contains("PathPrefix:/basic"), "the pages are there: {shown:?}");
        assert!(shown[1].1.contains("PathPrefix:/put"), "the REST provider's too: {shown:?}");
        shown.push(("the log", proxy.log()));
        shown.push(("an answer of the REST provider", said));
        assert!(proxy.log().contains("Server configuration reloaded"), "{}", proxy.log());
        let private = key.lines().nth(1).expect("a line of the key");
        let configured = ["G61s9lpZAELkzUFCbj", "a2688e031edb4be6", private];
        let sent = ["dGVzdDpzZWNyZXQ", "hunter2", "dGVzdDpodW50ZXIy", "token-of-a-client"];
        let lines = access_log(&proxy, "/last");
        if fields.is_empty() {
            // The values of client headers are logged, as in v1 (docs/reference/logs.md#access-log); configured secrets are not among them.
            assert!(lines.contains("\"request_Authorization\":\"Basic dGVzdDpzZWNyZXQ="), "{driver}: {lines}");
            assert!(configured.iter().all(|secret| !lines.contains(secret)), "{driver}: {lines}");
        } else {
            assert!(lines.contains("\"request_Authorization\":\"REDACTED\""), "{driver}: {lines}");
            shown.push(("the access log", lines));
        }
        for (place, text) in &shown {
            let found = configured.iter().chain(&sent).find(|secret| text.contains(**secret));
            assert_eq!(found, None, "{driver}: {place} shows the secret: {text}");
        }
    }
}

/// The exit status of a process killed by a fault tells whether a core was dumped.
#[test]
fn crash_leaves_no_core_dump() {
    let dumped = |top: &str| {
        let config = format!("{top}\n[entryPoints.http]\naddress = \"127.0.0.1:@http@\"\n");
        let script = "ulimit -c unlimited; exec \"$0\" \"$@\"";
        let mut proxy = Setup::new("auto", &config).under(&["sh", "-c", script]).spawn();
        proxy.await_port(proxy.http);
        proxy.signal("ABRT");
        proxy.wait(Duration::from_secs(15)).core_dumped()
    };
    if !dumped("debug = true") {
        println!("this machine makes no core dumps at all (core_pattern), so the other half shows little");
    }
    assert!(!dumped(""), "keys and passwords would lie in the core");
}
