//! The differences between the fields that arrive and those that are sent on.

use crate::http::edits::EditRef;
use crate::http::{Edits, RequestView};
use crate::observe::explanation::FieldChange;

/// Names and values.
pub(super) type Fields = Vec<(String, String)>;

/// The fields of a request as the client sends them.
pub(super) fn received(view: RequestView<'_>) -> Fields {
    view.head.fields.iter().map(|field| (text(field.name.of(view.bytes)), text(field.value.of(view.bytes)))).collect()
}

/// The fields of a written head, whose first line is no field.
pub(super) fn written(head: &[u8]) -> Fields {
    let lines = head.split(|&byte| byte == b'\n').skip(1).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let split = |line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((text(&line[..colon]), text(line[colon + 1..].trim_ascii())))
    };
    lines.filter_map(split).collect()
}

/// The target of a written head.
pub(super) fn written_target(head: &[u8]) -> String {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    text(line.split(|&byte| byte == b' ').nth(1).unwrap_or_default())
}

/// The changes that lead from one list to the other: values that are new, and names that are gone.
pub(super) fn changes(before: &Fields, after: &Fields) -> Vec<FieldChange> {
    let has = |fields: &Fields, name: &str| fields.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let same = |fields: &Fields, name: &str, value: &str| {
        fields.iter().any(|(own, other)| own.eq_ignore_ascii_case(name) && other == value)
    };
    let mut changes = Vec::new();
    for (name, value) in after.iter().filter(|(name, value)| !same(before, name, value)) {
        // A field with several values gets one more; a single value is another one.
        let replaces = has(before, name)
            && !before.iter().any(|(own, old)| own.eq_ignore_ascii_case(name) && same(after, own, old));
        changes.push(change(if replaces { "replaced" } else { "added" }, name, value));
    }
    for (name, _) in before.iter().filter(|(name, _)| !has(after, name)) {
        if !changes.iter().any(|change| change.name.eq_ignore_ascii_case(name)) {
            changes.push(change("removed", name, ""));
        }
    }
    changes
}

/// The changes of a response whose fields are unknown.
pub(super) fn response_changes(edits: &Edits) -> Vec<FieldChange> {
    let of = |edit: EditRef<'_>| match edit {
        EditRef::Add { name, value } => change("added", &text(name), &text(value)),
        EditRef::Set { name, value } => change("replaced", &text(name), &text(value)),
        EditRef::Remove { name } => change("removed", &text(name), ""),
    };
    edits.iter().map(of).collect()
}

pub(super) fn change(change: &str, name: &str, value: &str) -> FieldChange {
    FieldChange { change: change.to_owned(), name: name.to_owned(), value: value.to_owned() }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn added_replaced_and_removed_fields_are_told_apart() {
        let before = fields(&[("Host", "a"), ("X-Old", "1"), ("Via", "x"), ("Same", "s"), ("Connection", "close")]);
        let head = b"GET /t HTTP/1.1\r\nHost: b\r\nvia: x\r\nvia: y\r\nSame: s\r\nX-New: 2\r\n\r\n";
        let shown: Vec<String> =
            changes(&before, &written(head)).iter().map(|c| format!("{} {} {}", c.change, c.name, c.value)).collect();
        assert_eq!(shown, ["replaced Host b", "added via y", "added X-New 2", "removed X-Old ", "removed Connection "]);
        assert_eq!(written_target(head), "/t");
    }
}
