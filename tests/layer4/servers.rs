//! Servers of Debian with folders and ports of their own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::proxy::certificate;
use crate::support::{Background, free_port, installed, run, tool_or_skip, wait_for_port};

const START_SECS_MAX: u64 = 60;

/// A running server.
pub struct Daemon {
    // Declared first: the process ends before its folder is removed.
    _process: Background,
    pub folder: TempDir,
    pub port: u16,
    /// Another port, with TLS.
    pub tls_port: u16,
}

impl Daemon {
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    pub fn tls_url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.tls_port)
    }

    fn start(folder: TempDir, command: impl FnOnce(&Path, u16, u16) -> Command) -> Daemon {
        let (port, tls_port) = (free_port(), free_port());
        let command = command(folder.path(), port, tls_port);
        let process = Background::start(command, folder.path().join("log"));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(START_SECS_MAX));
        Daemon { _process: process, folder, port, tls_port }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that a server of another user may read.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for a server");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("readable");
    folder
}

fn must(program: &str, arguments: &[&str]) {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The folder of the newest PostgreSQL's programs.
fn postgresql() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| bin.join("initdb").is_file()).max()
}

pub fn postgresql_or_skip() -> bool {
    tool_or_skip("postgresql (as root)", is_root() && postgresql().is_some() && installed("psql"))
}

/// PostgreSQL, which trusts every client; with TLS of its own for those that ask for it.
pub fn start_postgresql() -> Daemon {
    let bin = postgresql().expect("found before");
    let folder = open_folder();
    certificate(folder.path());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("a folder");
    must("chown", &["-R", "postgres", &folder.path().to_string_lossy()]);
    let key = folder.path().join("one.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("a key of its own");
    let (initdb, data_text) = (bin.join("initdb"), data.to_string_lossy().into_owned());
    must("runuser", &["-u", "postgres", "--", &initdb.to_string_lossy(), "-D", &data_text, "-A", "trust", "--no-sync"]);
    Daemon::start(folder, |folder, port, _| {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(bin.join("postgres")).arg("-D").arg(&data);
        command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "ssl=on"]);
        for (key, value) in [
            ("unix_socket_directories", folder.to_path_buf()),
            ("ssl_cert_file", folder.join("one.pem")),
            ("ssl_key_file", folder.join("one.key")),
        ] {
            command.arg("-c").arg(format!("{key}={}", value.display()));
        }
        command
    })
}

pub fn redis_or_skip() -> bool {
    tool_or_skip("redis-server", installed("redis-server") && installed("redis-cli"))
}

/// Redis, on a port without TLS and on one with TLS.
pub fn start_redis() -> Daemon {
    let folder = open_folder();
    certificate(folder.path());
    Daemon::start(folder, |folder, port, tls_port| {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--tls-port", &tls_port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--tls-auth-clients", "no", "--protected-mode", "no"]);
        command.arg("--dir").arg(folder);
        command.arg("--tls-cert-file").arg(folder.join("one.pem")).arg("--tls-key-file").arg(folder.join("one.key"));
        command.arg("--tls-ca-cert-file").arg(folder.join("one.pem"));
        command
    })
}

pub fn mariadb_or_skip() -> bool {
    let tools = ["mariadbd", "mariadb-install-db", "mariadb"];
    let is_there = |tool: &str| installed(tool) || Path::new("/usr/sbin").join(tool).is_file();
    tool_or_skip("mariadb-server (as root)", is_root() && tools.into_iter().all(is_there))
}

/// MariaDB without grant tables: every client is let in.
pub fn start_mariadb() -> Daemon {
    let folder = open_folder();
    let data = folder.path().join("data");
    let text = data.to_string_lossy().into_owned();
    must(
        "mariadb-install-db",
        &[
            "--no-defaults",
            &format!("--datadir={text}"),
            "--user=root",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
    );
    Daemon::start(folder, |folder, port, _| {
        let program = if installed("mariadbd") { "mariadbd" } else { "/usr/sbin/mariadbd" };
        let mut command = Command::new(program);
        command.args([
            "--no-defaults",
            "--user=root",
            "--skip-grant-tables",
            "--skip-networking=0",
            "--bind-address=127.0.0.1",
        ]);
        command.arg(format!("--port={port}")).arg(format!("--datadir={text}"));
        command.arg(format!("--socket={}", folder.join("sock").display()));
        command.arg("--innodb-buffer-pool-size=16M").arg("--innodb-flush-log-at-trx-commit=0");
        command
    })
}

pub fn openssh_or_skip() -> bool {
    let sshd = installed("sshd") || Path::new("/usr/sbin/sshd").is_file();
    tool_or_skip("openssh-server (as root)", is_root() && sshd && installed("ssh") && installed("ssh-keygen"))
}

/// OpenSSH with keys of its own; `id` in its folder is the key that it lets in.
pub fn start_openssh() -> Daemon {
    let folder = open_folder();
    for name in ["host", "id"] {
        must("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &folder.path().join(name).to_string_lossy()]);
    }
    // sshd insists on this folder, which its service file makes.
    std::fs::create_dir_all("/run/sshd").expect("a folder");
    Daemon::start(folder, |folder, port, _| {
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string()]);
        for option in [
            "ListenAddress=127.0.0.1".to_owned(),
            format!("HostKey={}", folder.join("host").display()),
            format!("AuthorizedKeysFile={}", folder.join("id.pub").display()),
            format!("PidFile={}", folder.join("pid").display()),
            "StrictModes=no".to_owned(),
            "UsePAM=no".to_owned(),
            "PermitRootLogin=prohibit-password".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command
    })
}
