//! Wiring: the command line, the static configuration, the control thread, the workers, signals and the graceful shutdown. The only
//! module that imports both the control plane and the workers.

mod acme;
mod certificates;
mod client_tls;
mod commands;
mod demo;
mod readiness;
mod bootstrap;
mod check;
mod explain;
mod healthcheck;
mod log_files;
mod metrics_push;
mod own_pages;
mod panic_hook;
mod privileges;
mod process;
mod process_log;
mod rest_provider;
mod rotated_file;
mod shutdown;
mod status;
mod store_config;
mod systemd;
mod time_zone;
mod trace_setup;
mod handover;
mod journal;
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
use crate::config::static_config::StaticConfig;
use crate::config::text;
use crate::control::file::FileSettings;
use crate::control::pausable::{self, PauseHandle};
use crate::control::update::{ProviderReadiness, ProviderUpdate};
use crate::control::watched_files::WatchedFiles;
use crate::control::{self, Control};
use crate::diagnostics::Level;
use crate::limits;
use crate::net::listener_handover::InheritedListeners;
use crate::net::{socket, udp};
use crate::observe::Published;
use crate::tls::challenge::ChallengeTable;
use crate::worker::{self, WorkerShared, WorkerStatus};
use rest_provider::RestProvider;

/// Ringway's version, and the code name of the Traefik release line that Ringway replaces.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const CODENAME: &str = "maroilles";

/// Runs the program. `release_memory` returns freed memory to the operating system.
pub fn main(args: Vec<String>, release_memory: fn()) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let invocation = match cli::parse(&args, &env, &read_config) {
        Ok(invocation) => invocation,
        Err(e) => match cli::asked_check_format(&args) {
            Some(format) => return check::report_unreadable(format, &e),
            None => return commands::refuse(&e, &env),
        },
    };
    let invocation = match store_config::with_stored(invocation) {
        Ok(invocation) => invocation,
        Err(e) => return fail(&e),
    };
    match invocation.command {
        Command::Help => commands::help(invocation.options.topic.as_deref(), &env),
        Command::Completions => print(&cli::completions(&invocation.options.shell)),
        Command::Man => print(&cli::man_page(VERSION, &commands::page_date(&env))),
        Command::Version => print(&process::version_text()),
        Command::Check => check::run(&invocation),
        Command::CertificatesList => certificates::list(&invocation.static_config),
        Command::CertificatesExport => {
            let folder = invocation.options.dir.clone().unwrap_or_default();
            certificates::export(&invocation.static_config, &folder)
        }
        Command::Healthcheck => healthcheck::run(&invocation.static_config),
        Command::Explain => explain::run(&invocation, &env),
        Command::Status => status::run(&invocation, &env),
        Command::StoreConfig => store_config::run(&invocation),
        Command::Demo => demo::run_demo(invocation, release_memory),
        Command::Run => run(invocation, RunOptions { initial: Vec::new(), announce: None, release_memory }),
    }
}

/// Reads the configuration file.
fn read_config(path: &Path) -> io::Result<String> {
    text::decode(std::fs::read(path)?, &path.display().to_string()).map_err(io::Error::other)
}

/// Reports a failure before logging has started: one plain line on standard error, exit code 1
/// (docs/reference/command-line.md#signals-and-exit-codes).
pub fn fail(text: &str) -> ExitCode {
    eprintln!("{text}");
    ExitCode::FAILURE
}

fn print(text: &str) -> ExitCode {
    // If the reader has closed the pipe, the command has not failed.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Options of a run that are not part of its configuration.
struct RunOptions {
    /// Configurations that are merged with those of the providers.
    initial: Vec<ProviderUpdate>,
    /// Text that is printed once connections are accepted.
    announce: Option<String>,
    release_memory: fn(),
}

/// Runs the proxy until a signal ends it.
fn run(invocation: Invocation, mut options: RunOptions) -> ExitCode {
    let start = Instant::now();
    // Called before any descriptor is opened: this call closes each descriptor inherited from the old process that is not needed.
    let inherited = InheritedListeners::take(&|name| std::env::var(name).ok());
    let log = process_log::start(&invocation.static_config);
    panic_hook::install();
    tracing::info!("Ringway version {VERSION}");
    if let Some(file) = &invocation.file {
        tracing::info!("Using TOML configuration file {}", file.display());
    }
    for remark in check::remarks(&invocation) {
        log.notice(&remark.to_string());
    }
    let problems = check::problems(&invocation);
    for problem in &problems {
        match problem.level {
            Level::Error => {}
            Level::Warning => tracing::error!("{problem}"),
            Level::Note => tracing::info!("{problem}"),
        }
    }
    let fatal: Vec<_> = problems.iter().filter(|problem| problem.level == Level::Error).collect();
    if let Some((last, others)) = fatal.split_last() {
        others.iter().for_each(|problem| tracing::error!("{problem}"));
        return log.fatal(&last.to_string());
    }
    let mut signals = match shutdown::Signals::register() {
        Ok(signals) => signals,
        Err(e) => return log.fatal(&format!("cannot handle signals: {e}")),
    };
    let announce = options.announce.take();
    let started = inherited.and_then(|mut inherited| {
        let running = serve(invocation, options, start, &mut inherited, &log)?;
        readiness::start_accepting(&running, inherited.predecessor(), &mut signals)?;
        Ok(running)
    });
    match started {
        Ok(running) => {
            if let Some(text) = announce.filter(|_| running.shared.accepting.load(Relaxed)) {
                println!("{text}");
            }
            signals.wait_and_stop(running)
        }
        Err(e) => log.fatal(&e),
    }
}

/// A started proxy: the state that signal handling, hand-over and shutdown need.
pub struct Running {
    pub shared: Arc<WorkerShared>,
    pub config: StaticConfig,
    /// A handle of every listening socket, in addition to the workers' handles: a successor inherits these.
    pub listeners: Vec<Socket>,
    pub program: handover::Program,
    pub acme_pause: PauseHandle,
    pub readiness: Arc<ProviderReadiness>,
    pub rest_provider: RestProvider,
}

impl Running {
    /// Pauses ACME and waits, for at most `ACME_FINAL_SAVE_SECS`, until it has saved its file and stopped.
    fn pause_acme(&self) {
        self.acme_pause.pause();
        wait::wait_until(limits::ACME_FINAL_SAVE_SECS, || self.acme_pause.is_paused());
    }
}

/// Opens the listeners, starts the workers and the control thread. Does not accept connections yet.
fn serve(
    invocation: Invocation,
    options: RunOptions,
    start: Instant,
    inherited: &mut InheritedListeners,
    log: &process_log::Log,
) -> Result<Running, String> {
    process::raise_open_files();
    let config = &invocation.static_config;
    let cores = process::worker_cores(config.workers);
    let components = bootstrap::build(config)?;
    for remark in &components.remarks {
        tracing::warn!("{remark}");
    }
    for remark in &components.certs.startup_remarks {
        remark.log();
    }
    let metrics = Arc::new(bootstrap::metrics(config, &components, cores.len()));
    let published =
        Arc::new(ArcSwap::from_pointee(Published::new(Snapshot::empty(components.entry_points.len()), &metrics)));
    let challenges: Arc<ArcSwap<ChallengeTable>> = Arc::default();
    let listeners = open_listeners(config, &components, cores.len(), inherited, log)?;
    let program = handover::Program::of_this_process().map_err(|e| format!("cannot find the program's file: {e}"))?;
    drop_privileges(config, &components.watched_files, log)?;
    log.start_writer(Arc::clone(&metrics)).map_err(|e| format!("cannot start threads: {e}"))?;
    let handover_listeners = clone_listeners(&listeners).map_err(|e| format!("Error preparing server: {e}"))?;
    let RunOptions { mut initial, release_memory, .. } = options;
    // If the new configuration has no `[rest]` table, the document is discarded: no client could replace it.
    let carried_state = if config.rest.is_some() { inherited.carried_state() } else { Vec::new() };
    let (rest_provider, restored) = RestProvider::restore(carried_state)
        .map_err(|e| format!("the old process's document of the REST provider cannot be read: {e}"))?;
    initial.extend(restored);
    let (acme_pause, pausable_acme) = pausable::pausable();
    let (sender, updates) = control::update::channel();
    let sender = sender.with_metrics(&metrics);
    let (ask_host, host_questions) = bootstrap::host_resolver(config).unzip();
    let traced = trace_setup::build(config, &components.compile_context.client_tls, &metrics);
    let (tracing, trace_export) = traced.unzip();
    let control = Control {
        updates,
        sender: sender.clone(),
        throttle: config.providers_throttle_duration.positive().unwrap_or_default(),
        docker: config.docker.as_ref().map(|table| bootstrap::docker(table, &config.constraints)),
        file: config.file.as_ref().and_then(|table| FileSettings::new(table, invocation.file.as_deref())),
        stores: store_config::settings(config),
        acme: acme::settings(config).map(|(settings, domains)| (settings, domains, pausable_acme)),
        on_demand: components.on_demand,
        certs: components.certs,
        watched_files: components.watched_files,
        published: Arc::clone(&published),
        challenges: Arc::clone(&challenges),
        metrics: Arc::clone(&metrics),
        host_resolver: host_questions,
        receivers: metrics_push::receivers(config),
        initial,
        trace_export,
        release_memory,
        compile_context: components.compile_context,
        endpoints: components.endpoints,
    };
    let access_log = log_files::access_log(config, &metrics)?;
    let shared = Arc::new(WorkerShared {
        entry_points: components.entry_points,
        snapshot: published,
        challenges,
        metrics,
        timeouts: bootstrap::timeouts(config),
        connection_limiter: bootstrap::connection_limiter(config, cores.len()),
        idle_per_server_max: bootstrap::idle_per_worker(config, cores.len()),
        version: VERSION,
        codename: CODENAME,
        host_name: process::host_name(),
        verify: worker::VerifyPool::start().map_err(|e| format!("cannot start threads: {e}"))?,
        rest_handler: config.rest.as_ref().map(|_| rest_provider.handler(sender)),
        server_lines: Default::default(),
        client_lines: Default::default(),
        access_log,
        ask_host,
        tracing,
        start,
        stopping: false.into(),
        accepting: false.into(),
        accepts: 0.into(),
        draining: false.into(),
        worker_status: cores.iter().map(|_| WorkerStatus::default()).collect(),
        process_facts: process::facts,
        release_memory,
    });
    start_workers(config, &cores, &shared, listeners, log)?;
    watchdog::start(Arc::clone(&shared)).map_err(|e| format!("cannot start threads: {e}"))?;
    let readiness = control.readiness();
    start_control(control)?;
    Ok(Running {
        shared,
        config: invocation.static_config,
        listeners: handover_listeners,
        program,
        acme_pause,
        readiness,
        rest_provider,
    })
}

/// Listening sockets of one worker, each with the index of its entry point.
type Sockets = Vec<(usize, Socket)>;

/// Opens the sockets of all entry points and gives each worker its own. Every socket is open before any worker starts: an address in use
/// ends the start (docs/reference/static-configuration.md#errors).
fn open_listeners(
    config: &StaticConfig,
    components: &bootstrap::Components,
    workers: usize,
    inherited: &mut InheritedListeners,
    log: &process_log::Log,
) -> Result<Vec<Sockets>, String> {
    let mut listeners: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
    for (index, entry) in components.entry_points.iter().enumerate() {
        let Some(entry_config) = config.entry_points.get(&entry.name) else { continue };
        let failed = |e: io::Error| format!("Error preparing server: entry point {}: {e}", entry.name);
        let address = bootstrap::listen_address(&entry.name, entry_config)?;
        let is_udp = entry_config.is_udp();
        let claimed = inherited.claim(&entry.name, address, is_udp);
        let sockets = match (claimed.is_empty(), is_udp) {
            (true, false) => socket::listen_together(address, workers).map_err(failed)?,
            (true, true) => udp::bind_together(address, workers).map_err(failed)?,
            (false, false) => distribute(&claimed, workers).map_err(failed)?,
            // Two workers on one socket would each have a session of the same client. So some workers may have no socket.
            (false, true) => claimed,
        };
        let bound = sockets.first().and_then(|socket| socket.local_addr().ok()).and_then(|bound| bound.as_socket());
        if let Some(bound) = bound.filter(|_| address.port() == 0) {
            log.notice(&format!("entry point {} listens on {bound}: the kernel chose the port", entry.name));
        }
        for (number, socket) in sockets.into_iter().enumerate() {
            listeners[number % workers].push((index, socket));
        }
    }
    for socket in inherited.unclaimed() {
        tracing::warn!("inherited socket {socket} unused: closed; no entry point has its name or its address");
    }
    Ok(listeners)
}

/// Duplicates `sockets` so that each worker has at least one handle and each socket belongs to a worker: connections in the queue of a
/// socket that no worker polls would wait indefinitely.
fn distribute(sockets: &[Socket], workers: usize) -> io::Result<Vec<Socket>> {
    (0..workers.max(sockets.len())).map(|index| sockets[index % sockets.len()].try_clone()).collect()
}

fn clone_listeners(listeners: &[Sockets]) -> io::Result<Vec<Socket>> {
    listeners.iter().flatten().map(|(_, socket)| socket.try_clone()).collect()
}

/// Changes to the configured user, if there is one, and (unless `debug` is set) forbids other processes to read this one's memory.
fn drop_privileges(config: &StaticConfig, watched_files: &WatchedFiles, log: &process_log::Log) -> Result<(), String> {
    if !config.user.is_empty() {
        privileges::drop_to(&config.user)?;
        log.open_as_user();
        for file in watched_files.unwatch_unreadable() {
            let user = &config.user;
            log.notice(&format!(
                "{file} not readable by user {user}: changes will not be noticed; restart Ringway once it is renewed, or open its \
                 folder to that user"
            ));
        }
    }
    if !config.debug {
        privileges::forbid_dumps();
    }
    Ok(())
}

fn start_workers(
    config: &StaticConfig,
    cores: &[Option<usize>],
    shared: &Arc<WorkerShared>,
    listeners: Vec<Sockets>,
    log: &process_log::Log,
) -> Result<(), String> {
    let driver = config.driver.parse()?;
    let mut workers = Vec::new();
    for (number, (core, sockets)) in cores.iter().zip(listeners).enumerate() {
        let handle = worker::spawn(number, *core, driver, Arc::clone(shared), sockets);
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
    let run = move || runtime.block_on(control.run());
    let spawned = std::thread::Builder::new().name("control".to_owned()).spawn(run);
    spawned.map(drop).map_err(|e| format!("cannot start the control thread: {e}"))
}
