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
pub fn update(
    id: u16,
    zone: &str,
    change: Change,
    name: &str,
    ttl: u32,
    text: &str,
) -> Result<Vec<u8>, MessageError> {
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
        Ok(Answer { name: self.name, data })
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
        self.take(4)?;
        let length = usize::from(self.u16()?);
        let data_at = self.position;
        let data = self.take(length)?;
        Ok(RawRecord { name, record_type, class, data, data_at, message: self.message })
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
