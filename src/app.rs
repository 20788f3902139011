//! Wiring: the command line, the fixed configuration, the control thread, the workers, signals and the drain. The only place that
//! knows all rooms.

mod demo;
mod fixture;
mod healthcheck;
mod logs;
mod process;
mod stop;
mod watchdog;
mod whoami;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::cli::{self, Command, Invocation};
use crate::config;
use crate::config::fixed::{self, Fixed};
use crate::config::snapshot::Snapshot;
use crate::control::update::{Sender, Update};
use crate::control::{self, Control};
use crate::net::socket;
use crate::observe::Published;
use crate::tls::challenge::ChallengeTable;
use crate::worker::{self, Shared, Vitals, WorkerHandle};

/// Ringway's version, and the name of the Traefik line whose contract it keeps.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const CODENAME: &str = "maroilles";

/// Runs the program.
pub fn main(args: Vec<String>) -> ExitCode {
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
        Command::Demo => demo::run_demo(invocation),
        Command::Run => run(invocation, Vec::new(), None),
    }
}

/// A failure before logging is up: one plain line on standard error, exit code 1 (static.md 1.7).
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
fn problems(fixed: &Fixed) -> Vec<fixed::Problem> {
    let mut problems = fixed::check(fixed);
    problems.extend(fixed::check_files(fixed, &|path| std::fs::read_to_string(path)));
    problems
}

/// One sentence for each option that is set and does nothing.
fn without_effect(fixed: &Fixed) -> impl Iterator<Item = String> {
    fixed::not_yet(fixed)
        .into_iter()
        .map(|key| format!("{key} has no effect in this version: COMPAT.md says what happens instead"))
}

fn check(invocation: &Invocation) -> ExitCode {
    let problems = problems(&invocation.fixed);
    let warnings = invocation.warnings.iter().cloned();
    for line in warnings.chain(without_effect(&invocation.fixed)) {
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

/// Runs the proxy until a signal ends it. `initial` stands beside what the providers say; `announce` is printed once all listens.
fn run(invocation: Invocation, initial: Vec<crate::control::update::Update>, announce: Option<String>) -> ExitCode {
    let start = Instant::now();
    let log = logs::start(&invocation.fixed);
    tracing::info!("Ringway version {VERSION}");
    if let Some(file) = &invocation.file {
        tracing::info!("Using TOML configuration file {}", file.display());
    }
    for line in invocation.warnings.iter().cloned().chain(without_effect(&invocation.fixed)) {
        log.notice(&line);
    }
    let problems = problems(&invocation.fixed);
    for problem in problems.iter().filter(|p| !p.fatal) {
        tracing::error!("{problem}");
    }
    if let Some(problem) = problems.iter().find(|p| p.fatal) {
        return log.fatal(&problem.to_string());
    }
    let signals = match stop::Signals::register() {
        Ok(signals) => signals,
        Err(e) => return log.fatal(&format!("cannot handle signals: {e}")),
    };
    match serve(invocation, initial, start, &log) {
        Ok(running) => {
            if let Some(text) = announce {
                println!("{text}");
            }
            signals.wait_and_stop(&running)
        }
        Err(e) => log.fatal(&e),
    }
}

/// The proxy once it serves.
pub struct Running {
    pub shared: Arc<Shared>,
    pub workers: Vec<WorkerHandle>,
    pub fixed: Fixed,
}

/// Opens the listeners, starts the workers and the control thread.
fn serve(
    invocation: Invocation,
    initial: Vec<crate::control::update::Update>,
    start: Instant,
    log: &logs::Log,
) -> Result<Running, String> {
    process::raise_open_files();
    let fixed = &invocation.fixed;
    let cores = process::worker_cores(fixed.workers);
    let parts = fixture::build(fixed)?;
    let metrics = Arc::new(fixture::metrics(fixed, &parts, cores.len()));
    let published =
        Arc::new(ArcSwap::from_pointee(Published::new(Snapshot::empty(parts.entry_points.len()), &metrics)));
    let challenges: Arc<ArcSwap<ChallengeTable>> = Arc::default();
    let listeners = open_listeners(fixed, &parts, cores.len())?;
    let (sender, updates) = control::update::channel();
    let control = Control {
        updates,
        sender: sender.clone(),
        throttle: fixed.providers_throttle_duration.positive().unwrap_or_default(),
        docker: fixed.docker.as_ref().map(|table| fixture::docker(table, &fixed.constraints)),
        file: fixed
            .file
            .as_ref()
            .and_then(|table| crate::control::file::FileSettings::new(table, invocation.file.as_deref())),
        acme: fixture::acme(fixed),
        certs: parts.certs,
        published: Arc::clone(&published),
        challenges: Arc::clone(&challenges),
        metrics: Arc::clone(&metrics),
        initial,
        fixture: parts.fixture,
        interned: parts.interned,
    };
    let shared = Arc::new(Shared {
        entry_points: parts.entry_points,
        snapshot: published,
        challenges,
        metrics,
        timeouts: fixture::timeouts(fixed),
        idle_per_server_max: fixture::idle_per_worker(fixed, cores.len()),
        version: VERSION,
        codename: CODENAME,
        host_name: process::host_name(),
        verify: worker::VerifyPool::start().map_err(|e| format!("cannot start threads: {e}"))?,
        take_document: fixed.rest.as_ref().map(|_| rest(sender)),
        access_log: logs::access_log(fixed)?,
        start,
        stopping: false.into(),
        draining: false.into(),
        refused_heads: 0.into(),
        refused_connections: 0.into(),
        vitals: cores.iter().map(|_| Vitals::default()).collect(),
        process_facts: process::facts,
    });
    let wanted = fixed.driver.parse()?;
    let mut workers = Vec::new();
    for (number, (core, sockets)) in cores.iter().zip(listeners).enumerate() {
        let handle = worker::spawn(number, *core, wanted, Arc::clone(&shared), sockets);
        workers.push(handle.map_err(|e| format!("Error preparing server: {e}"))?);
    }
    if let Some(first) = workers.first() {
        let line = format!("{} worker(s) on {}", workers.len(), first.driver);
        if first.driver.is_fallback { log.notice(&line) } else { tracing::info!("{line}") }
    }
    watchdog::start(Arc::clone(&shared)).map_err(|e| format!("cannot start threads: {e}"))?;
    start_control(control)?;
    for (name, entry) in &fixed.entry_points {
        tracing::info!("Starting server on {} (entry point {name})", entry.address);
    }
    Ok(Running { shared, workers, fixed: invocation.fixed })
}

type Sockets = Vec<(usize, socket2::Socket)>;

/// One socket per entry point and worker, all opened before anything serves: a taken address ends the start (static.md 1.8).
fn open_listeners(fixed: &Fixed, parts: &fixture::Parts, workers: usize) -> Result<Vec<Sockets>, String> {
    let mut listeners: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
    for (at, entry) in parts.entry_points.iter().enumerate() {
        let Some(written) = fixed.entry_points.get(&entry.name) else { continue };
        let address =
            socket::parse_address(&written.address).map_err(|e| format!("entry point {}: {e}", entry.name))?;
        let first = socket::listen(address, true)
            .map_err(|e| format!("Error preparing server: entry point {}: {e}", entry.name))?;
        // Port 0 is chosen once: the other workers join the port that the first one got.
        let bound = first.local_addr().ok().and_then(|a| a.as_socket()).unwrap_or(address);
        for sockets in listeners.iter_mut().skip(1) {
            let socket = socket::listen(bound, false)
                .map_err(|e| format!("Error preparing server: entry point {}: {e}", entry.name))?;
            sockets.push((at, socket));
        }
        if let Some(sockets) = listeners.first_mut() {
            sockets.push((at, first));
        }
    }
    Ok(listeners)
}

/// The REST provider: it appears as `web` among the others (static.md 5).
fn rest(sender: Sender) -> worker::TakeDocument {
    Arc::new(move |document| {
        let dynamic = config::json::read(document)?;
        let echo = serde_json::to_string(&dynamic).map_err(|e| e.to_string())?;
        let update = Update { provider: "web", dynamic, rejected: Vec::new() };
        sender.send(update).map_err(|_| "the control thread has ended: restart Ringway".to_owned())?;
        Ok(echo)
    })
}

fn start_control(control: Control) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(crate::limits::LOOKUP_THREADS_MAX)
        .build();
    let runtime = runtime.map_err(|e| format!("cannot start the control thread: {e}"))?;
    let work = move || runtime.block_on(control.run());
    let started = std::thread::Builder::new().name("control".to_owned()).spawn(work);
    started.map(drop).map_err(|e| format!("cannot start the control thread: {e}"))
}
