//! A restart of the Docker Engine: the test has its own engine, whose containers keep running without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::load::Load;
use crate::support::ringway::{DRIVERS, Setup};
use crate::support::{Background, docker_or_skip, free_port, run, stdout_of, tool_or_skip, wait_for, whoami_program};

/// The engine of the test needs a bridge name: an engine without one removes `docker0`, which belongs to the machine's engine.
const BRIDGE: &str = "ringway-test0";

const CONFIG: &str = r#"
logLevel = "INFO"
[entryPoints.http]
address = "127.0.0.1:@http@"
[docker]
endpoint = "@endpoint@"
"#;

/// A second engine beside the machine's, with its own bridge.
struct OwnEngine {
    folder: PathBuf,
    daemon: Option<Background>,
}

impl OwnEngine {
    fn start(folder: &Path) -> OwnEngine {
        let mut engine = OwnEngine { folder: folder.to_owned(), daemon: None };
        run("ip", &["link", "add", "name", BRIDGE, "type", "bridge"]);
        run("ip", &["address", "add", "10.213.77.1/24", "dev", BRIDGE]);
        stdout_of("ip", &["link", "set", BRIDGE, "up"]);
        engine.up();
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    fn docker(&self, arguments: &[&str]) -> String {
        stdout_of("docker", &[&["-H", &self.host()], arguments].concat())
    }

    fn up(&mut self) {
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

    /// Stops the engine with SIGTERM, so that its containerd stops as well.
    fn down(&mut self) {
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

#[test]
fn engine_restart_loses_no_request_and_events_resume() {
    if !docker_or_skip()
        || !tool_or_skip("dockerd", Command::new("dockerd").arg("-v").stdout(Stdio::null()).status().is_ok())
    {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = OwnEngine::start(folder.path());
    let image = whoami(&engine, folder.path());
    for driver in DRIVERS {
        let proxy = Setup::new(driver, CONFIG).fill("@endpoint@", engine.host()).spawn();
        serve(&engine, &format!("first-{driver}"), &image);
        proxy.await_status(&format!("first-{driver}.test"), "200");
        let load = Load::start(proxy.http, &format!("first-{driver}.test"));
        engine.down();
        proxy.await_log("the last configuration stays", 1);
        std::thread::sleep(Duration::from_secs(2));
        engine.up();
        serve(&engine, &format!("second-{driver}"), &image);
        proxy.await_status(&format!("second-{driver}.test"), "200");
        let done = load.stop();
        println!("{driver}: {done}");
        assert!(done.failures.is_empty(), "{driver}: {done}: {:?}", done.failures.first());
        assert!(done.rate() > 100.0, "{driver}: {done} is no load");
    }
}

fn whoami(engine: &OwnEngine, folder: &Path) -> String {
    whoami_program(folder);
    let tarball = folder.join("whoami.tar").to_string_lossy().into_owned();
    stdout_of("tar", &["-C", &folder.to_string_lossy(), "-cf", &tarball, "whoami"]);
    engine.docker(&["import", "--change", "ENTRYPOINT [\"/whoami\"]", &tarball, "whoami:test"]);
    "whoami:test".to_owned()
}

/// Runs a container in the host's network: without iptables this engine's own network has no routes.
fn serve(engine: &OwnEngine, name: &str, image: &str) {
    let port = free_port().to_string();
    let (rule, label) = (format!("traefik.frontend.rule=Host:{name}.test"), format!("traefik.port={port}"));
    let options = ["run", "-d", "--name", name, "--network", "host", "--label", &rule, "--label", &label, image];
    engine.docker(&[&options[..], &["--name", name, "--port", &port]].concat());
}
