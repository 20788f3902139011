//! Hand-overs that must not happen: the supervisor would stop the successor too, or the process has got a shutdown signal meanwhile.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;
use std::time::Duration;

use crate::handover::CONFIG;
use crate::start::{ROUTES, awaiting_routes};
use crate::support::origin::Origin;
use crate::support::ringway::{DRIVERS, Ringway, Setup};
use crate::support::{run, tool_or_skip, wait_for};

/// Longer than any step takes on a loaded machine.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Checks that the process exits with 0, that no process has taken over, and that none accepts connections.
fn ends_without_a_successor(driver: &str, proxy: &mut Ringway) {
    assert_eq!(proxy.wait(TIME_LIMIT).code(), Some(0), "{driver}: {}", proxy.log());
    let left = proxy.log().contains("has taken over").then(|| proxy.successor(1));
    assert!(left.is_none(), "{driver}: {}", proxy.log());
    let outcome = TcpStream::connect(("127.0.0.1", proxy.http));
    assert!(outcome.is_err(), "{driver}: a process still accepts: {}", proxy.log());
}

#[test]
fn sigterm_during_handover_stops_the_starting_successor() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        // The successor waits for the response of an engine that sends none.
        let socket = proxy.file("engine.sock");
        let engine = UnixListener::bind(&socket).expect("a socket");
        engine.set_nonblocking(true).expect("set");
        let file = proxy.config_file();
        let table = format!("[docker]\nendpoint = \"unix://{}\"\n[file]\n", socket.display());
        let config = fs::read_to_string(&file).expect("the file").replace("[file]\n", &table);
        fs::write(&file, config).expect("written");
        proxy.signal("USR2");
        let (mut asked, _) =
            wait_for("the successor connects to the engine", TIME_LIMIT, || engine.accept().map_err(|e| e.to_string()));
        proxy.signal("TERM");
        ends_without_a_successor(driver, &mut proxy);
        // Without the signal the successor would give up after ten seconds, with this message.
        assert!(!proxy.log().contains("hand-over refused"), "{driver}: {}", proxy.log());
        assert!(proxy.log().contains("hand-over cancelled by a shutdown signal"), "{driver}: {}", proxy.log());
        asked.set_nonblocking(false).expect("set");
        asked.set_read_timeout(Some(TIME_LIMIT)).expect("set");
        asked.read_to_end(&mut Vec::new()).expect("the connection ends with the successor");
    }
}

#[test]
fn sigterm_beside_sigusr2_stops_the_process() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = Setup::new(driver, CONFIG).fill("@origin@", origin.address).start();
        for signal in ["STOP", "USR2", "TERM", "CONT"] {
            proxy.signal(signal);
        }
        ends_without_a_successor(driver, &mut proxy);
    }
}

#[test]
fn sigterm_during_handover_stops_a_ready_successor() {
    for driver in DRIVERS {
        let origin = Origin::start();
        let mut proxy = awaiting_routes(driver);
        let routes = ROUTES.replace("@origin@", &origin.address.to_string());
        let pipe = proxy.file("routes.toml");
        fs::write(&pipe, &routes).expect("the process reads the pipe");
        proxy.await_status("a", "200");
        proxy.signal("USR2");
        let mut pipe = OpenOptions::new().write(true).open(pipe).expect("the successor reads the pipe");
        // What the successor reports from now on arrives together with the signal.
        proxy.signal("STOP");
        pipe.write_all(routes.as_bytes()).expect("routes");
        drop(pipe);
        proxy.await_log("Server configuration reloaded", 2);
        thread::sleep(Duration::from_millis(500));
        proxy.signal("TERM");
        proxy.signal("CONT");
        ends_without_a_successor(driver, &mut proxy);
    }
}

/// The parent is process 1 of a PID namespace. It exits with the program, which ends the namespace; or, like systemd, it stays if notified.
fn under_an_init(driver: &str, origin: &Origin) -> Setup {
    let init = "\"$0\" \"$@\" & until [ -e hand-over ]; do sleep 0.1; done; kill -USR2 $!; wait $!; \
                [ -z \"$NOTIFY_SOCKET\" ] || exec sleep 600";
    let words = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", init];
    Setup::new(driver, CONFIG).fill("@origin@", origin.address).under(&words)
}

fn has_namespaces() -> bool {
    let made = run("unshare", &["--pid", "--fork", "--kill-child", "true"]);
    tool_or_skip("the right to make a namespace of processes", made.status.success())
}

#[test]
fn handover_under_init_that_would_exit_is_refused() {
    if !has_namespaces() {
        return;
    }
    for driver in DRIVERS {
        let origin = Origin::start();
        let proxy = under_an_init(driver, &origin).start();
        fs::write(proxy.file("hand-over"), "").expect("written");
        proxy.await_log("hand-over is not possible under an init", 1);
        assert!(proxy.log().contains("Type=notify"), "{driver}: {}", proxy.log());
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
        assert!(!proxy.log().contains("has taken over"), "{driver}: {}", proxy.log());
    }
}

#[test]
fn notified_init_follows_the_successor() {
    if !has_namespaces() {
        return;
    }
    for driver in DRIVERS {
        let origin = Origin::start();
        let setup = under_an_init(driver, &origin);
        let place = setup.folder.path().join("notify");
        let notify = UnixDatagram::bind(&place).expect("a socket");
        notify.set_read_timeout(Some(TIME_LIMIT)).expect("set");
        let proxy = setup.env("NOTIFY_SOCKET", place.display()).start();
        let mut said = [0; 256];
        let first = notify.recv(&mut said).map(|n| said[..n].to_vec()).expect("the process notifies that it serves");
        fs::write(proxy.file("hand-over"), "").expect("written");
        let handed = notify.recv(&mut said).map(|n| said[..n].to_vec()).expect("the process notifies the new main PID");
        let next = notify.recv(&mut said).map(|n| said[..n].to_vec()).expect("the successor notifies that it serves");
        // systemd accepts the message only from the main process, unless the unit says otherwise.
        assert_eq!(next, [b"READY=1\n", &handed[..]].concat(), "{driver}");
        for said in [&first, &next] {
            assert!(said.starts_with(b"READY=1\nMAINPID="), "{driver}: {}", String::from_utf8_lossy(said));
        }
        assert_ne!(first, next, "{driver}: another process is followed");
        assert!(proxy.curl(&["-i", &proxy.url("/")]).starts_with("HTTP/1.1 200 "), "{driver}: {}", proxy.log());
    }
}
