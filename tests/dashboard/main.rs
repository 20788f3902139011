//! The dashboard in Debian's Chromium, behind basic authentication: pages, search, containers, accessibility, 3,000 routes. The scripts in
//! `browser` are the tests; these functions give them a proxy with something to show.

#[path = "../support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::docker::Engine;
use support::origin::Origin;
use support::ringway::{Ringway, Setup};
use support::{docker_or_skip, free_port, installed, project, stdout_of, tool_or_skip, wait_for};

const PASSWORD: &str = "open sesame";
const START_SECS_MAX: u64 = 60;
/// Routes of the test of many routes.
const MANY: usize = 3000;

const CONFIG: &str = r#"
defaultEntryPoints = ["http"]
[entryPoints.http]
address = "127.0.0.1:@http@"
[entryPoints.https]
address = "127.0.0.1:@https@"
[entryPoints.https.tls]
[[entryPoints.https.tls.certificates]]
certFile = "@dir@/one.pem"
keyFile = "@dir@/one.key"
[entryPoints.traefik]
address = "127.0.0.1:@api@"
[entryPoints.traefik.auth.basic]
users = ["admin:@hash@"]
[api]
@provider@
"#;

const ROUTES: &str = r#"
[backends.shop.servers.a]
url = "http://@origin@"
[backends.gone.servers.a]
url = "http://127.0.0.1:@closed@"
[frontends.shop]
backend = "shop"
[frontends.shop.routes.r]
rule = "Host:shop.example.com"
[frontends.cart]
backend = "shop"
[frontends.cart.routes.r]
rule = "Host:shop.example.com;PathPrefix:/cart"
[frontends.cart.ratelimit]
extractorFunc = "client.ip"
[frontends.cart.ratelimit.rateset.a]
period = "10s"
average = 100
burst = 200
[frontends.blog]
backend = "shop"
[frontends.blog.routes.r]
rule = "Host:blog.example.com"
[frontends.gone]
backend = "gone"
[frontends.gone.routes.r]
rule = "Host:gone.example.com"
[frontends.broken]
backend = "shop"
[frontends.broken.routes.r]
rule = "Hots:broken.example.com"
"#;

/// The folder of `scripts/dashboard-tools.sh`, which has the same default.
fn tools() -> PathBuf {
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let tools = std::env::var_os("RINGWAY_TOOLS");
    tools.map_or_else(|| cache().unwrap_or_else(home).join("ringway-tools"), PathBuf::from).join("dashboard")
}

/// The folder for screenshots: `RINGWAY_ARTEFACTS`, or one in the build's own folder.
fn artefacts() -> PathBuf {
    std::env::var_os("RINGWAY_ARTEFACTS").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}

fn tools_or_skip() -> bool {
    let packages = ["playwright-core", "axe-core"].iter().all(|name| tools().join("node_modules").join(name).is_dir());
    tool_or_skip("chromium", installed("chromium"))
        && tool_or_skip("node", installed("node"))
        && tool_or_skip("the npm packages of scripts/dashboard-tools.sh", packages)
}

fn certificate(folder: &Path) {
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let (key, pem) = (file("one.key"), file("one.pem"));
    let names = "subjectAltName=DNS:shop.example.com,DNS:www.example.com";
    stdout_of(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "9",
            "-subj",
            "/CN=shop.example.com",
            "-addext",
            names,
            "-keyout",
            &key,
            "-out",
            &pem,
        ],
    );
}

/// A proxy whose dashboard asks for a password.
fn start(driver: &str, provider: &str, routes: &str) -> Ringway {
    let hash = stdout_of("openssl", &["passwd", "-apr1", PASSWORD]);
    let setup =
        Setup::new(driver, CONFIG).fill("@hash@", hash).fill("@provider@", provider).file("routes.toml", routes);
    certificate(setup.folder.path());
    let ringway = setup.spawn();
    let api = format!("http://127.0.0.1:{}/api/providers", ringway.api);
    wait_for("the provider's routes in the API", Duration::from_secs(START_SECS_MAX), || {
        let found = ringway.curl(&["-u", &format!("admin:{PASSWORD}"), &api]);
        if found.len() > 2 || provider.starts_with("[docker]") && found == "{}" { Ok(()) } else { Err(found) }
    });
    ringway
}

const FILE: &str = "[file]\nfilename = \"@dir@/routes.toml\"\nwatch = true";

/// Runs a script of the folder `browser` and shows its output.
fn browse(script: &str, ringway: &Ringway, more: Value) {
    let mut options = json!({
        "url": format!("http://127.0.0.1:{}", ringway.api),
        "user": "admin",
        "password": PASSWORD,
        "artefacts": artefacts().join("dashboard"),
    });
    options.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let mut command = Command::new("timeout");
    command.args(["240", "node"]).arg(project().join("tests/dashboard/browser").join(script)).arg(options.to_string());
    let output = command.env("DASHBOARD_TOOLS", tools()).stdin(Stdio::null()).output().expect("node");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert!(output.status.success(), "{script}: {text}\n{}", ringway.log());
}

#[test]
fn pages_show_the_past_and_pass_axe_in_light_dark_and_phone_mode() {
    if !tools_or_skip() {
        return;
    }
    let origin = Origin::start();
    let routes = ROUTES.replace("@origin@", &origin.address.to_string()).replace("@closed@", &free_port().to_string());
    let ringway = start("io_uring", FILE, &routes);
    for (host, count) in
        [("shop.example.com", 60), ("blog.example.com", 20), ("gone.example.com", 3), ("no.example.com", 2)]
    {
        for _ in 0..count {
            ringway.curl(&["-o", "/dev/null", "-H", &format!("Host: {host}"), &ringway.url("/")]);
        }
    }
    let history = format!("http://127.0.0.1:{}/api/history", ringway.api);
    wait_for("the requests in the history", Duration::from_secs(20), || {
        let found = ringway.curl(&["-u", &format!("admin:{PASSWORD}"), &history]);
        let read: Value = serde_json::from_str(&found).map_err(|error| error.to_string())?;
        if read["frontends"].as_array().is_some_and(|rows| rows.len() >= 3) { Ok(()) } else { Err(found) }
    });
    browse("pages.mjs", &ringway, json!({ "server": origin.address.to_string(), "http": ringway.http }));
}

#[test]
fn container_appears_within_three_seconds_with_its_route_or_the_reason() {
    if !tools_or_skip() || !docker_or_skip() {
        return;
    }
    let mut engine = Engine::new("dash");
    let work = tempfile::tempdir().expect("a folder");
    let image = engine.whoami_image(work.path());
    for name in ["web", "off", "bad"] {
        engine.expect(name);
    }
    let ringway = start("epoll", "[docker]\nexposedByDefault = true\ndomain = \"docker.test\"", "");
    browse("containers.mjs", &ringway, json!({ "image": image, "prefix": engine.prefix }));
}

#[test]
fn three_thousand_routes_scroll_and_filter_without_stutter() {
    if !tools_or_skip() {
        return;
    }
    let mut routes = "[backends.one.servers.a]\nurl = \"http://127.0.0.1:9\"\n".to_owned();
    for number in 0..MANY {
        let rule = format!("Host:tenant-{number}.example.com,www.tenant-{number}.example.com;PathPrefix:/shop");
        let _ = writeln!(
            routes,
            "[frontends.tenant-{number}]\nbackend = \"one\"\n[frontends.tenant-{number}.routes.r]\nrule = \"{rule}\""
        );
    }
    let ringway = start("epoll", FILE, &routes);
    browse("many.mjs", &ringway, json!({ "routes": MANY }));
}
