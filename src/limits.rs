//! Every bound on what a client, a backend or a container can make grow, by name, units last: one that exists but is not here is a bug.
//! A number that bounds nothing of theirs stands beside its only use. What is counted when one of them is exceeded: [`Bound`].

mod bound;

pub use bound::Bound;

/// A request head: above it 431. Traefik's Go server allows about 1 MiB (docs/reference/entry-points.md#sizes); half of that is already far past any browser.
pub const REQUEST_HEAD_BYTES_MAX: usize = 512 * 1024;
/// Fields of one head: above it 431.
pub const HEAD_FIELDS_MAX: usize = 1024;
/// The request target: above it 414.
pub const TARGET_BYTES_MAX: usize = 64 * 1024;
/// A response head of a backend: above it 502.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 512 * 1024;
/// The method: a longer first word is garbage, not a method.
pub const METHOD_BYTES_MAX: usize = 32;
/// Options that all Connection fields of one head may name: each is compared with each field.
pub const CONNECTION_OPTIONS_MAX: usize = 64;
/// Empty lines that are skipped before a request line (RFC 9112 2.2).
pub const LEADING_LINES_MAX: usize = 2;

/// Digits of a chunk's size, leading zeros included.
pub const CHUNK_SIZE_DIGITS_MAX: u32 = 16;
/// Framing bytes (chunk extensions above all) that may run ahead of the payload they come with (CVE-2023-39326).
pub const CHUNK_OVERHEAD_BYTES_MAX: u64 = 16 * 1024;
/// Trailers of one chunked body: their lines, and how many.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;
pub const TRAILER_FIELDS_MAX: usize = 64;

/// Plaintext that may wait as ciphertext inside a TLS session. A little over 256 KiB, so that one turn can encrypt 256 KiB (16 records
/// and their framing) and hand them out in one piece.
pub const TLS_OUTPUT_BYTES_MAX: usize = 288 * 1024;
/// TLS 1.2 sessions without tickets that are remembered for one entry point.
pub const TLS_SESSIONS_MAX: usize = 16 * 1024;

/// The first read of a connection: holds nearly every request and small response whole.
pub const HEAD_BUFFER_BYTES: usize = 8 * 1024;
/// What a stream that is not counted reads at a time, and what one turn of a copied body moves at the most. The second is so small that
/// the body, its TLS records and the output stay in the core's own cache: with 256 KiB, 42 % of the time went into waiting for memory.
pub const COPY_BUFFER_MIN_BYTES: usize = 16 * 1024;
pub const COPY_BUFFER_MAX_BYTES: usize = 80 * 1024;
/// What may have been read of pipelined requests, behind the one that is being answered. Requests are answered one by one, and nothing is
/// read meanwhile: a client that sends more fills the sockets' queues, then it has to wait. No request is refused for it.
pub const PIPELINED_BYTES_MAX: usize = COPY_BUFFER_MAX_BYTES;
/// What is held in memory whole goes out in pieces of this size: a peer that takes one within the time for one that stands still is not
/// too slow.
pub const HELD_PIECE_BYTES: usize = COPY_BUFFER_MAX_BYTES;
/// A body with at least this much left goes through a pipe instead of a buffer, where both ends are plain sockets.
pub const SPLICE_MIN_BYTES: u64 = 32 * 1024;
/// From so many bytes on, TLS records go from the session to a plain socket by a system call of their own: what is shorter is copied
/// once more and leaves with the other operations of the ring.
pub const RECORDS_AT_ONCE_MIN_BYTES: usize = 16 * 1024;
/// The size asked for a pipe, and how many a worker keeps.
pub const PIPE_BYTES: usize = 256 * 1024;
pub const PIPES_POOLED_MAX: usize = 128;
/// A sender of a long body is waited for until so much has come, or the rest, but not longer than this: one that is slower is forwarded as
/// it sends.
pub const LOW_WATER_BYTES: usize = 256 * 1024;
pub const LOW_WATER_MILLIS: u64 = 5;
/// What one connection may splice, or copy, before the others get their turn.
pub const SPLICE_TURN_BYTES: usize = 1024 * 1024;
pub const COPY_TURN_BYTES: usize = 256 * 1024;

/// Copy buffers of bodies kept by one worker, of [`COPY_BUFFER_MAX_BYTES`] each.
pub const COPY_BUFFERS_MAX: usize = 16;

/// Connections of one worker that hold a buffer while they idle, so that what comes next needs one operation less: to backends, and
/// of clients. Those beyond it are looked at first.
pub const READS_AHEAD_MAX: usize = 256;

/// Buffers kept for the next connection by one worker, and the largest that is kept.
pub const POOLED_BUFFERS_MAX: usize = 1024;
pub const POOLED_BUFFER_BYTES_MAX: usize = 32 * 1024;
/// After so many heartbeats a worker lets go what it keeps for reuse and has not needed since the last such look.
pub const TRIM_BEATS: u64 = 2;
/// Where so many went, the allocator is told to give freed memory back: it looks at all pages of the thread.
pub const SPARES_WORTH_RELEASING: usize = 16;

/// A client that opened a connection and has not sent a whole head.
pub const HEAD_READ_SECS: u64 = 60;
/// Opening a connection to a backend (Traefik's default, docs/reference/static-configuration.md#timeouts).
pub const DIAL_SECS: u64 = 30;
/// A TLS handshake (Traefik's fixed value, docs/reference/entry-points.md#waits).
pub const HANDSHAKE_SECS: u64 = 10;
/// A peer that takes none of our bytes, a client that sends none of a body it announced, a server that sends none of one that is held.
pub const STALLED_BODY_SECS: u64 = 180;
/// The step in which the waits of a worker are measured; a limit is kept to within two of them.
pub const DEADLINE_TICK_MILLIS: u64 = 100;
/// How often a client whose answer is under way is looked at: one that has gone ends the request.
pub const DISCONNECT_POLL_MILLIS: u64 = 1000;
/// The least a client sends of a body while it is waited for that long; one byte now and then must not hold a backend's connection.
pub const BODY_BYTES_PER_STALL_MIN: u64 = 1024;
/// After an answer that could not wait for the whole request: how long, and how much, is still read before the connection closes.
pub const LINGER_SECS: u64 = 2;
pub const LINGER_BYTES_MAX: usize = 256 * 1024;

/// An idle upstream connection (Traefik's fixed value, docs/reference/static-configuration.md#timeouts).
pub const UPSTREAM_IDLE_SECS: u64 = 90;
/// Informational responses (1xx) in front of one final response.
pub const INFORMATIONAL_MAX: usize = 16;
/// Servers that one request tries if it cannot connect (refused, unreachable, timed out or failed handshake), the first included.
pub const CONNECT_ATTEMPTS_MAX: usize = 4;
/// Connect failures in a row that eject a server, and the interval in which one request probes whether it is back.
pub const CONNECT_FAILURES_MAX: u32 = 3;
pub const EJECTION_SECS: u64 = 10;
/// The interval of a backend's health check, whatever its label says: a shorter one is raised to it, so that no container keeps the
/// thread busy.
pub const HEALTH_CHECK_INTERVAL_MIN_MILLIS: u64 = 10;
/// What `Retry-After` says when a backend has no server that is up: a container that restarts takes about so long.
pub const RETRY_AFTER_SECS: u32 = 5;
/// A body that buffering holds, whatever the configuration allows: above it 413 for a request, 500 for a response.
pub const BUFFERED_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The body of an error page.
pub const PAGE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An authentication server's refusal: a longer one counts as a failed call.
pub const AUTH_ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// The whole of an authentication server's answer (Traefik since 1.7.21): a later one counts as a failed call.
pub const AUTH_ANSWER_SECS: u64 = 30;
/// A document for the REST provider.
pub const REST_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bodies, and requests' heads above [`HEAD_BUFFER_BYTES`], that one worker holds in memory at one time, all together.
pub const HELD_BYTES_PER_WORKER_MAX: usize = 256 * 1024 * 1024;
/// Tries of one request under `[retry]`, whatever `attempts` says: a refused connection costs no time, so the loop needs an end.
pub const RETRY_ATTEMPTS_MAX: u32 = 100;

/// Accept operations in flight per listener and worker: one completes per submission, so a burst needs several.
pub const ACCEPTS_IN_FLIGHT: usize = 4;
/// The pause after an accept failed for want of descriptors: retrying at once would spin.
pub const ACCEPT_PAUSE_MILLIS: u64 = 50;
/// Connections that other workers have passed on to one and that it has not begun; further ones are served where they were accepted.
pub const HANDOFF_QUEUE_MAX: usize = 128;
/// How often a worker looks whether it is to begin or to end accepting.
pub const ACCEPT_POLL_MILLIS: u64 = 50;
/// A shortage that lasts is told this often.
pub const SHORTAGE_LOG_SECS: u64 = 10;
/// A worker's ring must carry one byte this often, and a worker silent for so many looks in a row has failed.
pub const HEARTBEAT_SECS: u64 = 1;
pub const HEARTBEATS_MISSED_MAX: u32 = 30;
/// Threads that look up server names; each look-up may block one for seconds.
pub const LOOKUP_THREADS_MAX: usize = 8;
/// How long a start waits for a port that is still taken.
pub const BIND_RETRY_MILLIS: u64 = 2000;
/// How long the process that takes over may take to start, and how long each start waits for its first routes.
pub const SUCCESSOR_READY_SECS: u64 = 60;
pub const PROVIDERS_READY_SECS: u64 = 10;
/// How long the workers may take to end accepting.
pub const ACCEPT_STOP_SECS: u64 = 5;
/// How long the last save of `acme.json` may take, before a hand-over or the end.
pub const ACME_FINAL_SAVE_SECS: u64 = 2;
/// How long a process that was taken over from keeps connections on which nothing is asked.
pub const IDLE_AFTER_HAND_OVER_SECS: u64 = 10;
/// The listen queue asked of the kernel (it clips to net.core.somaxconn).
pub const LISTEN_BACKLOG: i32 = 4096;

/// Connections of clients that the process holds for each of its workers, all workers and entry points counted together, unless
/// `maxConnections` says how many; further ones are closed at once and counted.
pub const CONNECTIONS_PER_WORKER_MAX: usize = 100_000;
/// The part of all connections that one client address (IPv6: its /64) may hold unless `maxConnectionsPerAddress` says how many; further
/// ones are closed at once and counted. A load balancer in front is one address too: this only keeps a single one from taking all places.
pub const CONNECTIONS_PER_ADDRESS_DIVISOR: usize = 2;

/// `traefik.*` labels of one container, and their names and values together: above either the container is left out.
pub const LABELS_PER_CONTAINER_MAX: usize = 1000;
pub const LABEL_BYTES_PER_CONTAINER_MAX: usize = 256 * 1024;
/// The labels that the segments of one container inherit from it, once for each segment: above it the container is left out.
pub const INHERITED_LABEL_BYTES_PER_CONTAINER_MAX: usize = 4 * 1024 * 1024;
/// The rule texts of one frontend: above it the frontend is left out.
pub const RULE_BYTES_MAX: usize = 64 * 1024;
/// A compiled regular expression: a label cannot make the proxy hold an unbounded automaton. A Unicode class as often as a DNS label is
/// long takes 2.7 MiB. And how many of them one frontend's rule may have, or all frontends of one container: those of 4 MiB take the
/// control plane's one thread 20 ms each.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;
pub const RULE_EXPRESSIONS_MAX: usize = 64;
/// An automaton over many routes' patterns: the routes are tested one by one if it would take more. What it learns from requests is
/// forgotten when it has grown to so much, in each worker.
pub const FILTER_PROGRAM_BYTES_MAX: usize = 64 * 1024 * 1024;
pub const FILTER_CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An answer of the Docker Engine.
pub const ENGINE_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// `acme.json`, when it is read: a thousand certificates are about 10 MiB.
pub const ACME_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Certificates that one provider may list, and that ACME may be asked for; further ones are left out, and said.
pub const CERTIFICATES_MAX: usize = 10_000;

/// Sources that a rate limit or connection limit keeps apart at one time (the library behind Traefik keeps as many).
pub const SOURCES_MAX: usize = 65_536;
/// Nonces of digest authentication; beyond it the ones longest unused go.
pub const NONCES_MAX: usize = 1000;
/// Credentials of one request: longer ones are refused unread. No browser sends them, and each costs a hash.
pub const CREDENTIAL_BYTES_MAX: usize = 4096;
/// Right credentials that are remembered; a newer one may push out an older one.
pub const CREDENTIALS_REMEMBERED_MAX: usize = 4096;
/// A bcrypt cost above this takes more than a minute per request and would block a pool thread.
pub const BCRYPT_COST_MAX: u32 = 20;
/// Rounds beyond the first that a retryExpression may cause.
pub const EXTRA_ROUNDS_MAX: u32 = 10;
/// Threads that verify slow password hashes, and the requests that may wait for them.
pub const VERIFY_THREADS: usize = 2;
pub const VERIFY_QUEUE_MAX: usize = 256;

/// Ring entries asked for first; halved down to the second on ENOMEM (docs/reference/drivers.md#memlock).
pub const RING_ENTRIES: u32 = 2048;
pub const RING_ENTRIES_MIN: u32 = 256;
/// Completions the ring holds before the kernel must keep them elsewhere.
pub const RING_COMPLETIONS: u32 = 16 * 1024;

/// Bytes of one log (the access log, the process's own) waiting in memory for its writer; above it lines are dropped and counted.
pub const LOG_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

const _: () = assert!(RING_ENTRIES_MIN <= RING_ENTRIES && RING_ENTRIES <= RING_COMPLETIONS);
const _: () = assert!(COPY_BUFFER_MIN_BYTES <= COPY_BUFFER_MAX_BYTES);
// Behind a body as much may have been read as its buffer holds, behind a head as much as one that is kept for reuse.
const _: () = assert!(COPY_BUFFER_MAX_BYTES <= PIPELINED_BYTES_MAX && POOLED_BUFFER_BYTES_MAX <= PIPELINED_BYTES_MAX);
const _: () = assert!(BUFFERED_BODY_BYTES_MAX <= HELD_BYTES_PER_WORKER_MAX);
const _: () = assert!(TARGET_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(HEAD_BUFFER_BYTES <= POOLED_BUFFER_BYTES_MAX);
