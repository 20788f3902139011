//! TCP routes in memory: the ClientHello cut at every byte, retries, limits, resets. The entry point has no TLS of its own; its names are those
//! of routes with passthrough.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::harness::{Base, DialScript, ScriptedDial, TIMEOUTS, check_counts, peer, worker};
use super::pipe::{ScriptStep, ScriptedPeer, Segmentation};
use super::{on_both_drivers, send, until};
use crate::config::dynamic::{Backend, DynamicConfig, Frontend, Route, Server};
use crate::worker::layer4::{Routed, route};
use crate::worker::{Timeouts, VerifyPool};

const HELLO: &[u8] = include_bytes!("../../../tests/layer4/hellos/openssl.bin");
/// The last bytes of [`HELLO`], which occur in it once.
const HELLO_END: usize = 8;
const SHORT: Duration = Duration::from_millis(150);

/// The name of [`HELLO`] has two servers, everything else one.
fn document() -> DynamicConfig {
    let backend = |hosts: &[&str]| {
        let server = |host: &&str| ((*host).to_owned(), Server { url: format!("tcp://{host}:5432"), weight: 1 });
        Backend { servers: hosts.iter().map(server).collect(), ..Backend::default() }
    };
    let frontend = |backend: &str, rule: &str| Frontend {
        backend: backend.to_owned(),
        entry_points: vec!["http".to_owned()],
        passthrough: true,
        routes: [("rule".to_owned(), Route { rule: rule.to_owned() })].into(),
        ..Frontend::default()
    };
    DynamicConfig {
        backends: [
            ("named".to_owned(), backend(&["10.0.0.1", "10.0.0.2"])),
            ("any".to_owned(), backend(&["10.0.0.9"])),
        ]
        .into(),
        frontends: [
            ("named".to_owned(), frontend("named", "HostSNI:db.example.com")),
            ("any".to_owned(), frontend("any", "HostSNI:*")),
        ]
        .into(),
        tls: Vec::new(),
    }
}

fn base() -> Base {
    Base::compiled(&VerifyPool::start().expect("threads"), [document()], true)
}

/// The observable result of a run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    client: Vec<u8>,
    is_client_cut: bool,
    /// The servers that were dialled.
    dialled: Vec<String>,
    /// The bytes that each server got, and whether its connection was cut.
    servers: Vec<(Vec<u8>, bool)>,
}

async fn play(
    base: &Base,
    timeouts: Timeouts,
    client: &[ScriptStep],
    dials: &[DialScript],
    segmentation: Segmentation,
) -> Shown {
    let shared = Arc::new(base.shared(timeouts));
    let dial = Rc::new(ScriptedDial {
        dial_scripts: dials.iter().cloned().collect::<std::collections::VecDeque<_>>().into(),
        segmentation: Segmentation::Whole,
        opened: Default::default(),
        dialled: Default::default(),
    });
    let worker = worker(&shared, Rc::clone(&dial));
    let (client, wire) = ScriptedPeer::new(client, segmentation).connect();
    {
        let serving = Rc::clone(&worker);
        let routing = pin!(async {
            match route(serving, wire, peer()).await {
                Routed::Tcp(serving) => serving.await,
                Routed::Closed => {}
                Routed::Http(_) => panic!("the route for everything takes the connection"),
            }
        });
        let timing = pin!(worker.run_timers());
        let limit = Duration::from_secs(10);
        let ended = monoio::time::timeout(limit, select(routing, timing)).await.expect("the connection never ends");
        assert!(matches!(ended, Either::Left(_)), "timers never end");
    }
    check_counts(&shared, &shared.snapshot.load());
    assert!(worker.deadlines.is_empty(), "a wait is left");
    assert_eq!(worker.reads_ahead.get(), 0);
    let client = client.borrow();
    assert!(client.near.dropped, "the client's connection is still held");
    let opened = dial.opened.borrow();
    Shown {
        client: client.received.clone(),
        is_client_cut: client.near.cut,
        dialled: dial.dialled.take(),
        servers: opened.iter().map(|server| (server.borrow().received.clone(), server.borrow().near.cut)).collect(),
    }
}

fn named_server(answer: &str) -> DialScript {
    DialScript::Origin(vec![
        ScriptStep::Await(HELLO[HELLO.len() - HELLO_END..].to_vec()),
        send(answer),
        until("done"),
        ScriptStep::Close,
    ])
}

fn named_client(answer: &str) -> Vec<ScriptStep> {
    vec![ScriptStep::Send(HELLO.to_vec()), until(answer), send("done"), ScriptStep::Close]
}

#[test]
fn hello_cut_at_every_byte_reaches_the_server_of_its_name_untouched() {
    on_both_drivers(async || {
        let base = base();
        let cuts = (1..HELLO.len()).map(Segmentation::At);
        let seeds = (0..24).map(Segmentation::Seed);
        for segmentation in [Segmentation::Whole, Segmentation::Bytes].into_iter().chain(cuts).chain(seeds) {
            let shown = play(&base, TIMEOUTS, &named_client("answer"), &[named_server("answer")], segmentation).await;
            assert_eq!(shown.client, b"answer", "{segmentation:?}");
            assert!(shown.servers == [([HELLO, b"done"].concat(), false)], "{segmentation:?}: {:?}", shown.servers);
            assert!(["10.0.0.1:5432", "10.0.0.2:5432"].contains(&&*shown.dialled[0]), "{:?}", shown.dialled);
            assert!(!shown.is_client_cut);
        }
    });
}

#[test]
fn bytes_that_are_no_hello_and_clients_that_send_nothing_get_the_route_for_everything() {
    on_both_drivers(async || {
        let base = base();
        let server = DialScript::Origin(vec![send("220 ready"), until("QUIT"), ScriptStep::Close]);
        let client = [send("EHLO"), until("220 ready"), send("QUIT"), ScriptStep::Close];
        let shown = play(&base, TIMEOUTS, &client, std::slice::from_ref(&server), Segmentation::Bytes).await;
        assert_eq!((&*shown.client, &*shown.dialled), (&b"220 ready"[..], &["10.0.0.9:5432".to_owned()][..]));
        assert_eq!(shown.servers, [(b"EHLOQUIT".to_vec(), false)]);
        let silent = [until("220 ready"), send("QUIT"), ScriptStep::Close];
        let timeouts = Timeouts { head_read: SHORT, idle: None, ..TIMEOUTS };
        let shown = play(&base, timeouts, &silent, &[server], Segmentation::Whole).await;
        assert_eq!((&*shown.client, shown.servers[0].0.as_slice()), (&b"220 ready"[..], &b"QUIT"[..]));
        assert_eq!(base.exceeded(), ["handshake_secs 1"]);
    });
}

#[test]
fn next_server_is_tried_and_a_client_without_server_is_reset() {
    on_both_drivers(async || {
        let base = base();
        let dials = [DialScript::Refuse, named_server("answer")];
        let shown = play(&base, TIMEOUTS, &named_client("answer"), &dials, Segmentation::Whole).await;
        assert_eq!((&*shown.client, shown.dialled.len()), (&b"answer"[..], 2));
        assert_ne!(shown.dialled[0], shown.dialled[1]);
        let dials = [DialScript::TimeOut, DialScript::Refuse];
        let client = [ScriptStep::Send(HELLO.to_vec())];
        let shown = play(&base, TIMEOUTS, &client, &dials, Segmentation::Whole).await;
        assert!(shown.is_client_cut && shown.client.is_empty() && shown.servers.is_empty(), "{shown:?}");
    });
}

#[test]
fn reset_of_one_side_cuts_the_other() {
    on_both_drivers(async || {
        let base = base();
        let origin = [ScriptStep::Await(HELLO[HELLO.len() - HELLO_END..].to_vec()), send("x"), ScriptStep::Reset];
        let client = [ScriptStep::Send(HELLO.to_vec())];
        let shown = play(&base, TIMEOUTS, &client, &[DialScript::Origin(origin.into())], Segmentation::Whole).await;
        assert!(shown.is_client_cut && shown.client == b"x", "{shown:?}");
        let client = [ScriptStep::Send(HELLO.to_vec()), until("x"), ScriptStep::Reset];
        let origin = [ScriptStep::Await(HELLO[HELLO.len() - HELLO_END..].to_vec()), send("x")];
        let shown = play(&base, TIMEOUTS, &client, &[DialScript::Origin(origin.into())], Segmentation::Whole).await;
        assert!(!shown.is_client_cut && shown.servers == [(HELLO.to_vec(), true)], "{shown:?}");
    });
}

#[test]
fn idle_connection_ends_on_both_sides() {
    on_both_drivers(async || {
        let base = base();
        let timeouts = Timeouts { tcp_idle: SHORT, ..TIMEOUTS };
        let origin = DialScript::Origin(vec![until("never")]);
        let client = [ScriptStep::Send(HELLO.to_vec())];
        let shown = play(&base, timeouts, &client, &[origin], Segmentation::Whole).await;
        assert!(!shown.is_client_cut && shown.servers == [(HELLO.to_vec(), false)], "{shown:?}");
    });
}
