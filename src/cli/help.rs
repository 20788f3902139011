//! The text of `--help`. The list of flags comes from the configuration's types, so that it is complete.

use crate::config::static_config::StaticConfig;
use crate::config::text::shape::Shape;

const INTRODUCTION: &str = "\
Ringway: a reverse proxy on io_uring with Traefik v1's toml and label contract.

Usage: ringway [command] [--flag=value]...

Commands:
  (none), run    run the proxy
  check          read the configuration, print everything that is wrong or ignored; with --dns also
                 names that lead elsewhere
  certificates list              print the certificates of the configuration and of acme.json
  certificates export --dir DIR  write the certificates of acme.json as PEM files
  healthcheck    request /ping from the running proxy; needs [ping]
  demo           run the proxy with two example backends
  version        print the version

Short flags: -c configFile, -d debug, -g graceTimeOut, -l logLevel, -h help.
Flags win over the file, the file wins over defaults. The file is the first of --configFile,
/etc/traefik/traefik.toml, $HOME/.traefik/traefik.toml and ./traefik.toml.

Flags (names in any case; a value follows an equals sign; a bare table flag turns the table on with its defaults):
";

/// Descriptions of the flags whose names do not say enough.
const DESCRIPTIONS: [(&str, &str); 35] = [
    ("accesslog", "write an access log"),
    ("accesslog.bufferingsize", "ignored: lines always go to a writer thread"),
    ("accesslog.fields.names", "A=drop B=keep"),
    ("accesslog.filters.statuscodes", "log requests with these, as in 404,500-599"),
    ("acme", "get certificates from an ACME authority"),
    ("acme.domains", "main,san1,san2 is one certificate; may repeat"),
    ("acme.onhostrule", "request certificates for the names in Host rules"),
    ("acme.storage", "JSON file of account and certificates"),
    ("allowminweightzero", "a server of weight 0 gets no traffic"),
    ("api", "serve the API and the dashboard"),
    ("constraints", "tag==glob or tag!=glob"),
    ("debug", "log level debug unless logLevel is set; allow core dumps"),
    ("defaultentrypoints", "entry points of frontends that name none"),
    ("docker", "routes from containers' labels"),
    ("docker.domain", "suffix of the default Host rule"),
    ("docker.exposedbydefault", "false: only containers with traefik.enable=true"),
    ("docker.unavailablegrace", "how long routes of unavailable containers answer 503"),
    ("driver", "auto, io_uring or epoll"),
    ("entrypoints", "'Name:http Address::80 TLS:cert,key Redirect.EntryPoint:https Compress:true ...'; may repeat"),
    ("file", "routes from toml files"),
    ("forwardingtimeouts.dialtimeout", "time to connect to a server; 0 is 30s"),
    ("gracetimeout", "deprecated, see lifecycle.gracetimeout"),
    ("keeptrailingslash", "do not redirect between /path and /path/"),
    ("lifecycle.gracetimeout", "time for active requests when stopping"),
    ("maxconnections", "client connections at one time; 0 is 100,000 for each worker"),
    ("maxconnectionsperaddress", "connections from one client address; 0 is half of all"),
    ("loglevel", "debug, info, warn, error, fatal or panic"),
    ("ping", "serve /ping"),
    ("providersthrottleduration", "least time between two configurations of one provider"),
    ("retry", "retry a request of which nothing was sent to a server"),
    ("rootcas", "PEM files that replace the system's roots"),
    ("tcp.idletimeout", "how long a TCP connection may be idle; 0 is no limit"),
    ("tracing", "ignored: no traces are sent"),
    ("user", "switch to name[:group] once the ports are open"),
    ("workers", "worker threads; 0 is one per core"),
];

/// The whole help text.
pub fn help() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut flags = Vec::new();
    collect(&StaticConfig::shape(), "", &mut flags);
    flags.push(("configfile".to_owned(), "=text"));
    flags.push(("help".to_owned(), ""));
    flags.sort();
    for (name, form) in flags {
        let flag = format!("--{name}{form}");
        match DESCRIPTIONS.iter().find(|(described, _)| *described == name) {
            Some((_, description)) => text.push_str(&format!("  {flag:<48} {description}\n")),
            None => text.push_str(&format!("  {flag}\n")),
        }
    }
    text
}

/// Every flag's name in lower case, without dashes.
pub(super) fn flag_names(shape: &Shape) -> Vec<String> {
    let mut flags = Vec::new();
    collect(shape, "", &mut flags);
    flags.into_iter().map(|(name, _)| name).collect()
}

fn collect(shape: &Shape, prefix: &str, flags: &mut Vec<(String, &'static str)>) {
    let Shape::Table(fields) = shape else { return };
    for (name, shape) in fields {
        let name = format!("{prefix}{}", name.to_ascii_lowercase());
        flags.push((name.clone(), form(shape)));
        collect(shape, &format!("{name}."), flags);
    }
}

fn form(shape: &Shape) -> &'static str {
    match shape {
        Shape::Bool => "[=true|false]",
        Shape::Integer | Shape::Float => "=number",
        Shape::Text => "=text",
        Shape::Duration => "=duration",
        Shape::List(_) => "=a,b",
        Shape::Map(_) if shape.is_raw_table() => " (not supported)",
        Shape::Map(_) => "=text",
        Shape::Table(_) => "",
    }
}
