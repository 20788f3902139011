//! The conformance suite `httpwg` of crates.io, over prior knowledge.

use std::collections::BTreeSet;
use std::process::Command;

use crate::peers::Peer;
use crate::proxy::{Entry, Proxy};
use crate::support::ringway::DRIVERS;
use crate::support::tool_or_skip;
use crate::tools::{httpwg, output_of, python_or_skip};

/// Cases in the version of the suite that scripts/http2-tools.sh installs.
const CASES: usize = 107;
/// Cases that expect something else than RFC 9113 says, and the section that says so.
const NOT_OURS: [(&str, &str); 0] = [];

/// Names of the cases that the suite reports with this mark.
fn cases<'a>(report: &'a str, mark: &str) -> BTreeSet<&'a str> {
    report.lines().filter_map(|line| line.split_once(mark)).map(|(_, name)| name.trim()).collect()
}

#[test]
fn httpwg_passes_all_cases() {
    if !tool_or_skip("httpwg of scripts/http2-tools.sh", httpwg().is_file()) || !python_or_skip() {
        return;
    }
    let server = Peer::http1();
    for driver in DRIVERS {
        let proxy = Proxy::start(driver, &server);
        let address = format!("127.0.0.1:{}", proxy.port(Entry::Plain));
        let mut command = Command::new(httpwg());
        // Longer than the suite's own limits: the machine is busy with other tests.
        command.args(["--address", &address, "--connect-timeout", "5000", "--frame-timeout", "3000"]);
        let (_, report) = output_of(&mut command);
        let (passed, failed) = (cases(&report, "Test passed: "), cases(&report, "Test failed: "));
        let expected: BTreeSet<&str> = NOT_OURS.iter().map(|(name, _)| *name).collect();
        assert_eq!(failed, expected, "({driver}): {report}");
        assert_eq!(passed.len() + failed.len(), CASES, "({driver}): {report}");
    }
}
