//! Signatures of requests to AWS (Signature Version 4).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

/// The access key that signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub key_id: String,
    pub secret: String,
    /// The session token of temporary credentials.
    pub token: Option<String>,
}

/// The parts of a request that are signed.
pub struct Signable<'a> {
    pub method: &'a str,
    /// The path with its escapes; each segment is escaped once more, as all services but S3 want it.
    pub path: &'a str,
    /// The query's parameters, escaped, without `?`.
    pub query: &'a str,
    /// The header fields with names in lower case, `host` and `x-amz-date` among them.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
}

/// The service and the time that a signature is made for.
pub struct Scope<'a> {
    pub region: &'a str,
    pub service: &'a str,
    /// `YYYYMMDD'T'HHMMSS'Z'`, the same text as in `x-amz-date`.
    pub date: &'a str,
}

/// The value of the header field `Authorization`.
pub fn authorization(request: &Signable<'_>, scope: &Scope<'_>, credentials: &Credentials) -> String {
    let day = scope.date.get(..8).unwrap_or(scope.date);
    let credential_scope = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let (canonical, signed_headers) = canonical_request(request);
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{credential_scope}\n{}", scope.date, sha256_hex(canonical.as_bytes()));
    let mut key = format!("AWS4{}", credentials.secret).into_bytes();
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = sign(&key, part);
    }
    let signature = hex(&sign(&key, &to_sign));
    let key_id = &credentials.key_id;
    format!(
        "AWS4-HMAC-SHA256 Credential={key_id}/{credential_scope}, SignedHeaders={signed_headers}, Signature={signature}"
    )
}

/// The canonical form of the request, and the names of its signed fields.
fn canonical_request(request: &Signable<'_>) -> (String, String) {
    let mut headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.split_whitespace().collect::<Vec<&str>>().join(" ")))
        .collect();
    headers.sort();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<&str>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let mut query: Vec<String> = request
        .query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| if part.contains('=') { part.to_owned() } else { format!("{part}=") })
        .collect();
    query.sort();
    let (query, hash) = (query.join("&"), sha256_hex(request.body.as_bytes()));
    let path = request.path.replace('%', "%25");
    (format!("{}\n{path}\n{query}\n{lines}\n{names}\n{hash}", request.method), names)
}

fn sign(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Credentials {
        Credentials {
            key_id: "AKIDEXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            token: None,
        }
    }

    fn signature(request: &Signable<'_>, service: &str) -> String {
        let scope = Scope { region: "us-east-1", service, date: "20150830T123600Z" };
        let signed = authorization(request, &scope, &example());
        assert!(signed.starts_with(&format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, SignedHeaders="
        )));
        signed.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn signature_is_that_of_the_published_test_suite() {
        let host = ("host", "example.amazonaws.com");
        let date = ("x-amz-date", "20150830T123600Z");
        let headers = [host, date];
        let get = |query| Signable { method: "GET", path: "/", query, headers: &headers, body: "" };
        // get-vanilla, get-vanilla-query-order-key-case, post-vanilla.
        let vanilla = signature(&get(""), "service");
        assert_eq!(vanilla, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        let query = signature(&get("Param2=value2&Param1=value1"), "service");
        assert_eq!(query, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
        let post = Signable { method: "POST", path: "/", query: "", headers: &headers, body: "" };
        assert_eq!(signature(&post, "service"), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    }

    #[test]
    fn signature_is_that_of_the_guides_example() {
        let headers = [
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
        ];
        let query = "Action=ListUsers&Version=2010-05-08";
        let request = Signable { method: "GET", path: "/", query, headers: &headers, body: "" };
        assert_eq!(signature(&request, "iam"), "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
    }
}
