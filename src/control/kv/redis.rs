//! Redis: keys of type string in one database. Changes are followed with keyspace notifications.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use redis::aio::{MultiplexedConnection, PubSub, PubSubStream};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, RedisError, cmd};

use super::dial::Endpoints;
use super::store::{Answer, Changes, Condition, Entry, Event, Revision, Store, StoreError, spellings};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys of one step of a listing.
const SCAN_COUNT: usize = 10_000;
/// Without notifications, all keys are read this often.
const POLL_PERIOD: Duration = Duration::from_secs(5);
/// Writes a key if it has the expected value.
const SET_IF_EQUAL: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0";

/// A connection to a server.
#[derive(Clone)]
pub struct Redis {
    connection: MultiplexedConnection,
    endpoints: Endpoints,
    info: RedisConnectionInfo,
}

impl Redis {
    /// Connects, logs in if there is a password, and chooses the database.
    pub async fn connect(endpoints: Endpoints, username: &str, password: &str, db: i64) -> Result<Redis, StoreError> {
        let mut info = RedisConnectionInfo::default().set_db(db).set_skip_set_lib_name();
        if !username.is_empty() {
            info = info.set_username(username);
        }
        if !password.is_empty() {
            info = info.set_password(password);
        }
        let failed = |why: String| StoreError(format!("redis {}: cannot connect: {why}", endpoints.list()));
        let connect = async {
            let stream = endpoints.dial().await.map_err(|error| error.to_string())?;
            let config = AsyncConnectionConfig::new().set_response_timeout(Some(REQUEST_TIMEOUT));
            MultiplexedConnection::new_with_config(&info, stream, config).await.map_err(|error| error.to_string())
        };
        let timed_out = |_| Err(format!("no answer in {} s", REQUEST_TIMEOUT.as_secs()));
        let connected = tokio::time::timeout(REQUEST_TIMEOUT, connect).await.unwrap_or_else(timed_out);
        let (connection, driver) = connected.map_err(failed)?;
        // The driver ends when all clones of the connection are dropped.
        tokio::task::spawn_local(driver);
        Ok(Redis { connection, endpoints, info })
    }

    fn failed(&self, doing: &str, error: &RedisError) -> StoreError {
        StoreError(format!("redis {}: cannot {doing}: {error}", self.endpoints.list()))
    }

    async fn call<T: FromRedisValue>(&self, doing: &str, command: &Cmd) -> Result<T, StoreError> {
        let mut connection = self.connection.clone();
        command.query_async(&mut connection).await.map_err(|error| self.failed(doing, &error))
    }

    async fn values(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut values = Vec::with_capacity(keys.len());
        for part in keys.chunks(SCAN_COUNT) {
            let mut command = cmd("MGET");
            command.arg(part);
            values.extend(self.call::<Vec<Option<Vec<u8>>>>("read keys", &command).await?);
        }
        Ok(values)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = BTreeSet::new();
        for spelling in spellings(prefix) {
            let mut cursor = 0u64;
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(format!("{}*", escape(&spelling))).arg("COUNT").arg(SCAN_COUNT);
                scan.arg("TYPE").arg("string");
                let (next, found): (u64, Vec<Vec<u8>>) = self.call("list keys", &scan).await?;
                keys.extend(found.into_iter().filter_map(|key| String::from_utf8(key).ok()));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(keys.into_iter().collect())
    }

    async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let keys = self.keys(prefix).await?;
        let values = self.values(&keys).await?;
        let entry = |(key, value): (String, Option<Vec<u8>>)| {
            let value = value?;
            Some(Entry { key, revision: Revision::Value(value.clone()), value })
        };
        Ok(keys.into_iter().zip(values).filter_map(entry).collect())
    }

    /// Whether the server reports changes of keys; switches that on if it does not and may be told to.
    async fn has_notifications(&self) -> bool {
        let get = || async {
            let mut command = cmd("CONFIG");
            command.arg("GET").arg("notify-keyspace-events");
            let found: Vec<String> = self.call("read the settings", &command).await.ok()?;
            found.into_iter().nth(1)
        };
        let is_enough =
            |flags: &str| flags.contains('K') && (flags.contains('A') || "g$x".chars().all(|c| flags.contains(c)));
        let Some(flags) = get().await else { return false };
        if !is_enough(&flags) {
            let mut command = cmd("CONFIG");
            command.arg("SET").arg("notify-keyspace-events").arg(format!("{flags}Kg$x"));
            let _: Result<(), StoreError> = self.call("switch notifications on", &command).await;
        }
        get().await.is_some_and(|flags| is_enough(&flags))
    }

    /// The stream of notifications about the prefix, on a connection of its own.
    async fn notifications(&self, prefix: &str) -> Result<PubSubStream, StoreError> {
        let refused = |error: RedisError| self.failed("follow changes", &error);
        let stream = self.endpoints.dial().await.map_err(|error| refused(error.into()))?;
        let mut subscription = PubSub::new(&self.info, stream).await.map_err(refused)?;
        for spelling in spellings(prefix) {
            let pattern = format!("__keyspace@{}__:{}*", self.info.db(), escape(&spelling));
            subscription.psubscribe(pattern).await.map_err(refused)?;
        }
        Ok(subscription.into_on_message())
    }
}

impl Store for Redis {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Entry>> {
        Box::pin(async move {
            let key = key.trim_start_matches('/').to_owned();
            let mut command = cmd("GET");
            command.arg(&key);
            let value: Option<Vec<u8>> = self.call("read a key", &command).await?;
            Ok(value.map(|value| Entry { key, revision: Revision::Value(value.clone()), value }))
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Entry>> {
        Box::pin(self.entries(prefix))
    }

    fn follow<'a>(&'a self, prefix: &'a str) -> Answer<'a, (Vec<Entry>, Box<dyn Changes>)> {
        Box::pin(async move {
            let redis = self.clone();
            if !self.has_notifications().await {
                tracing::error!(
                    "redis {}: the server does not report changes, so all keys are read every {} s: set notify-keyspace-events to Kg$x",
                    self.endpoints.list(),
                    POLL_PERIOD.as_secs()
                );
                let changes: Box<dyn Changes> = Box::new(RedisPolling { redis, prefix: prefix.to_owned() });
                return Ok((self.entries(prefix).await?, changes));
            }
            // The subscription comes before the listing, so that no change is between the two.
            let stream = self.notifications(prefix).await?;
            let entries = self.entries(prefix).await?;
            let changes: Box<dyn Changes> = Box::new(RedisChanges { redis, stream, changed: BTreeSet::new() });
            Ok((entries, changes))
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Vec<u8>, condition: Condition) -> Answer<'a, bool> {
        Box::pin(async move {
            let key = key.trim_start_matches('/');
            let mut command = match condition {
                Condition::Any | Condition::Absent => cmd("SET"),
                Condition::Unchanged(_) => cmd("EVAL"),
            };
            match condition {
                Condition::Any => drop(command.arg(key).arg(value)),
                Condition::Absent => drop(command.arg(key).arg(value).arg("NX")),
                Condition::Unchanged(Revision::Value(before)) => {
                    command.arg(SET_IF_EQUAL).arg(1).arg(key).arg(before).arg(value);
                    return Ok(self.call::<i64>("write a key", &command).await? == 1);
                }
                Condition::Unchanged(Revision::Number(_)) => return Ok(false),
            }
            Ok(self.call::<Option<String>>("write a key", &command).await?.is_some())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut command = cmd("DEL");
            command.arg(key.trim_start_matches('/'));
            self.call::<i64>("remove a key", &command).await.map(drop)
        })
    }
}

struct RedisChanges {
    redis: Redis,
    stream: PubSubStream,
    /// Keys that were reported and are not read yet.
    changed: BTreeSet<String>,
}

impl Changes for RedisChanges {
    fn next(&mut self) -> Answer<'_, Event> {
        Box::pin(async move {
            while self.changed.is_empty() {
                let Some(message) = self.stream.next().await else { return Err(self.ended()) };
                self.changed.extend(key_of(message.get_channel_name()));
            }
            while let Some(message) = self.stream.next().now_or_never() {
                let Some(message) = message else { return Err(self.ended()) };
                self.changed.extend(key_of(message.get_channel_name()));
            }
            let keys: Vec<String> = self.changed.iter().cloned().collect();
            let values = self.redis.values(&keys).await?;
            self.changed.clear();
            Ok(Event::Changes(keys.into_iter().zip(values).collect()))
        })
    }
}

impl RedisChanges {
    fn ended(&self) -> StoreError {
        StoreError(format!("redis {}: the connection that reports changes has ended", self.redis.endpoints.list()))
    }
}

/// The key in the name of a notification's channel: `__keyspace@0__:traefik/alias`.
fn key_of(channel: &str) -> Option<String> {
    channel.split_once("__:").map(|(_, key)| key.to_owned())
}

struct RedisPolling {
    redis: Redis,
    prefix: String,
}

impl Changes for RedisPolling {
    fn next(&mut self) -> Answer<'_, Event> {
        Box::pin(async move {
            tokio::time::sleep(POLL_PERIOD).await;
            Ok(Event::Listing(self.redis.entries(&self.prefix).await?))
        })
    }
}

/// A text in a pattern of Redis, where some characters have a meaning of their own.
fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_notification_keeps_its_separators() {
        assert_eq!(
            key_of("__keyspace@3__:traefik/frontends/a__:b/backend").as_deref(),
            Some("traefik/frontends/a__:b/backend")
        );
        assert_eq!(escape("a*[b]/"), "a\\*\\[b\\]/");
    }
}
