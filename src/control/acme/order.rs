//! Obtains one certificate, from the order to the PEM text, with the HTTP-01 challenge (RFC 8555 7.4 and 8.3).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use tracing::warn;

use crate::tls::challenge::ChallengeTable;

use super::account::explain;
use super::keys::{KeyType, NewKey};
use super::store::Stored;

/// The problem type for an account that the authority does not know, or does not know any more (RFC 8555 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// The maximum number of attempts to download an issued certificate.
const DOWNLOADS_MAX: usize = 4;
/// The pause between two attempts to download a certificate.
const DOWNLOAD_PAUSE: Duration = Duration::from_secs(2);

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderError {
    /// A sentence for the log.
    pub reason: String,
    /// Whether the authority does not know the account: a new one must be registered before the next attempt.
    pub account_is_gone: bool,
}

/// Obtains one certificate for `names` (the first is the main one). `timeout` limits each wait for the authority to process the order.
///
/// The challenge responses are in `challenges` until the names are validated, and are removed if the future is dropped before.
///
/// # Errors
/// [`OrderError`], whose reason names the hosts whose validation failed.
pub async fn obtain(
    account: &Account,
    names: &[String],
    key_type: KeyType,
    challenges: &Arc<ArcSwap<ChallengeTable>>,
    timeout: Duration,
) -> Result<Stored, OrderError> {
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let policy = RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(timeout);
    let responses = publish_challenges(&mut order, challenges).await?;
    let status = match order.state().status {
        // Earlier authorisations of all names are still valid: there is no challenge.
        OrderStatus::Ready => OrderStatus::Ready,
        _ => match order.poll_ready(&policy).await {
            Ok(status) => status,
            Err(error) => return Err(with_reasons(&mut order, OrderError::from(error)).await),
        },
    };
    drop(responses);
    if status != OrderStatus::Ready {
        let failure = OrderError::because(format!("the authority set the order to {status:?}"));
        return Err(with_reasons(&mut order, failure).await);
    }
    let key = new_key(key_type).await?;
    order.finalize_csr(&signing_request(names, &key.pair).map_err(OrderError::because)?).await?;
    let chain = download(&mut order, &policy, DOWNLOAD_PAUSE).await?;
    let [main, sans @ ..] = names else { return Err(OrderError::because("no names to order")) };
    Ok(Stored { main: main.clone(), sans: sans.to_vec(), certificate: chain.into_bytes(), key: key.pem.into_bytes() })
}

/// Downloads the issued certificate with its chain. A failed download is retried, because a new order would count against the authority's
/// limits.
async fn download(order: &mut Order, policy: &RetryPolicy, pause: Duration) -> Result<String, Error> {
    for _ in 1..DOWNLOADS_MAX {
        match order.poll_certificate(policy).await {
            Err(error) if order.state().status == OrderStatus::Valid => {
                warn!("the certificate is issued but cannot be downloaded yet, trying again: {}", explain(&error));
                tokio::time::sleep(pause).await;
            }
            outcome => return outcome,
        }
    }
    order.poll_certificate(policy).await
}

/// Generates the key on a blocking thread, because RSA4096, the default, takes seconds and this thread runs all providers.
async fn new_key(key_type: KeyType) -> Result<NewKey, OrderError> {
    let generated = tokio::task::spawn_blocking(move || key_type.generate()).await;
    generated.map_err(|e| OrderError::because(e.to_string()))?.map_err(OrderError::because)
}

/// The published challenge responses of one order; dropping this removes them from the table.
struct PublishedChallenges {
    table: Arc<ArcSwap<ChallengeTable>>,
    /// Token and host of each response.
    published: Vec<(String, String)>,
}

impl Drop for PublishedChallenges {
    fn drop(&mut self) {
        for (token, host) in &self.published {
            self.table.rcu(|table| table.without(token, host));
        }
    }
}

/// Publishes the response to the HTTP-01 challenge of each name that is not authorised yet, and tells the authority that it is ready.
async fn publish_challenges(
    order: &mut Order,
    challenges: &Arc<ArcSwap<ChallengeTable>>,
) -> Result<PublishedChallenges, OrderError> {
    let mut responses = PublishedChallenges { table: challenges.clone(), published: Vec::new() };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let host = match &authorization.identifier().identifier {
            Identifier::Dns(name) => name.clone(),
            other => {
                return Err(OrderError::because(format!("the authority asks for {other:?}, which was not ordered")));
            }
        };
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            other => return Err(OrderError::because(format!("{host}: the authorisation is {other:?}"))),
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
            return Err(OrderError::because(format!(
                "{host}: the authority offers no http-01 challenge for this name"
            )));
        };
        let (token, response) = (challenge.token.clone(), challenge.key_authorization());
        challenges.rcu(|table| table.with(&token, &host, response.as_str()));
        responses.published.push((token, host));
        challenge.set_ready().await?;
    }
    Ok(responses)
}

/// Replaces the reason by the authority's problem for each failed name, if there are any: the order itself only has the status.
async fn with_reasons(order: &mut Order, failure: OrderError) -> OrderError {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // The order's copy of the authorisation dates from before the validation.
        let Ok(state) = authorization.refresh().await else { break };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        let Some(problem) = problem else { continue };
        let text = problem.detail.clone().unwrap_or_else(|| problem.to_string());
        reasons.push(format!("{}: {text}", state.identifier()));
    }
    if reasons.is_empty() {
        return failure;
    }
    OrderError { reason: reasons.join("; "), ..failure }
}

fn signing_request(names: &[String], pair: &rcgen::KeyPair) -> Result<Vec<u8>, String> {
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(|e| e.to_string())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(pair).map_err(|e| e.to_string())?.der().to_vec())
}

impl OrderError {
    /// An error with this reason, for an account that exists.
    pub fn because(reason: impl Into<String>) -> OrderError {
        OrderError { reason: reason.into(), account_is_gone: false }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> OrderError {
        let account_is_gone = matches!(&error, Error::Api(problem) if problem.r#type.as_deref() == Some(NO_ACCOUNT));
        OrderError { reason: explain(&error), account_is_gone }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use hyper::body::Bytes;
    use hyper::{Request, Response};
    use instant_acme::{BodyWrapper, BytesResponse, HttpClient, NewAccount};

    use super::*;

    #[tokio::test]
    async fn key_generation_does_not_block_the_thread() {
        let mut key = std::pin::pin!(new_key(KeyType::Rsa2048));
        let mut other_polls = 0_u32;
        loop {
            tokio::select! {
                biased;
                generated = &mut key => {
                    assert!(generated.is_ok_and(|key| key.pem.starts_with("-----BEGIN RSA PRIVATE KEY-----")));
                    break;
                }
                () = tokio::task::yield_now() => other_polls += 1,
            }
        }
        assert!(other_polls > 0, "the key was generated on the waiting thread");
    }

    const CHAIN: &str = "-----BEGIN CERTIFICATE-----";

    /// An authority that has issued a certificate and serves it after the given number of failed downloads.
    #[derive(Clone)]
    struct Authority {
        failures: usize,
        downloads: Arc<AtomicUsize>,
    }

    impl Authority {
        fn respond(&self, path: &str) -> (u16, String) {
            match path {
                "/directory" => {
                    let urls = ["newNonce", "newAccount", "newOrder"].map(|name| format!(r#""{name}":"https://ca.test/{name}""#));
                    (200, format!("{{{}}}", urls.join(",")))
                }
                "/newNonce" => (200, String::new()),
                "/newAccount" => (201, r#"{"status":"valid"}"#.into()),
                "/order" => (
                    200,
                    r#"{"status":"valid","authorizations":[],"finalize":"https://ca.test/none","certificate":"https://ca.test/chain"}"#
                        .into(),
                ),
                "/chain" if self.downloads.fetch_add(1, Relaxed) >= self.failures => (200, CHAIN.into()),
                "/chain" => (503, r#"{"detail":"try later"}"#.into()),
                other => (404, format!(r#"{{"detail":"{other}"}}"#)),
            }
        }
    }

    impl HttpClient for Authority {
        fn request(
            &self,
            request: Request<BodyWrapper<Bytes>>,
        ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
            let (status, text) = self.respond(request.uri().path());
            let response = Response::builder()
                .status(status)
                .header("Replay-Nonce", "nonce")
                .header("Location", "https://ca.test/account")
                .body(BodyWrapper::from(text.into_bytes()));
            Box::pin(async { response.map(BytesResponse::from).map_err(|e| Error::Other(Box::new(e))) })
        }
    }

    #[tokio::test]
    async fn failed_download_of_issued_certificate_is_retried() {
        for (failures, is_downloaded, downloads) in [(0, true, 1), (3, true, 4), (4, false, 4)] {
            let authority = Authority { failures, downloads: Arc::default() };
            let counted = Arc::clone(&authority.downloads);
            let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
            let builder = Account::builder_with_http(Box::new(authority));
            let (account, _) =
                builder.create(&new, "https://ca.test/directory".into(), None).await.expect("an account");
            let mut order = account.order("https://ca.test/order".into()).await.expect("an order");
            let outcome = download(&mut order, &RetryPolicy::new(), Duration::ZERO).await;
            assert_eq!(outcome.is_ok_and(|chain| chain == CHAIN), is_downloaded, "{failures} failures");
            assert_eq!(counted.load(Relaxed), downloads, "{failures} failures");
        }
    }
}
