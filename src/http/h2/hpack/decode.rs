//! Decodes header blocks (RFC 7541 3). Each field is appended as a line to a buffer, from which the sink removes what it does not keep.

use super::fixed::TABLE;
use super::huffman;
use super::integer::{CUT, Fault, read_integer};
use super::name::Name;
use super::table::Table;
use crate::http::byte_scan::first_control;
use crate::http::known::KnownField;
use crate::http::violation::Violation;

/// A decoded field. If it is whole, its line is the end of the buffer: name, colon, space, value, CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Where the line starts in the buffer.
    pub start: usize,
    pub name_len: usize,
    pub value_len: usize,
    pub name: Name,
    /// The rule that the value violates.
    pub value_fault: Option<Violation>,
    /// The text did not exceed [`FieldSink::room`]. If it did, the line is not in the buffer.
    pub is_whole: bool,
}

/// The receiver of decoded fields.
pub trait FieldSink {
    /// Bytes of name and value that the next field may have.
    fn room(&self) -> usize;
    /// Takes a field.
    fn take(&mut self, lines: &mut Vec<u8>, field: Decoded);
}

/// Decodes the header blocks of one connection, in the order in which they arrive.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
}

impl Decoder {
    /// A decoder with an empty dynamic table. `table_bytes_max` is our SETTINGS_HEADER_TABLE_SIZE, at most 65,535.
    pub fn new(table_bytes_max: usize) -> Self {
        Decoder { table: Table::new(table_bytes_max) }
    }

    /// Decodes a whole block. Whatever the sink refuses, the dynamic table is right for the next block. The buffer grows by what the sink has
    /// room for, and while a field is decoded by the size of the dynamic table.
    ///
    /// # Errors
    /// The block is invalid, and so is every later one: a connection error of type COMPRESSION_ERROR.
    pub fn decode(&mut self, block: &[u8], lines: &mut Vec<u8>, sink: &mut impl FieldSink) -> Result<(), Fault> {
        let mut rest = block;
        let mut is_first = true;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            let room = sink.room();
            let field = match first {
                0x80.. => self.indexed(read_integer(first, 7, &mut rest)?, lines, room)?,
                0x40..0x80 => self.literal(first, 6, true, &mut rest, lines, room)?,
                0x20..0x40 if is_first => {
                    self.table.resize(read_integer(first, 5, &mut rest)?)?;
                    continue;
                }
                0x20..0x40 => return Err("a table size update within a header block"),
                0x00..0x20 => self.literal(first, 4, false, &mut rest, lines, room)?,
            };
            is_first = false;
            sink.take(lines, field);
        }
        Ok(())
    }

    /// Bytes that the decoder holds on the heap.
    #[cfg_attr(reachability, expect(dead_code, reason = "tests compare the memory of a connection with its bound"))]
    pub fn heap_bytes(&self) -> usize {
        self.table.heap_bytes()
    }

    /// Frees the memory of the dynamic table if it is empty.
    pub fn trim(&mut self) {
        self.table.trim();
    }

    /// A field that is an entry of a table.
    #[inline]
    fn indexed(&self, index: usize, lines: &mut Vec<u8>, room: usize) -> Result<Decoded, Fault> {
        let start = lines.len();
        if let Some(row) = index.checked_sub(1).and_then(|at| TABLE.get(at)) {
            let value_len = row.line.len().saturating_sub(row.name_len + 4);
            let is_whole = row.name_len + value_len <= room;
            if is_whole {
                lines.extend_from_slice(row.line);
            }
            return Ok(Decoded {
                start,
                name_len: row.name_len,
                value_len,
                name: row.name,
                value_fault: None,
                is_whole,
            });
        }
        let entry = self.dynamic(index)?;
        let is_whole = usize::from(entry.name_len) + usize::from(entry.value_len) <= room;
        if is_whole {
            self.table.copy_line(&entry, entry.line_len(), lines);
        }
        Ok(Decoded {
            start,
            name_len: entry.name_len.into(),
            value_len: entry.value_len.into(),
            name: entry.name,
            value_fault: entry.value_fault,
            is_whole,
        })
    }

    fn dynamic(&self, index: usize) -> Result<super::table::Entry, Fault> {
        let place = index.checked_sub(TABLE.len() + 1).ok_or("index zero in a header block")?;
        self.table.get(place).ok_or("an index beyond the tables")
    }

    /// A field with a literal value, which is added to the dynamic table if `is_added` says so.
    #[inline]
    fn literal(
        &mut self,
        first: u8,
        bits: u32,
        is_added: bool,
        rest: &mut &[u8],
        lines: &mut Vec<u8>,
        room: usize,
    ) -> Result<Decoded, Fault> {
        let start = lines.len();
        // A field that the sink has no room for is still needed if the dynamic table may hold it.
        let kept = if is_added { room.max(self.table.size_max()) } else { room };
        let (name_len, known) = match read_integer(first, bits, rest)? {
            0 => (read_string(rest, lines, kept)?, None),
            index => self.name(index, lines, kept)?,
        };
        let has_name = name_len <= kept;
        if has_name && known.is_none() {
            lines.extend_from_slice(b": ");
        }
        let value_start = lines.len();
        let value_room = kept.checked_sub(name_len);
        let value_len = read_string(rest, lines, value_room.unwrap_or(0))?;
        let mut field = Decoded {
            start,
            name_len,
            value_len,
            name: known.unwrap_or(Name::Field(KnownField::Other)),
            value_fault: None,
            is_whole: name_len.saturating_add(value_len) <= room,
        };
        if value_room.is_some_and(|value_room| value_len <= value_room) {
            field.value_fault = fault(lines.get(value_start..).unwrap_or_default());
            if known.is_none() {
                field.name = Name::of(lines.get(start..start + name_len).unwrap_or_default());
            }
            lines.extend_from_slice(b"\r\n");
            if is_added {
                self.table.insert(lines.get(start..).unwrap_or_default(), name_len, field.name, field.value_fault);
            }
        } else if is_added {
            // Larger than the table, which is thereby empty (RFC 7541 4.4).
            self.table.clear();
        }
        if !field.is_whole {
            lines.truncate(start);
        }
        Ok(field)
    }

    /// The name of a table's entry: its length, and the name as it is known. Appends it with colon and space if it is not longer than `room`.
    #[inline]
    fn name(&self, index: usize, lines: &mut Vec<u8>, room: usize) -> Result<(usize, Option<Name>), Fault> {
        if let Some(row) = TABLE.get(index - 1) {
            if row.name_len <= room {
                lines.extend_from_slice(row.prefix());
            }
            return Ok((row.name_len, Some(row.name)));
        }
        let entry = self.dynamic(index)?;
        let name_len = usize::from(entry.name_len);
        if name_len <= room {
            self.table.copy_line(&entry, name_len + 2, lines);
        }
        Ok((name_len, Some(entry.name)))
    }
}

/// Reads a string (RFC 7541 5.2), and appends it unless it is longer than `room`. Returns its length.
#[inline]
fn read_string(rest: &mut &[u8], out: &mut Vec<u8>, room: usize) -> Result<usize, Fault> {
    let (&first, tail) = rest.split_first().ok_or(CUT)?;
    *rest = tail;
    let len = read_integer(first, 7, rest)?;
    let (text, tail) = rest.split_at_checked(len).ok_or(CUT)?;
    *rest = tail;
    if first < 0x80 {
        if len <= room {
            out.extend_from_slice(text);
        }
        return Ok(len);
    }
    if huffman::len_max(text) > room {
        let len = huffman::decoded_len(text)?;
        if len > room {
            return Ok(len);
        }
    }
    let before = out.len();
    huffman::decode(text, out)?;
    Ok(out.len() - before)
}

/// The rule that a value violates (RFC 9113 8.2.1). Of the control bytes only a tab is allowed, as in HTTP/1.1. A value with both faults has
/// that of its control byte: whitespace around a value is trimmed where servers are the senders.
#[inline]
fn fault(value: &[u8]) -> Option<Violation> {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return None };
    let mut at = first_control(value, 0);
    while value.get(at) == Some(&b'\t') {
        at = first_control(value, at + 1);
    }
    if at < value.len() {
        return Some(Violation::ValueByte);
    }
    let is_padded = matches!(first, b' ' | b'\t') || matches!(last, b' ' | b'\t');
    is_padded.then_some(Violation::ValueSpace)
}
