//! Compiles the authentication of a frontend or an entry point: basic, digest, or forward to an authentication server
//! (docs/reference/middlewares.md#authentication, docs/reference/entry-points.md#authentication).

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::{CompileContext, EndpointInterner, PoolKind};
use crate::backend::{Scheme, Server, ServerUrl};
use crate::config::dynamic::{self, UserAuth};
use crate::config::middleware_states::FrontendStates;
use crate::config::snapshot::{ServerEndpoint, ServerProtocol, ServerTls, TlsConfigs};
use crate::diagnostics::{Code, Diagnostic};
use crate::middleware::basic_auth::{AuthEdits, BasicAuth};
use crate::middleware::digest_auth::DigestAuth;
use crate::middleware::forward_auth::{AuthServer, ForwardAuth};
use crate::middleware::{ChainScope, Label, Middleware};

/// A compiled authentication middleware, and the server that it forwards to.
#[derive(Default)]
pub struct Auth {
    pub middleware: Option<Middleware>,
    pub server: Option<Box<ServerEndpoint>>,
    /// Users whom no password lets in, as sentences for the log.
    pub denied_users: Vec<Diagnostic>,
}

/// Compiles the first of basic, digest and forward that is set.
///
/// # Errors
/// None of the three is set: Traefik answers every request with 500 then, and the author did not mean to let every client in either. Or a
/// user line or file cannot be read, an address is no URL, certificates cannot be used.
pub fn auth(
    ctx: &CompileContext,
    written: Option<&dynamic::Auth>,
    scope: ChainScope<'_>,
    states: &mut FrontendStates,
    interner: &mut EndpointInterner,
) -> Result<Auth, Diagnostic> {
    let Some(written) = written else { return Ok(Auth::default()) };
    let label = scope.label("Auth");
    if let Some(users) = &written.basic {
        let basic = basic(ctx, users, &written.header_field, label)?;
        let denied_users = basic.denied_users().map(|user| denied("auth.basic", user)).collect();
        return Ok(Auth { middleware: Some(Middleware::Basic(basic)), server: None, denied_users });
    }
    if let Some(users) = &written.digest {
        let file = users_file(ctx, users)?;
        let edits = auth_edits(users, &written.header_field);
        let state = states.digest(ctx.random);
        let digest = DigestAuth::new(&users.users, file.as_deref(), edits, state, label)
            .map_err(|e| Diagnostic::new(Code::InvalidUser, "auth.digest", e.to_string()))?;
        let denied_users = digest.denied_users().map(|user| denied("auth.digest", user)).collect();
        return Ok(Auth { middleware: Some(Middleware::Digest(digest)), server: None, denied_users });
    }
    match &written.forward {
        Some(forward) => self::forward(ctx, forward, label, interner),
        None => {
            let text = "auth names none of basic, digest and forward: set one of them, or remove auth";
            Err(Diagnostic::new(Code::AuthWithoutMethod, "auth", text))
        }
    }
}

/// A user whom no password lets in.
fn denied(key: &str, user: &str) -> Diagnostic {
    Diagnostic::new(Code::UserCannotLogIn, key, format!("{key}: {user}"))
}

/// Stricter authentication in place of one that cannot be compiled.
pub struct StandIn {
    pub auth: dynamic::Auth,
    /// The effect of the stand-in, as a clause of the report.
    pub effect: &'static str,
}

/// The stand-in for authentication that names no method, or whose files cannot be read. Users that only the file names are denied; the
/// users of the option are still let in. If an authentication server would decide, or no method is named, all requests are denied. A
/// frontend that is rejected instead might leave its requests to another frontend that serves every client. `None` if something else
/// is wrong.
pub fn fail_closed(written: &dynamic::Auth) -> Option<StandIn> {
    let without_file = |users: &UserAuth| UserAuth { users_file: String::new(), ..users.clone() };
    let has_file = |users: &Option<UserAuth>| users.as_ref().is_some_and(|users| !users.users_file.is_empty());
    let has_tls = written.forward.as_ref().is_some_and(|forward| forward.tls.is_some());
    if has_file(&written.basic) || has_file(&written.digest) {
        let (basic, digest) = (written.basic.as_ref().map(without_file), written.digest.as_ref().map(without_file));
        let auth = dynamic::Auth { basic, digest, ..written.clone() };
        return Some(StandIn { auth, effect: "no user of its usersFile can log in" });
    }
    let names_none = written.basic.is_none() && written.digest.is_none() && written.forward.is_none();
    let nobody = || dynamic::Auth { basic: Some(UserAuth::default()), ..written.clone() };
    (has_tls || names_none).then(|| StandIn { auth: nobody(), effect: "all its requests are denied" })
}

/// Compiles basic authentication; also for the deprecated list of a frontend.
pub fn basic(
    ctx: &CompileContext,
    users: &UserAuth,
    header_field: &str,
    label: Label,
) -> Result<BasicAuth, Diagnostic> {
    let file = users_file(ctx, users)?;
    let credentials = Arc::clone(&ctx.credentials);
    BasicAuth::new(&users.users, file.as_deref(), auth_edits(users, header_field), credentials, label)
        .map_err(|e| Diagnostic::new(Code::InvalidUser, "auth.basic", e.to_string()))
}

fn auth_edits(users: &UserAuth, header_field: &str) -> AuthEdits {
    AuthEdits { header_field: header_field.to_owned(), remove_header: users.remove_header }
}

fn users_file(ctx: &CompileContext, users: &UserAuth) -> Result<Option<String>, Diagnostic> {
    match users.users_file.as_str() {
        "" => Ok(None),
        path => (ctx.read)(path).map(Some).map_err(|e| {
            Diagnostic::new(Code::AuthUnavailable, "auth", format!("usersFile {path} cannot be read: {e}"))
        }),
    }
}

fn forward(
    ctx: &CompileContext,
    written: &dynamic::ForwardAuth,
    label: Label,
    interner: &mut EndpointInterner,
) -> Result<Auth, Diagnostic> {
    let invalid = |text: String| Diagnostic::new(Code::InvalidServerUrl, "auth.forward.address", text);
    let url = ServerUrl::parse(&written.address).map_err(|e| invalid(format!("auth.forward.address: {e}")))?;
    let https = match url.scheme {
        Scheme::Http => false,
        Scheme::Https => true,
        Scheme::H2c | Scheme::Tcp | Scheme::Udp => {
            let scheme = url.scheme.as_str();
            return Err(invalid(format!("auth.forward.address: {scheme} is not supported here; use http or https")));
        }
    };
    let server = AuthServer { authority: url.authority.clone(), target: url.target() };
    let (tls, pool) = if https {
        let tls = (ctx.auth_tls)(written.tls.as_ref()).map_err(|e| {
            Diagnostic::new(Code::AuthUnavailable, "auth.forward.tls", format!("auth.forward.tls: {e}"))
        })?;
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| invalid(format!("auth.forward.address: {:?} is no host name", url.host)))?;
        // The digest is part of the pool's key: a connection that was verified with these certificates is not used with others.
        let pool = interner.pool(&format!("{} auth {:?}", url.address, tls.digest), PoolKind::TlsHttp1);
        let configs = TlsConfigs { any: Arc::clone(&tls.config), http1: tls.config };
        (Some(ServerTls { name, configs, http1_pool: pool }), pool)
    } else {
        (None, interner.pool(&url.address, PoolKind::Plain))
    };
    let endpoint = ServerEndpoint {
        number: 0,
        authority: url.authority.clone(),
        url: url.text.clone(),
        addresses: interner.addresses(&url.host, url.port),
        pool,
        speaks: ServerProtocol::Http1,
        tls,
        proxy_protocol: None,
        server: Arc::new(Server { name: "auth.forward".to_owned(), url, weight: 1, state: Arc::default() }),
    };
    let names = written.auth_response_headers.clone();
    let forward = ForwardAuth::new(server, written.trust_forward_header, names, label);
    let middleware = Some(Middleware::Forward(forward));
    Ok(Auth { middleware, server: Some(Box::new(endpoint)), denied_users: Vec::new() })
}
