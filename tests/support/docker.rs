//! Containers, networks and images of one test, all removed when the [`Engine`] value is dropped.

use super::{project, run, stdout_of, unique, whoami_program};
use std::path::Path;
use std::process::Command;
use std::thread;

/// The Docker objects of one test. All their names begin with a unique prefix.
pub struct Engine {
    pub prefix: String,
    containers: Vec<String>,
    networks: Vec<String>,
    images: Vec<String>,
}

impl Engine {
    pub fn new(prefix: &str) -> Self {
        Engine { prefix: unique(prefix), containers: Vec::new(), networks: Vec::new(), images: Vec::new() }
    }

    /// Creates a bridge network, named by the prefix and `name`; returns its full name.
    pub fn network(&mut self, name: &str) -> String {
        let full = format!("{}-{name}", self.prefix);
        stdout_of("docker", &["network", "create", &full]);
        self.networks.push(full.clone());
        full
    }

    /// The host's own address inside a network.
    pub fn gateway(&self, network: &str) -> String {
        stdout_of("docker", &["network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", network])
    }

    /// Runs a container in the background, named by the prefix and `name`; returns its full name.
    pub fn run(&mut self, name: &str, arguments: &[&str]) -> String {
        self.place(&["run", "-d"], name, arguments)
    }

    /// As [`Engine::run`], but the container does not start yet: it can join more networks first.
    pub fn create(&mut self, name: &str, arguments: &[&str]) -> String {
        self.place(&["create"], name, arguments)
    }

    fn place(&mut self, verb: &[&str], name: &str, arguments: &[&str]) -> String {
        let full = format!("{}-{name}", self.prefix);
        // Registered before the call: a container that was created but could not start must be removed as well.
        self.containers.push(full.clone());
        stdout_of("docker", &[verb, &["--name", &full], arguments].concat());
        full
    }

    /// Registers a container that something else starts, named by the prefix and `name`, so that it is removed as well.
    pub fn expect(&mut self, name: &str) {
        self.containers.push(format!("{}-{name}", self.prefix));
    }

    /// The container's address in a network. Empty while it is not running.
    pub fn address(&self, container: &str, network: &str) -> String {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
        stdout_of("docker", &["inspect", "--format", &format, container])
    }

    /// The container's output so far, both streams.
    pub fn logs(&self, container: &str) -> String {
        let output = run("docker", &["logs", container]);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// Copies a container's image with one more instruction, written as in a Dockerfile; returns its name.
    pub fn derived_image(&mut self, name: &str, container: &str, instruction: &str) -> String {
        let image = format!("{}-{name}:test", self.prefix);
        stdout_of("docker", &["commit", "--change", instruction, container, &image]);
        self.images.push(image.clone());
        image
    }

    /// Imports an image from a tar file; `changes` are instructions as in a Dockerfile. Returns its name.
    pub fn imported_image(&mut self, name: &str, tarball: &str, changes: &[&str]) -> String {
        let image = format!("{}-{name}:test", self.prefix);
        let changes = changes.iter().flat_map(|change| ["--change", *change]);
        stdout_of("docker", &["import"].into_iter().chain(changes).chain([tarball, &image]).collect::<Vec<_>>());
        self.images.push(image.clone());
        image
    }

    /// Makes an image with the whoami example and nothing else; returns its name.
    pub fn whoami_image(&mut self, work: &Path) -> String {
        let root = work.join("whoami-root");
        std::fs::create_dir_all(&root).expect("a folder for the image");
        whoami_program(&root);
        let tarball = work.join("whoami.tar");
        let (tarball, root) = (tarball.to_string_lossy(), root.to_string_lossy());
        stdout_of("tar", &["-C", &root, "-cf", &tarball, "."]);
        self.imported_image("whoami", &tarball, &["ENTRYPOINT [\"/whoami\"]"])
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for container in &self.containers {
            if thread::panicking() {
                eprintln!("--- logs of {container}:\n{}", self.logs(container));
            }
            run("docker", &["rm", "-f", "-v", container]);
        }
        for network in &self.networks {
            run("docker", &["network", "rm", network]);
        }
        for image in &self.images {
            run("docker", &["rmi", image]);
        }
    }
}

/// The Ringway image under test: `RINGWAY_IMAGE` if set, otherwise an image built by `scripts/image.sh`.
pub fn ringway_image() -> String {
    if let Ok(image) = std::env::var("RINGWAY_IMAGE") {
        return image;
    }
    let tag = "ringway:test";
    let built = Command::new(project().join("scripts/image.sh"))
        .arg(tag)
        .env("RINGWAY_PROFILE", std::env::var("RINGWAY_PROFILE").unwrap_or_else(|_| "image".to_owned()))
        .output()
        .expect("scripts/image.sh runs");
    assert!(built.status.success(), "scripts/image.sh: {}", String::from_utf8_lossy(&built.stderr));
    tag.to_owned()
}
