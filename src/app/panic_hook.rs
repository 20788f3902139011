//! The panic hook. A panic in a connection's task ends that connection: the worker catches it. A panic in an essential thread would leave a
//! proxy that looks healthy but serves old routes or writes no log: the process exits, so that its supervisor starts it again.

use std::io::{self, Write};
use std::panic::PanicHookInfo;

use super::process_log;

/// The threads that the process cannot do without. The runtime of the control thread would catch the panic of a task and hide it.
const ESSENTIAL: [&str; 4] = ["control", "log", "access-log", "watchdog"];

/// Installs the hook: panics are logged from now on, and a panic in an essential thread ends the process.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        report(thread.name().unwrap_or("?"), info);
    }));
}

fn report(thread: &str, info: &PanicHookInfo<'_>) {
    let location = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    let payload = info.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let message = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let is_essential = ESSENTIAL.contains(&thread);
    let consequence = if is_essential { "; Ringway exits so that it can be started again" } else { "" };
    let text =
        format!("a bug in Ringway, please report it: thread {thread} panicked{location}: {message}{consequence}");
    tracing::error!("{text}");
    // Also on standard error: the log may go to a file, or be off.
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

    /// Names the thread that panics, in the process that the test starts.
    const PANICKING_THREAD: &str = "RINGWAY_TEST_PANIC_IN";

    /// Runs this test again in a process of its own, in which the thread of that name panics inside a task, as a provider's task would.
    fn outcome(thread: &str) -> (Option<i32>, String) {
        let program = std::env::current_exe().expect("the test's program");
        let mut command = Command::new(program);
        command.args(["--exact", "app::panic_hook::tests::panic_of_essential_thread_ends_the_process", "--nocapture"]);
        let output = command.env(PANICKING_THREAD, thread).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn panic_of_essential_thread_ends_the_process() {
        if let Ok(name) = std::env::var(PANICKING_THREAD) {
            install();
            let task = || drop(std::panic::catch_unwind(|| panic!("on purpose")));
            std::thread::Builder::new().name(name).spawn(task).expect("a thread").join().expect("contained");
            std::thread::sleep(Duration::from_millis(200));
            std::process::exit(7);
        }
        let (code, stderr) = outcome("control");
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains("thread control panicked") && stderr.contains("on purpose"), "{stderr}");
        let (code, stderr) = outcome("worker-0");
        assert_eq!(code, Some(7), "panics of other threads are caught: {stderr}");
        assert!(stderr.contains("worker-0 panicked"), "{stderr}");
    }
}
