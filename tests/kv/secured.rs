//! Stores that ask for TLS, a client certificate, a user name and a password.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::origin::Origin;
use crate::support::ringway::Setup;
use crate::support::{Background, free_port, installed, stdout_of, tool_or_skip, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

const CONFIG: &str = "providersThrottleDuration = '0s'\n[entryPoints.http]\naddress = '127.0.0.1:@http@'\n";

/// Writes a certificate for the loopback that is its own authority, with its key.
fn certificate(folder: &Path) {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("one.pem"), made.cert.pem()).expect("written");
    std::fs::write(folder.join("one.key"), made.signing_key.serialize_pem()).expect("written");
}

fn keys(origin: &Origin) -> [(&'static str, String); 3] {
    [
        ("traefik/backends/b/servers/s/url", format!("http://{}", origin.address)),
        ("traefik/frontends/f/backend", "b".to_owned()),
        ("traefik/frontends/f/routes/r/rule", "Host:a.test".to_owned()),
    ]
}

#[test]
fn redis_with_tls_and_password_is_followed() {
    if !tool_or_skip("redis-server", installed("redis-server") && installed("redis-cli")) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    let (port, plain) = (free_port(), free_port());
    let mut command = Command::new("redis-server");
    command.args(["--tls-port", &port.to_string(), "--port", &plain.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--requirepass", "secret", "--tls-auth-clients", "no"]).arg("--dir").arg(folder.path());
    command.arg("--tls-cert-file").arg(folder.path().join("one.pem"));
    command.arg("--tls-key-file").arg(folder.path().join("one.key"));
    command.arg("--tls-ca-cert-file").arg(folder.path().join("one.pem"));
    let _server = Background::start(command, folder.path().join("log"));
    let plain = plain.to_string();
    let redis = |words: &[&str]| {
        let base = ["-p", &plain, "-a", "secret", "--no-auth-warning", "-n", "3"];
        stdout_of("redis-cli", &[&base[..], words].concat())
    };
    crate::support::wait_for_port(&format!("127.0.0.1:{plain}"), LIMIT);
    let origin = Origin::start();
    for (key, value) in keys(&origin) {
        assert_eq!(redis(&["SET", key, &value]), "OK");
    }
    let table = format!(
        "[redis]\nendpoint = '127.0.0.1:{port}'\npassword = 'secret'\ndb = 3\n[redis.tls]\nca = '{}'\n",
        folder.path().join("one.pem").display()
    );
    let proxy = Setup::new("epoll", &format!("{CONFIG}{table}")).spawn();
    proxy.await_status("a.test", "200");
    assert_eq!(redis(&["SET", "traefik/frontends/f/routes/r/rule", "Host:b.test"]), "OK");
    proxy.await_status("b.test", "200");
}

#[test]
fn etcd_with_client_certificate_and_user_is_followed() {
    if !tool_or_skip("etcd-server", installed("etcd") && installed("etcdctl")) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    certificate(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (port, peer) = (free_port(), free_port());
    let url = format!("https://127.0.0.1:{port}");
    let mut command = Command::new("etcd");
    command.args(["--data-dir", &file("data"), "--unsafe-no-fsync", "--client-cert-auth"]);
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    command.args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")]);
    command.args([
        "--cert-file",
        &file("one.pem"),
        "--key-file",
        &file("one.key"),
        "--trusted-ca-file",
        &file("one.pem"),
    ]);
    let _server = Background::start(command, folder.path().join("log"));
    let (cert, key) = (file("one.pem"), file("one.key"));
    let base = ["--endpoints", &url, "--cacert", &cert, "--cert", &cert, "--key", &key];
    let etcdctl = |words: &[&str]| {
        let output = crate::support::run("etcdctl", &[&base[..], words].concat());
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    };
    wait_for("etcd answers", LIMIT, || etcdctl(&["put", "other", "x"]));
    let origin = Origin::start();
    for (key, value) in keys(&origin) {
        etcdctl(&["put", key, &value]).unwrap_or_else(|error| panic!("{error}"));
    }
    for words in [&["user", "add", "root:secret"][..], &["user", "grant-role", "root", "root"], &["auth", "enable"]] {
        wait_for("the user is there", LIMIT, || etcdctl(words));
    }
    let table = |password: &str| {
        format!(
            "{CONFIG}[etcd]\nendpoint = '127.0.0.1:{port}'\nuseAPIV3 = true\nusername = 'root'\npassword = '{password}'\n\
             [etcd.tls]\nca = '{cert}'\ncert = '{cert}'\nkey = '{key}'\n"
        )
    };
    let proxy = Setup::new("epoll", &table("secret")).spawn();
    proxy.await_status("a.test", "200");
    etcdctl(&["--user", "root:secret", "put", "traefik/frontends/f/routes/r/rule", "Host:b.test"])
        .unwrap_or_else(|error| panic!("{error}"));
    proxy.await_status("b.test", "200");
    let refused = Setup::new("epoll", &table("wrong-password")).spawn();
    refused.await_log("cannot log in", 1);
    assert!(!refused.log().contains("wrong-password"), "a password is in the log: {}", refused.log());
}
