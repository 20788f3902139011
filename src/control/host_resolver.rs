//! Looks up the CNAME records of hosts for the workers (docs/reference/rules.md#cname-flattening), with a cache by the records' TTL.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

use super::acme::dns::message::{Data, rtype};
use super::acme::dns::resolver::{Resolver, servers_of};
use crate::http::flattened_host::{AskHost, FlattenedHost, HostQuestion};
use crate::limits;

/// How long it counts that a host has no CNAME record, as in Traefik.
const NO_RECORD_SECS: u64 = 30 * 60;
/// The shortest and the longest time that an answer is used, whatever its record says.
const VALID_SECS_MIN: u64 = 10;
const VALID_SECS_MAX: u64 = 24 * 3600;

/// The options of `[hostResolver]`.
#[derive(Debug, Clone)]
pub struct HostResolverSettings {
    /// The file that names the DNS servers.
    pub resolv_config: String,
    /// The most CNAME records that are followed.
    pub depth: usize,
}

/// The questions of the workers, which [`run`] answers.
pub struct HostQuestions(Receiver<HostQuestion>);

/// Makes the function that workers ask with, and the other end.
pub fn questions() -> (AskHost, HostQuestions) {
    let (sender, receiver) = channel(limits::HOST_LOOK_UPS_MAX);
    // A full channel drops the question: its request is routed by its own host.
    let ask: AskHost = Arc::new(move |question| drop(sender.try_send(question)));
    (ask, HostQuestions(receiver))
}

/// Answers questions until the process ends.
pub async fn run(settings: HostResolverSettings, mut questions: HostQuestions) {
    let (settings, state) = (Rc::new(settings), Rc::new(RefCell::new(State::default())));
    while let Some(HostQuestion { host, answer }) = questions.0.recv().await {
        if !state.borrow_mut().needs_look_up(&host, answer) {
            continue;
        }
        let (settings, state) = (Rc::clone(&settings), Rc::clone(&state));
        tokio::task::spawn_local(async move {
            let found = look_up(&settings, &host).await;
            state.borrow_mut().finish(&host, found);
        });
    }
}

#[derive(Default)]
struct State {
    known: HashMap<String, (FlattenedHost, Instant)>,
    /// The questions that wait for a look-up in progress.
    waiting: HashMap<String, Vec<oneshot::Sender<FlattenedHost>>>,
    is_failing: bool,
}

impl State {
    /// Answers a question from the cache or adds it to those that wait. Returns whether a look-up has to begin.
    fn needs_look_up(&mut self, host: &str, answer: oneshot::Sender<FlattenedHost>) -> bool {
        let now = Instant::now();
        if let Some((known, until)) = self.known.get(host)
            && now < *until
        {
            let _ = answer.send(FlattenedHost { valid_for: *until - now, ..known.clone() });
            return false;
        }
        let is_full = self.waiting.len() >= limits::HOST_LOOK_UPS_MAX;
        match self.waiting.entry(host.to_owned()) {
            Entry::Occupied(waiting) => {
                if waiting.get().len() < limits::HOST_LOOK_UPS_MAX {
                    waiting.into_mut().push(answer);
                }
                false
            }
            Entry::Vacant(_) if is_full => false,
            Entry::Vacant(vacant) => {
                vacant.insert(vec![answer]);
                true
            }
        }
    }

    /// Answers those that wait. A look-up that failed has no answer, and is not remembered.
    fn finish(&mut self, host: &str, found: Result<FlattenedHost, String>) {
        let waiting = self.waiting.remove(host).unwrap_or_default();
        let found = match found {
            Ok(found) => found,
            Err(reason) => return self.log_failure(host, &reason),
        };
        self.is_failing = false;
        for answer in waiting {
            let _ = answer.send(found.clone());
        }
        let now = Instant::now();
        if self.known.len() >= limits::FLATTENED_HOSTS_MAX {
            self.known.retain(|_, (_, until)| now < *until);
        }
        if self.known.len() >= limits::FLATTENED_HOSTS_MAX
            && let Some(any) = self.known.keys().next().cloned()
        {
            self.known.remove(&any);
        }
        let until = now + found.valid_for;
        self.known.insert(host.to_owned(), (found, until));
    }

    /// Logs a failure at the default level until a look-up succeeds: clients choose hosts, and must not fill the log.
    fn log_failure(&mut self, host: &str, reason: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(
                "hostResolver: the CNAME record of {host} cannot be looked up: {reason}. Its requests are routed by their own host; \
                 more failures are logged at the level DEBUG until a look-up succeeds"
            );
        } else {
            tracing::debug!("hostResolver: the CNAME record of {host} cannot be looked up: {reason}");
        }
    }
}

/// Follows the CNAME records of a host. The first record's TTL counts for the whole, as in Traefik.
async fn look_up(settings: &HostResolverSettings, host: &str) -> Result<FlattenedHost, String> {
    let path = &settings.resolv_config;
    let text = std::fs::read_to_string(path).map_err(|e| format!("hostResolver.resolvConfig: {path}: {e}"))?;
    let servers = servers_of(&text);
    if servers.is_empty() {
        return Err(format!("hostResolver.resolvConfig: {path} names no name server"));
    }
    let resolver = Resolver::new(&servers);
    let (mut name, mut secs): (Option<String>, u64) = (None, NO_RECORD_SECS);
    for depth in 0..settings.depth {
        let asked = name.as_deref().unwrap_or(host);
        let response = match resolver.query(asked, rtype::CNAME).await {
            Ok(response) => response,
            // A later record that cannot be looked up ends the chain, as in Traefik.
            Err(_) if depth > 0 => break,
            Err(error) => return Err(error.0),
        };
        let record = response.answers.into_iter().find_map(|answer| match answer.data {
            Data::Cname(target) => Some((target, answer.ttl_secs)),
            _ => None,
        });
        let Some((target, ttl_secs)) = record else { break };
        if depth == 0 {
            secs = u64::from(ttl_secs);
        }
        name = Some(target.trim_end_matches('.').to_owned());
    }
    let valid_for = Duration::from_secs(secs.clamp(VALID_SECS_MIN, VALID_SECS_MAX));
    Ok(FlattenedHost { name: name.map(Arc::from), valid_for })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str) -> FlattenedHost {
        FlattenedHost { name: Some(name.into()), valid_for: Duration::from_secs(60) }
    }

    #[tokio::test]
    async fn questions_for_one_host_share_a_look_up_and_its_answer() {
        let mut state = State::default();
        let (first, one) = oneshot::channel();
        let (second, two) = oneshot::channel();
        assert!(state.needs_look_up("a.test", first));
        assert!(!state.needs_look_up("a.test", second));
        state.finish("a.test", Ok(answer("b.test")));
        assert_eq!((one.await, two.await), (Ok(answer("b.test")), Ok(answer("b.test"))));
        let (third, three) = oneshot::channel();
        assert!(!state.needs_look_up("a.test", third));
        assert_eq!(three.await.expect("from the cache").name.as_deref(), Some("b.test"));
    }

    #[tokio::test]
    async fn failed_look_up_drops_its_questions_and_is_begun_again() {
        let mut state = State::default();
        let (sender, receiver) = oneshot::channel();
        assert!(state.needs_look_up("a.test", sender));
        state.finish("a.test", Err("no server".into()));
        assert!(receiver.await.is_err());
        assert!(state.needs_look_up("a.test", oneshot::channel().0));
    }

    #[test]
    fn look_ups_at_one_time_are_bounded() {
        let mut state = State::default();
        let begun = (0..limits::HOST_LOOK_UPS_MAX + 10)
            .filter(|n| state.needs_look_up(&format!("a{n}.test"), oneshot::channel().0))
            .count();
        assert_eq!(begun, limits::HOST_LOOK_UPS_MAX);
    }

    #[tokio::test]
    async fn file_without_servers_is_an_error_that_names_it() {
        let settings = HostResolverSettings { resolv_config: "/no/such/resolv.conf".into(), depth: 5 };
        let error = look_up(&settings, "a.test").await.unwrap_err();
        assert!(error.contains("/no/such/resolv.conf"), "{error}");
    }
}
