//! Authentication of a frontend or an entry point: basic, digest, or a server that is asked (docs/reference/middlewares.md#authentication, docs/reference/entry-points.md#authentication).

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::{CompileContext, EndpointInterner};
use crate::backend::{Scheme, Server, ServerUrl};
use crate::config::dynamic::{self, UserAuth};
use crate::config::middleware_states::FrontendStates;
use crate::config::snapshot::ServerEndpoint;
use crate::middleware::basic_auth::{AuthEdits, BasicAuth};
use crate::middleware::digest_auth::DigestAuth;
use crate::middleware::forward_auth::{AuthServer, ForwardAuth};
use crate::middleware::{ChainScope, Label, Middleware};

/// A step, and the server that it asks.
#[derive(Default)]
pub struct Auth {
    pub step: Option<Middleware>,
    pub server: Option<Box<ServerEndpoint>>,
}

/// The first of basic, digest and forward that is set.
///
/// # Errors
/// None of them is set: Traefik answers every request with 500 then, and to serve everybody is not what the author meant either. A user line
/// or file that cannot be read, an address that is no URL, certificates that cannot be used.
pub fn auth(
    fixture: &CompileContext,
    written: Option<&dynamic::Auth>,
    place: ChainScope<'_>,
    states: &mut FrontendStates,
    interned: &mut EndpointInterner,
) -> Result<Auth, String> {
    let Some(written) = written else { return Ok(Auth::default()) };
    let label = place.label("Auth");
    if let Some(users) = &written.basic {
        let step = basic(fixture, users, &written.header_field, label)?;
        return Ok(Auth { step: Some(Middleware::Basic(step)), server: None });
    }
    if let Some(users) = &written.digest {
        let file = users_file(fixture, users)?;
        let after = after(users, &written.header_field);
        let state = states.digest(fixture.random);
        let step = DigestAuth::new(&users.users, file.as_deref(), after, state, label).map_err(|e| e.to_string())?;
        return Ok(Auth { step: Some(Middleware::Digest(step)), server: None });
    }
    match &written.forward {
        Some(forward) => self::forward(fixture, forward, label, interned),
        None => Err("auth names none of basic, digest and forward: set one of them, or leave auth out".to_owned()),
    }
}

/// What stands in for authentication that names no method, or whose files cannot be read: those that only a file of users knows are
/// refused, and everybody where another server should be asked, or nobody knows who. Without it another frontend might serve the same
/// requests to everybody. `None`: something else is wrong.
pub fn deny_all(written: &dynamic::Auth) -> Option<dynamic::Auth> {
    let without_file = |users: &UserAuth| UserAuth { users_file: String::new(), ..users.clone() };
    let has_file = |users: &Option<UserAuth>| users.as_ref().is_some_and(|users| !users.users_file.is_empty());
    let has_tls = written.forward.as_ref().is_some_and(|forward| forward.tls.is_some());
    if has_file(&written.basic) || has_file(&written.digest) {
        let (basic, digest) = (written.basic.as_ref().map(without_file), written.digest.as_ref().map(without_file));
        return Some(dynamic::Auth { basic, digest, ..written.clone() });
    }
    let names_none = written.basic.is_none() && written.digest.is_none() && written.forward.is_none();
    (has_tls || names_none).then(|| dynamic::Auth { basic: Some(UserAuth::default()), ..written.clone() })
}

/// Basic authentication; also for the deprecated list of a frontend.
pub fn basic(
    fixture: &CompileContext,
    users: &UserAuth,
    header_field: &str,
    label: Label,
) -> Result<BasicAuth, String> {
    let file = users_file(fixture, users)?;
    let credentials = Arc::clone(&fixture.credentials);
    BasicAuth::new(&users.users, file.as_deref(), after(users, header_field), credentials, label)
        .map_err(|e| e.to_string())
}

fn after(users: &UserAuth, header_field: &str) -> AuthEdits {
    AuthEdits { header_field: header_field.to_owned(), remove_header: users.remove_header }
}

fn users_file(fixture: &CompileContext, users: &UserAuth) -> Result<Option<String>, String> {
    match users.users_file.as_str() {
        "" => Ok(None),
        path => (fixture.read)(path).map(Some).map_err(|e| format!("usersFile {path} cannot be read: {e}")),
    }
}

fn forward(
    fixture: &CompileContext,
    written: &dynamic::ForwardAuth,
    label: Label,
    interned: &mut EndpointInterner,
) -> Result<Auth, String> {
    let url = ServerUrl::parse(&written.address).map_err(|e| format!("auth.forward.address: {e}"))?;
    let https = match url.scheme {
        Scheme::Http => false,
        Scheme::Https => true,
        Scheme::H2c => return Err("auth.forward.address: h2c is not supported; use http or https".to_owned()),
    };
    let server = AuthServer { https, authority: url.authority.clone(), target: url.target() };
    let (tls, pool) = if https {
        let trust = (fixture.auth_tls)(written.tls.as_ref()).map_err(|e| format!("auth.forward.tls: {e}"))?;
        let name = ServerName::try_from(url.host.clone())
            .map_err(|_| format!("auth.forward.address: {:?} is no host name", url.host))?;
        // A connection that was trusted under these certificates serves nobody with others.
        let pool = interned.pool(&format!("{} auth {:?}", url.address, trust.digest), true);
        (Some((trust.config, name)), pool)
    } else {
        (None, interned.pool(&url.address, false))
    };
    let origin = ServerEndpoint {
        authority: url.authority.clone(),
        url: url.text.clone(),
        addresses: interned.addresses(&url.host, url.port),
        pool,
        tls,
        server: Arc::new(Server { name: "auth.forward".to_owned(), url, weight: 1, state: Arc::default() }),
    };
    let names = written.auth_response_headers.clone();
    let step = ForwardAuth::new(server, written.trust_forward_header, names, label);
    Ok(Auth { step: Some(Middleware::Forward(step)), server: Some(Box::new(origin)) })
}
