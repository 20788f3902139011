//! One certificate, from order to PEM text, by HTTP-01 (RFC 8555 7.4 and 8.3).

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

/// The problem type of an account that the authority does not know (any more) (RFC 8555 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// How often an issued certificate is asked for, and the pause between two tries.
const DOWNLOADS_MAX: usize = 4;
const DOWNLOAD_PAUSE: Duration = Duration::from_secs(2);

/// Why an order failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderError {
    /// A sentence for the log.
    pub reason: String,
    /// The account is unknown to the authority: register anew before the next try.
    pub account_is_gone: bool,
}

/// Obtains one certificate for `names` (the first is the main one).
///
/// Answers stand in `challenges` exactly as long as the order runs, also when it is dropped half-way.
///
/// # Errors
/// [`Failure`], naming the host whose validation failed if there is one.
pub async fn obtain(
    account: &Account,
    names: &[String],
    key_type: KeyType,
    challenges: &Arc<ArcSwap<ChallengeTable>>,
    patience: Duration,
) -> Result<Stored, OrderError> {
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.clone())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let policy = RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(patience);
    let answers = answer_all(&mut order, challenges).await?;
    let status = match order.state().status {
        // Authorisations from before are still valid: nothing was asked.
        OrderStatus::Ready => OrderStatus::Ready,
        _ => match order.poll_ready(&policy).await {
            Ok(status) => status,
            Err(error) => return Err(with_reasons(&mut order, OrderError::from(error)).await),
        },
    };
    drop(answers);
    if status != OrderStatus::Ready {
        let failure = OrderError::because(format!("the order became {status:?}"));
        return Err(with_reasons(&mut order, failure).await);
    }
    let key = new_key(key_type).await?;
    order.finalize_csr(&signing_request(names, &key.pair).map_err(OrderError::because)?).await?;
    let chain = download(&mut order, &policy, DOWNLOAD_PAUSE).await?;
    let [main, sans @ ..] = names else { return Err(OrderError::because("no names to order")) };
    Ok(Stored { main: main.clone(), sans: sans.to_vec(), certificate: chain.into_bytes(), key: key.pem.into_bytes() })
}

/// The issued certificate with its chain. Another order would count against the authority's limits, so a download that fails is tried again.
async fn download(order: &mut Order, policy: &RetryPolicy, pause: Duration) -> Result<String, Error> {
    for _ in 1..DOWNLOADS_MAX {
        match order.poll_certificate(policy).await {
            Err(error) if order.state().status == OrderStatus::Valid => {
                warn!("the certificate is issued and cannot be downloaded yet: {}", explain(&error));
                tokio::time::sleep(pause).await;
            }
            outcome => return outcome,
        }
    }
    order.poll_certificate(policy).await
}

/// Makes the key away from this thread, which serves every provider: RSA4096, the default, takes seconds.
async fn new_key(key_type: KeyType) -> Result<NewKey, OrderError> {
    let made = tokio::task::spawn_blocking(move || key_type.generate()).await;
    made.map_err(|e| OrderError::because(e.to_string()))?.map_err(OrderError::because)
}

/// The answers of one order; dropping them takes them back.
struct Answers {
    table: Arc<ArcSwap<ChallengeTable>>,
    given: Vec<(String, String)>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        for (token, host) in &self.given {
            self.table.rcu(|table| table.without(token, host));
        }
    }
}

async fn answer_all(order: &mut Order, challenges: &Arc<ArcSwap<ChallengeTable>>) -> Result<Answers, OrderError> {
    let mut answers = Answers { table: challenges.clone(), given: Vec::new() };
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
        let (token, answer) = (challenge.token.clone(), challenge.key_authorization());
        challenges.rcu(|table| table.with(&token, &host, answer.as_str()));
        answers.given.push((token, host));
        challenge.set_ready().await?;
    }
    Ok(answers)
}

/// Adds what the authority says about each failed name: the order itself only says that it failed.
async fn with_reasons(order: &mut Order, failure: OrderError) -> OrderError {
    // The order's copy of the authorisations is from before the validation.
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
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
    /// A failure with a plain reason.
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
    async fn the_thread_goes_on_while_a_key_is_made() {
        let mut key = std::pin::pin!(new_key(KeyType::Rsa2048));
        let mut turns_of_others = 0_u32;
        loop {
            tokio::select! {
                biased;
                made = &mut key => {
                    assert!(made.is_ok_and(|key| key.pem.starts_with("-----BEGIN RSA PRIVATE KEY-----")));
                    break;
                }
                () = tokio::task::yield_now() => turns_of_others += 1,
            }
        }
        assert!(turns_of_others > 0, "the key was made on the thread that waits for it");
    }

    const CHAIN: &str = "-----BEGIN CERTIFICATE-----";

    /// An authority that has issued a certificate, and hands it out after so many failures.
    #[derive(Clone)]
    struct Authority {
        failures: usize,
        downloads: Arc<AtomicUsize>,
    }

    impl Authority {
        fn answer(&self, path: &str) -> (u16, String) {
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
            let (status, text) = self.answer(request.uri().path());
            let response = Response::builder()
                .status(status)
                .header("Replay-Nonce", "nonce")
                .header("Location", "https://ca.test/account")
                .body(BodyWrapper::from(text.into_bytes()));
            Box::pin(async { response.map(BytesResponse::from).map_err(|e| Error::Other(Box::new(e))) })
        }
    }

    #[tokio::test]
    async fn an_issued_certificate_whose_download_fails_is_asked_for_again() {
        for (failures, is_got, downloads) in [(0, true, 1), (3, true, 4), (4, false, 4)] {
            let authority = Authority { failures, downloads: Arc::default() };
            let counted = Arc::clone(&authority.downloads);
            let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
            let builder = Account::builder_with_http(Box::new(authority));
            let (account, _) =
                builder.create(&new, "https://ca.test/directory".into(), None).await.expect("an account");
            let mut order = account.order("https://ca.test/order".into()).await.expect("an order");
            let got = download(&mut order, &RetryPolicy::new(), Duration::ZERO).await;
            assert_eq!(got.is_ok_and(|chain| chain == CHAIN), is_got, "{failures} failures");
            assert_eq!(counted.load(Relaxed), downloads, "{failures} failures");
        }
    }
}
