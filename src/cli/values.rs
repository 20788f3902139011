//! The values that a flag, an option or an argument may have, for completions and help. A value outside a list is refused or reported by the
//! reader of the value; a test compares both.

/// The kind of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Values {
    /// Words, one of which is the value.
    Words(&'static [&'static str]),
    /// A path.
    File,
    Folder,
    /// A user of the system.
    User,
    /// A table, a flag or a command, for `help`.
    Topic,
    /// Text that nothing can suggest.
    Text,
}

const FORMATS: &[&str] = &["common", "json"];
const BOOLS: &[&str] = &["true", "false"];

/// Flags whose values are known or are paths, by their keys.
const FLAGS: &[(&str, Values)] = &[
    ("configFile", Values::File),
    ("logLevel", Values::Words(&["debug", "info", "warn", "error", "fatal", "panic"])),
    ("driver", Values::Words(&["auto", "io_uring", "epoll"])),
    ("user", Values::User),
    ("rootCAs", Values::File),
    ("accessLogsFile", Values::File),
    ("traefikLogsFile", Values::File),
    ("accessLog.filePath", Values::File),
    ("accessLog.format", Values::Words(FORMATS)),
    ("accessLog.fields.defaultMode", Values::Words(&["keep", "drop"])),
    ("accessLog.fields.headers.defaultMode", Values::Words(&["keep", "drop", "redact"])),
    ("traefikLog.filePath", Values::File),
    ("traefikLog.format", Values::Words(FORMATS)),
    ("acme.storage", Values::File),
    ("acme.storageFile", Values::File),
    ("acme.keyType", Values::Words(&["EC256", "EC384", "RSA2048", "RSA4096", "RSA8192"])),
    (
        "acme.dnsChallenge.provider",
        Values::Words(&[
            "cloudflare",
            "digitalocean",
            "duckdns",
            "exec",
            "gandiv5",
            "hetzner",
            "httpreq",
            "ovh",
            "rfc2136",
            "route53",
        ]),
    ),
    ("docker.filename", Values::File),
    ("docker.tls.ca", Values::File),
    ("docker.tls.cert", Values::File),
    ("docker.tls.key", Values::File),
    ("etcd.filename", Values::File),
    ("etcd.tls.ca", Values::File),
    ("etcd.tls.cert", Values::File),
    ("etcd.tls.key", Values::File),
    ("zookeeper.filename", Values::File),
    ("zookeeper.tls.ca", Values::File),
    ("zookeeper.tls.cert", Values::File),
    ("zookeeper.tls.key", Values::File),
    ("consul.filename", Values::File),
    ("consul.tls.ca", Values::File),
    ("consul.tls.cert", Values::File),
    ("consul.tls.key", Values::File),
    ("redis.filename", Values::File),
    ("redis.tls.ca", Values::File),
    ("redis.tls.cert", Values::File),
    ("redis.tls.key", Values::File),
    ("file.filename", Values::File),
    ("file.directory", Values::Folder),
    ("hostResolver.resolvConfig", Values::File),
    ("metrics.influxdb.protocol", Values::Words(&["udp", "http"])),
    ("tracing.backend", Values::Words(&["jaeger", "zipkin", "datadog"])),
    ("web.certFile", Values::File),
    ("web.keyFile", Values::File),
];

impl Values {
    /// The values of a flag by its key, in the spelling of the configuration.
    pub(super) fn of_flag(key: &str, is_bool: bool) -> Values {
        match FLAGS.iter().find(|(flag, _)| *flag == key) {
            Some((_, values)) => *values,
            None if is_bool => Values::Words(BOOLS),
            None => Values::Text,
        }
    }

    pub(super) fn words(self) -> Option<&'static [&'static str]> {
        match self {
            Values::Words(words) => Some(words),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::cli::flags;
    use crate::config::static_config;

    #[test]
    fn keys_with_values_are_flags() {
        let names: Vec<String> = flags::all().into_iter().map(|flag| flag.key).collect();
        for (key, _) in FLAGS {
            assert!(names.iter().any(|name| name == key), "{key} is no flag");
        }
    }

    /// The warnings and problems of a command line.
    fn complaints(arg: &str) -> Vec<String> {
        let missing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
        let base = [
            "--acme.storage=acme.json",
            "--acme.entryPoint=https",
            "--acme.dnsChallenge",
            "--entryPoints=Name:https Address::4443 TLS",
        ];
        let args: Vec<String> = base.iter().chain([&arg]).map(|arg| (*arg).to_owned()).collect();
        let invocation = crate::cli::parse(&args, &|_| None, &missing).unwrap_or_else(|e| panic!("{arg}: {e}"));
        let problems = static_config::check(&invocation.static_config);
        let about = |text: &String| {
            let key = arg.trim_start_matches('-').split('=').next().unwrap_or_default();
            text.contains(key) || text.contains("accessLog")
        };
        invocation
            .findings
            .iter()
            .map(ToString::to_string)
            .chain(problems.iter().map(ToString::to_string))
            .filter(about)
            .collect()
    }

    #[test]
    fn offered_words_are_accepted_and_other_words_are_reported() {
        for key in ["logLevel", "driver", "accessLog.format", "acme.keyType"] {
            let words = Values::of_flag(key, false).words().expect("words");
            for word in words {
                assert_eq!(complaints(&format!("--{key}={word}")), Vec::<String>::new(), "--{key}={word}");
            }
            assert!(!complaints(&format!("--{key}=nonsense")).is_empty(), "--{key}=nonsense is accepted");
        }
    }
}
