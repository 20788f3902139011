//! Reads and parses one file of a location.

use std::path::Path;

use super::location::{LoadError, RoutesLocation};
use crate::config::dynamic::DynamicConfig;
use crate::config::text::{self, ParsedConfig};

/// Reads a file of the location. Gives its text too.
pub(super) fn read_file(
    location: &RoutesLocation,
    path: &Path,
) -> Result<(String, ParsedConfig<DynamicConfig>), LoadError> {
    let bytes = std::fs::read(path).map_err(|error| LoadError::unreadable(path, error))?;
    let name = path.display().to_string();
    let contents = text::decode(bytes, &name).map_err(LoadError::Invalid)?;
    let read = match location {
        RoutesLocation::Main(_) => text::inline(&contents, &name),
        RoutesLocation::File(_) | RoutesLocation::Directory(_) => text::dedicated(&contents, &name),
    };
    Ok((contents, read.map_err(LoadError::Invalid)?))
}
