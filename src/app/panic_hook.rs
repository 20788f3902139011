//! What a panic means. One in a connection is contained where connections run. One of a thread that everybody depends on would leave a
//! proxy that serves old routes, or writes no log, and looks healthy: the process ends, so that it is started again.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use super::process_log;

/// Threads whose work nobody else does. A task of the control thread that panics would be caught by its runtime and never be missed.
const ESSENTIAL: [&str; 4] = ["control", "log", "access-log", "watchdog"];

/// From here on panics are logged, and end the process where it could not go on.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        report(thread.name().unwrap_or("?"), info);
    }));
}

fn report(thread: &str, info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    let payload = info.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let what = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words");
    let is_essential = ESSENTIAL.contains(&thread);
    let end = if is_essential { "; Ringway exits so that it can be started again" } else { "" };
    let text = format!("a bug in Ringway, please report it: thread {thread} panicked{place}: {what}{end}");
    tracing::error!("{text}");
    // The log may be a file, or switched off.
    let _ = writeln!(io::stderr(), "{text}");
    if is_essential {
        process_log::finish();
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::*;

    /// Set in the process that is to die.
    const VICTIM: &str = "RINGWAY_TEST_PANIC_IN";

    /// Runs this very test again, as a process in which the thread of that name panics inside a task, as providers run.
    fn outcome(thread: &str) -> (Option<i32>, String) {
        let program = std::env::current_exe().expect("the test's program");
        let mut command = Command::new(program);
        command.args(["--exact", "app::panics::tests::an_essential_thread_takes_the_process_along", "--nocapture"]);
        let output = command.env(VICTIM, thread).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn an_essential_thread_takes_the_process_along() {
        if let Ok(name) = std::env::var(VICTIM) {
            install();
            let task = || drop(std::panic::catch_unwind(|| panic!("on purpose")));
            std::thread::Builder::new().name(name).spawn(task).expect("a thread").join().expect("contained");
            std::thread::sleep(Duration::from_millis(200));
            std::process::exit(7);
        }
        let (code, said) = outcome("control");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("thread control panicked") && said.contains("on purpose"), "{said}");
        let (code, said) = outcome("worker-0");
        assert_eq!(code, Some(7), "others are contained: {said}");
        assert!(said.contains("worker-0 panicked"), "{said}");
    }
}
