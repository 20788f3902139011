//! The warnings of resolving as findings. Each of these sentences begins with the option that it is about.

use crate::diagnostics::{Code, Finding, Level};

/// Makes a finding of a warning of [`StaticConfig::resolve`](super::StaticConfig::resolve).
pub fn remark(sentence: &str) -> Finding {
    let first = sentence.split(' ').next().unwrap_or_default();
    let key = first.trim_start_matches('[').trim_end_matches([']', ':', ',']);
    Finding::new(Level::Warning, code(sentence), sentence).about(key)
}

fn code(sentence: &str) -> Code {
    if sentence.contains(" is deprecated") || sentence.contains(" has been shut down") {
        Code::DeprecatedOption
    } else if sentence.contains(" is not supported") {
        Code::UnsupportedOption
    } else if sentence.contains(" is used") || sentence.contains(" is unknown") {
        Code::InvalidValue
    } else {
        Code::IgnoredOption
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::static_config::StaticConfig;
    use crate::config::text::{LocatedFile, read};

    #[test]
    fn every_warning_of_resolving_begins_with_an_option_of_the_file() {
        let text = "graceTimeOut = 5\naccessLogsFile = 'a'\ntraefikLogsFile = 'b'\n[accessLog]\nformat = 'xml'\n[web]\n\
                    [mesos]\n[file]\nfilename = 'f'\ndirectory = 'd'\n[metrics.statsd]\npushInterval = 'x'\n\
                    [entryPoints.http]\naddress = ':80'\nwhitelistSourceRange = ['10.0.0.0/8']\n[acme]\nstorageFile = 's'\n\
                    caServer = 'https://acme-v01.api.letsencrypt.org/directory'\n[acme.httpChallenge]\n[acme.tlsChallenge]\n\
                    [[acme.domains]]\nmain = '*.a.test'\n[[acme.domains]]\nmain = 'b.a.test'\n";
        let file = LocatedFile::new("f", text).expect("valid");
        let mut config = read::<StaticConfig>(text, "f").expect("valid").value;
        let findings: Vec<Finding> = config.resolve().iter().map(|sentence| remark(sentence)).collect();
        assert!(findings.len() >= 9, "{findings:?}");
        for finding in findings {
            assert!(file.has_key(&finding.key), "{finding:?}");
        }
    }
}
