//! The services and programs that write TXT records, by lego's names for them (docs/reference/acme.md#dns-challenge).

mod cloudflare;
mod digitalocean;
mod duckdns;
mod exec;
mod gandiv5;
mod hetzner;
mod httpreq;
mod ovh;
mod rfc2136;
mod route53;
mod task;

use super::error::DnsError;
use super::variables::{Timing, Variables};

pub use task::Task;

/// All providers, as `acme.dnsChallenge.provider` writes them.
pub const NAMES: [&str; 10] =
    ["cloudflare", "digitalocean", "duckdns", "exec", "gandiv5", "hetzner", "httpreq", "ovh", "rfc2136", "route53"];

/// A configured provider.
pub enum Provider {
    Cloudflare(cloudflare::Cloudflare),
    DigitalOcean(digitalocean::DigitalOcean),
    DuckDns(duckdns::DuckDns),
    Exec(exec::Exec),
    Gandi(gandiv5::Gandi),
    Hetzner(hetzner::Hetzner),
    HttpReq(httpreq::HttpReq),
    Ovh(ovh::Ovh),
    Rfc2136(rfc2136::Rfc2136),
    Route53(route53::Route53),
}

impl Provider {
    /// The provider with this name, and its times, from its variables. Sends nothing.
    ///
    /// # Errors
    /// The provider is unknown, or everything that is wrong with its variables.
    pub fn new(name: &str, mut variables: Variables<'_>) -> Result<(Provider, Timing), DnsError> {
        let read = &mut variables;
        let (provider, timing) = match name {
            "cloudflare" => wrap(Provider::Cloudflare, cloudflare::Cloudflare::new(read)),
            "digitalocean" => wrap(Provider::DigitalOcean, digitalocean::DigitalOcean::new(read)),
            "duckdns" => wrap(Provider::DuckDns, duckdns::DuckDns::new(read)),
            "exec" => wrap(Provider::Exec, exec::Exec::new(read)),
            "gandiv5" => wrap(Provider::Gandi, gandiv5::Gandi::new(read)),
            "hetzner" => wrap(Provider::Hetzner, hetzner::Hetzner::new(read)),
            "httpreq" => wrap(Provider::HttpReq, httpreq::HttpReq::new(read)),
            "ovh" => wrap(Provider::Ovh, ovh::Ovh::new(read)),
            // lego's name of today.
            "rfc2136" | "dnsupdate" => wrap(Provider::Rfc2136, rfc2136::Rfc2136::new(read)),
            "route53" => wrap(Provider::Route53, route53::Route53::new(read)),
            _ => return Err(unknown(name)),
        };
        variables.finish(name)?;
        Ok((provider, timing))
    }

    /// Adds the record; other values of the name stay.
    ///
    /// # Errors
    /// The service's reason.
    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        match self {
            Provider::Cloudflare(provider) => provider.present(task).await,
            Provider::DigitalOcean(provider) => provider.present(task).await,
            Provider::DuckDns(provider) => provider.present(task).await,
            Provider::Exec(provider) => provider.run("present", task).await,
            Provider::Gandi(provider) => provider.present(task).await,
            Provider::Hetzner(provider) => provider.present(task).await,
            Provider::HttpReq(provider) => provider.post("/present", task).await,
            Provider::Ovh(provider) => provider.present(task).await,
            Provider::Rfc2136(provider) => provider.present(task).await,
            Provider::Route53(provider) => provider.present(task).await,
        }
    }

    /// Waits until the service has carried out a change that it has accepted. The caller bounds the time.
    ///
    /// # Errors
    /// The service's reason.
    pub async fn settle(&self, task: &Task<'_>) -> Result<(), DnsError> {
        match self {
            Provider::Hetzner(provider) => provider.settle(task).await,
            Provider::Route53(provider) => provider.settle(task).await,
            _ => Ok(()),
        }
    }

    /// Removes the record.
    ///
    /// # Errors
    /// The service's reason.
    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        match self {
            Provider::Cloudflare(provider) => provider.clean_up(task).await,
            Provider::DigitalOcean(provider) => provider.clean_up(task).await,
            Provider::DuckDns(provider) => provider.clean_up(task).await,
            Provider::Exec(provider) => provider.run("cleanup", task).await,
            Provider::Gandi(provider) => provider.clean_up(task).await,
            Provider::Hetzner(provider) => provider.clean_up(task).await,
            Provider::HttpReq(provider) => provider.post("/cleanup", task).await,
            Provider::Ovh(provider) => provider.clean_up(task).await,
            Provider::Rfc2136(provider) => provider.clean_up(task).await,
            Provider::Route53(provider) => provider.clean_up(task).await,
        }
    }

    /// Whether a name holds one value only, so that a second challenge of the name has to wait for the first. Programs are treated so as
    /// well, as in lego: many replace the record.
    pub fn is_sequential(&self) -> bool {
        matches!(self, Provider::DuckDns(_) | Provider::Exec(_))
    }

    /// The holder of a record's value: the record's name, or the domain that has one text for all names below.
    pub fn holder<'a>(&self, fqdn: &'a str) -> &'a str {
        match self {
            Provider::DuckDns(_) => duckdns::own_domain(fqdn.trim_end_matches('.')).unwrap_or(fqdn),
            _ => fqdn,
        }
    }

    /// Whether the provider works with the token itself and finds the record's name on its own (lego's mode `RAW`).
    pub fn is_raw(&self) -> bool {
        match self {
            Provider::Exec(provider) => provider.is_raw,
            Provider::HttpReq(provider) => provider.is_raw,
            _ => false,
        }
    }
}

fn wrap<T>(variant: fn(T) -> Provider, (provider, timing): (T, Timing)) -> (Provider, Timing) {
    (variant(provider), timing)
}

fn unknown(name: &str) -> DnsError {
    let (what, names) = (if name.is_empty() { "is empty" } else { "is not built in" }, NAMES.join(", "));
    DnsError(format!(
        "acme.dnsChallenge.provider {name} {what}: use one of {names}; for any other service, let a program write the record \
         (provider = \"exec\", EXEC_PATH=/path/to/program, which is called with: present|cleanup _acme-challenge.example.com. VALUE) or an \
         HTTP server (provider = \"httpreq\", HTTPREQ_ENDPOINT=http://host:port, which gets POST /present and /cleanup with \
         {{\"fqdn\", \"value\"}})"
    ))
}

#[cfg(test)]
mod scripted_tests;
#[cfg(test)]
mod tests;
