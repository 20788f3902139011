//! The table of commands, their options and their arguments. The parser reads command lines by this table; help, man page and completions
//! are made from the same table (docs/reference/command-line.md#commands).

use std::path::PathBuf;

use super::command::{CheckFormat, Command, CommandOptions};
use super::values::Values;

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
