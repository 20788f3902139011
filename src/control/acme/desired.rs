//! The certificates that the configuration asks for.

use super::store::unique_names;

/// The names of one desired certificate: the hosts of a frontend's rule, or one `[[acme.domains]]` entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct DomainRequest {
    /// The first name.
    pub main: String,
    /// The other names.
    pub sans: Vec<String>,
}

impl DomainRequest {
    /// All names, normalised by [`unique_names`].
    pub fn names(&self) -> Vec<String> {
        unique_names(std::iter::once(&self.main).chain(&self.sans))
    }
}

/// The certificates that the configuration asks for now. The control plane publishes a new value when frontends change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredCertificates {
    /// The requests of `[[acme.domains]]` and, with `onHostRule`, of the frontends' Host rules.
    pub requests: Vec<DomainRequest>,
    /// The names (also `*.x`) that certificates of the configuration cover.
    pub covered: Vec<String>,
}
