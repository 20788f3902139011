//! PEM texts as editors and tools write them, and damaged ones.

use super::*;

const A: &str = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n";

/// Label, line and content of each block; `None` for a damaged one.
fn read(text: impl AsRef<[u8]>) -> Vec<(String, usize, Option<String>)> {
    let content = |block: &Block| block.content.clone().ok().map(|bytes| String::from_utf8(bytes).unwrap());
    blocks(text.as_ref()).iter().map(|block| (block.label.clone(), block.line, content(block))).collect()
}

fn good(line: usize) -> (String, usize, Option<String>) {
    ("CERTIFICATE".to_owned(), line, Some("A".to_owned()))
}

fn real() -> String {
    rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem()
}

#[test]
fn unambiguous_forms_are_read() {
    let glued = A.trim_end().to_owned() + A;
    let rows = [
        (A.to_owned(), vec![good(1)]),
        (format!("\u{feff}{A}"), vec![good(1)]),
        (A.replace('\n', "\r\n") + "\r\n" + A, vec![good(1), good(5)]),
        (A.replace('\n', "\r"), vec![good(1)]),
        (A.replace('\n', " "), vec![good(1)]),
        (format!("  {}", A.replace('\n', "\n\t ")), vec![good(1)]),
        (format!("subject=CN = a\n{A}\ntext\n{A}"), vec![good(2), good(7)]),
        (glued, vec![good(1), good(3)]),
        (A.trim_end().to_owned(), vec![good(1)]),
        (A.replace("QQ==", "QQ"), vec![good(1)]),
        (A.replace("-----END CERTIFICATE-----", "-----END CERTIFICATE----- # the end"), vec![good(1)]),
        ("put it between -----BEGIN CERTIFICATE----- and the end".to_owned(), vec![]),
        (String::new(), vec![]),
    ];
    for (text, expected) in rows {
        assert_eq!(read(&text), expected, "{text:?}");
    }
}

#[test]
fn damaged_block_is_named_by_line_and_costs_itself_alone() {
    let rows = [
        (A.replace("QQ==", "Q?=="), "damaged base64"),
        (A.replace("QQ==\n", ""), "empty"),
        (A.replace("-----END CERTIFICATE-----\n", ""), "without its END"),
        (A.replace("END CERTIFICATE", "END CERTIFICATES"), "closed by END CERTIFICATES"),
        (A.replace('\n', "\\n"), "two characters \\n"),
        (A.replace("-----BEGIN CERTIFICATE-----\n", "----BEGIN CERTIFICATE-----\n"), "without its BEGIN"),
    ];
    for (text, reason) in rows {
        let all = blocks(format!("{A}{text}\n{A}").as_bytes());
        let damaged: Vec<_> = all.iter().filter_map(|block| Some((block.line, block.content.clone().err()?))).collect();
        assert_eq!((all.len(), damaged.len()), (3, 1), "{text:?}: {all:?}");
        assert!((4..=6).contains(&damaged[0].0) && damaged[0].1.contains(reason), "{damaged:?}");
    }
}

#[test]
fn cut_marker_between_glued_files_is_no_silent_loss() {
    let one = real();
    for cut in 1..10 {
        let glued = one.trim_end().to_owned() + &one[cut.min(5)..];
        let (certificates, damaged) = certificates(glued.as_bytes());
        assert!(certificates.len() == 2 || !damaged.is_empty(), "{cut}: {glued}");
    }
}

#[test]
fn blocks_that_are_no_certificates_are_told_from_those_that_should_be() {
    let one = real();
    let key = "-----BEGIN EC PARAMETERS-----\nQQ==\n-----END EC PARAMETERS-----\n";
    let as_label = |label: &str| one.replace("CERTIFICATE", label);
    let trailing = {
        let der = blocks(one.as_bytes()).remove(0).content.unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode([&der[..], &[0, 0]].concat());
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let rows = [
        (format!("{key}{one}"), 1, None),
        (as_label("X509 CERTIFICATE"), 1, None),
        (as_label("CERTIFICATE REQUEST"), 0, None),
        (as_label("TRUSTED CERTIFICATE"), 0, Some("openssl x509")),
        (as_label("MY CERTIFICATE"), 0, Some("\"MY CERTIFICATE\"")),
        (trailing, 0, Some("2 bytes follow")),
        (A.to_owned(), 0, Some("no certificate")),
    ];
    for (text, count, reason) in rows {
        let (certificates, damaged) = certificates(text.as_bytes());
        assert_eq!(certificates.len(), count, "{text}");
        match reason {
            Some(reason) => assert!(damaged.len() == 1 && damaged[0].reason.contains(reason), "{damaged:?}"),
            None => assert_eq!(damaged, []),
        }
    }
}

#[test]
fn revocation_list_in_a_bundle_is_reported() {
    let list = "-----BEGIN X509 CRL-----\nQQ==\n-----END X509 CRL-----\n";
    let text = format!("{list}{}", real());
    assert_eq!(certificates(text.as_bytes()).1, []);
    let (authorities, unused) = authorities(text.as_bytes());
    assert_eq!((authorities.len(), unused.len()), (1, 1));
    assert!(unused[0].line == 1 && unused[0].reason.contains("revocation"), "{unused:?}");
}

#[test]
fn only_key_blocks_are_keys() {
    let text = "-----BEGIN EC PARAMETERS-----\nQQ==\n-----END EC PARAMETERS-----\n-----BEGIN EC PRIVATE KEY-----\nQQ==\n\
                -----END EC PRIVATE KEY-----\n-----BEGIN PRIVATE KEY-----\nQQ==\n-----END PRIVATE KEY-----\n\
                -----BEGIN PUBLIC KEY-----\nQQ==\n-----END PUBLIC KEY-----\n";
    let found: Vec<_> = keys(text.as_bytes()).iter().map(|block| (block.label.clone(), block.line)).collect();
    assert_eq!(found, [("EC PRIVATE KEY".to_owned(), 4), ("PRIVATE KEY".to_owned(), 7)]);
}
