//! MadeYouReset (CVE-2025-8671) in all its forms: frames with which a client makes the proxy reset its streams, so that it opens more of
//! them than SETTINGS_MAX_CONCURRENT_STREAMS allows. Each form ends the connection, and the servers get few requests.

use std::time::Duration;

use crate::http2::{Outcome, flood, proxy, times_exceeded, withstand};
use crate::origin::Script;
use crate::support::http2_client::{
    DATA, END_HEADERS, END_STREAM, HEADERS, Http2Client, PADDED, PRIORITY, RST_STREAM, WHOLE, WINDOW_UPDATE, block,
    frame, request, window_update,
};
use crate::{DRIVERS, Verdict};

const STREAMS_MAX: usize = 4000;
/// The servers may get as many requests as the bound on resets allows, and those of the streams that are open when it is reached.
const REQUESTS_MAX: usize = 600;

/// A form: its name, and the frames for the stream of this identifier, its request included.
type Form = (&'static str, fn(u32) -> Vec<u8>);

/// Errors of a stream: the proxy resets it, and the connection goes on until the bound is reached.
const OF_STREAM: [Form; 8] = [
    ("WINDOW_UPDATE of 0", |id| [get(id), window_update(id, 0)].concat()),
    ("window overflow", |id| [get(id), window_update(id, 0x7fff_ffff)].concat()),
    ("DATA after END_STREAM", |id| [get(id), frame(DATA, 0, id, b"x")].concat()),
    ("HEADERS on a half-closed stream", |id| [get(id), frame(HEADERS, WHOLE, id, request("GET", "/reset"))].concat()),
    ("PRIORITY on itself", |id| [get(id), frame(PRIORITY, 0, id, [&id.to_be_bytes()[..], &[7]].concat())].concat()),
    ("PRIORITY of a wrong length", |id| [get(id), frame(PRIORITY, 0, id, [0; 4])].concat()),
    ("more DATA than content-length", |id| {
        let fields = [request("POST", "/reset"), block(&[("content-length", "1")])].concat();
        [frame(HEADERS, END_HEADERS, id, fields), frame(DATA, 0, id, b"xy")].concat()
    }),
    ("malformed trailers", |id| {
        let trailers = block(&[("X-UPPER", "y")]);
        [frame(HEADERS, END_HEADERS, id, request("POST", "/reset")), frame(HEADERS, WHOLE, id, trailers)].concat()
    }),
];

/// Errors of the connection: the first one ends it.
const OF_CONNECTION: [Form; 6] = [
    ("padding as long as the frame", |id| {
        [frame(HEADERS, END_HEADERS, id, request("POST", "/reset")), frame(DATA, PADDED, id, [4, 0, 0])].concat()
    }),
    ("RST_STREAM of a wrong length", |id| [get(id), frame(RST_STREAM, 0, id, [0; 3])].concat()),
    ("WINDOW_UPDATE of a wrong length", |id| [get(id), frame(WINDOW_UPDATE, 0, id, [0; 3])].concat()),
    ("a frame beyond the maximum", |id| [get(id), frame(DATA, 0, id, [0; 16_385])].concat()),
    ("WINDOW_UPDATE of 0 for the connection", |id| [get(id), window_update(0, 0)].concat()),
    ("a frame on a stream that was not opened", |id| [get(id), frame(DATA, END_STREAM, id + 2, b"x")].concat()),
];

fn get(id: u32) -> Vec<u8> {
    frame(HEADERS, WHOLE, id, request("GET", "/reset"))
}

#[test]
fn provoked_resets_end_their_connection() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, piece) in OF_STREAM {
            proxy.origin.set_script(Script::default().after(Duration::from_millis(100)));
            let bounds = ["http2_provoked_resets", "http2_control_frames"];
            let count = || times_exceeded(&proxy, &bounds);
            let before = count();
            withstand(&mut verdict, &format!("{name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[]);
                let sent = flood(&mut client, STREAMS_MAX, |n| piece(2 * n as u32 + 1));
                let rest = client.rest(Duration::from_secs(2));
                let asked = proxy.origin.seen().iter().filter(|seen| seen.line().contains("/reset")).count();
                Outcome::of(client)
                    .check(sent < STREAMS_MAX, format!("all {sent} streams were taken"))
                    .check(rest.is_closed, format!("the connection goes on: {rest:?}"))
                    .check(asked <= REQUESTS_MAX, format!("the server got {asked} requests"))
            });
            let counted = count() - before;
            // A form that breaks a rule of the whole connection ends it at once, without a bound.
            verdict.check(&format!("{name} ({driver})"), counted <= 1, format!("bounds were counted {counted} times"));
        }
        verdict.end();
    }
}

#[test]
fn malformed_frame_ends_its_connection_at_once() {
    for driver in DRIVERS {
        let proxy = proxy(driver);
        let mut verdict = Verdict::default();
        for (name, piece) in OF_CONNECTION {
            proxy.origin.set_script(Script::default().after(Duration::from_millis(100)));
            withstand(&mut verdict, &format!("{name} ({driver})"), &proxy, || {
                let mut client = Http2Client::to(proxy.port, &[]);
                client.send(piece(1));
                let rest = client.rest(Duration::from_secs(2));
                let is_error = rest.goaway.is_some_and(|code| code != 0);
                Outcome::of(client).check(is_error && rest.is_closed, format!("no GOAWAY with an error: {rest:?}"))
            });
        }
        verdict.end();
    }
}
