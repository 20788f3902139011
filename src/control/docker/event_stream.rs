//! Splits the Engine's event stream into events. Each is read by itself: if one cannot be read, those after it still count.

use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Deserializer, Value};

use super::events::Event;
use super::failure::RequestError;
use super::transport::Client;

/// Bytes of one event. Engines send a few hundred, and all labels of the container.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// An event, or the reason why it cannot be read.
pub type ReadEvent = Result<Event, String>;

/// The state of the stream between two of its events.
enum State {
    /// The request is not sent yet, or its response has not begun. Some Engines send the head of the response with the first event.
    Opening(Client, String),
    Open(Incoming, Decoder),
    Ended,
}

/// Requests the path and gives the events of its response, until an error or the end of the response.
pub fn follow(client: Client, path: String) -> impl Stream<Item = Result<ReadEvent, RequestError>> + use<> {
    let batches = stream::unfold(State::Opening(client, path), async |state| {
        let (mut body, mut decoder) = match state {
            State::Opening(client, path) => match client.open(&path).await {
                Ok(response) => (response.into_body(), Decoder::default()),
                Err(error) => return Some((vec![Err(error)], State::Ended)),
            },
            State::Open(body, decoder) => (body, decoder),
            State::Ended => return None,
        };
        let frame = match body.frame().await? {
            Ok(frame) => frame,
            Err(error) => return Some((vec![Err(RequestError::Connection(error.into()))], State::Ended)),
        };
        let mut events: Vec<_> =
            decoder.decode(frame.data_ref().map_or(&[][..], |data| data)).into_iter().map(Ok).collect();
        if decoder.pending.len() > EVENT_BYTES_MAX {
            events.push(Err(RequestError::Content(format!("an event has more than {EVENT_BYTES_MAX} bytes"))));
            return Some((events, State::Ended));
        }
        Some((events, State::Open(body, decoder)))
    });
    batches.flat_map(stream::iter)
}

/// Collects the bytes of events. Engines write each event as a JSON object and end it with a line break.
#[derive(Debug, Default)]
struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Adds bytes and gives the events that are complete.
    fn decode(&mut self, bytes: &[u8]) -> Vec<ReadEvent> {
        self.pending.extend_from_slice(bytes);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(length) = self.pending[start..].iter().position(|byte| *byte == b'\n') {
            let line = &self.pending[start..start + length];
            let end = read_objects(line, &mut events);
            // In a sequence of JSON texts (RFC 7464) a record separator stands before each one.
            if line[end..].iter().any(|byte| !byte.is_ascii_whitespace() && *byte != 0x1e) {
                events
                    .push(Err(format!("it is no JSON object: {:?}", String::from_utf8_lossy(shortened(&line[end..])))));
            }
            start += length + 1;
        }
        start += read_objects(&self.pending[start..], &mut events);
        self.pending.drain(..start);
        events
    }
}

/// Reads the complete objects at the beginning of the text, and gives their length.
fn read_objects(text: &[u8], events: &mut Vec<ReadEvent>) -> usize {
    let skipped = text.iter().take_while(|byte| **byte == 0x1e).count();
    let mut objects = Deserializer::from_slice(&text[skipped..]).into_iter::<Value>();
    let mut end = 0;
    while let Some(Ok(object)) = objects.next() {
        // A number or word at the end of the bytes may be the beginning of a longer one.
        if !object.is_object() {
            break;
        }
        events.push(Event::read(&object));
        end = objects.byte_offset();
    }
    if end == 0 { 0 } else { skipped + end }
}

fn shortened(text: &[u8]) -> &[u8] {
    &text[..text.len().min(60)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"Type":"container","Action":"start","Actor":{"ID":"c1"}}"#;

    fn actions(events: Vec<ReadEvent>) -> Vec<String> {
        events.into_iter().map(|event| event.map_or_else(|_| "odd".to_owned(), |event| event.action)).collect()
    }

    #[test]
    fn events_are_split_wherever_the_bytes_are_cut() {
        let all = format!("{START}\n\n{START}\r\n{START}{START}\n\x1e{START}\n");
        for step in [1, 2, 7, 64, all.len()] {
            let mut decoder = Decoder::default();
            let events: Vec<_> = all.as_bytes().chunks(step).flat_map(|bytes| decoder.decode(bytes)).collect();
            assert_eq!(actions(events), ["start"; 5], "step {step}");
            assert_eq!(decoder.pending, b"", "step {step}");
        }
    }

    #[test]
    fn event_without_line_break_is_not_held_back() {
        assert_eq!(actions(Decoder::default().decode(START.as_bytes())), ["start"]);
    }

    #[test]
    fn unreadable_event_costs_itself_alone() {
        let mut decoder = Decoder::default();
        for odd in ["{\"Type\":", "7", "null", "[]", "<html>", r#"{"Type":"container","Action":{}}"#] {
            let text = format!("{START}\n{odd}\n{START}\n");
            assert_eq!(actions(decoder.decode(text.as_bytes())), ["start", "odd", "start"], "{odd}");
        }
    }
}
