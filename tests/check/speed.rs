//! The time of `check` over many containers and routes. Measured and printed, never asserted: `cargo nextest run --release --test check -E
//! 'test(speed)' --run-ignored all --no-capture`.

use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::time::Instant;
use std::{fs, process::Command};

use crate::engine::{Container, Engine};

const CONTAINERS: usize = 1_000;
const ROUTES: usize = 3_000;

#[test]
#[ignore = "prints a time, which says something about a release build on an idle machine only"]
fn speed_of_a_check_of_a_thousand_containers_and_three_thousand_routes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut routes = String::new();
    for n in 0..ROUTES {
        writeln!(routes, "[backends.b{n}.servers.s]\nurl = \"http://10.{}.{}.1:80\"", n / 250, n % 250).expect("text");
        writeln!(routes, "[frontends.f{n}]\nbackend = \"b{n}\"\n[frontends.f{n}.routes.r]").expect("text");
        writeln!(routes, "rule = \"Host:h{}.test;PathPrefix:/p{}\"", n / 3, n % 3).expect("text");
    }
    fs::write(folder.path().join("routes.toml"), routes).expect("written");
    let socket = folder.path().join("engine.sock");
    let main = format!(
        "[entryPoints.http]\naddress = \":8000\"\n[file]\nfilename = \"routes.toml\"\n[docker]\nendpoint = \"unix://{}\"\n",
        socket.display()
    );
    fs::write(folder.path().join("traefik.toml"), main).expect("written");
    let container =
        |n: usize| Container::parse(&format!("c{n}"), &format!("label traefik.frontend.rule=Host:c{n}.test"));
    let containers: Vec<Container> = (0..CONTAINERS).map(container).collect();
    let _engine = Engine::start(&socket, &containers);
    let program = folder.path().join("ringway");
    symlink(env!("CARGO_BIN_EXE_ringway"), &program).expect("a link");
    for arguments in [&["check"][..], &["check", "--docker"]] {
        let start = Instant::now();
        let mut command = Command::new(&program);
        command.args(arguments).arg("--configFile=traefik.toml").current_dir(folder.path());
        let output = command.output().expect("the program runs");
        println!("{}: {:?}, {}", arguments.join(" "), start.elapsed(), output.status);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
