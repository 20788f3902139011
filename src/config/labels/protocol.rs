//! Reads `traefik.protocol`: how a server is spoken to, and which of a container's ports are its own (docs/reference/layer4.md#labels).

use super::container::{ContainerFacts, PortFacts};
use super::values::{InvalidLabel, Labels};
use crate::backend::Scheme;
use crate::rule::sni;

/// The protocol of the label. Without it: `tcp` if the rule is one of TCP, else `http`.
pub fn protocol(labels: &Labels) -> Result<String, InvalidLabel> {
    let written = labels.text("traefik.protocol")?;
    if !written.is_empty() {
        return Ok(written);
    }
    let rule = labels.raw("traefik.frontend.rule");
    Ok(if sni::has_catch_all(rule).is_some() { "tcp" } else { "http" }.to_owned())
}

/// `Tcp` or `Udp`, if the label or the rule says so. A label that cannot be read is reported where the server's URL is made.
pub fn layer4(labels: &Labels) -> Option<Scheme> {
    Scheme::parse(&protocol(labels).ok()?).filter(|scheme| scheme.is_layer4())
}

/// The container's ports that a server can have: those of the transport for TCP and UDP, all for requests, as in Traefik.
pub fn ports<'a>(container: &'a ContainerFacts, labels: &Labels) -> impl Iterator<Item = &'a PortFacts> {
    let transport = layer4(labels).map(Scheme::as_str);
    container.ports.iter().filter(move |exposed| transport.is_none_or(|name| exposed.protocol == name))
}

/// The beginning of a container's default rule, before its name.
pub fn default_matcher(labels: &Labels) -> &'static str {
    if layer4(labels) == Some(Scheme::Tcp) { "HostSNI" } else { "Host" }
}
