//! Events of an Engine take effect at once, also while the Engine does not respond to other requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use ringway::control::docker::DockerProviderSettings;
use ringway::control::update::ProviderUpdate;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use super::{TIME_LIMIT, follow, settings};

/// Far below any time-out and back-off of the provider.
const AT_ONCE: Duration = Duration::from_secs(1);
const FIRST: &str = "http://10.1.2.1:80";
const SECOND: &str = "http://10.1.2.2:80";
const THIRD: &str = "http://10.1.2.3:80";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Behaviour {
    Answers,
    Hangs,
    Fails,
}

/// An Engine with two containers, c1 and c2, whose behaviour the test sets.
struct Script {
    behaviour: Mutex<Behaviour>,
    /// The behaviour for c1 alone; there is a third container, c3, while the Engine does not respond for c1.
    first: Mutex<Behaviour>,
    /// c1 has been started after all its events so far.
    first_is_new: AtomicBool,
    events: Mutex<Vec<String>>,
    /// Number of broken event streams; a break clears the earlier events.
    broken: AtomicUsize,
    /// The paths of all requests but those for events, without the version.
    requests: Mutex<Vec<String>>,
}

impl Script {
    fn start() -> (u16, Arc<Script>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Script {
            behaviour: Mutex::new(Behaviour::Answers),
            first: Mutex::new(Behaviour::Answers),
            first_is_new: AtomicBool::default(),
            events: Mutex::default(),
            broken: AtomicUsize::default(),
            requests: Mutex::default(),
        });
        let shared = script.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = shared.clone();
                thread::spawn(move || script.serve(stream));
            }
        });
        (port, script)
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut buffer = [0; 8192];
        let length = stream.read(&mut buffer)?;
        let head = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let path = head.split([' ', '?']).nth(1).unwrap_or_default().trim_start_matches("/v1.41");
        if path == "/events" {
            return self.tell(stream);
        }
        self.requests.lock().unwrap().push(path.to_owned());
        let first = || *self.first.lock().unwrap();
        let is_held = || path == "/containers/c1/json" && first() == Behaviour::Hangs;
        while *self.behaviour.lock().unwrap() == Behaviour::Hangs || is_held() {
            thread::sleep(Duration::from_millis(5));
        }
        let body = match path {
            "/version" => r#"{"ApiVersion":"1.41"}"#.to_owned(),
            _ if *self.behaviour.lock().unwrap() == Behaviour::Fails => String::new(),
            "/containers/c1/json" if first() == Behaviour::Fails => String::new(),
            "/containers/json" if first() != Behaviour::Answers => {
                r#"[{"Id":"c1"},{"Id":"c2"},{"Id":"c3"}]"#.to_owned()
            }
            "/containers/json" => r#"[{"Id":"c1"},{"Id":"c2"}]"#.to_owned(),
            "/containers/c1/json" => inspected('1', self.first_is_new.load(SeqCst)),
            "/containers/c2/json" => inspected('2', false),
            "/containers/c3/json" => inspected('3', false),
            _ => String::new(),
        };
        let status = if body.is_empty() { "500 Internal Server Error" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    }

    /// Sends all events so far, and each further one, until the stream breaks.
    fn tell(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let broken = self.broken.load(SeqCst);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        for next in 0.. {
            let event = loop {
                let event = self.events.lock().unwrap().get(next).cloned();
                match event {
                    _ if self.broken.load(SeqCst) != broken => return Ok(()),
                    Some(event) => break event,
                    None => thread::sleep(Duration::from_millis(5)),
                }
            };
            write!(stream, "{:x}\r\n{event}\r\n", event.len())?;
        }
        Ok(())
    }

    fn happen(&self, action: &str, id: &str, ago: Duration) {
        let at = UNIX_EPOCH.elapsed().unwrap() - ago;
        self.events.lock().unwrap().push(format!(
            r#"{{"Type":"container","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"signal":"15"}}}},"time":{},"timeNano":{}}}"#,
            at.as_secs(),
            at.as_nanos()
        ));
    }

    fn be(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    fn be_for_first(&self, behaviour: Behaviour) {
        *self.first.lock().unwrap() = behaviour;
    }

    /// Breaks the event stream and clears the events.
    fn lose_events(&self) {
        let mut events = self.events.lock().unwrap();
        self.broken.fetch_add(1, SeqCst);
        events.clear();
    }

    /// How often the path was requested.
    fn count(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|requested| *requested == path).count()
    }

    /// Sends an event of the container, and waits until the inspection that follows is in progress.
    async fn await_inspection(&self, id: &str) {
        let path = format!("/containers/{id}/json");
        let before = self.count(&path);
        self.happen("rename", id, Duration::ZERO);
        let end = Instant::now() + TIME_LIMIT;
        while self.count(&path) == before {
            assert!(Instant::now() < end, "no inspection");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A container whose stop time-out is longer than the time for which the provider requests past events.
fn inspected(n: char, is_new: bool) -> String {
    let started = if is_new { "2999-01-01T00:00:00Z" } else { "2020-01-01T00:00:00Z" };
    format!(
        r#"{{"Id":"c{n}","Name":"/web{n}","State":{{"Running":true,"StartedAt":"{started}"}},
        "Config":{{"Labels":{{}},"StopTimeout":300}},
        "NetworkSettings":{{"Ports":{{"80/tcp":null}},"Networks":{{"net":{{"NetworkID":"n1","IPAddress":"10.1.2.{n}"}}}}}}}}"#
    )
}

fn urls(update: &ProviderUpdate) -> Vec<String> {
    let servers = update.dynamic.backends.values().flat_map(|backend| backend.servers.values());
    servers.map(|server| server.url.clone()).collect()
}

/// Waits for an update with exactly these servers.
async fn until(updates: &mut UnboundedReceiver<ProviderUpdate>, wanted: &[&str], limit: Duration, what: &str) {
    let end = Instant::now() + limit;
    let mut last = None;
    while let Ok(update) = timeout(end.saturating_duration_since(Instant::now()), updates.recv()).await {
        let got = urls(&update.expect("a running provider"));
        if got == wanted {
            return;
        }
        last = Some(got);
    }
    panic!("{what}: no update with {wanted:?} within {limit:?}; the last one had {last:?}");
}

#[tokio::test]
async fn stopped_container_is_removed_while_an_inspection_hangs() {
    for (action, comes_back) in
        [("kill", false), ("pause", true), ("die", true), ("stop", true), ("health_status: unhealthy", true)]
    {
        let (port, script) = Script::start();
        let mut updates = follow(settings(port));
        until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "at first").await;
        script.be(Behaviour::Hangs);
        script.await_inspection("c1").await;
        script.happen(action, "c1", Duration::ZERO);
        until(&mut updates, &[SECOND], AT_ONCE, action).await;
        script.be(Behaviour::Answers);
        // The inspection that hung began before the event; the next one has the new state. A container that got a stop signal still runs,
        // and is removed.
        let update = timeout(TIME_LIMIT, updates.recv()).await.expect("the inspection that hung").expect("a provider");
        assert_eq!(urls(&update), [SECOND], "{action}");
        let then = if comes_back { &[FIRST, SECOND][..] } else { &[SECOND][..] };
        until(&mut updates, then, TIME_LIMIT, action).await;
    }
}

/// An Engine does not respond for a container while it starts it or removes its network, which takes many seconds on a busy host.
#[tokio::test]
async fn unresponsive_inspect_does_not_delay_other_containers() {
    for behaviour in [Behaviour::Hangs, Behaviour::Fails] {
        let (port, script) = Script::start();
        let mut updates = follow(settings(port));
        until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "at first").await;
        script.be_for_first(behaviour);
        script.happen("start", "c3", Duration::ZERO);
        until(&mut updates, &[FIRST, SECOND, THIRD], TIME_LIMIT, "the first container keeps its last state").await;
        script.happen("die", "c1", Duration::ZERO);
        until(&mut updates, &[SECOND, THIRD], TIME_LIMIT, "an event counts all the same").await;
        let after_a_read = timeout(TIME_LIMIT, updates.recv()).await.expect("a read").expect("a provider");
        assert_eq!(urls(&after_a_read), [SECOND, THIRD], "an inspection without an answer brings nothing back");
        script.be_for_first(Behaviour::Answers);
        script.happen("start", "c1", Duration::ZERO);
        until(&mut updates, &[FIRST, SECOND, THIRD], TIME_LIMIT, "there is an answer again").await;
    }
}

#[tokio::test]
async fn unresponsive_inspect_without_watch_delays_no_other() {
    let (port, script) = Script::start();
    script.be_for_first(Behaviour::Hangs);
    let request_timeout = Duration::from_secs(5);
    let mut updates = follow(DockerProviderSettings { watch: false, request_timeout, ..settings(port) });
    until(&mut updates, &[SECOND, THIRD], 3 * TIME_LIMIT, "the others").await;
    script.be_for_first(Behaviour::Answers);
    until(&mut updates, &[FIRST, SECOND], 3 * TIME_LIMIT, "the container is inspected again").await;
}

/// A break of the event stream says nothing about a container, and the kill is too long ago to be sent again.
#[tokio::test]
async fn slow_stop_stays_removed_over_reconnects_until_restart() {
    let (port, script) = Script::start();
    let mut updates = follow(settings(port));
    until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "at first").await;
    script.happen("kill", "c1", Duration::from_secs(60));
    until(&mut updates, &[SECOND], TIME_LIMIT, "the stop time-out has not elapsed").await;
    script.lose_events();
    let after_a_listing = timeout(TIME_LIMIT, updates.recv()).await.expect("a listing").expect("a provider");
    assert_eq!(urls(&after_a_listing), [SECOND], "the container still stops");
    script.first_is_new.store(true, SeqCst);
    script.lose_events();
    until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "the container has been started meanwhile").await;
}

#[tokio::test]
async fn stopped_container_stays_removed_while_listings_fail() {
    let (port, script) = Script::start();
    let mut updates = follow(settings(port));
    until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "at first").await;
    script.be(Behaviour::Fails);
    script.happen("kill", "c1", Duration::ZERO);
    until(&mut updates, &[SECOND], AT_ONCE, "the listing fails afterwards").await;
    script.await_inspection("c2").await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    script.happen("kill", "c2", Duration::ZERO);
    until(&mut updates, &[], AT_ONCE, "listings have failed before").await;
}

#[tokio::test]
async fn events_before_the_connection_remove_nothing() {
    let (port, script) = Script::start();
    for action in ["kill", "die", "stop", "start", "pause", "unpause"] {
        script.happen(action, "c1", Duration::from_secs(9));
    }
    let mut updates = follow(settings(port));
    let update = timeout(TIME_LIMIT, updates.recv()).await.expect("an update").expect("a running provider");
    assert_eq!(urls(&update), [FIRST, SECOND]);
    // Events that were sent after the first listing began cause one more listing; no update may have fewer servers.
    while let Ok(update) = timeout(Duration::from_millis(300), updates.recv()).await {
        assert_eq!(urls(&update.expect("a running provider")), [FIRST, SECOND]);
    }
}

/// Twenty events of one container cost inspections of that container, and no listing.
#[tokio::test]
async fn events_of_one_container_inspect_no_other() {
    let (port, script) = Script::start();
    let mut updates = follow(settings(port));
    until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "at first").await;
    let before = ["/containers/json", "/containers/c2/json"].map(|path| script.count(path));
    let inspections = script.count("/containers/c1/json");
    for action in ["health_status: healthy", "rename", "update", "start"].iter().cycle().take(20) {
        script.happen(action, "c1", Duration::ZERO);
    }
    script.await_inspection("c1").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = ["/containers/json", "/containers/c2/json"].map(|path| script.count(path));
    assert_eq!(after, before, "{:?}", script.requests.lock().unwrap());
    let inspections = script.count("/containers/c1/json") - inspections;
    assert!((1..=3).contains(&inspections), "{inspections} inspections for 21 events");
}

/// An event that cannot be read leads to a listing, because it may have been about any container; those after it count at once.
#[tokio::test]
async fn odd_event_costs_one_listing_and_no_later_event() {
    let (port, script) = Script::start();
    let mut updates = follow(settings(port));
    until(&mut updates, &[FIRST, SECOND], TIME_LIMIT, "at first").await;
    let (listings, version) = (script.count("/containers/json"), script.count("/version"));
    for _ in 0..20 {
        script.events.lock().unwrap().push("{\"Type\":\"container\",\"Action\":{}}\n".to_owned());
    }
    script.events.lock().unwrap().push("no json\n".to_owned());
    script.happen("pause", "c1", Duration::ZERO);
    until(&mut updates, &[SECOND], AT_ONCE, "the event after the odd ones").await;
    let end = Instant::now() + Duration::from_secs(15);
    while script.count("/containers/json") == listings && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(script.count("/containers/json"), listings + 1, "{:?}", script.requests.lock().unwrap());
    assert_eq!(script.count("/version"), version, "the connection stays");
}
