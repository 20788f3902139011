//! An encoder that uses every representation, as its script says.

use std::collections::VecDeque;

use super::super::encode::push_huffman;
use super::super::{TABLE, push_indexed};

/// A step of a script.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Changes the size of the table; only at the beginning of a block.
    Resize(u16),
    /// Sends the entry with this index, modulo the number of entries of both tables.
    Index(u16),
    /// Sends a literal: its first byte's pattern, its name, or the index of its name, and whether name and value are in the Huffman code.
    Literal { pattern: Pattern, name: Result<String, u16>, value: String, huffman: (bool, bool) },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    Added,
    NotAdded,
    Never,
}

/// The table as a list of strings.
#[derive(Debug)]
pub(super) struct Encoder {
    bound: usize,
    size_max: usize,
    entries: VecDeque<(String, String)>,
}

impl Encoder {
    pub fn new(bound: usize) -> Self {
        Encoder { bound, size_max: bound, entries: VecDeque::new() }
    }

    /// A block of the steps, and its fields.
    pub fn block(&mut self, steps: &[Step]) -> (Vec<u8>, Vec<(String, String)>) {
        let (mut block, mut fields) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Resize(size) if fields.is_empty() => {
                    self.size_max = usize::from(*size) % (self.bound + 1);
                    self.evict();
                    integer(&mut block, 0x20, 5, self.size_max);
                }
                Step::Resize(_) => {}
                Step::Index(index) => {
                    let (index, field) = self.field(*index);
                    if index <= TABLE.len() {
                        push_indexed(&mut block, index as u8);
                    } else {
                        integer(&mut block, 0x80, 7, index);
                    }
                    fields.push(field);
                }
                Step::Literal { pattern, name, value, huffman } => {
                    let field = self.literal(&mut block, *pattern, name, value, *huffman);
                    fields.push(field);
                }
            }
        }
        (block, fields)
    }

    fn literal(
        &mut self,
        block: &mut Vec<u8>,
        pattern: Pattern,
        name: &Result<String, u16>,
        value: &str,
        huffman: (bool, bool),
    ) -> (String, String) {
        let (first, bits) = match pattern {
            Pattern::Added => (0x40, 6),
            Pattern::NotAdded => (0x00, 4),
            Pattern::Never => (0x10, 4),
        };
        let name = match name {
            Ok(name) => {
                block.push(first);
                string(block, name, huffman.0);
                name.clone()
            }
            Err(index) => {
                let (index, (name, _)) = self.field(*index);
                integer(block, first, bits, index);
                name
            }
        };
        string(block, value, huffman.1);
        if pattern == Pattern::Added {
            self.entries.push_front((name.clone(), value.to_owned()));
            self.evict();
        }
        (name, value.to_owned())
    }

    fn field(&self, index: u16) -> (usize, (String, String)) {
        let index = usize::from(index) % (TABLE.len() + self.entries.len());
        let field = match TABLE.get(index) {
            Some(row) => {
                let text = std::str::from_utf8(row.line).expect("text");
                (text[..row.name_len].to_owned(), text[row.name_len + 2..text.len() - 2].to_owned())
            }
            None => self.entries[index - TABLE.len()].clone(),
        };
        (index + 1, field)
    }

    fn evict(&mut self) {
        while self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>() > self.size_max {
            self.entries.pop_back();
        }
    }
}

fn string(block: &mut Vec<u8>, text: &str, huffman: bool) {
    if huffman {
        push_huffman(block, text.as_bytes());
    } else {
        integer(block, 0, 7, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

fn integer(block: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let prefix_max = (1usize << bits) - 1;
    if value < prefix_max {
        return block.push(pattern | value as u8);
    }
    block.push(pattern | prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest > 127 {
        block.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    block.push(rest as u8);
}
