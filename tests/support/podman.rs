//! A Podman of its own for one test: storage, networks and the Docker-compatible socket in a folder, all ended when the value is dropped.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Background, installed, run, tool_or_skip, wait_for, whoami_program};

/// A wrapper of the runtime. Podman gives every container a limit of processes, which some sandboxes allow nobody to set; the tests do not
/// need it.
const RUNTIME: &str = r#"#!/bin/sh
for argument; do
    case $before in
        --bundle | -b) config=$argument/config.json ;;
        --process | -p) config=$argument ;;
    esac
    before=$argument
done
if [ -n "$config" ]; then
    sed -i 's/,{"type":"RLIMIT_NPROC"[^}]*}//; s/{"type":"RLIMIT_NPROC"[^}]*},\{0,1\}//' "$config"
fi
exec @runtime@ "$@"
"#;

const CONTAINERS_CONF: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024"]
[network]
network_config_dir = "@dir@/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "@dir@/tmp"
runtime = "wrapped"
[engine.runtimes]
wrapped = ["@dir@/runtime"]
"#;

const STORAGE_CONF: &str = r#"[storage]
driver = "vfs"
runroot = "@dir@/run"
graphroot = "@dir@/graph"
"#;

/// The image with the whoami example, and with a program for health checks: `/app probe`.
pub const IMAGE: &str = "localhost/whoami:test";

pub struct Podman {
    folder: tempfile::TempDir,
    service: Option<Background>,
}

/// Whether podman can be used. Without it the skip is printed, or the test fails if the tools are required.
pub fn podman_or_skip() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    tool_or_skip("podman (as root, with runc)", is_root && installed("podman") && runtime().is_some())
}

fn runtime() -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    folders.iter().map(|folder| Path::new(folder).join("runc")).find(|program| program.is_file())
}

impl Podman {
    /// Starts the service and makes the image.
    pub fn start() -> Podman {
        let folder = tempfile::tempdir().expect("a folder for podman");
        let dir = folder.path().to_string_lossy().into_owned();
        let write = |name: &str, text: &str| {
            let runtime = runtime().expect("runc");
            let text = text.replace("@dir@", &dir).replace("@runtime@", &runtime.to_string_lossy());
            fs::write(folder.path().join(name), text).expect("a file for podman");
        };
        write("containers.conf", CONTAINERS_CONF);
        write("storage.conf", STORAGE_CONF);
        write("runtime", RUNTIME);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path().join("runtime"), mode).expect("a program");
        let mut podman = Podman { folder, service: None };
        podman.make_image();
        podman.serve();
        podman
    }

    fn make_image(&self) {
        let root = self.folder.path().join("root");
        fs::create_dir_all(&root).expect("a folder for the image");
        whoami_program(&root);
        let (source, app) = (super::project().join("tests/docker_live/app.c"), root.join("app"));
        let compiled = run("gcc", &["-static", "-Os", "-o", &app.to_string_lossy(), &source.to_string_lossy()]);
        assert!(compiled.status.success(), "gcc: {compiled:?}");
        let tar = self.folder.path().join("whoami.tar").to_string_lossy().into_owned();
        let packed = run("tar", &["-C", &root.to_string_lossy(), "-cf", &tar, "."]);
        assert!(packed.status.success(), "tar: {packed:?}");
        self.run(&["import", "--change", "ENTRYPOINT [\"/whoami\"]", "--change", "EXPOSE 80", &tar, IMAGE]);
    }

    /// Starts the service, at the first time and after [`Podman::stop_service`].
    pub fn serve(&mut self) {
        let mut command = self.command(&["system", "service", "--time=0", &self.endpoint()]);
        command.stdout(Stdio::null());
        self.service = Some(Background::start(command, self.folder.path().join("service.log")));
        let socket = self.folder.path().join("podman.sock");
        wait_for("podman's socket", Duration::from_secs(20), || match socket.exists() {
            true => Ok(()),
            false => Err("no socket".to_owned()),
        });
    }

    /// Ends the service; the containers go on.
    pub fn stop_service(&mut self) {
        self.service = None;
        let _ = fs::remove_file(self.folder.path().join("podman.sock"));
    }

    pub fn endpoint(&self) -> String {
        format!("unix://{}/podman.sock", self.folder.path().display())
    }

    /// Runs a command that must succeed; returns its output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("podman");
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "podman {}: {errors}", arguments.join(" "));
        text.trim().to_owned()
    }

    /// Starts a container from the image; the options come before it.
    pub fn container(&self, name: &str, options: &[&str]) {
        self.run(&[&["run", "-d", "--name", name][..], options, &[IMAGE]].concat());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        let path = |name: &str| self.folder.path().join(name);
        command.args(arguments).env("CONTAINERS_CONF", path("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", path("storage.conf")).env("TMPDIR", self.folder.path());
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for arguments in [&["pod", "rm", "-fa"][..], &["rm", "-fa", "-t", "0"], &["network", "prune", "-f"]] {
            let _ = self.command(arguments).stdin(Stdio::null()).output();
        }
        self.stop_service();
    }
}
