//! Every bound on what a client, a backend or a container can make grow, named with the unit at the end. A bound that is not in this file
//! is a bug; a number that bounds nothing of theirs is defined beside its only use. [`Bound`] names what the metrics count when a bound is
//! exceeded.

mod bound;

pub use bound::Bound;

/// Bytes of a request head: 431 above it. Traefik's Go server allows about 1 MiB (docs/reference/entry-points.md#sizes); half of that is
/// far more than any browser sends.
pub const REQUEST_HEAD_BYTES_MAX: usize = 512 * 1024;
/// Fields of one head: 431 above it, 502 for a response.
pub const HEAD_FIELDS_MAX: usize = 1024;
/// Bytes of a request target: 414 above it.
pub const TARGET_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a backend's response head: 502 above it.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a method: 400 above it. No method of a real client is this long.
pub const METHOD_BYTES_MAX: usize = 32;
/// Options that all Connection fields of one head may name together: each option is compared with each field.
pub const CONNECTION_OPTIONS_MAX: usize = 64;
/// Empty lines that are skipped before a request line (RFC 9112 2.2).
pub const LEADING_LINES_MAX: usize = 2;

/// Digits of a chunk's size, leading zeros included.
pub const CHUNK_SIZE_DIGITS_MAX: u32 = 16;
/// Bytes of the chunk extensions of one body beyond what each chunk is granted, twice its size plus 16 bytes (CVE-2023-39326).
pub const CHUNK_OVERHEAD_BYTES_MAX: u64 = 16 * 1024;
/// Bytes of the trailer lines of one chunked body.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Trailer lines of one chunked body.
pub const TRAILER_FIELDS_MAX: usize = 64;

/// Bytes of plaintext that may wait as ciphertext inside a TLS session. A little over 256 KiB: one turn can then encrypt 256 KiB (16
/// records and their framing) and send them in one piece.
pub const TLS_OUTPUT_BYTES_MAX: usize = 288 * 1024;
/// TLS 1.2 sessions without tickets that are stored for one entry point.
pub const TLS_SESSIONS_MAX: usize = 16 * 1024;

/// Size of the buffer for a connection's first read: nearly every request and small response fits.
pub const HEAD_BUFFER_BYTES: usize = 8 * 1024;
/// Size of one read of a stream without a length (an upgraded connection, TLS ciphertext).
pub const COPY_BUFFER_MIN_BYTES: usize = 16 * 1024;
/// Bytes that one turn of a copied body moves at most. The value is small so that the body, its TLS records and the output stay in the
/// core's own cache: with 256 KiB, 42 % of the time went into waiting for memory.
pub const COPY_BUFFER_MAX_BYTES: usize = 80 * 1024;
/// Bytes of pipelined requests that may be read behind the request in progress. Requests are answered one by one, and the worker reads
/// nothing meanwhile: a client that sends more fills the sockets' queues and then has to wait. No request is refused because of it.
pub const PIPELINED_BYTES_MAX: usize = COPY_BUFFER_MAX_BYTES;
/// Size of the pieces in which a message that is held whole in memory is sent: the stall timeout applies to each piece, so a peer that
/// takes one piece within it is not too slow.
pub const HELD_PIECE_BYTES: usize = COPY_BUFFER_MAX_BYTES;
/// A body with at least this many bytes left is spliced through a pipe instead of copied, if both ends are plain sockets.
pub const SPLICE_MIN_BYTES: u64 = 32 * 1024;
/// TLS output of at least this many bytes goes from the session to a plain socket by a system call of its own. Shorter output is copied
/// once more and sent with the other operations of the ring.
pub const RECORDS_AT_ONCE_MIN_BYTES: usize = 16 * 1024;
/// Capacity requested for a pipe.
pub const PIPE_BYTES: usize = 256 * 1024;
/// Unused pipes that a worker pools.
pub const PIPES_POOLED_MAX: usize = 128;
/// The worker waits for this many bytes of a long body, or for its rest if that is less, before it forwards a piece.
pub const LOW_WATER_BYTES: usize = 256 * 1024;
/// The wait for [`LOW_WATER_BYTES`] ends after this time. The rest of a slower body is forwarded as it arrives.
pub const LOW_WATER_MILLIS: u64 = 5;
/// Bytes of a stream without a length after which the worker waits for pieces of [`LOW_WATER_BYTES`]: the last one waits in vain, which is
/// nothing beside the time that so many bytes take.
pub const LOW_WATER_STREAM_BYTES: u64 = 4 * 1024 * 1024;
/// Bytes that one connection may splice before it yields to the other connections of its worker.
pub const SPLICE_TURN_BYTES: usize = 1024 * 1024;
/// Bytes that one connection may copy before it yields to the other connections of its worker.
pub const COPY_TURN_BYTES: usize = 256 * 1024;

/// Copy buffers of bodies that one worker pools, of [`COPY_BUFFER_MAX_BYTES`] each.
pub const COPY_BUFFERS_MAX: usize = 16;

/// Idle connections of one worker, to backends and of clients each, that hold a buffer with a read in progress: what comes next then needs
/// one operation less. Further idle connections hold no buffer and wait until the socket is readable.
pub const READS_AHEAD_MAX: usize = 256;

/// Buffers that one worker pools for its next connections.
pub const POOLED_BUFFERS_MAX: usize = 1024;
/// The largest buffer that is pooled.
pub const POOLED_BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Every so many heartbeats a worker frees what its pools have not needed since the last time.
pub const TRIM_BEATS: u64 = 2;
/// If at least so many objects were freed that way, the allocator is told to give freed memory back to the system: that visits all pages of
/// the thread.
pub const SPARES_WORTH_RELEASING: usize = 16;

/// Time for a client to send a whole request head, unless `readTimeout` is set.
pub const HEAD_READ_SECS: u64 = 60;
/// Time for a connect to a server (Traefik's default, docs/reference/static-configuration.md#timeouts).
pub const DIAL_SECS: u64 = 30;
/// Time for a TLS handshake (Traefik's fixed value, docs/reference/entry-points.md#waits).
pub const HANDSHAKE_SECS: u64 = 10;
/// Time for a PROXY header, from its first byte on. A load balancer sends all of its header at once.
pub const PROXY_HEADER_SECS: u64 = 10;
/// Bytes of a PROXY header of version 2: 52 of them with IPv6 addresses, the rest for additional fields, which are skipped.
pub const PROXY_HEADER_BYTES_MAX: usize = 4096;
/// The stall timeout, unless `writeTimeout` is set: for a peer that takes no bytes, a client that sends none of an announced body, and a
/// server that sends none of a response that is held whole.
pub const STALLED_BODY_SECS: u64 = 180;
/// Resolution of a worker's timeouts; each is kept to within two ticks.
pub const DEADLINE_TICK_MILLIS: u64 = 100;
/// Interval of the check whether a client whose response is pending has disconnected: then its request ends.
pub const DISCONNECT_POLL_MILLIS: u64 = 1000;
/// Bytes that a client must send of a body in each stall timeout of waiting: a byte now and then must not hold a server's connection.
pub const BODY_BYTES_PER_STALL_MIN: u64 = 1024;
/// After a response that did not wait for the whole request, the rest of the request is read for this time before the connection closes, or
/// the stream of HTTP/2.
pub const LINGER_SECS: u64 = 2;
/// Bytes of the rest of a request that are read in that time.
pub const LINGER_BYTES_MAX: usize = 256 * 1024;

/// Bytes of payload that a client may send on one stream of HTTP/2 before the proxy has passed them on (SETTINGS_INITIAL_WINDOW_SIZE).
pub const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// Bytes of payload that a client may send on all streams of one HTTP/2 connection before the proxy has passed them on. Four streams whose
/// servers take nothing do not hold up a fifth one yet.
pub const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// The same for a connection that has filled [`CONNECTION_WINDOW_BYTES`], as far as the worker's memory budget allows.
pub const GROWN_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Streams of HTTP/2 that one worker serves at one time, of all clients together: above it streams are refused (REFUSED_STREAM), and
/// clients try again. Each takes about 13 KiB.
pub const STREAMS_PER_WORKER_MAX: usize = 16 * 1024;
/// Output of one HTTP/2 connection that waits for its transport; heads and control frames go beyond it.
pub const OUTPUT_BYTES_MAX: usize = COPY_BUFFER_MAX_BYTES;
/// Waiting output of one HTTP/2 connection that the peer has provoked (acknowledgements, resets): above it nothing is read.
pub const CONTROL_OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a compressed header block: the connection ends above it. Twice the longest head, so that a head that is somewhat too long gets
/// 431.
pub const HEADER_BLOCK_BYTES_MAX: usize = 2 * REQUEST_HEAD_BYTES_MAX;
/// Streams that a client may open and reset before it has their responses, and how many of them a second forgives: a browser that leaves a
/// page resets up to a hundred at once.
pub const RAPID_RESETS_MAX: u32 = 500;
pub const RAPID_RESETS_PER_SECOND: u32 = 100;
/// Streams that the proxy resets or refuses because of the client's own faults.
pub const PROVOKED_RESETS_MAX: u32 = 200;
pub const PROVOKED_RESETS_PER_SECOND: u32 = 20;
/// PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames beyond those that go with requests and payload.
pub const CONTROL_FRAMES_MAX: u32 = 2000;
pub const CONTROL_FRAMES_PER_SECOND: u32 = 500;
/// DATA frames without payload, and CONTINUATION frames.
pub const EMPTY_FRAMES_MAX: u32 = 500;
pub const EMPTY_FRAMES_PER_SECOND: u32 = 100;
/// Bytes of payload sent that pay for one WINDOW_UPDATE: some receivers (Go) return credit with every 4 KiB, for stream and connection each.
pub const PAYLOAD_BYTES_PER_UPDATE: usize = 1024;
/// Turns of one HTTP/2 connection, each of up to 64 streams, before the worker's other connections come first.
pub const TURNS_MAX: usize = 8;
/// Times that the handlers of a connection's streams may be polled in one turn. Each time, one more stream may add its frame to the output.
pub const POLLS_PER_TURN: usize = 16;
/// After this time without a stream an HTTP/2 connection frees what it does not need while it is idle.
pub const IDLE_TRIM_SECS: u64 = 1;
/// Streams whose places an idle HTTP/2 connection keeps.
pub const IDLE_STREAM_SLOTS: usize = 1;
/// Time between the announcement that an HTTP/2 connection ends and its last stream identifier: requests that the client has sent by then
/// are served.
pub const GOAWAY_NOTICE_MILLIS: u64 = 500;

/// Idle timeout of a pooled upstream connection (Traefik's fixed value, docs/reference/static-configuration.md#timeouts).
pub const UPSTREAM_IDLE_SECS: u64 = 90;
/// Requests at a time on one HTTP/2 connection to a server; fewer if the server allows fewer.
pub const SERVER_STREAMS_MAX: u32 = 100;
/// How often a request is sent again to the only server after it was refused: the connection was about to be closed.
pub const REFUSALS_REPEATED_MAX: u8 = 2;
/// Informational responses (1xx) before one final response.
pub const INFORMATIONAL_MAX: usize = 16;
/// Attempts of one request that fail to connect, the first included, unless `[retry]` says how many.
pub const CONNECT_ATTEMPTS_MAX: usize = 4;
/// Failed connects in a row after which a server is ejected.
pub const CONNECT_FAILURES_MAX: u32 = 3;
/// Time until one request probes whether an ejected server is back, and between two such requests.
pub const EJECTION_SECS: u64 = 10;
/// Shortest interval of a backend's health check: a shorter one in a label is raised to it, so that no container keeps the thread busy.
pub const HEALTH_CHECK_INTERVAL_MIN_MILLIS: u64 = 10;
/// Value of `Retry-After` when no server of a backend is up: a container takes about this long to restart.
pub const RETRY_AFTER_SECS: u32 = 5;
/// Bytes of one body that buffering holds, whatever the configuration allows: above it 413 for a request, 500 for a response.
pub const BUFFERED_BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of an error page's body.
pub const PAGE_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the body of an authentication server's response: the call fails above it.
pub const AUTH_RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// Time for the whole response of an authentication server (Traefik since 1.7.21): the call fails after it.
pub const AUTH_RESPONSE_SECS: u64 = 30;
/// Keys below one prefix of a key-value store, and the bytes of all of them with their values: more are not applied.
pub const STORE_KEYS_MAX: usize = 2_000_000;
pub const STORE_LISTING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Bytes of one compressed value of a key-value store, once it is decompressed.
pub const STORE_VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a document for the REST provider.
pub const REST_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one worker holds in memory at one time, in bodies and in request heads above [`HEAD_BUFFER_BYTES`] together.
pub const HELD_BYTES_PER_WORKER_MAX: usize = 256 * 1024 * 1024;
/// Attempts of one request under `[retry]`, whatever `attempts` says: a refused connection costs no time, so the loop needs an end.
pub const RETRY_ATTEMPTS_MAX: u32 = 100;

/// Accept operations in flight per listener and worker: each accepts one connection, so a burst needs several.
pub const ACCEPTS_IN_FLIGHT: usize = 4;
/// Pause after a failed accept: most fail because file descriptors have run out, and a retry at once would spin.
pub const ACCEPT_PAUSE_MILLIS: u64 = 50;
/// Connections in a worker's hand-off queue, passed on by other workers. If it is full, connections are served where they were accepted.
pub const HANDOFF_QUEUE_MAX: usize = 128;
/// Interval in which a worker checks whether to start or stop accepting.
pub const ACCEPT_POLL_MILLIS: u64 = 50;
/// Shortest interval between two log lines about a lasting shortage (file descriptors, connection limit).
pub const SHORTAGE_LOG_SECS: u64 = 10;
/// Interval of a worker's heartbeat, which passes one byte through its ring, and of the watchdog's checks.
pub const HEARTBEAT_SECS: u64 = 1;
/// Checks in a row without a new heartbeat after which the watchdog regards a worker as failed.
pub const HEARTBEATS_MISSED_MAX: u32 = 30;
/// Threads that resolve server names; each look-up may block one for seconds.
pub const LOOKUP_THREADS_MAX: usize = 8;
/// UDP sessions of one worker, of all its entry points, and fewer if descriptors or ports are few: the one that has been idle longest ends for
/// a new one.
pub const UDP_SESSIONS_PER_WORKER_MAX: usize = 16_384;
/// Datagrams of one UDP session that are kept until the server has answered once, to be sent to another server if this one refuses them.
pub const UDP_HELD_DATAGRAMS_MAX: usize = 8;
/// Bytes of these datagrams, for one session.
pub const UDP_HELD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of these datagrams, for all sessions of a worker.
pub const UDP_HELD_BYTES_PER_WORKER_MAX: usize = 4 * 1024 * 1024;
/// Time for which they are kept: a refusal takes one round trip.
pub const UDP_HELD_SECS: u64 = 2;
/// Time for which a UDP session passes answers on after its server was removed from the configuration, or after the proxy was told to stop.
pub const UDP_LAST_ANSWERS_SECS: u64 = 5;
/// Time for which a datagram waits for room in the buffer of its socket.
pub const UDP_SEND_WAIT_MILLIS: u64 = 100;
/// Bytes of the buffers of an entry point's UDP socket that are asked for; the system's own limit is often lower (net.core.rmem_max).
pub const UDP_SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Time for which a start retries to bind a port that is in use.
pub const BIND_RETRY_MILLIS: u64 = 2000;
/// Time for the new process of a hand-over to become ready.
pub const SUCCESSOR_READY_SECS: u64 = 60;
/// Time for which a start waits until every provider is ready and every server name is resolved.
pub const PROVIDERS_READY_SECS: u64 = 10;
/// Time for the workers to stop accepting.
pub const ACCEPT_STOP_SECS: u64 = 5;
/// Time for the last save of `acme.json`, before a hand-over or the exit.
pub const ACME_FINAL_SAVE_SECS: u64 = 2;
/// After a hand-over, the old process keeps connections without a request for this time.
pub const IDLE_AFTER_HAND_OVER_SECS: u64 = 10;
/// Length of the listen queue that is requested from the kernel, which clips it to net.core.somaxconn.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Client connections of the process per worker, all workers and entry points counted together, unless `maxConnections` is set. Further
/// connections are closed at once and counted.
pub const CONNECTIONS_PER_WORKER_MAX: usize = 100_000;
/// Divides the limit of all connections to give that of one client address (IPv6: its /64), unless `maxConnectionsPerAddress` is set.
/// Further connections are closed at once and counted. A load balancer in front is one address too: this only keeps one address from taking
/// all connections.
pub const CONNECTIONS_PER_ADDRESS_DIVISOR: usize = 2;

/// `traefik.*` labels of one container: the container is rejected above it.
pub const LABELS_PER_CONTAINER_MAX: usize = 1000;
/// Bytes of the names and values of these labels together: the container is rejected above it.
pub const LABEL_BYTES_PER_CONTAINER_MAX: usize = 256 * 1024;
/// Bytes of the labels that the segments of one container inherit from it, counted once for each segment: above it the container is
/// rejected.
pub const INHERITED_LABEL_BYTES_PER_CONTAINER_MAX: usize = 4 * 1024 * 1024;
/// Bytes of the rule texts of one frontend: the frontend is rejected above it.
pub const RULE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one compiled regular expression: a label must not make the proxy hold an unbounded automaton. A Unicode class repeated as often
/// as a DNS label is long takes 2.7 MiB.
pub const REGEX_PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Regular expressions in the rule of one frontend, and in all frontends of one container: an expression of 4 MiB keeps the control plane's
/// only thread busy for 20 ms.
pub const RULE_EXPRESSIONS_MAX: usize = 64;
/// Routes that a route is compared with, to find one that takes all its requests. With more, such a route may not be reported.
pub const SHADOW_CANDIDATES_MAX: usize = 64;
/// Pairs of a host and a path by which a route is found that may take all requests of another.
pub const SHADOW_KEYS_MAX: usize = 4096;
/// Bytes of an automaton over the patterns of many routes: if it would take more, the routes are tested one by one.
pub const FILTER_PROGRAM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the states that such an automaton has cached from requests, in each worker: the cache is cleared when it is full.
pub const FILTER_CACHE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a response of the Docker Engine.
pub const ENGINE_RESPONSE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of `acme.json` when it is read: a thousand certificates are about 10 MiB.
pub const ACME_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Certificates that one provider may list, and that may be requested from ACME; the rest is rejected and logged.
pub const CERTIFICATES_MAX: usize = 10_000;

/// Sources that a rate limit or connection limit distinguishes at one time (the library behind Traefik has the same number).
pub const SOURCES_MAX: usize = 65_536;
/// Nonces of digest authentication; above it those that have been unused longest are dropped.
pub const NONCES_MAX: usize = 1000;
/// Bytes of the credentials of one request: longer ones are refused unread. No browser sends them, and each would cost a hash.
pub const CREDENTIAL_BYTES_MAX: usize = 4096;
/// Verified credentials that are cached; a newer entry may replace an older one.
pub const CREDENTIALS_REMEMBERED_MAX: usize = 4096;
/// Highest bcrypt cost: a hash above it takes more than a minute per request and would block a pool thread.
pub const BCRYPT_COST_MAX: u32 = 20;
/// Rounds beyond the first that a retryExpression may cause.
pub const EXTRA_ROUNDS_MAX: u32 = 10;
/// Threads that verify slow password hashes.
pub const VERIFY_THREADS: usize = 2;
/// Requests that may wait for these threads.
pub const VERIFY_QUEUE_MAX: usize = 256;

/// Ring entries that are requested first; halved down to [`RING_ENTRIES_MIN`] on ENOMEM (docs/reference/drivers.md#memlock).
pub const RING_ENTRIES: u32 = 2048;
pub const RING_ENTRIES_MIN: u32 = 256;
/// Completions that the ring holds before the kernel must store them elsewhere.
pub const RING_COMPLETIONS: u32 = 16 * 1024;

/// Bytes of one log (the access log, the process log) that wait in memory for its writer; above it lines are dropped and counted.
pub const LOG_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Frontends and servers whose history the dashboard shows, besides all entry points: those that had requests in the last fifteen minutes.
/// Each takes 5 KiB.
pub const HISTORY_SERIES_MAX: usize = 1000;
/// Blocks of live counters of each frontend and server. A block takes 512 bytes and is made at the first request of its workers.
pub const TRAFFIC_BLOCKS_MAX: usize = 8;
/// Bytes of a page of the running proxy that a command reads.
pub const OWN_PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Recent errors of `/api/errors`, and how many of one second are stored.
pub const RECENT_ERRORS_KEPT_MAX: usize = 200;
pub const RECENT_ERRORS_PER_SECOND_MAX: u64 = 20;
/// Stopped containers that `/api/containers` lists.
pub const STOPPED_CONTAINERS_MAX: usize = 500;

/// Hosts whose CNAME records one worker, and the control plane, remember with `hostResolver.cnameFlattening`.
pub const FLATTENED_HOSTS_MAX: usize = 4096;
/// Look-ups of CNAME records at one time, questions that wait for the control plane, and questions that wait for one look-up. Requests of
/// further hosts are routed by their own host.
pub const HOST_LOOK_UPS_MAX: usize = 64;
/// How long a request waits for the CNAME record of its host. Traefik waits up to 30 s for each server and record.
pub const HOST_LOOK_UP_WAIT_SECS: u64 = 5;
/// The time until a CNAME record that could not be looked up again is asked for.
pub const HOST_LOOK_UP_RETRY_SECS: u64 = 30;

/// Durations of requests that one push of metrics to StatsD or DataDog has, over all kinds of requests; more are sampled.
pub const PUSHED_DURATIONS_MAX: usize = 5_000;
/// Durations of one kind of requests that a push may have in any case.
pub const PUSHED_DURATIONS_MIN: usize = 10;
/// Bytes of traces that wait in memory for the exporter, or that it is delivering; above it spans are dropped and counted.
pub const TRACE_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Spans of one request; further attempts have none.
pub const SPANS_PER_TRACE_MAX: usize = 64;
/// Bytes of one text of a span (a target, a host, a user agent, a failure); the rest is cut off.
pub const TRACE_TEXT_BYTES_MAX: usize = 1024;
/// Spans that are sent to a collector at a time.
pub const SPANS_PER_EXPORT_MAX: usize = 512;
/// Time in which finished spans are collected before they are sent.
pub const TRACE_COLLECT_MILLIS: u64 = 1000;
/// How often spans are sent again if a collector is busy or away; then they are dropped and counted.
pub const TRACE_EXPORT_ATTEMPTS_MAX: u32 = 5;
/// Bytes of a collector's response.
pub const COLLECTOR_RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Time for the last spans before the exit.
pub const TRACE_FINAL_EXPORT_SECS: u64 = 2;

const _: () = assert!(RING_ENTRIES_MIN <= RING_ENTRIES && RING_ENTRIES <= RING_COMPLETIONS);
const _: () = assert!(COPY_BUFFER_MIN_BYTES <= COPY_BUFFER_MAX_BYTES);
// A read may reach past a body by as much as a copy buffer holds, and past a head by as much as a pooled buffer holds.
const _: () = assert!(COPY_BUFFER_MAX_BYTES <= PIPELINED_BYTES_MAX && POOLED_BUFFER_BYTES_MAX <= PIPELINED_BYTES_MAX);
const _: () = assert!(BUFFERED_BODY_BYTES_MAX <= HELD_BYTES_PER_WORKER_MAX);
const _: () = assert!(TARGET_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(HEAD_BUFFER_BYTES <= POOLED_BUFFER_BYTES_MAX);
