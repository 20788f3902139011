//! A pebble ACME server with its own root, and the DNS server that resolves all names for it.

use super::{Background, free_port, stdout_of, wait_for_port};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const START_SECS_MAX: u64 = 20;

/// Both servers; their processes end when the value is dropped.
pub struct Pebble {
    acme_port: u16,
    management_port: u16,
    dns_management_port: u16,
    /// PEM of the authority behind the ACME server's own certificate, for the client's trust.
    pub server_ca: PathBuf,
    host: String,
    server: Background,
    _dns: Background,
}

impl Pebble {
    /// Starts a server that clients reach as `host` (an IPv4 address of this machine) and that validates on port 80 of
    /// whatever address [`Pebble::resolve_to`] names.
    pub fn start(work: &Path, host: &str) -> Self {
        Pebble::start_with(work, host, certificates(work, host), None)
    }

    /// As [`Pebble::start`], with a certificate by the plain command of the manuals, which is its own authority (CA:TRUE).
    pub fn start_self_signed(work: &Path, host: &str) -> Self {
        Pebble::start_with(work, host, self_signed(work, host), None)
    }

    /// As [`Pebble::start`], with another DNS server (`host:port`) that the ACME server asks.
    pub fn start_with_dns(work: &Path, host: &str, dns_server: &str) -> Self {
        Pebble::start_with(work, host, certificates(work, host), Some(dns_server))
    }

    fn start_with(work: &Path, host: &str, server_ca: PathBuf, dns_server: Option<&str>) -> Self {
        let (acme_port, management_port) = (free_port(), free_port());
        let (dns_port, dns_management_port) = (free_port(), free_port());
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("0.0.0.0:{acme_port}"),
            "managementListenAddress": format!("127.0.0.1:{management_port}"),
            "certificate": work.join("acme-server.pem"),
            "privateKey": work.join("acme-server.key"),
            "httpPort": 80,
            "tlsPort": 443,
        }});
        let config_file = work.join("pebble.json");
        fs::write(&config_file, config.to_string()).expect("pebble's configuration");

        let mut dns = Command::new("pebble-challtestsrv");
        dns.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""])
            .args(["-dns01", &format!("127.0.0.1:{dns_port}")])
            .args(["-management", &format!("127.0.0.1:{dns_management_port}")]);
        let dns = Background::start(dns, work.join("dns.log"));

        let mut server = Command::new("pebble");
        let dns_server = dns_server.map_or(format!("127.0.0.1:{dns_port}"), str::to_owned);
        server.arg("-config").arg(&config_file).args(["-dnsserver", &dns_server]);
        // No artificial delay before a validation. Refused nonces stay enabled: a client has to handle them.
        server.env("PEBBLE_VA_NOSLEEP", "1");
        // No authorisation is reused, so that every order causes a validation.
        server.env("PEBBLE_AUTHZREUSE", "0");
        let server = Background::start(server, work.join("pebble.log"));

        let limit = Duration::from_secs(START_SECS_MAX);
        for port in [acme_port, management_port, dns_management_port] {
            wait_for_port(&format!("127.0.0.1:{port}"), limit);
        }
        let host = host.to_owned();
        Pebble { acme_port, management_port, dns_management_port, server_ca, host, server, _dns: dns }
    }

    /// The address for `caServer`.
    pub fn directory(&self) -> String {
        format!("https://{}:{}/dir", self.host, self.acme_port)
    }

    /// Resolves every name to this IPv4 address, for the server's validations.
    pub fn resolve_to(&self, address: &str) {
        let url = format!("http://127.0.0.1:{}/set-default-ipv4", self.dns_management_port);
        stdout_of("curl", &["-sSf", "-d", &format!("{{\"ip\":\"{address}\"}}"), &url]);
    }

    /// PEM of the root of the issued certificates; each start of pebble has its own.
    pub fn root(&self) -> String {
        stdout_of("curl", &["-sSfk", &format!("https://127.0.0.1:{}/roots/0", self.management_port)])
    }

    /// Number of orders so far, of all clients and names.
    pub fn orders(&self) -> usize {
        self.server.log_text().matches("Added order").count()
    }

    /// Number of requests that this server has sent so far to validate `name`, a few for each order.
    pub fn validations(&self, name: &str) -> usize {
        self.server.log_text().matches(&format!("Attempting to validate w/ HTTP: http://{name}:")).count()
    }
}

/// Creates a self-signed certificate for `host` in `work`; returns its file.
fn self_signed(work: &Path, host: &str) -> PathBuf {
    let path = |name: &str| work.join(name).to_string_lossy().into_owned();
    let (server, key) = (path("acme-server.pem"), path("acme-server.key"));
    let names = format!("subjectAltName=IP:{host}");
    let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=acme", "-addext", &names];
    stdout_of("openssl", &[&made[..], &["-keyout", &key, "-out", &server]].concat());
    PathBuf::from(server)
}

/// Creates an authority and the ACME server's certificate for `host` in `work`; returns the authority's file.
fn certificates(work: &Path, host: &str) -> PathBuf {
    let path = |name: &str| work.join(name).to_string_lossy().into_owned();
    let (ca, ca_key) = (path("acme-ca.pem"), path("acme-ca.key"));
    let (server, server_key, request) = (path("acme-server.pem"), path("acme-server.key"), path("acme-server.csr"));
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

    let mut authority = vec!["req", "-x509", "-days", "2", "-subj", "/CN=ringway test acme"];
    authority.extend(new_key);
    authority.extend(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", &ca_key, "-out", &ca]);
    stdout_of("openssl", &authority);

    let mut leaf = vec!["req", "-new", "-subj", "/CN=acme"];
    leaf.extend(new_key);
    leaf.extend(["-keyout", &server_key, "-out", &request]);
    stdout_of("openssl", &leaf);

    let extensions = path("acme-server.ext");
    let names = format!("subjectAltName=IP:{host},IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n");
    fs::write(&extensions, names).expect("the certificate's extensions");
    let mut sign = vec!["x509", "-req", "-days", "2", "-in", &request, "-CA", &ca, "-CAkey", &ca_key];
    sign.extend(["-CAcreateserial", "-extfile", &extensions, "-out", &server]);
    stdout_of("openssl", &sign);
    PathBuf::from(ca)
}
