//! Swarm mode while inspecting the proxy's own container times out or fails, against a scripted Engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::control::update;

const UPDATE_WAIT_MAX: Duration = Duration::from_secs(30);

const SERVICES: &str =
    r#"[{"ID":"s1","Spec":{"Name":"api","Labels":{"traefik.port":"81"},"Mode":{"Replicated":{}}},"Endpoint":{}}]"#;
const TASKS: &str = r#"[{"ID":"t1","ServiceID":"s1","Slot":2,"Status":{"State":"running"},"NetworksAttachments":[
    {"Network":{"ID":"n1"},"Addresses":["10.9.1.4/24"]},{"Network":{"ID":"n2"},"Addresses":["10.9.2.4/24"]}]}]"#;
const OWN: &str = r#"{"Id":"own1","NetworkSettings":{"Networks":{"b":{"NetworkID":"n2","IPAddress":"10.9.2.2"}}}}"#;
const OWN_URL: &str = "http://10.9.2.4:81";

/// A scripted manager node with one service in two networks, and two containers: the proxy's own, and one whose inspection never ends.
#[derive(Default)]
struct Manager {
    /// The response to an inspection of the proxy's own container: 0: none, 1: the container, 2: an error.
    own_response: AtomicUsize,
    /// How many inspections of the proxy's own container got an error.
    errors: AtomicUsize,
}

impl Manager {
    async fn start() -> (DockerProviderSettings, Arc<Manager>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        let manager = Arc::new(Manager::default());
        let shared = manager.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(shared.clone(), stream));
            }
        });
        let swarm_refresh = Duration::from_millis(50);
        let mut settings = DockerProviderSettings { endpoint, swarm_refresh, ..Default::default() };
        settings.labels.swarm_mode = true;
        settings.labels.domain = "test".to_owned();
        (settings, manager)
    }

    /// The status and body of the response; `None`: the Engine never answers.
    fn response(&self, path: &str) -> Option<(&'static str, &'static str)> {
        let body = match path.trim_start_matches("/v1.41") {
            "/version" => r#"{"ApiVersion":"1.41"}"#,
            "/networks" => r#"[{"Id":"n1","Name":"a"},{"Id":"n2","Name":"b"}]"#,
            "/services" => SERVICES,
            "/tasks" => TASKS,
            "/containers/json" => r#"[{"Id":"own1"},{"Id":"held"}]"#,
            "/containers/own1/json" => match self.own_response.load(SeqCst) {
                0 => return None,
                1 => OWN,
                _ => {
                    self.errors.fetch_add(1, SeqCst);
                    return Some(("500 Internal Server Error", r#"{"message":"busy"}"#));
                }
            },
            _ => return None,
        };
        Some(("200 OK", body))
    }
}

async fn serve(manager: Arc<Manager>, mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some((status, body)) = manager.response(head.split([' ', '?']).nth(1).unwrap_or_default()) else {
        return future::pending().await;
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await
}

async fn next_urls(updates: &mut update::UpdateReceiver) -> Vec<String> {
    let update = timeout(UPDATE_WAIT_MAX, updates.recv()).await.expect("an update").expect("a running provider");
    let servers = update.dynamic.backends.values().flat_map(|backend| backend.servers.values());
    servers.map(|server| server.url.clone()).collect()
}

#[tokio::test]
async fn services_update_while_own_container_inspection_fails() {
    let (settings, manager) = Manager::start().await;
    let (send, mut updates) = update::channel();
    let publisher = Arc::new(Mutex::new(Publisher::new(settings.clone(), send.clone())));
    let provider = Provider::new(settings, None, publisher, 0, send);
    let mut provider = Provider { own_ids: vec!["own1".to_owned()], ..provider };
    let Err(SessionEnd::Broken(reason)) = provider.session().await else {
        panic!("no networks of the own container are known")
    };
    assert!(reason.contains("inspect container own1"), "{reason}");
    manager.own_response.store(1, SeqCst);
    tokio::spawn(async move { provider.session().await });
    assert_eq!(next_urls(&mut updates).await, [OWN_URL], "the address is in the network that the proxy shares");
    manager.own_response.store(2, SeqCst);
    while manager.errors.load(SeqCst) == 0 {
        assert_eq!(next_urls(&mut updates).await, [OWN_URL]);
    }
    // The last of these was published after the error.
    for _ in 0..=updates.len() {
        assert_eq!(next_urls(&mut updates).await, [OWN_URL], "the last known networks stay");
    }
}
