//! The tutorial: a Docker host as the Traefik 1.7 guides set it up, with only the image's name changed.
//!
//! A real engine, real containers and a real ACME server (pebble). Three services run on a shared and on an internal network: a blog and a
//! database front end that are to be reachable, and a database that is not. The proxy runs as in the guides: one `docker run` with a
//! mounted socket, a mounted `traefik.toml`, and a mounted, empty `acme.json`.

mod support;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use support::acme::Pebble;
use support::docker::{Engine, ringway_image};
use support::{docker_or_skip, pebble_or_skip, run, stdout_of, wait_for};

/// The password behind the hash in tests/tutorial/traefik.toml.
const LOGIN: &str = "admin:secure_password";

/// Time for three RSA-4096 keys and the account's key on a small machine.
const CERTIFICATES_SECS_MAX: u64 = 120;
/// Time for an event, the throttle of two seconds, and a margin.
const RELOAD_SECS_MAX: u64 = 20;
/// Long enough for a proxy that wanted new certificates after its start to have ordered them.
const QUIET_SECS: u64 = 5;

#[test]
fn traefik_tutorial_works_with_only_the_image_changed() {
    if !docker_or_skip() || !pebble_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let mut host = Host::set_up(work.path());
    host.start_proxy();
    host.start_services();

    host.certificates_are_issued();
    host.http_is_redirected_to_https();
    host.services_are_reached();
    host.dashboard_needs_its_password();
    host.database_is_not_exposed();
    host.stopped_service_disappears_and_comes_back();
    host.restart_keeps_certificates();
}

#[test]
fn example_backend_runs_from_an_empty_image() {
    if !docker_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let mut engine = Engine::new("rw-whoami");
    let image = engine.whoami_image(work.path());
    let network = engine.network("net");
    let container = engine.run("one", &["--network", &network, &image, "--name", "one", "--port", "8000"]);
    let address = engine.address(&container, &network);

    let url = format!("http://{address}:8000/a?b=c");
    let text = wait_for("whoami answers", Duration::from_secs(10), || curl(&["-sSf", &url]));
    assert!(text.contains("Name: one\n") && text.contains(&format!("IP: {address}\n")), "{text}");
    assert!(text.contains("GET /a?b=c HTTP/1.1\n"), "{text}");
    let bytes = curl(&["-sSf", &format!("http://{address}:8000/bytes/70000")]).expect("a large body");
    assert_eq!(bytes.len(), 70000);
    let echoed = curl(&["-sSf", "-d", "over and out", &format!("http://{address}:8000/echo")]);
    assert_eq!(echoed.as_deref(), Ok("over and out"));
}

#[test]
fn test_acme_server_is_trusted_by_its_authority() {
    if !pebble_or_skip() {
        return;
    }
    let work = tempfile::tempdir().expect("a folder for the test");
    let pebble = Pebble::start(work.path(), "127.0.0.1");
    pebble.resolve_to("127.0.0.1");
    let authority = pebble.server_ca.to_string_lossy();
    let directory = curl(&["-sSf", "--cacert", &authority, &pebble.directory()]).expect("the ACME directory");
    assert!(directory.contains("newOrder"), "{directory}");
    assert!(pebble.root().contains("BEGIN CERTIFICATE"));
    assert_eq!(pebble.orders(), 0);
    drop(pebble);
    // The tutorial's own server has a certificate that is its own authority.
    let pebble = Pebble::start_self_signed(work.path(), "127.0.0.1");
    let directory = curl(&["-sSf", "--cacert", &pebble.server_ca.to_string_lossy(), &pebble.directory()]);
    assert!(directory.expect("the ACME directory").contains("newOrder"));
}

/// The tutorial's machine: two networks, an ACME server, the configuration files, and the containers.
struct Host {
    // Dropped first, so that no container outlives its peers.
    engine: Engine,
    pebble: Pebble,
    work: PathBuf,
    web: String,
    internal: String,
    whoami: String,
    // Names of this run only: a shared engine shows the containers of others to the proxy, too.
    blog: String,
    adminer: String,
    monitor: String,
    /// PEM file of the authority behind the issued certificates.
    root: String,
    proxy: String,
    address: String,
}

impl Host {
    fn set_up(work: &Path) -> Self {
        let mut engine = Engine::new("rw-tutorial");
        let whoami = engine.whoami_image(work);
        let (web, internal) = (engine.network("web"), engine.network("internal"));
        let gateway = engine.gateway(&web);
        let pebble = Pebble::start_self_signed(work, &gateway);
        let root = work.join("root.pem");
        fs::write(&root, pebble.root()).expect("the root's file");

        let config = include_str!("tutorial/traefik.toml");
        let config = config.replace("@caServer@", &pebble.directory()).replace("@network@", &web);
        fs::write(work.join("traefik.toml"), config).expect("traefik.toml");
        let acme = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(work.join("acme.json"));
        acme.expect("an empty acme.json");

        let root = root.to_string_lossy().into_owned();
        let name = |service: &str| format!("{service}.{}.example.com", engine.prefix);
        let (blog, adminer, monitor) = (name("blog"), name("db-admin"), name("monitor"));
        let (proxy, address, work) = (String::new(), String::new(), work.to_owned());
        Host { engine, pebble, work, web, internal, whoami, blog, adminer, monitor, root, proxy, address }
    }

    fn names(&self) -> [&str; 3] {
        [&self.blog, &self.adminer, &self.monitor]
    }

    /// The tutorial's `docker run`. Published ports are random, as 80 and 443 may be in use here, and the trust in the test's ACME server
    /// is added; the rest is the tutorial's own line.
    fn start_proxy(&mut self) {
        // The first container of a new network gets the address after the gateway's. The ACME server has to know this address before the
        // proxy starts, because a refused validation is not retried by itself.
        let gateway: Ipv4Addr = self.engine.gateway(&self.web).parse().expect("the gateway's address");
        let expected = Ipv4Addr::from(u32::from(gateway) + 1).to_string();
        self.pebble.resolve_to(&expected);

        let mount = |file: &str| format!("{}:/{file}", self.work.join(file).display());
        let (config, acme) = (mount("traefik.toml"), mount("acme.json"));
        let authority = format!("{}:/acme-ca.pem:ro", self.pebble.server_ca.display());
        let rule = format!("traefik.frontend.rule=Host:{}", self.monitor);
        let image = ringway_image();
        let arguments = [
            &["-v", "/var/run/docker.sock:/var/run/docker.sock", "-v", &config, "-v", &acme][..],
            &["-p", "127.0.0.1::80", "-p", "127.0.0.1::443", "-l", &rule, "-l", "traefik.port=8080"],
            &["-v", &authority, "-e", "LEGO_CA_CERTIFICATES=/acme-ca.pem", "--network", &self.web, &image],
        ];
        self.proxy = self.engine.run("traefik", &arguments.concat());
        self.address = self.engine.address(&self.proxy, &self.web);
        assert_eq!(self.address, expected, "the proxy's address in its network (empty: it ended; see its log below)");
    }

    /// The tutorial's compose file, with the labels that compose itself adds.
    fn start_services(&mut self) {
        let network = format!("traefik.docker.network={}", self.web);
        let blog_rule = format!("traefik.frontend.rule=Host:{}", self.blog);
        let adminer_rule = format!("traefik.frontend.rule=Host:{}", self.adminer);
        self.service("blog", "80", &["traefik.backend=blog", &blog_rule, &network, "traefik.port=80"]);
        self.service("mysql", "3306", &["traefik.enable=false"]);
        self.service("adminer", "8080", &["traefik.backend=adminer", &adminer_rule, &network, "traefik.port=8080"]);
    }

    fn service(&mut self, name: &str, port: &str, labels: &[&str]) {
        let service = format!("com.docker.compose.service={name}");
        let mut arguments = vec!["--network", &self.internal, "--expose", port];
        for label in labels.iter().copied().chain(["com.docker.compose.project=tutorial", &service]) {
            arguments.extend(["-l", label]);
        }
        arguments.extend([self.whoami.as_str(), "--name", name, "--port", port]);
        let container = self.engine.create(name, &arguments);
        if name != "mysql" {
            stdout_of("docker", &["network", "connect", &self.web, &container]);
        }
        stdout_of("docker", &["start", &container]);
    }

    fn certificates_are_issued(&self) {
        for name in self.names() {
            let limit = Duration::from_secs(CERTIFICATES_SECS_MAX);
            wait_for(&format!("a certificate of the ACME server for {name}"), limit, || self.https(name, "/", &[]));
        }
        let validations = self.validations();
        assert!(validations.iter().all(|count| *count > 0), "validations of the three names: {validations:?}");
        let stored = fs::read_to_string(self.work.join("acme.json")).expect("acme.json");
        let stored: serde_json::Value = serde_json::from_str(&stored).expect("acme.json is JSON");
        let stored = stored["Certificates"].as_array().expect("acme.json has certificates");
        for name in self.names() {
            let count = stored.iter().filter(|certificate| certificate["Domain"]["Main"] == name).count();
            assert_eq!(count, 1, "certificates for {name} in acme.json");
        }
    }

    fn http_is_redirected_to_https(&self) {
        let blog = &self.blog;
        let resolve = format!("{blog}:80:{}", self.address);
        let reply = curl(&["-sSi", "--resolve", &resolve, &format!("http://{blog}/page?q=1")]).expect("a redirect");
        assert!(reply.starts_with("HTTP/1.1 302 "), "{reply}");
        assert_eq!(field(&reply, "location"), Some(format!("https://{blog}:443/page?q=1").as_str()), "{reply}");
        // The tutorial's user reaches the proxy through the published port.
        let published = stdout_of("docker", &["port", &self.proxy, "80/tcp"]);
        let reply = curl(&["-sSi", "-H", &format!("Host: {blog}"), &format!("http://{published}/")]);
        assert!(reply.is_ok_and(|reply| reply.starts_with("HTTP/1.1 302 ")), "through the published port {published}");
    }

    fn services_are_reached(&self) {
        let blog = self.https(&self.blog, "/wp-login.php?x=%2f", &[]).expect("the blog");
        assert!(blog.starts_with("HTTP/1.1 200 ") || blog.starts_with("HTTP/2 200"), "{blog}");
        for expected in ["Name: blog\n", "GET /wp-login.php?x=%2f HTTP/1.1\n", &format!("Host: {}\n", self.blog)] {
            assert!(blog.contains(expected), "no {expected:?} in {blog}");
        }
        let request = blog.split_once("RemoteAddr:").map(|(_, request)| request).unwrap_or_default();
        assert_eq!(field(request, "x-forwarded-proto"), Some("https"), "{blog}");
        assert_eq!(field(request, "x-forwarded-host"), Some(self.blog.as_str()), "{blog}");
        let gateway = self.engine.gateway(&self.web);
        assert_eq!(field(request, "x-forwarded-for"), Some(gateway.as_str()), "{blog}");
        let adminer = self.https(&self.adminer, "/", &[]).expect("the database front end");
        assert!(adminer.contains("Name: adminer\n"), "{adminer}");
    }

    fn dashboard_needs_its_password(&self) {
        let refused = self.https(&self.monitor, "/dashboard/", &[]).expect("an answer without a password");
        assert_eq!(status(&refused), "401", "{refused}");
        assert_eq!(field(&refused, "www-authenticate"), Some("Basic realm=\"traefik\""), "{refused}");
        let wrong =
            self.https(&self.monitor, "/dashboard/", &["-u", "admin:guess"]).expect("an answer to a wrong password");
        assert_eq!(status(&wrong), "401", "{wrong}");

        let top = self.https(&self.monitor, "/", &["-u", LOGIN]).expect("the dashboard's entrance");
        assert_eq!((status(&top), field(&top, "location")), ("302", Some("/dashboard/")), "{top}");
        let page = self.https(&self.monitor, "/dashboard/", &["-u", LOGIN]).expect("the dashboard");
        assert_eq!(status(&page), "200", "{page}");
        assert!(page.to_lowercase().contains("<html"), "{page}");
        self.dashboard_is_on_its_entry_point();
        let providers = self.providers();
        let rules = frontend_rules(&providers);
        for name in self.names() {
            assert!(rules.contains(&format!("Host:{name}")), "no frontend for {name} in {providers}");
        }
    }

    /// The address that needs no frontend: the entry point's own port, which the tutorial keeps inside the network.
    fn dashboard_is_on_its_entry_point(&self) {
        let url = format!("http://{}:8080/dashboard/", self.address);
        let refused = curl(&["-sSi", &url]).expect("an answer of the entry point");
        assert_eq!(status(&refused), "401", "{refused}");
        let page = curl(&["-sSi", "-u", LOGIN, &url]).expect("the dashboard of the entry point");
        assert_eq!(status(&page), "200", "{page}");
        assert!(page.to_lowercase().contains("<html"), "{page}");
        let published = stdout_of("docker", &["port", &self.proxy]);
        assert!(!published.contains("8080"), "the dashboard's port is published: {published}");
    }

    fn database_is_not_exposed(&self) {
        assert!(!self.providers().to_string().contains("mysql"), "the API shows the database");
        for name in
            ["mysql.example.com", "mysql-tutorial.example.com", "mysql.tutorial.example.com", "nobody.example.com"]
        {
            let reply = self.https(name, "/", &["-k"]).expect("an answer for a name without a frontend");
            assert_eq!(status(&reply), "404", "{name}: {reply}");
            assert!(reply.ends_with("404 page not found\n"), "{name}: {reply}");
        }
    }

    fn stopped_service_disappears_and_comes_back(&self) {
        let limit = Duration::from_secs(RELOAD_SECS_MAX);
        let container = format!("{}-adminer", self.engine.prefix);
        let answers_with = |wanted: &str| {
            let reply = self.https(&self.adminer, "/", &[])?;
            if status(&reply) == wanted { Ok(()) } else { Err(reply) }
        };
        stdout_of("docker", &["stop", "-t", "0", &container]);
        wait_for("the stopped service is gone", limit, || answers_with("503"));
        let blog = self.https(&self.blog, "/", &[]).expect("the other service");
        assert_eq!(status(&blog), "200", "the other service stays: {blog}");
        stdout_of("docker", &["start", &container]);
        wait_for("the service is back", limit, || answers_with("200"));
    }

    fn restart_keeps_certificates(&mut self) {
        let file = self.work.join("acme.json");
        let before = fs::metadata(&file).expect("acme.json");
        let (validations, fingerprints) = (self.validations(), self.fingerprints());

        stdout_of("docker", &["restart", &self.proxy]);
        self.address = self.engine.address(&self.proxy, &self.web);
        self.pebble.resolve_to(&self.address);
        let limit = Duration::from_secs(RELOAD_SECS_MAX);
        for name in self.names() {
            wait_for(&format!("{name} is routed after the restart"), limit, || {
                let reply = self.https(name, "/", &[])?;
                if status(&reply) == "404" { Err(reply) } else { Ok(()) }
            });
        }
        thread::sleep(Duration::from_secs(QUIET_SECS));

        assert_eq!(self.fingerprints(), fingerprints, "other certificates after the restart");
        assert_eq!(self.validations(), validations, "the restart placed new orders");
        let after = fs::metadata(&file).expect("acme.json");
        assert_eq!(after.permissions().mode() & 0o777, 0o600, "the mode of acme.json");
        assert_eq!((after.dev(), after.ino()), (before.dev(), before.ino()), "a mounted file can't be replaced");
    }

    /// Sends a request over https to the proxy's own address; curl verifies its certificate against the ACME server's root.
    fn https(&self, name: &str, path: &str, extra: &[&str]) -> Result<String, String> {
        let resolve = format!("{name}:443:{}", self.address);
        let url = format!("https://{name}{path}");
        let base = ["-sSi", "-m", "10", "--cacert", &self.root, "--resolve", &resolve, &url];
        curl(&[&base[..], extra].concat())
    }

    /// `/api/providers/docker`, through the dashboard's own frontend.
    fn providers(&self) -> serde_json::Value {
        let reply = self.https(&self.monitor, "/api/providers/docker", &["-u", LOGIN]).expect("the API");
        assert_eq!(status(&reply), "200", "{reply}");
        let (_, body) = reply.split_once("\n\n").unwrap_or_default();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// The digests of the three certificates in use.
    fn fingerprints(&self) -> Vec<String> {
        let digest = |name: &&str| {
            let connect = format!("{}:443", self.address);
            let chain = run("openssl", &["s_client", "-connect", &connect, "-servername", name]);
            let file = self.work.join("served.pem");
            fs::write(&file, &chain.stdout).expect("the served certificate");
            stdout_of("openssl", &["x509", "-noout", "-fingerprint", "-sha256", "-in", &file.to_string_lossy()])
        };
        self.names().iter().map(digest).collect()
    }

    /// Number of the ACME server's validations of each of the three names: every order for a name causes one.
    fn validations(&self) -> [usize; 3] {
        self.names().map(|name| self.pebble.validations(name))
    }
}

/// curl's output, with plain line ends; or its error output.
fn curl(arguments: &[&str]) -> Result<String, String> {
    let output = run("curl", arguments);
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
}

fn status(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or_default()
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let value =
        |line: &'a str| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    head.lines().skip(1).take_while(|line| !line.is_empty()).find_map(value).map(str::trim)
}

/// Every rule text of a provider's frontends.
fn frontend_rules(provider: &serde_json::Value) -> Vec<String> {
    let frontends = provider["frontends"].as_object().into_iter().flatten();
    let routes = frontends.flat_map(|(_, frontend)| frontend["routes"].as_object().into_iter().flatten());
    routes.filter_map(|(_, route)| route["rule"].as_str()).map(str::to_owned).collect()
}
