//! SETTINGS: what each side allows the other one (RFC 9113 6.5, RFC 8441 3).

use super::frame::{self, HEADER_BYTES};
use super::rule::Rule;
use crate::http::head_limits::HeadLimits;

const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;
const ENABLE_CONNECT_PROTOCOL: u16 = 8;

/// The largest window (RFC 9113 6.9.1).
pub const WINDOW_MAX: u32 = 0x7fff_ffff;
/// The window of a connection, and of a stream without a setting.
pub const DEFAULT_WINDOW: u32 = 65_535;
/// The size of the decoder's dynamic table: the value without a setting.
pub const DEFAULT_TABLE_BYTES: u32 = 4096;

/// The limits that the proxy sets its peer.
#[derive(Debug, Clone, Copy)]
pub struct LocalSettings {
    pub streams_max: u32,
    pub head: HeadLimits,
    pub stream_window: u32,
    pub connection_window: u32,
    /// Extended CONNECT is accepted (RFC 8441).
    pub connect_protocol: bool,
}

impl LocalSettings {
    /// Appends the SETTINGS frame, and the WINDOW_UPDATE that raises the connection's window.
    pub fn push(&self, out: &mut Vec<u8>, is_server: bool) {
        let start = out.len();
        frame::push_header(out, 0, frame::SETTINGS, 0, 0);
        let mut push = |name: u16, value: u32| {
            out.extend_from_slice(&name.to_be_bytes());
            out.extend_from_slice(&value.to_be_bytes());
        };
        if is_server {
            push(MAX_CONCURRENT_STREAMS, self.streams_max);
        } else {
            push(ENABLE_PUSH, 0);
        }
        push(INITIAL_WINDOW_SIZE, self.stream_window);
        push(MAX_HEADER_LIST_SIZE, u32::try_from(self.head.head_bytes_max).unwrap_or(u32::MAX));
        if is_server && self.connect_protocol {
            push(ENABLE_CONNECT_PROTOCOL, 1);
        }
        let length = out.len() - start - HEADER_BYTES;
        if let Some(byte) = out.get_mut(start + 2) {
            *byte = length as u8;
        }
        if self.connection_window > DEFAULT_WINDOW {
            frame::push_number(out, frame::WINDOW_UPDATE, 0, self.connection_window - DEFAULT_WINDOW);
        }
    }
}

/// The limits that the peer sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSettings {
    pub streams_max: u32,
    pub initial_window: u32,
    pub frame_bytes_max: u32,
    pub connect_protocol: bool,
}

impl Default for PeerSettings {
    fn default() -> Self {
        PeerSettings {
            streams_max: u32::MAX,
            initial_window: DEFAULT_WINDOW,
            frame_bytes_max: frame::PAYLOAD_BYTES_MAX as u32,
            connect_protocol: false,
        }
    }
}

impl PeerSettings {
    /// Applies the payload of a SETTINGS frame, setting by setting in order. `from_server`: the peer is a server.
    pub fn apply(&mut self, payload: &[u8], from_server: bool) -> Result<(), Rule> {
        for setting in payload.chunks_exact(6) {
            let (Some(name), Some(value)) = (setting.first_chunk::<2>(), setting.last_chunk::<4>()) else { continue };
            let value = u32::from_be_bytes(*value);
            match u16::from_be_bytes(*name) {
                ENABLE_PUSH if value > 1 || (from_server && value == 1) => return Err(Rule::SettingsValue),
                MAX_CONCURRENT_STREAMS => self.streams_max = value,
                INITIAL_WINDOW_SIZE if value > WINDOW_MAX => return Err(Rule::WindowOverflow),
                INITIAL_WINDOW_SIZE => self.initial_window = value,
                MAX_FRAME_SIZE if !(16_384..=16_777_215).contains(&value) => return Err(Rule::SettingsValue),
                MAX_FRAME_SIZE => self.frame_bytes_max = value,
                ENABLE_CONNECT_PROTOCOL if value > 1 || (self.connect_protocol && value == 0) => {
                    return Err(Rule::SettingsValue);
                }
                ENABLE_CONNECT_PROTOCOL => self.connect_protocol = value == 1,
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(settings: &[(u16, u32)], from_server: bool) -> Result<PeerSettings, Rule> {
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
            .collect();
        let mut peer = PeerSettings::default();
        peer.apply(&payload, from_server).map(|()| peer)
    }

    #[test]
    fn settings_are_applied_in_order_and_unknown_ones_ignored() {
        let peer = applied(&[(4, 1), (4, 100), (3, 7), (5, 20_000), (8, 1), (1, 0), (2, 0), (99, 5)], false);
        let expected =
            PeerSettings { streams_max: 7, initial_window: 100, frame_bytes_max: 20_000, connect_protocol: true };
        assert_eq!(peer, Ok(expected));
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for setting in [(2, 2), (5, 16_383), (5, 16_777_216), (8, 2)] {
            assert_eq!(applied(&[setting], false), Err(Rule::SettingsValue), "{setting:?}");
        }
        assert_eq!(applied(&[(4, WINDOW_MAX + 1)], false), Err(Rule::WindowOverflow));
        assert_eq!(applied(&[(2, 1)], true), Err(Rule::SettingsValue), "a server pushes");
        assert!(applied(&[(2, 1)], false).is_ok());
        assert_eq!(applied(&[(8, 1), (8, 0)], true), Err(Rule::SettingsValue));
    }

    #[test]
    fn own_settings_are_one_frame() {
        let head = HeadLimits::REQUEST;
        let local = LocalSettings {
            streams_max: 128,
            head,
            stream_window: 65_536,
            connection_window: 262_144,
            connect_protocol: true,
        };
        let mut out = Vec::new();
        local.push(&mut out, true);
        let header = frame::FrameHeader::parse(*out.first_chunk().expect("a header"));
        assert_eq!((header.kind, header.length, out.len()), (frame::SETTINGS, 24, 9 + 24 + 13));
    }
}
