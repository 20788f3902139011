//! The codes of findings: each kind of mistake with its stable name, its meaning and its remedy (docs/reference/check.md#codes).

/// Declares the codes with name, meaning and remedy.
macro_rules! codes {
    ($($variant:ident $name:literal: $meaning:literal, $help:literal;)*) => {
        /// A kind of mistake. Its name never changes: programs compare it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($variant,)*
        }

        /// The name, in the JSON of the API.
        impl serde::Serialize for Code {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl Code {
            /// All codes.
            #[cfg_attr(reachability, expect(dead_code, reason = "a test compares them with docs/reference/check.md"))]
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The stable name, in kebab case.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The meaning of the mistake for what is served.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }

            /// The remedy.
            pub fn help(self) -> &'static str {
                match self { $(Code::$variant => $help,)* }
            }
        }
    };
}

codes! {
    // Files and flags.
    InvalidToml "invalid-toml":
        "the file is no TOML document, so nothing of it is read",
        "write `key = value` with texts in quotes, `[table]`, or `[[list]]`";
    WrongType "wrong-type":
        "the option takes a value of another type, so the file is not used",
        "write the value in the form that the option takes";
    GoTemplate "go-template":
        "the file holds a template, which is not run, so its routes are not read",
        "render the file before Ringway reads it";
    UnknownKey "unknown-key":
        "no option has this name: the line has no effect",
        "correct the name, or remove the line";
    UnreadableFile "unreadable-file":
        "the file, or the folder, cannot be read",
        "correct the path, or let the process read it";
    DuplicateName "duplicate-name":
        "two files define an object of one name, and only the first one is used",
        "give one of the two another name";
    IgnoredRoutes "ignored-routes":
        "the routes of this file are not read",
        "add an empty [file] table to read them from here, or move them to the file that [file] names";
    CommandLine "command-line":
        "a flag is used in another way than it is written",
        "see `ringway --help`";
    Environment "environment":
        "a variable of the environment has a value that is probably not meant",
        "correct the variable where the process is started";
    DeprecatedOption "deprecated-option":
        "the option still works, under an old name",
        "write the new name";
    IgnoredOption "ignored-option":
        "the option has no effect beside another one",
        "remove one of the two";
    UnsupportedOption "unsupported-option":
        "the option is read and has no effect",
        "remove it; COMPAT.md says what happens instead";

    // Entry points and services.
    InvalidAddress "invalid-address":
        "the entry point cannot listen on this address, so the proxy does not start",
        "write `:PORT`, `ADDRESS:PORT` or `[IPV6]:PORT`, with /udp behind it for datagrams";
    MissingAddress "missing-address":
        "the kernel chooses a port, another one at each start",
        "write `address = \":80\"`";
    AddressTaken "address-taken":
        "two entry points cannot listen on one address, so the proxy does not start",
        "give one of them another port";
    UnknownEntryPoint "unknown-entry-point":
        "the configuration refers to an entry point that is not defined",
        "use the name of a table below [entryPoints]";
    RedirectLoop "redirect-loop":
        "clients are redirected in a circle and never get an answer",
        "let one of the entry points serve requests";
    AccessLogOption "access-log-option":
        "the option of the access log has no effect: the lines go to the log of all other frontends",
        "name a file below accessLog.folder, and modes that exist";
    RedirectWithoutTarget "redirect-without-target":
        "the redirect does nothing",
        "write entryPoint, or both regex and replacement";
    InvalidRegex "invalid-regex":
        "the regular expression cannot be compiled",
        "correct it; Go's syntax is understood, without look-around and back-references";
    InvalidRange "invalid-address-range":
        "the text is no address and no range of addresses",
        "write for example `10.0.0.0/8`, `192.168.1.7` or `fd00::/8`";
    EmptyWhiteList "empty-white-list":
        "the white list names no address",
        "list addresses in sourceRange, or remove the table";
    TrustsNoAddress "trusts-no-address":
        "no peer is trusted, so the table has no effect or blocks every client",
        "list addresses in trustedIPs";
    UnknownTlsVersion "unknown-tls-version":
        "the version is ignored, and the default applies",
        "use VersionTLS12 or VersionTLS13";
    UnknownCipherSuite "unknown-cipher-suite":
        "the cipher suite does not exist, so the proxy does not start",
        "use a name of Go's crypto/tls, as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    MissingClientCa "missing-client-ca":
        "clients are not asked for a certificate",
        "list the PEM files of the authorities";
    AuthWithoutMethod "auth-without-method":
        "every request is denied",
        "add basic, digest or forward, or remove auth";
    InvalidUser "invalid-user":
        "the line names no user with a password's hash",
        "write the line with `htpasswd -nB NAME`, or with htdigest";
    UserCannotLogIn "user-cannot-log-in":
        "no password is accepted for this user, who always gets 401",
        "write the hash with htpasswd or htdigest; only in a compose file is each `$` written as `$$`";
    IncompleteKeyPair "incomplete-key-pair":
        "a certificate needs its key, and a key its certificate",
        "give both files";
    CustomTemplate "custom-template":
        "labels are translated by the built-in rules only",
        "remove the key, and write routes that labels cannot express into a file for [file]";
    InvalidValue "invalid-value":
        "the option does not know this value",
        "use one of the values that the message names";
    InvalidConstraint "invalid-constraint":
        "the constraint cannot be compared with tags",
        "write `tag==api` or `tag!=us-*`";
    InvalidDockerHost "invalid-docker-host":
        "the Docker host cannot be told from another one, or cannot be reached",
        "give each [[docker.hosts]] a name and an endpoint of its own, and remove docker.endpoint and docker.tls";
    NotForUdp "not-for-udp":
        "the option is one of requests or connections, and the entry point takes datagrams",
        "remove the option, or use another entry point";
    CannotStart "cannot-start":
        "the proxy does not start with this configuration",
        "correct what the message names";

    // Certificates and ACME.
    InvalidCertificate "invalid-certificate":
        "the certificate is not used, and clients get another one or a self-signed one",
        "give a PEM file with the certificate, then its intermediates, and the key that belongs to it";
    InvalidAuthority "invalid-authority":
        "a certificate of the bundle cannot be used",
        "give a PEM file with certificates of authorities";
    CertificateExpired "certificate-expired":
        "clients refuse the certificate",
        "replace the file with a renewed certificate, or check the clock";
    CertificateOrder "certificate-order":
        "clients that do not sort the chain refuse the certificate",
        "write the server's certificate first, then each certificate before the one that signed it";
    MustStaple "must-staple":
        "some clients refuse the certificate, because no OCSP response is stapled to it",
        "obtain a certificate without must-staple";
    UncoveredHost "uncovered-host":
        "clients of this host get a certificate for another name and refuse it",
        "add a certificate for the host, or let [acme] obtain it";
    MissingCertificate "missing-certificate":
        "ACME has not obtained a certificate for this name yet",
        "start the proxy; the name must lead to it";
    NameLeadsElsewhere "name-leads-elsewhere":
        "the ACME authority may not reach this proxy under the name",
        "correct the name's DNS record, unless a router or load balancer is in front";
    AcmeEntryPoint "acme-entry-point":
        "ACME has no entry point to serve certificates on",
        "name an entry point that has a tls table";
    AcmeStorage "acme-storage":
        "certificates cannot be kept, so none is requested",
        "name a file that the process may write, as `storage = \"acme.json\"`";
    AcmeChallenge "acme-challenge":
        "the authority cannot verify any name, so no certificate is obtained",
        "add [acme.httpChallenge], [acme.tlsChallenge] or [acme.dnsChallenge] with an entry point on the right port";
    AcmePort "acme-port":
        "authorities connect to port 80 (http-01) or 443 (tls-alpn-01) only",
        "name the entry point on that port, unless a router forwards it";
    AcmeWildcard "acme-wildcard":
        "no certificate for this name is obtained",
        "list the names one by one, or use [acme.dnsChallenge]";
    AcmeAccount "acme-account":
        "the account cannot be bound to the one at the authority",
        "give both the key identifier and the HMAC key of the authority";

    // Routes.
    InvalidRule "invalid-rule":
        "the frontend serves nothing",
        "write matchers as `Host:example.com;PathPrefix:/api`";
    NeverMatches "never-matches":
        "no request can meet this rule, or this part of it",
        "correct the part that the message shows";
    RuleWithoutEffect "rule-without-effect":
        "a part of the rule does not do what it says",
        "correct the part that the message shows";
    ShadowedRoute "shadowed-route":
        "another route comes first and takes every request that this one could get",
        "make the rules differ, or give this frontend the higher priority";
    DuplicateRule "duplicate-rule":
        "two frontends claim the same requests, and only the first one gets them",
        "remove one of the two, or give them one backend";
    MissingBackend "missing-backend":
        "the frontend has no servers and serves nothing",
        "define the backend in the same provider, or correct the name";
    BackendWithoutServers "backend-without-servers":
        "every request to this frontend is answered with 503",
        "add a server: [backends.NAME.servers.s1] with `url = \"http://host:port\"`";
    InvalidServerUrl "invalid-server-url":
        "the server cannot be reached under this URL",
        "write `http://host:port`, `https://host:port`, `h2c://host:port`, `tcp://host:port` or `udp://host:port`";
    ServerIsProxy "server-is-proxy":
        "the proxy would send requests to itself, in a circle",
        "write the address of the server, not the one of the proxy";
    MixedServers "mixed-servers":
        "no frontend can use all servers of the backend",
        "use a backend for each protocol";
    InvalidWeight "invalid-weight":
        "the backend cannot balance with this weight",
        "write a whole number, 1 or more";
    ServerTls "server-tls":
        "no verified connection to the server can be made",
        "correct what the message names";
    UnknownProxyProtocol "unknown-proxy-protocol":
        "servers would not learn the client's address",
        "write v1 or v2";
    InvalidHealthCheck "invalid-health-check":
        "servers are not checked as written",
        "write a path, and an interval such as `10s`";
    NoEntryPoint "no-entry-point":
        "the frontend is on no entry point and serves nothing",
        "name one in entryPoints";
    EntryPointMismatch "entry-point-mismatch":
        "the entry point cannot carry what the frontend serves",
        "name an entry point of the right kind";
    InvalidMiddleware "invalid-middleware":
        "the frontend is not served, because it would not be protected as its author means",
        "correct the option that the message names";
    InvalidRedirect "invalid-redirect":
        "the redirect cannot be made",
        "name an entry point, or correct regex and replacement";
    ContradictingOptions "contradicting-options":
        "two options exclude each other, so one of them has no effect, or no request is served",
        "keep the one that is meant";
    IgnoredHeader "ignored-header":
        "the header is not set: only the proxy sets this field",
        "remove it";
    InvalidErrorPage "invalid-error-page":
        "the error page is not served",
        "name another backend, and statuses as `500-599`";
    UnsupportedFrontendOption "unsupported-frontend-option":
        "the frontend is not served, because it would not be protected as its author means",
        "use what the message names instead";
    AuthUnavailable "auth-unavailable":
        "authentication cannot be checked, so requests are denied",
        "correct the option or the file that the message names";
    LayerMismatch "layer-mismatch":
        "the rule and the servers of the frontend do not fit together",
        "use a HostSNI rule with tcp:// servers, no rule with udp:// servers, and a Host rule with http:// servers";
    NotForLayer4 "not-for-layer-4":
        "the option is one of HTTP requests and would not protect connections or datagrams",
        "remove the option";
    UnreachableTcpRoute "unreachable-tcp-route":
        "another TCP route comes first and takes these connections",
        "use other names, or give this frontend the higher priority";
    TcpTakesRequests "tcp-takes-requests":
        "a TCP route takes connections that HTTP frontends expect",
        "use another name or entry point for one of them";
    SecondUdpFrontend "second-udp-frontend":
        "datagrams have no name, so one entry point can serve one frontend only",
        "name another entry point";

    // Containers.
    UnknownLabel "unknown-label":
        "no option has this name: the label has no effect",
        "correct the label's name, or remove it";
    ForeignLabel "foreign-label":
        "labels of Traefik 2 and later are not read",
        "use traefik.frontend.rule and traefik.port";
    InvalidLabel "invalid-label":
        "the container serves nothing",
        "correct the label, and recreate the container";
    IgnoredLabel "ignored-label":
        "the label's value is not used, and a default applies",
        "correct the label, and recreate the container";
    TooManyLabels "too-many-labels":
        "the container serves nothing: it exceeds a bound",
        "put large sets of routes into the file provider";
    NoRule "no-rule":
        "the container has no route",
        "set the label traefik.frontend.rule, or docker.domain";
    NoPort "no-port":
        "the container has no port to send requests to, and so no route",
        "set the label traefik.port";
    UnhealthyContainer "unhealthy-container":
        "the container's health is in an unknown state, so it gets no requests",
        "correct its HEALTHCHECK";
    NoAddress "no-address":
        "the container has a route, but no server behind it",
        "attach the container to a network of the proxy";
    NetworkNotShared "network-not-shared":
        "the proxy probably cannot reach the container: requests end with 502 or 504",
        "attach the container, or the proxy, to the network of the other one, and name it in traefik.docker.network";
    PortNotExposed "port-not-exposed":
        "the container's image does not say that it listens on this port",
        "correct traefik.port, unless the program listens there in spite of its EXPOSE";
    UnreadableContainer "unreadable-container":
        "the Engine's description of the object cannot be read, so it serves nothing",
        "see the message; other objects are not affected";
    EngineWarning "engine-warning":
        "something of the Engine's answers is not used",
        "see the message";
    StoreApi "store-api":
        "keys that were written through etcd's API v2 are not seen",
        "move them once, then set etcd.useAPIV3 = true";
    InvalidKey "invalid-key":
        "the object of the key-value store serves nothing",
        "correct the value of the key";
    IgnoredKey "ignored-key":
        "the key of the store has no effect; the object is used without it",
        "correct the key, or remove it";
}

impl Code {
    /// Whether the name of the option is meant, and not its value.
    pub fn is_about_name(self) -> bool {
        matches!(
            self,
            Code::DeprecatedOption
                | Code::IgnoredOption
                | Code::UnsupportedOption
                | Code::IgnoredRoutes
                | Code::NotForUdp
                | Code::NotForLayer4
                | Code::CustomTemplate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kebab_case_and_unique() {
        let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let is_kebab = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        assert!(names.iter().all(is_kebab), "{names:?}");
    }

    #[test]
    fn meaning_and_help_are_clauses_without_a_final_stop() {
        for code in Code::ALL {
            for text in [code.meaning(), code.help()] {
                assert!(
                    text.len() > 5 && !text.ends_with('.') && !text.starts_with(char::is_uppercase)
                        || text.starts_with("ACME"),
                    "{text}"
                );
            }
        }
    }
}
