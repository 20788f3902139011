//! Finds the configuration file (docs/reference/command-line.md#sources-and-precedence).

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::CliError;
use crate::config::text::InvalidConfig;

const FILE_NAME: &str = "traefik.toml";

/// Returns the first file of the search order that exists, with its text. A `--configFile` that does not exist is no error: the
/// search continues, with a warning.
pub(super) fn find(
    config_file: Option<&str>,
    env: &dyn Fn(&str) -> Option<String>,
    read: &dyn Fn(&Path) -> io::Result<String>,
    warnings: &mut Vec<String>,
) -> Result<Option<(PathBuf, String)>, CliError> {
    let mut folders = Vec::new();
    let requested = config_file.map(|file| expand(file, env)).filter(|file| !file.is_empty()).map(PathBuf::from);
    if let Some(file) = &requested
        && let Some(found) = try_file(file, read, &mut folders)?
    {
        return Ok(Some(found));
    }
    let home = env("HOME").map(|home| Path::new(&home).join(".traefik").join(FILE_NAME));
    let default_files = [Some(Path::new("/etc/traefik").join(FILE_NAME)), home, Some(Path::new(".").join(FILE_NAME))];
    let mut found = None;
    for file in default_files.into_iter().flatten() {
        found = try_file(&file, read, &mut folders)?;
        if found.is_some() {
            break;
        }
    }
    if let Some(requested) = requested {
        let requested = requested.display();
        warnings.push(match &found {
            Some((file, _)) => {
                format!("--configFile {requested} names no file, {} is used: correct the path", file.display())
            }
            None => format!("--configFile {requested} names no file, the defaults are used: correct the path"),
        });
    }
    warnings.extend(folders.iter().map(|folder| {
        format!(
            "{} is a folder, not a file: Docker makes one when a mounted file does not exist on the host",
            folder.display()
        )
    }));
    Ok(found)
}

/// Reads a file, or `traefik.toml` in a folder; `None` if it does not exist. Adds a folder that has a file's name to `folders`.
fn try_file(
    file: &Path,
    read: &dyn Fn(&Path) -> io::Result<String>,
    folders: &mut Vec<PathBuf>,
) -> Result<Option<(PathBuf, String)>, CliError> {
    match read(file) {
        Ok(text) => Ok(Some((file.to_owned(), text))),
        Err(error) if error.kind() == ErrorKind::IsADirectory && !file.ends_with(FILE_NAME) => {
            let found = try_file(&file.join(FILE_NAME), read, folders)?;
            if found.is_none() && file.extension().is_some() {
                folders.push(file.to_owned());
            }
            Ok(found)
        }
        Err(error) => match error.kind() {
            ErrorKind::IsADirectory => {
                folders.push(file.to_owned());
                Ok(None)
            }
            ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
            // The file was read, and its content is no text: the error has the place.
            _ => Err(match error.get_ref().and_then(|inner| inner.downcast_ref::<InvalidConfig>()) {
                Some(invalid) => CliError::Config(invalid.clone()),
                None => CliError::Unreadable { file: file.to_owned(), reason: error.to_string() },
            }),
        },
    }
}

/// Replaces `$NAME` and `${NAME}`; an unset variable becomes nothing, as in a shell.
fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after_name) = braced.unwrap_or_else(|| {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            after.split_at(end)
        });
        match name {
            "" => expanded.push('$'),
            name => expanded.push_str(&env(name).unwrap_or_default()),
        }
        rest = after_name;
    }
    expanded + rest
}
