//! Writes fields of protobuf messages.

/// Adds a number that takes fewer bytes the smaller it is.
pub(super) fn varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// Adds a signed number: 0, -1, 1, -2 become 0, 1, 2, 3.
pub(super) fn zigzag(message: &mut Vec<u8>, number: i64) {
    varint(message, (number << 1 ^ number >> 63) as u64);
}

/// Adds a field of a text or a message.
pub(super) fn bytes(message: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(message, field, 2);
    varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Adds a field of an unsigned number.
pub(super) fn number(message: &mut Vec<u8>, field: u32, number: u64) {
    tag(message, field, 0);
    varint(message, number);
}

/// Adds a field of a signed number.
pub(super) fn signed(message: &mut Vec<u8>, field: u32, number: i64) {
    tag(message, field, 0);
    zigzag(message, number);
}

/// Adds a field of a floating-point number.
pub(super) fn double(message: &mut Vec<u8>, field: u32, number: f64) {
    tag(message, field, 1);
    message.extend_from_slice(&number.to_le_bytes());
}

fn tag(message: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(message, u64::from(field << 3 | wire_type));
}
