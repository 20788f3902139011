//! The access key for AWS: from the environment, the shared credentials file, the container's or the machine's role.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use crate::control::acme::dns::api::{Api, Call};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::Variables;
use crate::control::watched_files::read_text;

use super::sigv4::Credentials;

/// The services that hand out the credentials of a role.
const MACHINE_SERVICE: &str = "http://169.254.169.254";
const CONTAINER_SERVICE: &str = "http://169.254.170.2";
/// Both are on the same machine.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(5);
const MACHINE_TOKEN_SECS: &str = "300";

/// Where the access key comes from.
pub enum Source {
    /// The environment or the shared file.
    Fixed(Credentials),
    /// The role of an ECS task.
    Container { api: Box<Api>, path: String, authorization: Option<String> },
    /// The role of an EC2 instance.
    Machine(Box<Api>),
}

impl Source {
    /// The first source that the environment names, in the order of AWS's own clients.
    pub fn new(variables: &mut Variables<'_>) -> Source {
        let id = variables.first(&["AWS_ACCESS_KEY_ID"]);
        let secret = variables.first(&["AWS_SECRET_ACCESS_KEY"]);
        if id.is_some() || secret.is_some() {
            let token = variables.first(&["AWS_SESSION_TOKEN"]);
            let (key_id, secret) =
                (variables.required(&["AWS_ACCESS_KEY_ID"]), variables.required(&["AWS_SECRET_ACCESS_KEY"]));
            return Source::Fixed(Credentials { key_id, secret, token });
        }
        if let Some(found) = shared_file(variables) {
            return Source::Fixed(found);
        }
        if let Some(path) = variables.plain("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            let api = Box::new(Api::new("route53", CONTAINER_SERVICE, SERVICE_TIMEOUT, &[]));
            return Source::Container { api, path, authorization: None };
        }
        if let Some(url) = variables.plain("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            let authorization = variables.plain("AWS_CONTAINER_AUTHORIZATION_TOKEN");
            let secret = authorization.clone().unwrap_or_default();
            let api = Box::new(Api::new("route53", &url, SERVICE_TIMEOUT, &[&secret]));
            return Source::Container { api, path: String::new(), authorization };
        }
        let base = variables.plain("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| MACHINE_SERVICE.to_owned());
        Source::Machine(Box::new(Api::new("route53", &base, SERVICE_TIMEOUT, &[])))
    }

    /// The access key. Those of a role are fetched each time: they last some hours, an order some minutes.
    ///
    /// # Errors
    /// The service of the role does not answer.
    pub async fn credentials(&self) -> Result<Credentials, DnsError> {
        match self {
            Source::Fixed(credentials) => Ok(credentials.clone()),
            Source::Container { api, path, authorization } => {
                let mut call = Call::new(Method::GET, path.clone());
                if let Some(authorization) = authorization {
                    call = call.header("Authorization", authorization.clone());
                }
                of_role(api, &api.expect(&call).await?.json())
            }
            Source::Machine(api) => machine_role(api).await,
        }
    }

    /// Texts that must not be logged.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Source::Fixed(fixed) => {
                [Some(fixed.secret.as_str()), fixed.token.as_deref()].into_iter().flatten().collect()
            }
            Source::Container { .. } | Source::Machine(_) => Vec::new(),
        }
    }
}

/// Asks the machine's metadata service, version 2: a token for it, the role's name, the role's key.
async fn machine_role(api: &Api) -> Result<Credentials, DnsError> {
    const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
    let call = Call::new(Method::PUT, "/latest/api/token".to_owned());
    let call = call.header("X-aws-ec2-metadata-token-ttl-seconds", MACHINE_TOKEN_SECS);
    let no_key = |error: DnsError| {
        DnsError(format!(
            "{error}; there is no access key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        ))
    };
    let token = api.expect(&call).await.map_err(no_key)?.body;
    let get = |path: String| Call::new(Method::GET, path).header("X-aws-ec2-metadata-token", token.clone());
    let role = api.expect(&get(ROLES.to_owned())).await.map_err(no_key)?.body;
    let role = role.lines().next().unwrap_or_default().trim().to_owned();
    of_role(api, &api.expect(&get(format!("{ROLES}{role}"))).await?.json())
}

fn of_role(api: &Api, json: &Value) -> Result<Credentials, DnsError> {
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    match (text("AccessKeyId"), text("SecretAccessKey")) {
        (Some(key_id), Some(secret)) => Ok(Credentials { key_id, secret, token: text("Token") }),
        _ => Err(api.error("the role's credentials have no AccessKeyId")),
    }
}

fn shared_file(variables: &mut Variables<'_>) -> Option<Credentials> {
    let named = variables.plain("AWS_SHARED_CREDENTIALS_FILE");
    let path = named.clone().or_else(|| variables.plain("HOME").map(|home| format!("{home}/.aws/credentials")))?;
    let profile = variables.plain("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    let found = match read_text(&path) {
        Ok(text) => of_file(&text, &profile),
        // The file of the home folder is not needed.
        Err(_) if named.is_none() => return None,
        Err(error) => {
            variables.problem(format!("AWS_SHARED_CREDENTIALS_FILE: {path} cannot be read: {error}"));
            return None;
        }
    };
    if found.is_none() {
        variables.problem(format!("{path} has no access key for the profile {profile} (AWS_PROFILE)"));
    }
    found
}

/// The access key of a profile in the text of a credentials file.
fn of_file(text: &str, profile: &str) -> Option<Credentials> {
    let (mut is_in_profile, mut key_id, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_in_profile = name.trim() == profile;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| is_in_profile) else { continue };
        let value = Some(value.trim().to_owned());
        match name.trim() {
            "aws_access_key_id" => key_id = value,
            "aws_secret_access_key" => secret = value,
            "aws_session_token" => token = value,
            _ => {}
        }
    }
    Some(Credentials { key_id: key_id?, secret: secret?, token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_key_of_a_profile_is_read_from_the_shared_file() {
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key = s/+=\n# x\n[ other ]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n";
        let found = |profile| of_file(text, profile).map(|found| (found.key_id, found.secret, found.token));
        assert_eq!(found("default"), Some(("A".into(), "s/+=".into(), None)));
        assert_eq!(found("other"), Some(("B".into(), "t".into(), Some("u".into()))));
        assert_eq!(found("none"), None);
    }
}
