//! Signatures of DNS messages with a shared key (TSIG, RFC 8945).

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};

use super::message::{MessageError, Reader, class, put_data, put_name, put_u16, rtype};

/// The tolerated difference of the two clocks, as usual.
const FUDGE_SECS: u16 = 300;
/// The position of the number of additional records in the header.
const ADDITIONAL_COUNT_AT: usize = 10;
const MD5_BLOCK_BYTES: usize = 64;

/// The algorithms, as the names of their keys write them.
const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("hmac-md5.sig-alg.reg.int.", Algorithm::Md5),
    ("hmac-sha1.", Algorithm::Hmac(&hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)),
    ("hmac-sha224.", Algorithm::Hmac(&hmac::HMAC_SHA224)),
    ("hmac-sha256.", Algorithm::Hmac(&hmac::HMAC_SHA256)),
    ("hmac-sha384.", Algorithm::Hmac(&hmac::HMAC_SHA384)),
    ("hmac-sha512.", Algorithm::Hmac(&hmac::HMAC_SHA512)),
];

#[derive(Clone, Copy)]
enum Algorithm {
    Md5,
    Hmac(&'static hmac::Algorithm),
}

/// A key that the proxy shares with a name server.
#[derive(Clone)]
pub struct TsigKey {
    name: String,
    algorithm_name: &'static str,
    algorithm: Algorithm,
    secret: Vec<u8>,
}

/// A signed request: its bytes, and its signature, which the response's signature covers.
pub struct Signed {
    /// The message to send.
    pub message: Vec<u8>,
    signature: Vec<u8>,
}

impl TsigKey {
    /// A key from the texts of its configuration. The algorithm may be written without the trailing dot, and `hmac-md5` in short.
    ///
    /// # Errors
    /// A sentence that names what is wrong, without the secret.
    pub fn new(name: &str, algorithm: &str, secret: &str) -> Result<TsigKey, String> {
        let wanted = format!("{}.", algorithm.trim_end_matches('.').to_ascii_lowercase());
        let wanted = if wanted == "hmac-md5." { "hmac-md5.sig-alg.reg.int.".to_owned() } else { wanted };
        let Some((algorithm_name, algorithm)) = ALGORITHMS.into_iter().find(|(known, _)| *known == wanted) else {
            return Err(format!(
                "the TSIG algorithm {algorithm} is unknown: use hmac-sha256, hmac-sha512, hmac-sha384, hmac-sha224, hmac-sha1 or hmac-md5"
            ));
        };
        let secret = BASE64_STANDARD.decode(secret.trim()).map_err(|_| "the TSIG secret is not base64".to_owned())?;
        let name = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
        put_name(&mut Vec::new(), &name).map_err(|e| format!("the TSIG key's name {name}: {}", e.0))?;
        Ok(TsigKey { name, algorithm_name, algorithm, secret })
    }

    /// Signs a request at the given time (seconds since 1970).
    ///
    /// # Errors
    /// The message is damaged or already has the highest number of records.
    pub fn sign(&self, message: Vec<u8>, now_secs: u64) -> Result<Signed, MessageError> {
        let times = Times { signed_secs: now_secs, fudge_secs: FUDGE_SECS, error: 0, other: Vec::new() };
        let signature = self.signature(&[&message, &self.variables(&times)?]);
        let id = [message.first().copied().unwrap_or_default(), message.get(1).copied().unwrap_or_default()];
        let message = self.appended(message, id, &times, &signature)?;
        Ok(Signed { message, signature })
    }

    /// Checks the signature of a response to `request`.
    ///
    /// # Errors
    /// A sentence: the server's reason for refusing the key, a missing or wrong signature, or clocks that differ.
    pub fn verify(&self, request: &Signed, response: &[u8], now_secs: u64) -> Result<(), String> {
        let tsig = last_tsig(response).map_err(|e| e.0.to_owned())?;
        let Some(tsig) = tsig else { return Err("the response has no signature".into()) };
        match tsig.times.error {
            0 => {}
            16 => {
                return Err(
                    "the server refuses the signature (BADSIG): the secret is another one than the server's".into()
                );
            }
            17 => {
                return Err(format!(
                    "the server does not know the key {} with {} (BADKEY)",
                    self.name,
                    self.algorithm_name.trim_end_matches('.')
                ));
            }
            18 => return Err("the server's clock differs by more than five minutes (BADTIME)".into()),
            other => return Err(format!("the server refuses the signature (TSIG error {other})")),
        }
        if tsig.name != self.name || tsig.algorithm != self.algorithm_name {
            return Err("the response is signed with another key".into());
        }
        let mut signed = Vec::new();
        put_data(&mut signed, &request.signature).map_err(|e| e.0.to_owned())?;
        let variables = self.variables(&tsig.times).map_err(|e| e.0.to_owned())?;
        let expected = self.signature(&[&signed, &tsig.message, &variables]);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(expected.as_slice(), tsig.signature.as_slice())) {
            return Err("the response's signature is wrong".into());
        }
        if tsig.times.signed_secs.abs_diff(now_secs) > u64::from(tsig.times.fudge_secs) {
            return Err("the response's signature is too old: the clocks differ".into());
        }
        Ok(())
    }

    fn signature(&self, parts: &[&[u8]]) -> Vec<u8> {
        match self.algorithm {
            Algorithm::Md5 => hmac_md5(&self.secret, parts),
            Algorithm::Hmac(algorithm) => {
                let mut context = hmac::Context::with_key(&hmac::Key::new(*algorithm, &self.secret));
                parts.iter().for_each(|part| context.update(part));
                context.sign().as_ref().to_vec()
            }
        }
    }

    /// The fields of the TSIG record that are signed (RFC 8945 4.3.3).
    fn variables(&self, times: &Times) -> Result<Vec<u8>, MessageError> {
        let mut signed = Vec::new();
        put_name(&mut signed, &self.name)?;
        put_u16(&mut signed, class::ANY);
        signed.extend_from_slice(&[0; 4]);
        put_name(&mut signed, self.algorithm_name)?;
        times.put_head(&mut signed);
        put_u16(&mut signed, times.error);
        put_data(&mut signed, &times.other)?;
        Ok(signed)
    }

    /// The message with the TSIG record behind it.
    fn appended(
        &self,
        mut message: Vec<u8>,
        id: [u8; 2],
        times: &Times,
        signature: &[u8],
    ) -> Result<Vec<u8>, MessageError> {
        add_to_additional_count(&mut message, 1)?;
        put_name(&mut message, &self.name)?;
        put_u16(&mut message, rtype::TSIG);
        put_u16(&mut message, class::ANY);
        message.extend_from_slice(&[0; 4]);
        let mut data = Vec::new();
        put_name(&mut data, self.algorithm_name)?;
        times.put_head(&mut data);
        put_data(&mut data, signature)?;
        data.extend_from_slice(&id);
        put_u16(&mut data, times.error);
        put_data(&mut data, &times.other)?;
        put_data(&mut message, &data)?;
        Ok(message)
    }
}

/// Whether a message ends with a TSIG record, of whatever key.
pub fn is_signed(message: &[u8]) -> bool {
    last_tsig(message).is_ok_and(|found| found.is_some())
}

/// The signed fields of a TSIG record besides its names.
struct Times {
    signed_secs: u64,
    fudge_secs: u16,
    error: u16,
    other: Vec<u8>,
}

impl Times {
    /// Appends the time in 48 bits and the tolerance.
    fn put_head(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.signed_secs.to_be_bytes()[2..]);
        put_u16(bytes, self.fudge_secs);
    }
}

/// The TSIG record of a message, and the message as it was signed.
struct FoundTsig {
    name: String,
    algorithm: String,
    times: Times,
    signature: Vec<u8>,
    message: Vec<u8>,
}

/// Finds the last record of `message` if that is a TSIG record.
fn last_tsig(message: &[u8]) -> Result<Option<FoundTsig>, MessageError> {
    let mut reader = Reader::at(message, 4);
    let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
    let mut reader = Reader::behind_header(message);
    for _ in 0..counts[0] {
        reader.question()?;
    }
    let records = counts[1..].iter().map(|&count| usize::from(count)).sum();
    let (mut start, mut last) = (0, None);
    for _ in 0..records {
        start = reader.position;
        last = Some(reader.record()?);
    }
    let Some(record) = last.filter(|record| record.record_type == rtype::TSIG && counts[3] > 0) else {
        return Ok(None);
    };
    let mut data = Reader::at(record.data, 0);
    let algorithm = data.name()?;
    let signed_secs = data.take(6)?.iter().fold(0, |secs, &byte| secs << 8 | u64::from(byte));
    let fudge_secs = data.u16()?;
    let signature_length = usize::from(data.u16()?);
    let signature = data.take(signature_length)?.to_vec();
    let original_id = data.take(2)?.to_vec();
    let error = data.u16()?;
    let other_length = usize::from(data.u16()?);
    let other = data.take(other_length)?.to_vec();
    let mut signed = message.get(..start).unwrap_or_default().to_vec();
    add_to_additional_count(&mut signed, -1)?;
    signed.splice(..2, original_id);
    let times = Times { signed_secs, fudge_secs, error, other };
    Ok(Some(FoundTsig { name: record.name, algorithm, times, signature, message: signed }))
}

fn add_to_additional_count(message: &mut [u8], change: i16) -> Result<(), MessageError> {
    let field = message.get_mut(ADDITIONAL_COUNT_AT..ADDITIONAL_COUNT_AT + 2);
    let field = field.ok_or(MessageError("the message is too short to be signed"))?;
    let count = field.iter().fold(0_u16, |count, &byte| count << 8 | u16::from(byte));
    let count = count.checked_add_signed(change).ok_or(MessageError("the message has too many records"))?;
    field.copy_from_slice(&count.to_be_bytes());
    Ok(())
}

/// HMAC with MD5, for keys of old name servers (RFC 2104 2). The crypto library of the proxy does not have it.
fn hmac_md5(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut block = [0; MD5_BLOCK_BYTES];
    if key.len() > MD5_BLOCK_BYTES {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Md5::new_with_prefix(block.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Md5::new_with_prefix(block.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::acme::dns::message::{Change, update};

    const NOW: u64 = 1_700_000_000;

    fn key(algorithm: &str) -> TsigKey {
        TsigKey::new("Acme", algorithm, "c2VjcmV0").unwrap()
    }

    fn request() -> Vec<u8> {
        update(7, "example.com.", Change::Add, "a.example.com.", 120, "text").unwrap()
    }

    /// A response to `request` that the server signs as the RFC says.
    fn response(server: &TsigKey, request: &Signed, at_secs: u64, error: u16) -> Vec<u8> {
        let plain = vec![0, 7, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let times = Times { signed_secs: at_secs, fudge_secs: FUDGE_SECS, error, other: Vec::new() };
        let mut prefix = Vec::new();
        put_data(&mut prefix, &request.signature).unwrap();
        let signature = server.signature(&[&prefix, &plain, &server.variables(&times).unwrap()]);
        server.appended(plain, [0, 7], &times, &signature).unwrap()
    }

    #[test]
    fn hmac_md5_is_that_of_the_published_vectors() {
        // RFC 2202 2, cases 1, 2 and 6.
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(hmac_md5(&[0x0b; 16], &[b"Hi ", b"There"])), "9294727a3638bb1c13f48ef8158bfc9d");
        assert_eq!(hex(hmac_md5(b"Jefe", &[b"what do ya want for nothing?"])), "750c783e6ab0b503eaa86e310a5db738");
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hex(hmac_md5(&[0xaa; 80], &[text])), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    #[test]
    fn signed_response_is_accepted_with_every_algorithm() {
        for algorithm in [
            "hmac-md5",
            "HMAC-MD5.SIG-ALG.REG.INT.",
            "hmac-sha1.",
            "hmac-sha224",
            "hmac-sha256",
            "hmac-sha384",
            "hmac-sha512",
        ] {
            let key = key(algorithm);
            let signed = key.sign(request(), NOW).unwrap();
            assert_eq!(signed.message[11], 1, "the TSIG record is counted");
            assert_eq!(key.verify(&signed, &response(&key, &signed, NOW + 10, 0), NOW), Ok(()), "{algorithm}");
        }
    }

    #[test]
    fn changed_old_and_unsigned_responses_are_refused() {
        let key = key("hmac-sha256");
        let signed = key.sign(request(), NOW).unwrap();
        let verify = |response: &[u8]| key.verify(&signed, response, NOW).unwrap_err();
        let good = response(&key, &signed, NOW, 0);
        for at in [3, good.len() - 10] {
            let mut changed = good.clone();
            changed[at] ^= 1;
            assert!(verify(&changed).contains("signature is wrong"), "byte {at}");
        }
        assert!(verify(&response(&key, &signed, NOW - 400, 0)).contains("clocks"));
        assert!(verify(&[0, 7, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0]).contains("no signature"));
        assert!(verify(&good[..good.len() - 1]).contains("cut off"));
        let other = TsigKey::new("other", "hmac-sha256", "c2VjcmV0").unwrap();
        assert!(verify(&response(&other, &signed, NOW, 0)).contains("another key"));
        assert!(!is_signed(&[0; 12]) && is_signed(&good));
    }

    #[test]
    fn reason_of_the_server_is_told() {
        let key = key("hmac-sha256");
        let signed = key.sign(request(), NOW).unwrap();
        for (error, text) in [(16, "BADSIG"), (17, "acme. with hmac-sha256"), (18, "clock"), (22, "TSIG error 22")] {
            let message = key.verify(&signed, &response(&key, &signed, NOW, error), NOW).unwrap_err();
            assert!(message.contains(text), "{message}");
        }
    }

    #[test]
    fn unusable_key_is_an_error_without_the_secret() {
        let error = |name, algorithm, secret| TsigKey::new(name, algorithm, secret).err().unwrap();
        assert!(error("a", "hmac-sha3", "c2VjcmV0").contains("hmac-sha3"));
        let message = error("a", "hmac-sha256", "no base64!");
        assert!(message.contains("base64") && !message.contains("no base64!"), "{message}");
        assert!(error("a b", "hmac-sha256", "c2VjcmV0").contains("a b"));
    }
}
