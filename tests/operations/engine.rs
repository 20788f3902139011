//! The engine itself is restarted: an engine of the test's own, whose containers live on without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::proxy::DRIVERS;
use crate::support::load::Load;
use crate::support::{Background, docker_or_skip, free_port, run, stdout_of, tool_or_skip, wait_for, whoami_program};

/// The test's engine must not be given the name of no bridge: an engine without one removes `docker0`, which is the other engine's.
const BRIDGE: &str = "ringway-test0";

/// A second engine beside the machine's, with a bridge of its own.
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

    /// In order, so that its containerd goes as well.
    fn down(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        let pid = fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        run("kill", &["-TERM", pid.trim()]);
        for _ in 0..200 {
            if daemon.log_text().contains("Daemon shutdown complete") || !self.folder.join("pid").exists() {
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
        // What the engine mounted must be gone before the folder is removed.
        for place in ["exec/netns/default", "data"] {
            run("umount", &["-l", &self.folder.join(place).to_string_lossy()]);
        }
    }
}

#[test]
fn a_restart_of_the_engine_loses_no_request_and_its_news_are_heard_again() {
    if !docker_or_skip()
        || !tool_or_skip("dockerd", Command::new("dockerd").arg("-v").stdout(Stdio::null()).status().is_ok())
    {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut engine = OwnEngine::start(folder.path());
    let image = whoami(&engine, folder.path());
    for driver in DRIVERS {
        let port = free_port();
        let file = folder.path().join("traefik.toml");
        let config = format!(
            "logLevel = \"INFO\"\n[entryPoints.http]\naddress = \"127.0.0.1:{port}\"\n[docker]\nendpoint = \"{}\"\n",
            engine.host()
        );
        fs::write(&file, config).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.arg(format!("--configFile={}", file.display())).arg(format!("--driver={driver}"));
        let proxy = Background::start(command, folder.path().join("proxy-log"));
        serve(&engine, &format!("first-{driver}"), &image);
        wait_for_route(port, &format!("first-{driver}"), &proxy);
        let load = Load::start(port, &format!("first-{driver}.test"));
        engine.down();
        wait_for("it notices", Duration::from_secs(15), || {
            let log = proxy.log_text();
            if log.contains("the last configuration stays") { Ok(()) } else { Err(log) }
        });
        std::thread::sleep(Duration::from_secs(2));
        engine.up();
        serve(&engine, &format!("second-{driver}"), &image);
        wait_for_route(port, &format!("second-{driver}"), &proxy);
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

/// A container in the host's network: without iptables this engine's own leads nowhere.
fn serve(engine: &OwnEngine, name: &str, image: &str) {
    let port = free_port().to_string();
    let (rule, label) = (format!("traefik.frontend.rule=Host:{name}.test"), format!("traefik.port={port}"));
    let options = ["run", "-d", "--name", name, "--network", "host", "--label", &rule, "--label", &label, image];
    engine.docker(&[&options[..], &["--name", name, "--port", &port]].concat());
}

fn wait_for_route(port: u16, name: &str, proxy: &Background) {
    wait_for(&format!("{name} is served"), Duration::from_secs(30), || {
        let (url, host) = (format!("http://127.0.0.1:{port}/"), format!("Host: {name}.test"));
        let options = ["-s", "--max-time", "2", "-o", "/dev/null", "-w", "%{http_code}", "-H", &host, &url];
        let got = run("curl", &options).stdout;
        if got == b"200" { Ok(()) } else { Err(proxy.log_text()) }
    });
}
