//! The Debian package: its content, and its life in a Debian system that debootstrap made, once booted by systemd and once as a plain folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::{self, Background};
use crate::{PROGRAM, has};

/// The packages are made of this binary: the static one of the image, if scripts/test.sh has built it.
fn binary() -> String {
    std::env::var("RINGWAY_BINARY").unwrap_or_else(|_| PROGRAM.to_owned())
}

/// Packs the binary as a version into a folder; returns the package.
fn package(folder: &Path, version: &str) -> PathBuf {
    let mut packing = Command::new(support::project().join("scripts/deb.sh"));
    packing.arg(binary()).arg(folder).env("RINGWAY_VERSION", version).env("RINGWAY_DEB_FAST", "1");
    PathBuf::from(succeeded("scripts/deb.sh", &packing.output().expect("scripts/deb.sh")))
}

fn succeeded(what: &str, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{what}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn can_pack() -> bool {
    ["dpkg-deb", "dpkg-shlibdeps", "readelf", "jq"].into_iter().all(has)
}

#[test]
fn package_has_what_it_promises_and_lintian_finds_no_error() {
    if !can_pack() || !has("lintian") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let package = package(folder.path(), "1.2.3");
    let path = package.to_str().expect("a path");
    let content = support::stdout_of("dpkg-deb", &["--contents", path]);
    for file in [
        "./usr/bin/ringway",
        "./usr/lib/systemd/system/ringway.service",
        "./usr/lib/systemd/system/ringway.socket",
        "./usr/lib/systemd/system/ringway-https.socket",
        "./usr/share/man/man8/ringway.8.gz",
        "./usr/share/bash-completion/completions/ringway",
        "./usr/share/zsh/vendor-completions/_ringway",
        "./usr/share/fish/vendor_completions.d/ringway.fish",
        "./usr/share/doc/ringway/ringway.cdx.json",
        "./etc/ringway/ringway.toml",
    ] {
        assert!(content.lines().any(|line| line.ends_with(file)), "{file} is not in\n{content}");
    }
    assert!(content.lines().all(|line| line.contains(" root/root ")), "a file has another owner:\n{content}");
    let lintian = Command::new("lintian").args(["--fail-on", "error", "--allow-root", path]).output().expect("lintian");
    succeeded("lintian", &lintian);
}

#[test]
fn same_binary_gives_the_same_package_in_any_folder() {
    if !can_pack() {
        return;
    }
    let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let [one, other] = folders.each_ref().map(|folder| fs::read(package(folder.path(), "1.2.3")).expect("a package"));
    assert!(one == other, "two packages of one binary differ");
}

/// A copy of the Debian root with two versions of the package in it; `None` if a tool or root's rights are missing.
fn system_with_packages() -> Option<tempfile::TempDir> {
    let is_root = rustix::process::geteuid().is_root();
    if !can_pack() || !has("debootstrap") || !support::tool_or_skip("root", is_root) {
        return None;
    }
    let made =
        Command::new(support::project().join("scripts/debian-root.sh")).output().expect("scripts/debian-root.sh");
    let root = succeeded("scripts/debian-root.sh", &made);
    let system = tempfile::tempdir().expect("a folder");
    let copy = system.path().join("root");
    support::stdout_of("cp", &["-a", &root, copy.to_str().expect("a path")]);
    package(&copy.join("packages/one"), "1.2.3");
    package(&copy.join("packages/two"), "1.2.4");
    Some(system)
}

#[test]
fn package_lives_in_a_booted_debian_system_and_leaves_nothing() {
    if !has("systemd-nspawn") {
        return;
    }
    let Some(system) = system_with_packages() else { return };
    let root = system.path().join("root");
    fs::create_dir(root.join("result")).expect("a folder");
    fs::copy(support::project().join("tests/packages/lifecycle.sh"), root.join("packages/lifecycle.sh"))
        .expect("the script");
    let unit = "[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nStandardOutput=file:/result/log\nStandardError=file:/result/log\n\
                ExecStart=/bin/sh -c '/bin/sh /packages/lifecycle.sh; echo $? >/result/status'\nExecStopPost=/bin/systemctl poweroff --no-block\n\
                [Install]\nWantedBy=multi-user.target\n";
    fs::write(root.join("etc/systemd/system/lifecycle.service"), unit).expect("the unit");
    support::stdout_of(
        "systemctl",
        &["--quiet", "--root", root.to_str().expect("a path"), "enable", "lifecycle.service"],
    );
    let mut boot = Command::new("systemd-nspawn");
    boot.args(["--quiet", "--register=no", "--keep-unit", "--private-network", "--boot", "--directory"]).arg(&root);
    let mut container = Background::start(boot, system.path().join("console"));
    let log = || fs::read_to_string(root.join("result/log")).unwrap_or_default();
    let status = support::wait_for("the life of the package ends", Duration::from_secs(400), || {
        let is_over = container.status().is_some();
        match fs::read_to_string(root.join("result/status")) {
            Ok(status) if status.ends_with('\n') => Ok(status),
            _ if is_over => panic!("the system has ended early:\n{}\n{}", log(), container.log_text()),
            _ => Err(log()),
        }
    });
    assert_eq!(status, "0\n", "{}", log());
    assert!(log().contains("== done"), "{}", log());
    support::wait_for("the system is down", Duration::from_secs(60), || {
        container.status().map(drop).ok_or_else(|| container.log_text())
    });
}

/// In a container image, or while a system is installed, no systemd runs.
#[test]
fn package_is_installed_and_purged_without_systemd_running() {
    let Some(system) = system_with_packages() else { return };
    let root = system.path().join("root");
    let inside = |script: &str| {
        let output = Command::new("chroot").arg(&root).args(["/bin/sh", "-ec", script]).output().expect("chroot");
        succeeded(script, &output)
    };
    inside("dpkg -i /packages/one/ringway_*.deb && dpkg -i /packages/two/ringway_*.deb");
    assert_eq!(
        inside("ringway check --configFile=/etc/ringway/ringway.toml | tail -n 1"),
        "configuration of /etc/ringway/ringway.toml can be used"
    );
    assert_eq!(inside("stat -c '%U %a' /var/lib/ringway"), "ringway 750");
    assert!(inside("ls /etc/systemd/system/multi-user.target.wants").contains("ringway.service"));
    inside("dpkg -r ringway && test -e /etc/ringway/ringway.toml && dpkg -P ringway");
    assert_eq!(
        inside("find / -xdev -name '*ringway*' ! -path '/packages/*' ! -path '/proc/*'; getent passwd ringway || true"),
        ""
    );
}
