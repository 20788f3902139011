//! The command that a command line names, and its own options.

use std::path::PathBuf;

/// The command to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run the proxy.
    Run,
    /// Read and check the configuration, print all warnings and errors, and exit.
    Check,
    /// Print the certificates of the configuration and of `acme.json`.
    CertificatesList,
    /// Write the certificates of `acme.json` as PEM files.
    CertificatesExport,
    /// Request `/ping` from the running proxy.
    Healthcheck,
    /// Write the configuration to a key-value store.
    StoreConfig,
    /// Print what would happen to a request, and why.
    Explain,
    /// Print the state of the running proxy on one screen.
    Status,
    /// Run the proxy with two example backends.
    Demo,
    /// Print the version; no configuration is read.
    Version,
    /// Print the help; no configuration is read.
    Help,
    /// Print the completions of a shell; no configuration is read.
    Completions,
    /// Print the man page; no configuration is read.
    Man,
}

/// Options of commands, which are no flags of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandOptions {
    /// `certificates export --dir`
    pub dir: Option<PathBuf>,
    /// `check --dns`
    pub dns: bool,
    /// `check --docker`
    pub docker: bool,
    /// `check --strict`
    pub strict: bool,
    /// `check --format`
    pub format: CheckFormat,
    /// `help TABLE`
    pub topic: Option<String>,
    /// `completions SHELL`
    pub shell: String,
    /// `explain URL` and its options
    pub question: Question,
    /// `status --watch`
    pub watch: bool,
    /// `--user NAME:PASSWORD` of commands that ask the API
    pub api_user: Option<String>,
    /// Whether `--configFile` names the configuration file.
    pub names_file: bool,
}

/// The request that `explain` is asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    pub url: String,
    pub method: Option<String>,
    pub headers: Vec<String>,
    pub from: Option<String>,
    pub sni: Option<String>,
    pub entry_point: Option<String>,
    /// Print the JSON of the API.
    pub json: bool,
    /// Ask the running proxy, although `--configFile` is given.
    pub running: bool,
}

/// The form of the findings of `check`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CheckFormat {
    #[default]
    Text,
    Json,
    Sarif,
}

impl CheckFormat {
    /// The format of a name; an unknown name is refused before.
    pub(super) fn parse(text: &str) -> CheckFormat {
        match text {
            "json" => CheckFormat::Json,
            "sarif" => CheckFormat::Sarif,
            _ => CheckFormat::Text,
        }
    }
}

/// The form that the arguments of `check` ask for, also of arguments that have another mistake. `None` if the command is another one.
pub fn asked_check_format(args: &[String]) -> Option<CheckFormat> {
    let rest = args.strip_prefix(&["check".to_owned()])?;
    let is_asked = |form: &str| {
        rest.iter().any(|argument| argument.strip_prefix("--format=") == Some(form))
            || rest.windows(2).any(|pair| pair[0] == "--format" && pair[1] == form)
    };
    let asked = ["json", "sarif"].into_iter().find(|form| is_asked(form));
    Some(asked.map(CheckFormat::parse).unwrap_or_default())
}
