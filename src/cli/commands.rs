//! The table of commands, their options and their arguments. The parser reads command lines by this table; help, man page and completions
//! are made from the same table (docs/reference/command-line.md#commands).

use std::path::PathBuf;

use super::arguments;
use super::error::CliError;
use super::values::Values;
use crate::diagnostics::suggest::did_you_mean;

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

/// A command of the program.
pub(super) struct CommandSpec {
    /// The arguments that select the command: `certificates`, `list`.
    pub words: &'static [&'static str],
    pub command: Command,
    pub summary: &'static str,
    pub options: &'static [OptionSpec],
    pub argument: Option<ArgumentSpec>,
    pub flags: FlagSet,
}

/// The flags of the configuration that a command takes.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum FlagSet {
    All,
    /// The flags that have an effect; all are read.
    Only(&'static [&'static str]),
    None,
}

/// An option of one command, which is no flag of the configuration.
pub(super) struct OptionSpec {
    /// With its dashes.
    pub name: &'static str,
    /// The name of the value in help texts, and what it may be; `None` for an option without a value.
    pub value: Option<(&'static str, Values)>,
    pub is_required: bool,
    /// Whether a flag of the configuration has the same name: with a value it is that flag, `--docker=true`.
    pub is_flag: bool,
    pub summary: &'static str,
    pub set: fn(&mut CommandOptions, &str),
}

/// The argument of a command that has no dashes.
pub(super) struct ArgumentSpec {
    pub name: &'static str,
    pub values: Values,
    pub is_required: bool,
    pub set: fn(&mut CommandOptions, &str),
}

/// The shells that completions exist for.
pub(super) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

const CHECK_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "--docker",
        value: None,
        is_required: false,
        is_flag: true,
        summary: "ask the Engine for its containers, too",
        set: |options, _| options.docker = true,
    },
    OptionSpec {
        name: "--dns",
        value: None,
        is_required: false,
        is_flag: false,
        summary: "look up the names of rules, and name those that lead elsewhere",
        set: |options, _| options.dns = true,
    },
    OptionSpec {
        name: "--format",
        value: Some(("FORMAT", Values::Words(&["text", "json", "sarif"]))),
        is_required: false,
        is_flag: false,
        summary: "text, json or sarif",
        set: |options, text| options.format = CheckFormat::parse(text),
    },
    OptionSpec {
        name: "--strict",
        value: None,
        is_required: false,
        is_flag: false,
        summary: "exit code 1 for warnings, too",
        set: |options, _| options.strict = true,
    },
];

/// All commands. The first one runs if no command is given.
pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        words: &["run"],
        command: Command::Run,
        summary: "run the proxy; the command may be left out",
        options: &[],
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["check"],
        command: Command::Check,
        summary: "read the configuration, print everything that is wrong or ignored, with its line",
        options: CHECK_OPTIONS,
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["certificates", "list"],
        command: Command::CertificatesList,
        summary: "print the certificates of the configuration and of acme.json",
        options: &[],
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["certificates", "export"],
        command: Command::CertificatesExport,
        summary: "write the certificates of acme.json as PEM files",
        options: &[OptionSpec {
            name: "--dir",
            value: Some(("FOLDER", Values::Folder)),
            is_required: true,
            is_flag: false,
            summary: "the folder to write to",
            set: |options, text| options.dir = Some(PathBuf::from(text)),
        }],
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["healthcheck"],
        command: Command::Healthcheck,
        summary: "request /ping from the running proxy; needs [ping]",
        options: &[],
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["storeconfig"],
        command: Command::StoreConfig,
        summary: "write the configuration to the key-value store of a flag, as --etcd --etcd.endpoint=...",
        options: &[],
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["explain"],
        command: Command::Explain,
        summary: "print what would happen to a request and why: asks the running proxy, or reads files with --configFile",
        options: EXPLAIN_OPTIONS,
        argument: Some(ArgumentSpec {
            name: "URL",
            values: Values::Text,
            is_required: true,
            set: |options, text| options.question.url = text.to_owned(),
        }),
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["status"],
        command: Command::Status,
        summary: "print the state of the running proxy on one screen; needs [api]",
        options: &[
            OptionSpec {
                name: "--watch",
                value: None,
                is_required: false,
                is_flag: false,
                summary: "print it again every two seconds",
                set: |options, _| options.watch = true,
            },
            API_USER,
        ],
        argument: None,
        flags: FlagSet::All,
    },
    CommandSpec {
        words: &["demo"],
        command: Command::Demo,
        summary: "run the proxy with two example backends",
        options: &[],
        argument: None,
        flags: FlagSet::Only(&["driver", "workers", "logLevel"]),
    },
    CommandSpec {
        words: &["version"],
        command: Command::Version,
        summary: "print the version",
        options: &[],
        argument: None,
        flags: FlagSet::None,
    },
    CommandSpec {
        words: &["help"],
        command: Command::Help,
        summary: "print all commands and flags, or what is known of one table, flag or command",
        options: &[],
        argument: Some(ArgumentSpec {
            name: "TABLE",
            values: Values::Topic,
            is_required: false,
            set: |options, text| options.topic = Some(text.to_owned()),
        }),
        flags: FlagSet::None,
    },
    CommandSpec {
        words: &["completions"],
        command: Command::Completions,
        summary: "print the completions of a shell",
        options: &[],
        argument: Some(ArgumentSpec {
            name: "SHELL",
            values: Values::Words(SHELLS),
            is_required: true,
            set: |options, text| options.shell = text.to_owned(),
        }),
        flags: FlagSet::None,
    },
    CommandSpec {
        words: &["man"],
        command: Command::Man,
        summary: "print the man page",
        options: &[],
        argument: None,
        flags: FlagSet::None,
    },
];

impl CheckFormat {
    /// The format of a name; an unknown name is refused before.
    fn parse(text: &str) -> CheckFormat {
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
/// The user of the API's entry point.
const API_USER: OptionSpec = OptionSpec {
    name: "--user",
    value: Some(("NAME:PASSWORD", Values::Text)),
    is_required: false,
    is_flag: false,
    summary: "the user for the API, if its entry point asks for one",
    set: |options, text| options.api_user = Some(text.to_owned()),
};

const EXPLAIN_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        name: "--method",
        value: Some(("METHOD", Values::Text)),
        is_required: false,
        is_flag: false,
        summary: "the method; GET if it is left out",
        set: |options, text| options.question.method = Some(text.to_owned()),
    },
    OptionSpec {
        name: "--header",
        value: Some(("FIELD", Values::Text)),
        is_required: false,
        is_flag: false,
        summary: "a header field, 'Name: value'; may be given several times",
        set: |options, text| options.question.headers.push(text.to_owned()),
    },
    OptionSpec {
        name: "--from",
        value: Some(("ADDRESS", Values::Text)),
        is_required: false,
        is_flag: false,
        summary: "the address of the client; 127.0.0.1 if it is left out",
        set: |options, text| options.question.from = Some(text.to_owned()),
    },
    OptionSpec {
        name: "--sni",
        value: Some(("NAME", Values::Text)),
        is_required: false,
        is_flag: false,
        summary: "the name in the TLS handshake; the host of the URL if it is left out",
        set: |options, text| options.question.sni = Some(text.to_owned()),
    },
    OptionSpec {
        name: "--entryPoint",
        value: Some(("NAME", Values::Text)),
        is_required: false,
        is_flag: false,
        summary: "the entry point; the one on the port of the URL if it is left out",
        set: |options, text| options.question.entry_point = Some(text.to_owned()),
    },
    OptionSpec {
        name: "--json",
        value: None,
        is_required: false,
        is_flag: false,
        summary: "print the JSON of /api/explain",
        set: |options, _| options.question.json = true,
    },
    OptionSpec {
        name: "--running",
        value: None,
        is_required: false,
        is_flag: false,
        summary: "ask the running proxy of --configFile, instead of reading the file's routes",
        set: |options, _| options.question.running = true,
    },
    API_USER,
];

impl CommandSpec {
    pub(super) fn name(&self) -> String {
        self.words.join(" ")
    }

    /// The command with its required options and its argument: `certificates export --dir FOLDER`.
    pub(super) fn usage(&self) -> String {
        let mut usage = self.name();
        for option in self.options.iter().filter(|option| option.is_required) {
            usage.push_str(&format!(" {}", option.usage()));
        }
        match &self.argument {
            Some(argument) if argument.is_required => usage + " " + argument.name,
            Some(argument) => format!("{usage} [{}]", argument.name),
            None => usage,
        }
    }
}

impl OptionSpec {
    /// The option with the name of its value.
    pub(super) fn usage(&self) -> String {
        match self.value {
            Some((name, _)) => format!("{} {name}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// Finds the command that the first arguments name; returns also the arguments behind them. Without a command the proxy runs.
pub(super) fn find(args: &[String]) -> Result<(&'static CommandSpec, &[String]), CliError> {
    let Some(first) = args.first().filter(|first| !first.starts_with('-')) else {
        return Ok((&COMMANDS[0], args));
    };
    let is_named = |spec: &&CommandSpec| {
        spec.words.len() <= args.len() && spec.words.iter().zip(args).all(|(word, arg)| word == arg)
    };
    if let Some(spec) = COMMANDS.iter().find(is_named) {
        return Ok((spec, &args[spec.words.len()..]));
    }
    let group: Vec<&CommandSpec> = COMMANDS.iter().filter(|spec| spec.words[0] == first).collect();
    if !group.is_empty() {
        // `certificates --help` is about all of them.
        if args.iter().any(|arg| arg == "--help" || arg == "-h") {
            return Ok((&COMMANDS[0], args));
        }
        let prefix = format!("{first} ");
        let usages: Vec<String> = group.iter().map(|spec| spec.usage().replacen(&prefix, "", 1)).collect();
        return Err(CliError::Usage(format!("{first} needs one of: {}", usages.join(", "))));
    }
    Err(CliError::Usage(match first.as_str() {
        "bug" => "bug opens Traefik's issue form: report what you see to Ringway's issue tracker".to_owned(),
        _ => match did_you_mean(first, COMMANDS.iter().map(|spec| spec.words[0])) {
            Some(near) => format!("command {first} not found: did you mean {near}?"),
            None => format!("command {first} not found: flags start with --"),
        },
    }))
}

/// Takes a command's own options and its argument out of the arguments. All others are flags of the configuration.
pub(super) fn take_options(spec: &CommandSpec, args: &[String]) -> Result<(CommandOptions, Vec<String>), CliError> {
    let (mut options, mut rest) = (CommandOptions::default(), Vec::new());
    let mut given: Vec<&str> = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, joined) = match arg.split_once('=') {
            Some((name, value)) if arg.starts_with("--") => (name, Some(value)),
            _ => (arg.as_str(), None),
        };
        let is_option = |option: &&OptionSpec| option.name == name && !(option.is_flag && joined.is_some());
        if let Some(option) = spec.options.iter().find(is_option) {
            let text = match (option.value, joined) {
                (Some(_), Some(value)) => value,
                (Some(_), None) => args.next().map_or("", String::as_str),
                (None, None) => "",
                (None, Some(_)) => return Err(CliError::Usage(format!("{name} takes no value: write {name}"))),
            };
            if let Some((_, values)) = option.value {
                check_value(option.name, values, text)?;
            }
            given.push(option.name);
            (option.set)(&mut options, text);
        } else if let Some(argument) =
            spec.argument.as_ref().filter(|argument| !arg.starts_with('-') && !given.contains(&argument.name))
        {
            check_value(&spec.name(), argument.values, arg)?;
            given.push(argument.name);
            (argument.set)(&mut options, arg);
        } else {
            rest.push(arg.clone());
            if arguments::takes_next(arg) {
                rest.extend(args.next().cloned());
            }
        }
    }
    let wants_help = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    let required = spec.options.iter().filter(|option| option.is_required).map(|option| (option.name, option.usage()));
    let argument = spec.argument.iter().filter(|argument| argument.is_required);
    let mut required = required.chain(argument.map(|argument| (argument.name, argument.name.to_owned())));
    match required.find(|(name, _)| !given.contains(name)) {
        Some((_, usage)) if !wants_help => Err(missing(spec, &usage)),
        _ => Ok((options, rest)),
    }
}

fn missing(spec: &CommandSpec, usage: &str) -> CliError {
    let name = spec.name();
    let words = spec.argument.as_ref().and_then(|argument| argument.values.words());
    CliError::Usage(match words {
        Some(words) => format!("{name} needs one of: {}", words.join(", ")),
        None => format!("{name} needs a {}: add {usage}", usage.rsplit(' ').next().unwrap_or(usage).to_lowercase()),
    })
}

fn check_value(name: &str, values: Values, text: &str) -> Result<(), CliError> {
    match values.words() {
        Some(words) if !words.contains(&text) => {
            Err(CliError::Usage(format!("{name}: {text:?} is unknown: use one of {}", words.join(", "))))
        }
        None if text.is_empty() => Err(CliError::Usage(format!("{name} needs a value: write {name} VALUE"))),
        _ => Ok(()),
    }
}
