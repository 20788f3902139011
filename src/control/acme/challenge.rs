//! Answers the challenges of an order by HTTP-01, TLS-ALPN-01 or DNS-01, and takes the answers away afterwards.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use instant_acme::{ChallengeType, KeyAuthorization};
use tracing::warn;

use crate::tls::alpn_challenge;
use crate::tls::challenge::ChallengeTable;

use super::dns::{ChallengeRecord, DnsChallenge, Turn};

/// The challenge by which the authority validates names, one for all orders.
#[derive(Clone)]
pub enum ChallengeKind {
    Http,
    TlsAlpn,
    Dns(Arc<DnsChallenge>),
    /// None can be used, for this reason: every order fails without a request.
    Unusable(String),
}

impl ChallengeKind {
    /// The challenge in the authority's terms (RFC 8555 8, RFC 8737).
    pub fn challenge_type(&self) -> ChallengeType {
        match self {
            ChallengeKind::Http => ChallengeType::Http01,
            ChallengeKind::TlsAlpn => ChallengeType::TlsAlpn01,
            ChallengeKind::Dns(_) => ChallengeType::Dns01,
            ChallengeKind::Unusable(_) => ChallengeType::Unknown("none".to_owned()),
        }
    }

    /// The answers of one order in rounds: those of a later round are published after those of an earlier one are checked and withdrawn. Only
    /// names whose DNS records exclude each other are in different rounds.
    pub fn rounds(&self, answers: Vec<PendingAnswer>) -> Vec<Vec<PendingAnswer>> {
        let ChallengeKind::Dns(dns) = self else { return vec![answers] };
        let positions = dns.rounds(answers.iter().map(|answer| &answer.name));
        let mut rounds: Vec<Vec<PendingAnswer>> = Vec::new();
        for (round, answer) in positions.into_iter().zip(answers) {
            rounds.resize_with(rounds.len().max(round + 1), Vec::new);
            if let Some(answers) = rounds.get_mut(round) {
                answers.push(answer);
            }
        }
        // All orders take their turns in this order, so none waits for another that waits for it.
        rounds.iter_mut().for_each(|round| round.sort_by(|one, other| one.name.cmp(&other.name)));
        rounds
    }

    /// The name of the challenge, for messages and the API.
    pub fn name(&self) -> &'static str {
        match self {
            ChallengeKind::Http => "http-01",
            ChallengeKind::TlsAlpn => "tls-alpn-01",
            ChallengeKind::Dns(_) => "dns-01",
            ChallengeKind::Unusable(_) => "none",
        }
    }
}

/// The answer of one name to its challenge.
pub struct PendingAnswer {
    /// The name as ordered: with `*.` for a wildcard.
    pub name: String,
    pub token: String,
    pub key_authorization: KeyAuthorization,
}

/// The published answers of one order. Dropping this removes those that the proxy gives itself; [`PublishedAnswers::withdraw`] removes DNS
/// records too.
pub struct PublishedAnswers {
    kind: ChallengeKind,
    table: Arc<ArcSwap<ChallengeTable>>,
    /// Name and token of each answer.
    published: Vec<(String, String)>,
    records: Vec<ChallengeRecord>,
    /// Held until the records are removed.
    turns: Vec<Turn>,
}

impl PublishedAnswers {
    pub fn new(kind: &ChallengeKind, table: &Arc<ArcSwap<ChallengeTable>>) -> PublishedAnswers {
        PublishedAnswers {
            kind: kind.clone(),
            table: Arc::clone(table),
            published: Vec::new(),
            records: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// Publishes the answers; DNS records are waited for. Returns the names whose answer could not be published, with the reasons.
    pub async fn publish(&mut self, answers: &[PendingAnswer]) -> Vec<(String, String)> {
        match self.kind.clone() {
            ChallengeKind::Http => {
                for answer in answers {
                    let (token, host) = (&answer.token, &answer.name);
                    self.table.rcu(|table| table.with(token, host, answer.key_authorization.as_str()));
                    self.published.push((host.clone(), token.clone()));
                }
                Vec::new()
            }
            ChallengeKind::TlsAlpn => answers.iter().filter_map(|answer| self.publish_alpn(answer).err()).collect(),
            ChallengeKind::Dns(dns) => self.publish_records(&dns, answers).await,
            ChallengeKind::Unusable(reason) => {
                answers.iter().map(|answer| (answer.name.clone(), reason.clone())).collect()
            }
        }
    }

    fn publish_alpn(&mut self, answer: &PendingAnswer) -> Result<(), (String, String)> {
        let digest = answer.key_authorization.digest();
        let digest = <&[u8; 32]>::try_from(digest.as_ref()).map_err(|e| (answer.name.clone(), e.to_string()))?;
        let config = alpn_challenge::config(&answer.name, digest).map_err(|e| (answer.name.clone(), e.to_string()))?;
        self.table.rcu(|table| table.with_alpn(&answer.name, &config));
        self.published.push((answer.name.clone(), String::new()));
        Ok(())
    }

    /// Writes the records one after the other, since services limit how often they are asked, then waits for all of them together.
    async fn publish_records(&mut self, dns: &DnsChallenge, answers: &[PendingAnswer]) -> Vec<(String, String)> {
        let (mut failed, mut written) = (Vec::new(), Vec::new());
        for answer in answers {
            let record = ChallengeRecord::new(&answer.name, &answer.token, answer.key_authorization.as_str());
            self.turns.push(dns.turn(&record).await);
            // Remembered before it is written: a service may have written a record although its answer was lost.
            self.records.push(record.clone());
            match dns.present(&record).await {
                Ok(()) => written.push((answer.name.clone(), record)),
                Err(e) => failed.push((answer.name.clone(), e.to_string())),
            }
        }
        let waits = written.iter().map(|(name, record)| async move {
            dns.wait_until_visible(record).await.err().map(|e| (name.clone(), e.to_string()))
        });
        failed.extend(join_all(waits).await.into_iter().flatten());
        failed
    }

    /// Removes all answers. A DNS record that cannot be removed is logged: the certificate is not affected.
    pub async fn withdraw(mut self) {
        let ChallengeKind::Dns(dns) = self.kind.clone() else { return };
        for record in std::mem::take(&mut self.records) {
            remove_record(&dns, &record).await;
        }
    }
}

async fn remove_record(dns: &DnsChallenge, record: &ChallengeRecord) {
    if let Err(e) = dns.clean_up(record).await {
        warn!("the TXT record of {} could not be removed, remove it by hand: {e}", record.fqdn());
    }
}

impl Drop for PublishedAnswers {
    fn drop(&mut self) {
        for (name, token) in &self.published {
            match self.kind {
                ChallengeKind::Http => self.table.rcu(|table| table.without(token, name)),
                _ => self.table.rcu(|table| table.without_alpn(name)),
            };
        }
        // Records are left if the order's time is over: they are removed by a task of its own.
        let ChallengeKind::Dns(dns) = self.kind.clone() else { return };
        let records = std::mem::take(&mut self.records);
        if !records.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            spawn_removal(dns, records, std::mem::take(&mut self.turns));
        }
    }
}

fn spawn_removal(dns: Arc<DnsChallenge>, records: Vec<ChallengeRecord>, turns: Vec<Turn>) {
    tokio::task::spawn_local(async move {
        let _turns = turns;
        for record in &records {
            remove_record(&dns, record).await;
        }
    });
}
