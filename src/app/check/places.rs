//! The lines of files where routes were written.

use crate::config::Rejected;
use crate::config::text::LocatedFile;
use crate::control::file::RouteFiles;
use crate::diagnostics::Place;

/// The files of the file provider, parsed once more to find lines in them.
#[derive(Default)]
pub struct RoutePlaces {
    files: Vec<LocatedFile>,
}

impl RoutePlaces {
    pub fn new(files: &RouteFiles) -> RoutePlaces {
        let parsed = files.texts.iter().filter_map(|(name, text)| LocatedFile::new(name, text).ok());
        RoutePlaces { files: parsed.collect() }
    }

    /// The line of a rejected object, or of its option.
    pub fn place(&self, rejected: &Rejected) -> Place {
        let Some((kind, name)) = rejected.name.split_once(' ') else { return Place::Unknown };
        // A second definition of a name: the file is part of the object's name.
        let of_file = self.files.iter().find_map(|file| {
            let name = name.strip_suffix(file.name.as_str())?.strip_suffix(" in ")?;
            file.locate(&format!("{kind}s.{name}"))
        });
        let object = format!("{kind}s.{name}");
        of_file.or_else(|| self.place_in(&object, &rejected.key)).unwrap_or_default()
    }

    fn place_in(&self, object: &str, key: &str) -> Option<Place> {
        let (owner, path) = match key.strip_prefix("backends.") {
            Some(_) => (key, key.to_owned()),
            None if key.is_empty() => (object, object.to_owned()),
            None => (object, format!("{object}.{key}")),
        };
        let has_owner = |file: &&LocatedFile| match owner.starts_with("backends.") {
            // The name of the backend is not known here: the file that has the longest part of the path has the backend.
            true => file.locate(owner).is_some(),
            false => file.has_key(owner),
        };
        locate_rule(self.files.iter().find(has_owner)?, &path)
    }

    /// The line of the certificate file of a `[[tls]]` table.
    pub fn certificate(&self, cert_file: &str) -> Place {
        let found = self.files.iter().find_map(|file| {
            let keys = (0..).map(|index| format!("tls[{index}]")).take_while(|key| file.has_key(key));
            let keys = keys.map(|key| format!("{key}.certificate.certFile"));
            keys.filter(|key| file.text_at(key) == Some(cert_file)).find_map(|key| file.locate(&key))
        });
        found.unwrap_or_default()
    }
}

/// The place of a key. A frontend's rules are shown themselves, and not the name of their table.
fn locate_rule(file: &LocatedFile, key: &str) -> Option<Place> {
    let rule = key.ends_with(".routes").then(|| file.first_below(key, "rule")).flatten();
    file.locate(rule.as_deref().unwrap_or(key))
}
