//! A Docker Engine that a test starts, stops and loses, beside the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Background, docker_or_skip, run, stdout_of, tool_or_skip, wait_for, whoami_program};

/// The engine of the test needs a bridge name: an engine without one removes `docker0`, which belongs to the machine's engine.
const BRIDGE: &str = "ringway-test0";

/// Whether the machine has Docker, and a test may start another Engine.
pub fn own_engine_or_skip() -> bool {
    docker_or_skip()
        && tool_or_skip("dockerd", Command::new("dockerd").arg("-v").stdout(Stdio::null()).status().is_ok())
}

/// A second engine beside the machine's, with its own bridge.
pub struct OwnEngine {
    folder: PathBuf,
    daemon: Option<Background>,
}

impl OwnEngine {
    pub fn start(folder: &Path) -> OwnEngine {
        let mut engine = OwnEngine { folder: folder.to_owned(), daemon: None };
        run("ip", &["link", "add", "name", BRIDGE, "type", "bridge"]);
        run("ip", &["address", "add", "10.213.77.1/24", "dev", BRIDGE]);
        stdout_of("ip", &["link", "set", BRIDGE, "up"]);
        engine.up();
        engine
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    pub fn docker(&self, arguments: &[&str]) -> String {
        stdout_of("docker", &[&["-H", &self.host()], arguments].concat())
    }

    pub fn up(&mut self) {
        let folder = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        let mut command = Command::new("dockerd");
        command.args(["--data-root", &folder("data"), "--exec-root", &folder("exec"), "--pidfile", &folder("pid")]);
        command.args(["-H", &self.host(), "--bridge", BRIDGE, "--iptables=false", "--live-restore"]);
        let daemon = Background::start(command, self.folder.join("log"));
        wait_for("the engine answers", Duration::from_secs(40), || {
            let answers = run("docker", &["-H", &self.host(), "version"]).status.success();
            if answers { Ok(()) } else { Err(daemon.log_text()) }
        });
        self.daemon = Some(daemon);
    }

    /// Makes the image of the whoami example; returns its name.
    pub fn whoami_image(&self) -> String {
        whoami_program(&self.folder);
        let tarball = self.folder.join("whoami.tar").to_string_lossy().into_owned();
        stdout_of("tar", &["-C", &self.folder.to_string_lossy(), "-cf", &tarball, "whoami"]);
        self.docker(&["import", "--change", "ENTRYPOINT [\"/whoami\"]", &tarball, "whoami:test"]);
        "whoami:test".to_owned()
    }

    /// Stops the engine with SIGTERM, so that its containerd stops as well.
    pub fn down(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        let pid_in = |file: &str| fs::read_to_string(self.folder.join(file)).unwrap_or_default().trim().to_owned();
        let (pid, containerd) = (pid_in("pid"), pid_in("exec/containerd/containerd.pid"));
        run("kill", &["-TERM", &pid]);
        // The next daemon would wait in vain for a containerd that is about to end.
        let runs = |pid: &str| !pid.is_empty() && Path::new("/proc").join(pid).exists();
        for _ in 0..400 {
            let is_down = daemon.log_text().contains("Daemon shutdown complete") || !self.folder.join("pid").exists();
            if is_down && !runs(&containerd) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let listed = run("docker", &["-H", &self.host(), "ps", "-aq"]).stdout;
        for id in String::from_utf8_lossy(&listed).split_whitespace() {
            run("docker", &["-H", &self.host(), "rm", "-f", id]);
        }
        self.down();
        run("ip", &["link", "delete", BRIDGE]);
        // The engine's mounts must be gone before the folder is removed.
        for place in ["exec/netns/default", "data"] {
            run("umount", &["-l", &self.folder.join(place).to_string_lossy()]);
        }
    }
}
