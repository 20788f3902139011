//! Header blocks for tests, written by hand: literals without the Huffman code, and representations that use the dynamic table.

/// A block of literals that are not indexed, with these names and values.
pub fn literals<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: &[(N, V)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x00);
        push_string(&mut block, name.as_ref());
        push_string(&mut block, value.as_ref());
    }
    block
}

/// A literal that the decoder adds to its dynamic table.
pub fn indexed_literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut block = vec![0x40];
    push_string(&mut block, name);
    push_string(&mut block, value);
    block
}

/// The field with this index.
pub fn index(index: usize) -> Vec<u8> {
    let mut block = Vec::new();
    push_integer(&mut block, 0x80, 7, index);
    block
}

pub fn push_string(block: &mut Vec<u8>, text: &[u8]) {
    push_integer(block, 0x00, 7, text.len());
    block.extend_from_slice(text);
}

pub fn push_integer(block: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let prefix_max = (1 << bits) - 1;
    if value < prefix_max {
        return block.push(pattern | value as u8);
    }
    block.push(pattern | prefix_max as u8);
    let mut rest = value - prefix_max;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    block.push(rest as u8);
}
