//! Certificates made by openssl, and its server.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::base::{Background, free_port, stdout_of, wait_for_port};

/// A folder of certificates: `NAME.pem` and `NAME.key`.
pub struct Certificates {
    folder: tempfile::TempDir,
}

/// Arguments for a new key: P-256 is made fastest.
pub const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
pub const RSA: &str = "-newkey rsa:2048";
pub const RSA_1024: &str = "-newkey rsa:1024";

impl Certificates {
    pub fn new() -> Certificates {
        Certificates { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).expect("a file");
        self.file(name)
    }

    /// `openssl req -x509`: self-signed, with CA:TRUE unless the arguments say otherwise.
    pub fn self_signed(&self, name: &str, arguments: &str) -> &Self {
        let (key, out) = (self.file(&format!("{name}.key")), self.file(&format!("{name}.pem")));
        let subject = format!("/CN={name}");
        let fixed = ["req", "-x509", "-nodes", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &out];
        openssl(&fixed, arguments);
        self
    }

    /// `openssl x509 -req -CA`: signed by the certificate `issuer`. Without extensions openssl makes version 1.
    pub fn issued(&self, issuer: &str, name: &str, key: &str, extensions: &str, arguments: &str) -> &Self {
        let request = self.request(name, key);
        let (ca, ca_key) = (self.file(&format!("{issuer}.pem")), self.file(&format!("{issuer}.key")));
        let out = self.file(&format!("{name}.pem"));
        let mut fixed =
            vec!["x509", "-req", "-days", "20", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-out", &out];
        let file = self.write(&format!("{name}.ext"), extensions.replace(';', "\n"));
        if !extensions.is_empty() {
            fixed.extend(["-extfile", &file]);
        }
        openssl(&fixed, arguments);
        self
    }

    /// Self-signed, of version 1.
    pub fn self_signed_v1(&self, name: &str, key: &str) -> &Self {
        let request = self.request(name, key);
        let (key, out) = (self.file(&format!("{name}.key")), self.file(&format!("{name}.pem")));
        openssl(&["x509", "-req", "-days", "30", "-in", &request, "-signkey", &key, "-out", &out], "");
        self
    }

    fn request(&self, name: &str, key: &str) -> String {
        let (key_file, request) = (self.file(&format!("{name}.key")), self.file(&format!("{name}.csr")));
        let subject = format!("/CN={name}");
        openssl(&["req", "-new", "-nodes", "-subj", &subject, "-keyout", &key_file, "-out", &request], key);
        request
    }

    /// Writes the certificates of several names into `file`.
    pub fn joined(&self, file: &str, names: &[&str]) -> String {
        let texts: Vec<String> = names.iter().map(|name| self.text(&format!("{name}.pem"))).collect();
        self.write(file, texts.concat())
    }

    /// Starts `openssl s_server -www` with the certificate; its page shows the handshake.
    pub fn server(&self, name: &str, arguments: &str) -> Server {
        let port = free_port();
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        command.args(["-cert", &self.file(&format!("{name}.pem")), "-key", &self.file(&format!("{name}.key"))]);
        command.args(arguments.split_whitespace());
        let process = Background::start(command, self.path(&format!("{name}-{port}.log")));
        wait_for_port(&format!("127.0.0.1:{port}"), Duration::from_secs(20));
        Server { port, _process: process }
    }
}

pub struct Server {
    pub port: u16,
    _process: Background,
}

impl Server {
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

fn openssl(fixed: &[&str], arguments: &str) {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    stdout_of("openssl", &[fixed, &arguments].concat());
}
