//! Authentication schemes that authenticate a connection instead of a request (docs/reference/backends.md#connection-based-authentication).
//! A connection on which one of them was used belongs to one client: another client whose request went out on it would act as that client.

/// The schemes, in lower case. NTLM and Negotiate are in use at IIS, Exchange and SharePoint; Nego2 and Kerberos are kin of Negotiate.
const SCHEMES: [&[u8]; 4] = [b"ntlm", b"negotiate", b"nego2", b"kerberos"];

/// Whether the value of an Authorization field has one of the schemes.
pub fn is_bound_credential(value: &[u8]) -> bool {
    let scheme = value.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Whether one of the challenges in a WWW-Authenticate field has one of the schemes. A parameter of another challenge that reads like one
/// counts too: that costs a connection to the server its reuse, and nothing else.
pub fn has_bound_challenge(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|challenge| is_bound_credential(challenge.trim_ascii_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_of_connections_are_recognised_in_any_case() {
        for bound in ["NTLM", "ntlm TlRMTVNTUAAB", "Negotiate", "NEGOTIATE\tYII=", "Nego2 x", "Kerberos x"] {
            assert!(is_bound_credential(bound.as_bytes()), "{bound}");
            assert!(has_bound_challenge(bound.as_bytes()), "{bound}");
            assert!(has_bound_challenge(format!("Basic realm=\"a\", {bound}").as_bytes()), "{bound}");
        }
        for other in
            ["", "Basic bnRsbTpuZWdvdGlhdGU=", "Bearer ntlm", "Digest username=\"NTLM\"", "NTLMv2", "SCRAM-SHA-256 x"]
        {
            assert!(!is_bound_credential(other.as_bytes()), "{other}");
            assert!(!has_bound_challenge(other.as_bytes()), "{other}");
        }
    }
}
