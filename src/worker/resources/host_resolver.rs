//! The flattened hosts that a worker knows (docs/reference/rules.md#cname-flattening). The control plane looks names up; a request waits for
//! the first answer for its host, and uses it until it has expired. An expired answer stays in use until the next one is there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;

use crate::http::flattened_host::{AskHost, FlattenedHost, HostQuestion};
use crate::limits;
use crate::net::Deadlines;
use crate::rule::canonical_host;

/// The names of one worker.
pub struct HostResolver {
    ask: AskHost,
    known: RefCell<HashMap<Box<[u8]>, Known>>,
}

struct Known {
    name: Option<Arc<str>>,
    valid_until_nanos: u64,
    /// The answer that replaces this one.
    next: Option<oneshot::Receiver<FlattenedHost>>,
}

impl HostResolver {
    pub fn new(ask: AskHost) -> Self {
        HostResolver { ask, known: RefCell::default() }
    }

    /// The name that the host's CNAME records lead to; `None` if it has none, or if no answer comes in time. `host` is as received.
    pub async fn flattened(&self, host: &[u8], deadlines: &Deadlines, now_nanos: u64) -> Option<Arc<str>> {
        let mut key = Vec::with_capacity(host.len());
        canonical_host(host, &mut key);
        if let Some(known) = self.known.borrow_mut().get_mut(&key[..]) {
            return self.renewed(&key, known, now_nanos);
        }
        let question = self.question(&key)?;
        // Boxed: only the first request for a name waits.
        Box::pin(self.first_answer(key, question, deadlines, now_nanos)).await
    }

    async fn first_answer(
        &self,
        key: Vec<u8>,
        mut answer: oneshot::Receiver<FlattenedHost>,
        deadlines: &Deadlines,
        now_nanos: u64,
    ) -> Option<Arc<str>> {
        let limit = Duration::from_secs(limits::HOST_LOOK_UP_WAIT_SECS);
        let retry = Duration::from_secs(limits::HOST_LOOK_UP_RETRY_SECS);
        // Without an answer no later request for the host waits: the next ones look whether the answer has come, or ask again.
        let (name, valid_for, next) = match deadlines.within(limit, &mut answer).await {
            Ok(Ok(FlattenedHost { name, valid_for })) => (name, valid_for, None),
            Ok(Err(_)) => (None, retry, None),
            Err(_) => (None, Duration::ZERO, Some(answer)),
        };
        let mut known = self.known.borrow_mut();
        if known.len() >= limits::FLATTENED_HOSTS_MAX {
            make_space(&mut known, now_nanos);
        }
        let valid_until_nanos = after(now_nanos, valid_for);
        known.insert(key.into(), Known { name: name.clone(), valid_until_nanos, next });
        name
    }

    /// The name of a known host. Asks again once the answer has expired, and takes the new answer when it is there.
    fn renewed(&self, key: &[u8], known: &mut Known, now_nanos: u64) -> Option<Arc<str>> {
        if now_nanos < known.valid_until_nanos {
            return known.name.clone();
        }
        match known.next.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(Some(answer))) => {
                known.name = answer.name;
                known.valid_until_nanos = after(now_nanos, answer.valid_for);
                known.next = None;
            }
            Some(Ok(None)) => {}
            // The look-up failed: the last answer stays in use, and the next question follows later.
            Some(Err(_)) => {
                known.valid_until_nanos = after(now_nanos, Duration::from_secs(limits::HOST_LOOK_UP_RETRY_SECS));
                known.next = None;
            }
            None => known.next = self.question(key),
        }
        known.name.clone()
    }

    /// Asks for a host; `None` if it is no name that the DNS can have.
    fn question(&self, key: &[u8]) -> Option<oneshot::Receiver<FlattenedHost>> {
        if !is_domain_name(key) {
            return None;
        }
        let host = String::from_utf8(key.to_vec()).ok()?;
        let (answer, receiver) = oneshot::channel();
        (self.ask)(HostQuestion { host, answer });
        Some(receiver)
    }
}

/// Removes expired answers, or else one answer.
fn make_space(known: &mut HashMap<Box<[u8]>, Known>, now_nanos: u64) {
    known.retain(|_, known| now_nanos < known.valid_until_nanos);
    if known.len() >= limits::FLATTENED_HOSTS_MAX
        && let Some(any) = known.keys().next().cloned()
    {
        known.remove(&any);
    }
}

fn after(now_nanos: u64, time: Duration) -> u64 {
    now_nanos.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// Whether a host can have records: at least two labels, letters, digits, hyphens and underscores, and no address.
fn is_domain_name(host: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= 63
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let mut labels = host.split(|byte| *byte == b'.');
    // The last label of an address is a number; no top-level domain is.
    let last_is_number =
        host.rsplit(|byte| *byte == b'.').next().is_some_and(|last| last.iter().all(u8::is_ascii_digit));
    host.len() <= 253 && host.contains(&b'.') && labels.all(is_label) && !last_is_number
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::Mutex;

    const SECOND: u64 = 1_000_000_000;

    fn answer(name: Option<&str>, secs: u64) -> FlattenedHost {
        FlattenedHost { name: name.map(Arc::from), valid_for: Duration::from_secs(secs) }
    }

    /// A resolver whose questions are answered from a list, and the hosts that were asked for.
    fn resolver(answers: Vec<Option<FlattenedHost>>) -> (HostResolver, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answers, log) = (Mutex::new(answers.into_iter()), Arc::clone(&asked));
        let ask: AskHost = Arc::new(move |question: HostQuestion| {
            log.lock().unwrap().push(question.host);
            if let Some(answer) = answers.lock().unwrap().next().flatten() {
                let _ = question.answer.send(answer);
            }
        });
        (HostResolver::new(ask), asked)
    }

    fn flattened(resolver: &HostResolver, host: &str, now_nanos: u64) -> Option<Arc<str>> {
        let deadlines = Deadlines::default();
        let found = resolver.flattened(host.as_bytes(), &deadlines, now_nanos).now_or_never();
        found.expect("no wait")
    }

    #[test]
    fn answer_is_used_until_it_expires_and_then_replaced_without_a_wait() {
        let (resolver, asked) = resolver(vec![Some(answer(Some("cdn.test"), 10)), Some(answer(Some("new.test"), 10))]);
        assert_eq!(flattened(&resolver, "A.test:80", 0).as_deref(), Some("cdn.test"));
        assert_eq!(flattened(&resolver, "a.test.", 9 * SECOND).as_deref(), Some("cdn.test"));
        assert_eq!(flattened(&resolver, "a.test", 10 * SECOND).as_deref(), Some("cdn.test"), "the old one meanwhile");
        assert_eq!(flattened(&resolver, "a.test", 11 * SECOND).as_deref(), Some("new.test"));
        assert_eq!(*asked.lock().unwrap(), ["a.test", "a.test"]);
    }

    #[test]
    fn failed_renewal_keeps_the_last_answer_and_is_repeated_later() {
        let (resolver, asked) = resolver(vec![Some(answer(Some("cdn.test"), 1)), None, Some(answer(None, 10))]);
        for now in [0, 2 * SECOND, 3 * SECOND, 4 * SECOND] {
            assert_eq!(flattened(&resolver, "a.test", now).as_deref(), Some("cdn.test"));
        }
        assert_eq!(asked.lock().unwrap().len(), 2);
        let later = (4 + limits::HOST_LOOK_UP_RETRY_SECS) * SECOND;
        assert_eq!(flattened(&resolver, "a.test", later).as_deref(), Some("cdn.test"));
        assert_eq!(flattened(&resolver, "a.test", later).as_deref(), None);
    }

    #[test]
    fn failed_first_look_up_is_not_waited_for_again() {
        let (resolver, asked) = resolver(vec![None, Some(answer(Some("cdn.test"), 10))]);
        let retry = limits::HOST_LOOK_UP_RETRY_SECS * SECOND;
        for (now, name) in [(0, None), (1, None), (retry - 1, None), (retry, None), (retry + 1, Some("cdn.test"))] {
            assert_eq!(flattened(&resolver, "a.test", now).as_deref(), name, "{now}");
        }
        assert_eq!(asked.lock().unwrap().len(), 2);
    }

    #[test]
    fn hosts_that_the_dns_cannot_have_are_not_asked_for() {
        let (resolver, asked) = resolver(Vec::new());
        for host in ["", "localhost", "10.0.0.1:80", "[::1]", "a..b", "a b.test", "ä.test", "a.test/x"] {
            assert_eq!(flattened(&resolver, host, 0), None, "{host}");
        }
        assert_eq!(flattened(&resolver, &format!("{}.test", "a".repeat(64)), 0), None);
        assert!(asked.lock().unwrap().is_empty());
    }

    #[test]
    fn known_hosts_are_bounded() {
        let answers = (0..limits::FLATTENED_HOSTS_MAX + 5).map(|_| Some(answer(None, 1000))).collect();
        let (resolver, _) = resolver(answers);
        for n in 0..limits::FLATTENED_HOSTS_MAX + 5 {
            flattened(&resolver, &format!("a{n}.test"), 0);
        }
        assert_eq!(resolver.known.borrow().len(), limits::FLATTENED_HOSTS_MAX);
    }
}
