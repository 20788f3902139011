//! DNS messages: queries, updates and responses, as far as the DNS-01 challenge needs them (RFC 1035 4, RFC 2136 2).
//!
//! No DNS library is used: those of today bring thirty crates along, and none signs with the HMAC algorithms that old keys have.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The types of records that are asked for.
pub mod rtype {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const OPT: u16 = 41;
    pub const TSIG: u16 = 250;
}

/// The classes: the Internet, and the two of an update and of a signature.
pub mod class {
    pub const IN: u16 = 1;
    pub const NONE: u16 = 254;
    pub const ANY: u16 = 255;
}

/// Response codes (RFC 1035 4.1.1).
pub mod rcode {
    pub const NO_ERROR: u8 = 0;
    pub const NAME_ERROR: u8 = 3;
}

const HEADER_BYTES: usize = 12;
const LABEL_BYTES_MAX: usize = 63;
const NAME_BYTES_MAX: usize = 255;
/// The UDP size that is offered; larger responses are fetched by TCP.
const UDP_BYTES: u16 = 1232;
const OPCODE_UPDATE: u8 = 5;
const FLAG_RESPONSE: u8 = 0x80;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSION_DESIRED: u8 = 0x01;

/// The longest character-string of a TXT record (RFC 1035 3.3).
const TXT_BYTES_MAX: usize = 255;

/// A decoded response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The response code.
    pub rcode: u8,
    /// Whether the response was cut to the size of a UDP datagram.
    pub truncated: bool,
    /// The answer section.
    pub answers: Vec<Answer>,
}

/// A record of the answer section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The owner, in lower case, with a trailing dot.
    pub name: String,
    /// How long the record may be used.
    pub ttl_secs: u32,
    /// The content.
    pub data: Data,
}

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Ns(String),
    Cname(String),
    /// The content of a SOA record is not needed, only its owner.
    Soa,
    /// The character-strings, joined.
    Txt(Vec<u8>),
    /// A record of another type or class.
    Other,
}

/// The change that an update message asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Adds the record; other records of the name stay.
    Add,
    /// Removes this record; others of the name stay.
    Remove,
}

/// Why a message cannot be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError(pub &'static str);

/// Encodes a query for `name`.
///
/// # Errors
/// The name cannot be written.
pub fn query(id: u16, name: &str, record_type: u16, recursion: bool) -> Result<Vec<u8>, MessageError> {
    let flags = if recursion { FLAG_RECURSION_DESIRED } else { 0 };
    let mut message = header(id, flags, [1, 0, 0, 1]);
    put_name(&mut message, name)?;
    put_u16(&mut message, record_type);
    put_u16(&mut message, class::IN);
    // EDNS: the root name, OPT, the size, no flags, no options (RFC 6891 6.1.2).
    message.push(0);
    put_u16(&mut message, rtype::OPT);
    put_u16(&mut message, UDP_BYTES);
    message.extend_from_slice(&[0; 6]);
    Ok(message)
}

/// Encodes an update of one TXT record of `zone`.
///
/// # Errors
/// A name cannot be written.
pub fn update(id: u16, zone: &str, change: Change, name: &str, ttl: u32, text: &str) -> Result<Vec<u8>, MessageError> {
    let mut message = header(id, OPCODE_UPDATE << 3, [1, 0, 1, 0]);
    put_name(&mut message, zone)?;
    put_u16(&mut message, rtype::SOA);
    put_u16(&mut message, class::IN);
    put_name(&mut message, name)?;
    put_u16(&mut message, rtype::TXT);
    let (class, ttl) = match change {
        Change::Add => (class::IN, ttl),
        Change::Remove => (class::NONE, 0),
    };
    put_u16(&mut message, class);
    message.extend_from_slice(&ttl.to_be_bytes());
    let mut data = Vec::new();
    for part in text.as_bytes().chunks(TXT_BYTES_MAX) {
        data.push(u8::try_from(part.len()).map_err(|_| MessageError("a text is too long"))?);
        data.extend_from_slice(part);
    }
    put_data(&mut message, &data)?;
    Ok(message)
}

fn header(id: u16, flags: u8, counts: [u16; 4]) -> Vec<u8> {
    let mut message = Vec::with_capacity(128);
    put_u16(&mut message, id);
    message.extend_from_slice(&[flags, 0]);
    counts.iter().for_each(|&count| put_u16(&mut message, count));
    message
}

/// Appends a number in network order.
pub fn put_u16(message: &mut Vec<u8>, number: u16) {
    message.extend_from_slice(&number.to_be_bytes());
}

/// Appends the length of `data` in two bytes, and `data`.
///
/// # Errors
/// More than 65,535 bytes.
pub fn put_data(message: &mut Vec<u8>, data: &[u8]) -> Result<(), MessageError> {
    put_u16(message, u16::try_from(data.len()).map_err(|_| MessageError("a record is too long"))?);
    message.extend_from_slice(data);
    Ok(())
}

/// Appends a name in lower case, uncompressed; the trailing dot may be absent.
///
/// # Errors
/// An empty label, a label or name that is too long, or a character that needs an escape.
pub fn put_name(message: &mut Vec<u8>, name: &str) -> Result<(), MessageError> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let start = message.len();
    for label in name.split('.').filter(|_| !name.is_empty()) {
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return Err(MessageError("a label of the name is empty or longer than 63 bytes"));
        }
        if label.bytes().any(|byte| byte == b'\\' || !byte.is_ascii_graphic()) {
            return Err(MessageError("the name has a character that DNS names do not have"));
        }
        message.push(label.len() as u8);
        message.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
    }
    message.push(0);
    if message.len() - start > NAME_BYTES_MAX {
        return Err(MessageError("the name is longer than 255 bytes"));
    }
    Ok(())
}

/// Whether `response` answers `request`: the same identifier and, if the response has one, the same question.
pub fn is_response_to(request: &[u8], response: &[u8]) -> bool {
    let (Some(own), Some(other)) = (request.get(..HEADER_BYTES), response.get(..HEADER_BYTES)) else { return false };
    let is_answer = own[..2] == other[..2] && other[2] & FLAG_RESPONSE != 0 && other[2] & 0x78 == own[2] & 0x78;
    if !is_answer || other[4..6] == [0, 0] {
        return is_answer;
    }
    let (mut asked, mut echoed) = (Reader::at(request, HEADER_BYTES), Reader::at(response, HEADER_BYTES));
    matches!((asked.question(), echoed.question()), (Ok(asked), Ok(echoed)) if asked == echoed)
}

/// Decodes a response.
///
/// # Errors
/// The message ends too early or has a damaged name.
pub fn decode(message: &[u8]) -> Result<Response, MessageError> {
    let header = message.get(..HEADER_BYTES).ok_or(MessageError("the response is too short"))?;
    let (questions, answers) = (be_u16(&header[4..6]), be_u16(&header[6..8]));
    let mut reader = Reader::at(message, HEADER_BYTES);
    for _ in 0..questions {
        reader.question()?;
    }
    let mut response =
        Response { rcode: header[3] & 0x0f, truncated: header[2] & FLAG_TRUNCATED != 0, answers: Vec::new() };
    for _ in 0..answers {
        match reader.record() {
            Ok(record) => response.answers.push(record.answer()?),
            // A truncated response may end within a record; it is fetched by TCP.
            Err(_) if response.truncated => break,
            Err(error) => return Err(error),
        }
    }
    Ok(response)
}

/// A record of any section, with its content as a part of the message.
pub struct RawRecord<'a> {
    /// The owner.
    pub name: String,
    /// The type.
    pub record_type: u16,
    /// The class.
    pub class: u16,
    ttl_secs: u32,
    /// The content, and its position in the message, for names that point elsewhere.
    pub data: &'a [u8],
    data_at: usize,
    message: &'a [u8],
}

impl RawRecord<'_> {
    fn answer(self) -> Result<Answer, MessageError> {
        let name_in_data = || Reader::at(self.message, self.data_at).name();
        let data = match (self.class, self.record_type) {
            (class::IN, rtype::A) => Data::A(Ipv4Addr::from(self.fixed::<4>()?)),
            (class::IN, rtype::AAAA) => Data::Aaaa(Ipv6Addr::from(self.fixed::<16>()?)),
            (class::IN, rtype::NS) => Data::Ns(name_in_data()?),
            (class::IN, rtype::CNAME) => Data::Cname(name_in_data()?),
            (class::IN, rtype::SOA) => Data::Soa,
            (class::IN, rtype::TXT) => Data::Txt(joined_text(self.data)?),
            _ => Data::Other,
        };
        Ok(Answer { name: self.name, ttl_secs: self.ttl_secs, data })
    }

    fn fixed<const N: usize>(&self) -> Result<[u8; N], MessageError> {
        self.data.try_into().map_err(|_| MessageError("an address of the response has the wrong length"))
    }
}

fn joined_text(mut data: &[u8]) -> Result<Vec<u8>, MessageError> {
    let mut text = Vec::new();
    while let Some((&length, rest)) = data.split_first() {
        let (part, rest) =
            rest.split_at_checked(usize::from(length)).ok_or(MessageError("a text of the response is cut off"))?;
        text.extend_from_slice(part);
        data = rest;
    }
    Ok(text)
}

/// Reads a message from a position on.
pub struct Reader<'a> {
    message: &'a [u8],
    /// The position of the next byte.
    pub position: usize,
}

impl<'a> Reader<'a> {
    /// A reader that begins at `position`.
    pub fn at(message: &'a [u8], position: usize) -> Reader<'a> {
        Reader { message, position }
    }

    /// A reader behind the header.
    pub fn behind_header(message: &'a [u8]) -> Reader<'a> {
        Reader::at(message, HEADER_BYTES)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], MessageError> {
        let end = self.position.checked_add(count).ok_or(MessageError("the message is cut off"))?;
        let bytes = self.message.get(self.position..end).ok_or(MessageError("the message is cut off"))?;
        self.position = end;
        Ok(bytes)
    }

    /// The next two bytes as a number.
    pub fn u16(&mut self) -> Result<u16, MessageError> {
        self.take(2).map(be_u16)
    }

    /// A question: name, type, class.
    pub fn question(&mut self) -> Result<(String, u16, u16), MessageError> {
        Ok((self.name()?, self.u16()?, self.u16()?))
    }

    /// A record.
    pub fn record(&mut self) -> Result<RawRecord<'a>, MessageError> {
        let (name, record_type, class) = self.question()?;
        let ttl_secs = u32::from(self.u16()?) << 16 | u32::from(self.u16()?);
        let length = usize::from(self.u16()?);
        let data_at = self.position;
        let data = self.take(length)?;
        Ok(RawRecord { name, record_type, class, ttl_secs, data, data_at, message: self.message })
    }

    /// A name in lower case, with a trailing dot; bytes other than printable ASCII become `\DDD`.
    pub fn name(&mut self) -> Result<String, MessageError> {
        let mut name = String::new();
        // Where the next label is; each pointer must lead further to the front, so there is no circle.
        let (mut at, mut front) = (self.position, self.position);
        let mut behind = None;
        loop {
            let length = *self.message.get(at).ok_or(MessageError("a name is cut off"))?;
            at += 1;
            match length {
                0 => break,
                1..=63 => {
                    let label = self.message.get(at..at + usize::from(length));
                    push_label(&mut name, label.ok_or(MessageError("a name is cut off"))?);
                    at += usize::from(length);
                }
                0xc0.. => {
                    let low = *self.message.get(at).ok_or(MessageError("a name is cut off"))?;
                    behind.get_or_insert(at + 1);
                    at = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                    if at >= front {
                        return Err(MessageError("a name points forward"));
                    }
                    front = at;
                }
                _ => return Err(MessageError("a label has an unknown type")),
            }
            if name.len() > 4 * NAME_BYTES_MAX {
                return Err(MessageError("a name is too long"));
            }
        }
        self.position = behind.unwrap_or(at);
        Ok(if name.is_empty() { ".".to_owned() } else { name })
    }
}

fn push_label(name: &mut String, label: &[u8]) {
    for &byte in label {
        match byte {
            b'.' | b'\\' => name.push_str(&format!("\\{byte:03}")),
            byte if byte.is_ascii_graphic() => name.push(char::from(byte.to_ascii_lowercase())),
            byte => name.push_str(&format!("\\{byte:03}")),
        }
    }
    name.push('.');
}

fn be_u16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u16::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_has_the_question_and_the_udp_size() {
        let message = query(0x1234, "a.Example.com.", rtype::TXT, true).unwrap();
        let mut expected = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        expected.extend_from_slice(b"\x01a\x07example\x03com\0\0\x10\0\x01");
        expected.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message, expected);
    }

    #[test]
    fn update_adds_a_record_and_removes_this_one_alone() {
        let add = update(1, "example.com.", Change::Add, "a.example.com.", 120, "text").unwrap();
        let mut expected = vec![0, 1, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 0];
        expected.extend_from_slice(b"\x07example\x03com\0\0\x06\0\x01");
        expected.extend_from_slice(b"\x01a\x07example\x03com\0\0\x10\0\x01\0\0\0\x78\0\x05\x04text");
        assert_eq!(add, expected);
        let remove = update(1, "example.com.", Change::Remove, "a.example.com.", 120, "text").unwrap();
        assert!(remove.ends_with(b"\0\x10\0\xfe\0\0\0\0\0\x05\x04text"));
    }

    #[test]
    fn name_that_cannot_be_written_is_refused() {
        let label = "a".repeat(64);
        let name = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(63)].join(".");
        for name in [label.as_str(), "a..b", ".a", "a b", "\u{e4}.de", "a\\046b", &name] {
            assert!(put_name(&mut Vec::new(), name).is_err(), "{name}");
        }
        let mut root = Vec::new();
        put_name(&mut root, ".").unwrap();
        assert_eq!(root, [0]);
    }

    /// A response with these answers behind the question `a.example.com TXT`.
    fn response(count: u8, answers: &[u8]) -> Vec<u8> {
        let head = [0, 1, 0x80, 0, 0, 1, 0, count, 0, 0, 0, 0];
        [&head[..], b"\x01a\x07example\x03com\0\0\x10\0\x01", answers].concat()
    }

    #[test]
    fn answers_with_compressed_names_are_decoded() {
        // The question's name is at 12; example.com at 14.
        let message = response(
            4,
            b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01B\xc0\x0e\
              \x01b\xc0\x0e\0\x10\0\x01\0\0\0\x3c\0\x07\x02ab\x03cde\
              \xc0\x0e\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01\
              \xc0\x0e\0\x63\0\x01\0\0\0\x3c\0\0",
        );
        let decoded = decode(&message).unwrap();
        let answers: Vec<(&str, &Data)> =
            decoded.answers.iter().map(|answer| (answer.name.as_str(), &answer.data)).collect();
        assert_eq!(
            answers,
            [
                ("a.example.com.", &Data::Cname("b.example.com.".into())),
                ("b.example.com.", &Data::Txt(b"abcde".to_vec())),
                ("example.com.", &Data::A(Ipv4Addr::LOCALHOST)),
                ("example.com.", &Data::Other),
            ]
        );
    }

    #[test]
    fn damaged_responses_are_errors() {
        for (answers, reason) in [
            // A pointer to itself, and one to the front of a name that points back.
            (&b"\xc0\x1f\0\x10\0\x01\0\0\0\0\0\0"[..], "points forward"),
            (b"\x01x\xc0\x1f\0\x10\0\x01\0\0\0\0\0\0", "points forward"),
            (b"\x80x\0\0\x10\0\x01\0\0\0\0\0\0", "unknown type"),
            (b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x05\x03ab", "cut off"),
            (b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x03\x03ab", "cut off"),
            (b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x03abc", "wrong length"),
            (b"\x05ab", "cut off"),
        ] {
            let error = decode(&response(1, answers)).unwrap_err();
            assert!(error.0.contains(reason), "{error:?} for {answers:?}");
        }
        assert!(decode(&[0; 11]).is_err());
    }

    #[test]
    fn unprintable_bytes_of_names_are_escaped() {
        let message = response(1, b"\x04a.\n\\\xc0\x0e\0\x06\0\x01\0\0\0\0\0\0");
        assert_eq!(decode(&message).unwrap().answers[0].name, "a\\046\\010\\092.example.com.");
    }

    #[test]
    fn response_to_another_question_is_no_response() {
        let request = query(1, "a.example.com.", rtype::TXT, true).unwrap();
        let own = response(0, b"");
        assert!(is_response_to(&request, &own));
        let mut changed = Vec::new();
        for at in [0, 2, 13, own.len() - 3] {
            let mut other = own.clone();
            other[at] ^= if at == 2 { 0x80 } else { 1 };
            changed.push(other);
        }
        assert!(changed.iter().all(|other| !is_response_to(&request, other)));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(&response(3, &bytes));
            let _ = is_response_to(&response(0, &[]), &bytes);
        }
    }
}
