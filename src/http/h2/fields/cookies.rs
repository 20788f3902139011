//! Joins the crumbs of a Cookie field, of which a client may send each as a field of its own (RFC 9113 8.2.3).

use crate::http::head::Field;
use crate::http::known::KnownField;
use crate::http::span::Span;

const PREFIX: &[u8] = b"cookie: ";
const SEPARATOR: &[u8] = b"; ";

/// Joins the last line, a crumb with `value`, to the line before it, the Cookie field `before`.
pub(super) fn append_crumb(lines: &mut Vec<u8>, before: &mut Field, value: Span) {
    let end = before.value.end as usize;
    let (start, value_end) = (value.start as usize, value.end as usize);
    let is_joined = !value.is_empty() && !before.value.is_empty();
    let at = if is_joined { end + SEPARATOR.len() } else { end };
    if is_joined && let Some(gap) = lines.get_mut(end..at) {
        gap.copy_from_slice(SEPARATOR);
    }
    lines.copy_within(start..value_end, at);
    let new_end = at + (value_end - start);
    lines.truncate(new_end);
    lines.extend_from_slice(b"\r\n");
    before.value = Span::new(before.value.start as usize, new_end);
}

/// Joins all Cookie fields into one, which becomes the last field.
pub(super) fn join(lines: &mut Vec<u8>, fields: &mut Vec<Field>) {
    let joined = lines.len();
    lines.extend_from_slice(PREFIX);
    for field in fields.iter().filter(|field| field.known == KnownField::Cookie && !field.value.is_empty()) {
        if lines.len() > joined + PREFIX.len() {
            lines.extend_from_slice(SEPARATOR);
        }
        lines.extend_from_within(field.value.start as usize..field.value.end as usize);
    }
    lines.extend_from_slice(b"\r\n");
    let end = remove_crumbs(lines, fields);
    let len = lines.len() - joined;
    lines.copy_within(joined.., end);
    lines.truncate(end + len);
    let name = Span::new(end, end + PREFIX.len() - 2);
    let value = Span::new(end + PREFIX.len(), end + len - 2);
    fields.push(Field { name, value, known: KnownField::Cookie, hop: false });
}

/// Removes the Cookie fields, and moves the lines behind them together. Returns the end of the lines.
fn remove_crumbs(lines: &mut [u8], fields: &mut Vec<Field>) -> usize {
    let mut end = 0;
    let mut gap = 0;
    fields.retain_mut(|field| {
        let (start, line_end) = (field.name.start as usize, field.value.end as usize + 2);
        if field.known == KnownField::Cookie {
            end = start - gap;
            gap += line_end - start;
            return false;
        }
        if gap > 0 {
            lines.copy_within(start..line_end, start - gap);
            for span in [&mut field.name, &mut field.value] {
                *span = Span::new(span.start as usize - gap, span.end as usize - gap);
            }
        }
        end = line_end - gap;
        true
    });
    end
}
