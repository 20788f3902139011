//! Swarm mode where the Engine gives no answer for the proxy's own container, against an Engine made of canned answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::control::update;

const PATIENCE: Duration = Duration::from_secs(30);

const SERVICES: &str =
    r#"[{"ID":"s1","Spec":{"Name":"api","Labels":{"traefik.port":"81"},"Mode":{"Replicated":{}}},"Endpoint":{}}]"#;
const TASKS: &str = r#"[{"ID":"t1","ServiceID":"s1","Slot":2,"Status":{"State":"running"},"NetworksAttachments":[
    {"Network":{"ID":"n1"},"Addresses":["10.9.1.4/24"]},{"Network":{"ID":"n2"},"Addresses":["10.9.2.4/24"]}]}]"#;
const OWN: &str = r#"{"Id":"own1","NetworkSettings":{"Networks":{"b":{"NetworkID":"n2","IPAddress":"10.9.2.2"}}}}"#;
const OWN_URL: &str = "http://10.9.2.4:81";

/// A manager node with one service, in two networks, and two containers: the proxy's own, and one that it never answers for.
#[derive(Default)]
struct Manager {
    /// How it answers for the proxy's own: not at all, well, with an error.
    mood: AtomicUsize,
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

    /// `None`: no answer.
    fn answer(&self, path: &str) -> Option<(&'static str, &'static str)> {
        let body = match path.trim_start_matches("/v1.41") {
            "/version" => r#"{"ApiVersion":"1.41"}"#,
            "/networks" => r#"[{"Id":"n1","Name":"a"},{"Id":"n2","Name":"b"}]"#,
            "/services" => SERVICES,
            "/tasks" => TASKS,
            "/containers/json" => r#"[{"Id":"own1"},{"Id":"held"}]"#,
            "/containers/own1/json" => match self.mood.load(SeqCst) {
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
    let Some((status, body)) = manager.answer(head.split([' ', '?']).nth(1).unwrap_or_default()) else {
        return future::pending().await;
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await
}

async fn next_urls(updates: &mut update::UpdateReceiver) -> Vec<String> {
    let update = timeout(PATIENCE, updates.recv()).await.expect("an update").expect("a running provider");
    let servers = update.dynamic.backends.values().flat_map(|backend| backend.servers.values());
    servers.map(|server| server.url.clone()).collect()
}

#[tokio::test]
async fn services_are_followed_while_the_engine_holds_on_to_a_container_even_the_proxys_own() {
    let (settings, manager) = Manager::start().await;
    let (send, mut updates) = update::channel();
    let mut provider = Provider { own: vec!["own1".to_owned()], ..Provider::new(settings, send) };
    let Err(SessionEnd::Broken(reason)) = provider.session().await else { panic!("nothing is known of its networks") };
    assert!(reason.contains("inspect container own1"), "{reason}");
    manager.mood.store(1, SeqCst);
    tokio::spawn(async move { provider.session().await });
    assert_eq!(next_urls(&mut updates).await, [OWN_URL], "in the network that the proxy is in too");
    manager.mood.store(2, SeqCst);
    while manager.errors.load(SeqCst) == 0 {
        assert_eq!(next_urls(&mut updates).await, [OWN_URL]);
    }
    // The last of these was published after the error.
    for _ in 0..=updates.len() {
        assert_eq!(next_urls(&mut updates).await, [OWN_URL], "its networks are what they were");
    }
}
