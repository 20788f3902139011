//! Wiring: the command line, the fixed configuration, the control thread, the workers, signals and the drain. The only place that
//! knows all rooms.

mod client_tls;
mod demo;
mod readiness;
mod bootstrap;
mod healthcheck;
mod log_files;
mod panic_hook;
mod privileges;
mod process;
mod process_log;
mod rest_provider;
mod shutdown;
mod systemd;
mod handover;
mod wait;
mod watchdog;
mod whoami;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use arc_swap::ArcSwap;
use socket2::Socket;

use crate::cli::{self, Command, Invocation};
use crate::config::snapshot::Snapshot;
use crate::config::static_config::{self, StaticConfig};
use crate::control::file::FileSettings;
use crate::control::pausable::{self, PauseHandle};
use crate::control::update::{ProviderReadiness, ProviderUpdate};
use crate::control::watched_files::WatchedFiles;
use crate::control::{self, Control};
use crate::limits;
use crate::net::listener_handover::InheritedListeners;
use crate::net::socket;
use crate::observe::Published;
use crate::tls::challenge::ChallengeTable;
use crate::worker::{self, WorkerShared, WorkerStatus};
use rest_provider::RestProvider;

/// Ringway's version, and the name of the Traefik line whose contract it keeps.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const CODENAME: &str = "maroilles";

/// Runs the program. `release_memory` gives freed memory back to the system.
pub fn main(args: Vec<String>, release_memory: fn()) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let invocation = match cli::parse(&args, &env, &|path: &Path| std::fs::read_to_string(path)) {
        Ok(invocation) => invocation,
        Err(e) => return fail(&e.to_string()),
    };
    match invocation.command {
        Command::Help => print(&cli::help()),
        Command::Version => print(&process::version_text()),
        Command::Check => check(&invocation),
        Command::Healthcheck => healthcheck::run(&invocation.fixed),
        Command::Demo => demo::run_demo(invocation, release_memory),
        Command::Run => run(invocation, RunOptions { initial: Vec::new(), announce: None, release_memory }),
    }
}

/// A failure before logging is up: one plain line on standard error, exit code 1 (docs/reference/command-line.md#signals-and-exit-codes).
pub fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}

fn print(text: &str) -> ExitCode {
    // A closed pipe is the reader's choice, not a failure of ours.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// All that is wrong with the configuration; `fatal` ones stop the process.
fn problems(fixed: &StaticConfig) -> Vec<static_config::Problem> {
    let mut problems = static_config::check(fixed);
    problems.extend(static_config::check_files(fixed, &|path| std::fs::read_to_string(path)));
    problems
}

/// One sentence for each option that is set and does nothing.
fn ignored_options(fixed: &StaticConfig) -> impl Iterator<Item = String> {
    static_config::unsupported_options(fixed)
        .into_iter()
        .map(|key| format!("{key} has no effect in this version: COMPAT.md says what happens instead"))
}

fn check(invocation: &Invocation) -> ExitCode {
    let problems = problems(&invocation.fixed);
    let warnings = invocation.warnings.iter().cloned();
    for line in warnings.chain(ignored_options(&invocation.fixed)) {
        println!("warning: {line}");
    }
    for problem in &problems {
        println!("{}: {problem}", if problem.fatal { "error" } else { "warning" });
    }
    if problems.iter().any(|p| p.fatal) {
        return ExitCode::FAILURE;
    }
    let file = invocation.file.as_deref().map_or("no file".to_owned(), |f| f.display().to_string());
    println!("configuration of {file} can be used");
    ExitCode::SUCCESS
}

/// What a run begins with beside its configuration.
struct RunOptions {
    /// Stands beside what the providers say.
    initial: Vec<ProviderUpdate>,
    /// Printed once all listens.
    announce: Option<String>,
    release_memory: fn(),
}

/// Runs the proxy until a signal ends it.
fn run(invocation: Invocation, mut beginning: RunOptions) -> ExitCode {
    let start = Instant::now();
    // Before anything is opened: descriptors that belong to the process before this one are closed here.
    let handed = InheritedListeners::take(&|name| std::env::var(name).ok());
    let log = process_log::start(&invocation.fixed);
    panic_hook::install();
    tracing::info!("Ringway version {VERSION}");
    if let Some(file) = &invocation.file {
        tracing::info!("Using TOML configuration file {}", file.display());
    }
    for line in invocation.warnings.iter().cloned().chain(ignored_options(&invocation.fixed)) {
        log.notice(&line);
    }
    let problems = problems(&invocation.fixed);
    for problem in problems.iter().filter(|p| !p.fatal) {
        tracing::error!("{problem}");
    }
    if let Some(problem) = problems.iter().find(|p| p.fatal) {
        return log.fatal(&problem.to_string());
    }
    let mut signals = match shutdown::Signals::register() {
        Ok(signals) => signals,
        Err(e) => return log.fatal(&format!("cannot handle signals: {e}")),
    };
    let announce = beginning.announce.take();
    let served = handed.and_then(|mut handed| {
        let running = serve(invocation, beginning, start, &mut handed, &log)?;
        readiness::start_accepting(&running, handed.predecessor(), &mut signals)?;
        Ok(running)
    });
    match served {
        Ok(running) => {
            if let Some(text) = announce.filter(|_| running.shared.accepting.load(Relaxed)) {
                println!("{text}");
            }
            signals.wait_and_stop(running)
        }
        Err(e) => log.fatal(&e),
    }
}

/// The proxy once it serves.
pub struct Running {
    pub shared: Arc<WorkerShared>,
    pub fixed: StaticConfig,
    /// All listening sockets, beside the workers' own handles of them.
    pub listeners: Vec<Socket>,
    pub program: handover::Program,
    pub acme_pause: PauseHandle,
    pub readiness: Arc<ProviderReadiness>,
    pub rest: RestProvider,
}

impl Running {
    /// Lets ACME rest, with its file as it should be.
    fn pause_acme(&self) {
        self.acme_pause.pause();
        wait::wait_until(limits::ACME_FINAL_SAVE_SECS, || self.acme_pause.is_paused());
    }
}

/// Opens the listeners, starts the workers and the control thread. Nothing is accepted yet.
fn serve(
    invocation: Invocation,
    beginning: RunOptions,
    start: Instant,
    handed: &mut InheritedListeners,
    log: &process_log::Log,
) -> Result<Running, String> {
    process::raise_open_files();
    let fixed = &invocation.fixed;
    let cores = process::worker_cores(fixed.workers);
    let parts = bootstrap::build(fixed)?;
    let metrics = Arc::new(bootstrap::metrics(fixed, &parts, cores.len()));
    let published =
        Arc::new(ArcSwap::from_pointee(Published::new(Snapshot::empty(parts.entry_points.len()), &metrics)));
    let challenges: Arc<ArcSwap<ChallengeTable>> = Arc::default();
    let listeners = open_listeners(fixed, &parts, cores.len(), handed)?;
    let program = handover::Program::of_this_process().map_err(|e| format!("cannot find the program's file: {e}"))?;
    drop_privileges(fixed, &parts.followed, log)?;
    log.start_writer(Arc::clone(&metrics)).map_err(|e| format!("cannot start threads: {e}"))?;
    let kept = clone_listeners(&listeners).map_err(|e| format!("Error preparing server: {e}"))?;
    let RunOptions { mut initial, release_memory, .. } = beginning;
    // Without the table nobody could put another one in its place.
    let memory = if fixed.rest.is_some() { handed.carried_state() } else { Vec::new() };
    let (rest, put) = RestProvider::restore(memory)
        .map_err(|e| format!("the document that was put over REST cannot be taken over: {e}"))?;
    initial.extend(put);
    let (standby, duty) = pausable::pausable();
    let (sender, updates) = control::update::channel();
    let control = Control {
        updates,
        sender: sender.clone(),
        throttle: fixed.providers_throttle_duration.positive().unwrap_or_default(),
        docker: fixed.docker.as_ref().map(|table| bootstrap::docker(table, &fixed.constraints)),
        file: fixed.file.as_ref().and_then(|table| FileSettings::new(table, invocation.file.as_deref())),
        acme: bootstrap::acme(fixed).map(|(settings, wishes)| (settings, wishes, duty)),
        certs: parts.certs,
        followed: parts.followed,
        published: Arc::clone(&published),
        challenges: Arc::clone(&challenges),
        metrics: Arc::clone(&metrics),
        initial,
        release_memory,
        fixture: parts.fixture,
        interned: parts.interned,
    };
    let access_log = log_files::access_log(fixed, &metrics)?;
    let shared = Arc::new(WorkerShared {
        entry_points: parts.entry_points,
        snapshot: published,
        challenges,
        metrics,
        timeouts: bootstrap::timeouts(fixed),
        connection_limiter: bootstrap::connection_limiter(fixed, cores.len()),
        idle_per_server_max: bootstrap::idle_per_worker(fixed, cores.len()),
        version: VERSION,
        codename: CODENAME,
        host_name: process::host_name(),
        verify: worker::VerifyPool::start().map_err(|e| format!("cannot start threads: {e}"))?,
        rest_handler: fixed.rest.as_ref().map(|_| rest.handler(sender)),
        access_log,
        start,
        stopping: false.into(),
        accepting: false.into(),
        accepts: 0.into(),
        draining: false.into(),
        worker_status: cores.iter().map(|_| WorkerStatus::default()).collect(),
        process_facts: process::facts,
        release_memory,
    });
    start_workers(fixed, &cores, &shared, listeners, log)?;
    watchdog::start(Arc::clone(&shared)).map_err(|e| format!("cannot start threads: {e}"))?;
    let words = control.readiness();
    start_control(control)?;
    Ok(Running {
        shared,
        fixed: invocation.fixed,
        listeners: kept,
        program,
        acme_pause: standby,
        readiness: words,
        rest,
    })
}

type Sockets = Vec<(usize, Socket)>;

/// The sockets of each worker, by entry point; all are open before anything serves: a taken address ends the start (docs/reference/static-configuration.md#errors).
fn open_listeners(
    fixed: &StaticConfig,
    parts: &bootstrap::Components,
    workers: usize,
    handed: &mut InheritedListeners,
) -> Result<Vec<Sockets>, String> {
    let mut listeners: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
    for (at, entry) in parts.entry_points.iter().enumerate() {
        let Some(written) = fixed.entry_points.get(&entry.name) else { continue };
        let failed = |e: io::Error| format!("Error preparing server: entry point {}: {e}", entry.name);
        let address =
            socket::parse_address(&written.address).map_err(|e| format!("entry point {}: {e}", entry.name))?;
        let claimed = handed.claim(&entry.name, address);
        let sockets = if claimed.is_empty() {
            socket::listen_together(address, workers).map_err(failed)?
        } else {
            distribute(&claimed, workers).map_err(failed)?
        };
        for (number, socket) in sockets.into_iter().enumerate() {
            listeners[number % workers].push((at, socket));
        }
    }
    for left in handed.unclaimed() {
        tracing::warn!("the socket {left} was handed down and no entry point uses it: it is closed");
    }
    Ok(listeners)
}

/// At least one handle for each worker, and one of each socket: what waits in a queue that nobody looks at would wait for ever.
fn distribute(sockets: &[Socket], workers: usize) -> io::Result<Vec<Socket>> {
    (0..workers.max(sockets.len())).map(|at| sockets[at % sockets.len()].try_clone()).collect()
}

fn clone_listeners(listeners: &[Sockets]) -> io::Result<Vec<Socket>> {
    listeners.iter().flatten().map(|(_, socket)| socket.try_clone()).collect()
}

/// Becomes the user that is named, and lets nobody look into the process.
fn drop_privileges(fixed: &StaticConfig, followed: &WatchedFiles, log: &process_log::Log) -> Result<(), String> {
    if !fixed.user.is_empty() {
        privileges::drop_to(&fixed.user)?;
        log.open_as_user();
        for file in followed.unwatch_unreadable() {
            let user = &fixed.user;
            log.notice(&format!(
                "{file} cannot be looked at by the user {user}: restart Ringway once it is renewed, or open its folder to that user"
            ));
        }
    }
    if !fixed.debug {
        privileges::forbid_dumps();
    }
    Ok(())
}

fn start_workers(
    fixed: &StaticConfig,
    cores: &[Option<usize>],
    shared: &Arc<WorkerShared>,
    listeners: Vec<Sockets>,
    log: &process_log::Log,
) -> Result<(), String> {
    let wanted = fixed.driver.parse()?;
    let mut workers = Vec::new();
    for (number, (core, sockets)) in cores.iter().zip(listeners).enumerate() {
        let handle = worker::spawn(number, *core, wanted, Arc::clone(shared), sockets);
        workers.push(handle.map_err(|e| format!("Error preparing server: {e}"))?);
    }
    if let Some(first) = workers.first() {
        let line = format!("{} worker(s) on {}", workers.len(), first.driver);
        if first.driver.is_fallback { log.notice(&line) } else { tracing::info!("{line}") }
    }
    Ok(())
}

fn start_control(control: Control) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(limits::LOOKUP_THREADS_MAX)
        .build();
    let runtime = runtime.map_err(|e| format!("cannot start the control thread: {e}"))?;
    let work = move || runtime.block_on(control.run());
    let started = std::thread::Builder::new().name("control".to_owned()).spawn(work);
    started.map(drop).map_err(|e| format!("cannot start the control thread: {e}"))
}
