//! The local time zone of the logs (docs/reference/logs.md#local-time): from the variable `TZ`, else from /etc/localtime, else UTC.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::observe::local_time::LocalZone;

/// The zone of this process, found once. UTC until then.
static ZONE: OnceLock<LocalZone> = OnceLock::new();

/// Where a machine or a mount has the files of the time zone database. They may be newer than the program's own copy.
const ZONE_FOLDER: &str = "/usr/share/zoneinfo";
const LOCAL_FILE: &str = "/etc/localtime";

/// Time zone files are small: the largest has 4 KiB. Whatever is larger is another file.
const ZONE_FILE_BYTES_MAX: u64 = 1 << 20;

/// Finds the zone of the process. Returns a message for the log if `TZ` or the machine's setting cannot be used: then the zone is UTC.
pub fn find() -> Option<String> {
    let variable = std::env::var_os("TZ").map(|text| text.to_string_lossy().into_owned());
    let (zone, problem) = match from_setting(variable.as_deref(), &read) {
        Ok(zone) => (zone, None),
        Err(problem) => (LocalZone::default(), Some(problem)),
    };
    let _ = ZONE.set(zone);
    problem
}

/// The zone of the process; UTC before [`find`].
pub fn local_zone() -> LocalZone {
    ZONE.get().cloned().unwrap_or_default()
}

/// Seconds that local time is ahead of UTC.
pub fn offset_secs(unix_secs: u64) -> i32 {
    ZONE.get().map_or(0, |zone| zone.offset_secs(unix_secs))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::metadata(path)?;
    if !file.is_file() || file.len() > ZONE_FILE_BYTES_MAX {
        return Err(io::Error::other("not a time zone file"));
    }
    std::fs::read(path)
}

type Read<'r> = dyn Fn(&Path) -> io::Result<Vec<u8>> + 'r;

/// The zone of a value of `TZ`: a name, a POSIX rule, a path, each also behind a colon. Without the variable /etc/localtime counts, and an
/// empty value is UTC.
fn from_setting(variable: Option<&str>, read: &Read) -> Result<LocalZone, String> {
    let Some(value) = variable else { return from_machine(read) };
    let text = value.strip_prefix(':').unwrap_or(value).trim();
    let invalid = |reason: &str| {
        format!(
            "TZ={value:?} {reason}: times are logged in UTC; set a name such as Europe/Berlin, or a rule such as CET-1CEST,M3.5.0,M10.5.0/3"
        )
    };
    if text.is_empty() {
        return Ok(LocalZone::default());
    }
    if text.starts_with('/') {
        let bytes = read(Path::new(text)).map_err(|e| invalid(&format!("cannot be read ({e})")))?;
        return LocalZone::from_tzif(text, &bytes).map_err(|_| invalid("is no time zone file"));
    }
    from_folder(text, read)
        .or_else(|| LocalZone::bundled(text))
        .or_else(|| LocalZone::from_posix(text).ok())
        .ok_or_else(|| invalid("is neither a known time zone nor a rule"))
}

fn from_folder(name: &str, read: &Read) -> Option<LocalZone> {
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return None;
    }
    let bytes = read(&PathBuf::from(ZONE_FOLDER).join(name)).ok()?;
    LocalZone::from_tzif(name, &bytes).ok()
}

fn from_machine(read: &Read) -> Result<LocalZone, String> {
    match read(Path::new(LOCAL_FILE)) {
        Ok(bytes) => LocalZone::from_tzif(LOCAL_FILE, &bytes)
            .map_err(|_| format!("{LOCAL_FILE} is no time zone file: times are logged in UTC; set TZ")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(LocalZone::default()),
        Err(e) => Err(format!("{LOCAL_FILE} cannot be read ({e}): times are logged in UTC; set TZ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-12-01, winter in the north.
    const WINTER: u64 = 1_796_083_200;

    /// A machine without any file, as the image.
    fn no_files(_: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn offset(variable: Option<&str>) -> i32 {
        from_setting(variable, &no_files).expect("a zone").offset_secs(WINTER)
    }

    #[test]
    fn image_without_files_knows_names_and_rules() {
        let new_york = -5 * 3600;
        for value in ["America/New_York", ":America/New_York", "EST5EDT,M3.2.0,M11.1.0", "EST5EDT", " EST5 "] {
            assert_eq!(offset(Some(value)), new_york, "{value}");
        }
        assert_eq!(offset(Some("Asia/Kathmandu")), 20_700);
        assert_eq!((offset(None), offset(Some("")), offset(Some("UTC"))), (0, 0, 0));
    }

    #[test]
    fn unknown_zone_is_named_with_what_to_write() {
        for value in ["Mars/Olympus", "../../etc/passwd", ":/nowhere", "\"Europe/Berlin\""] {
            let problem = from_setting(Some(value), &no_files).expect_err(value);
            assert!(problem.starts_with(&format!("TZ={value:?} ")) && problem.contains("UTC"), "{problem}");
        }
    }

    #[test]
    fn mounted_files_win_over_the_copy_and_damaged_ones_do_not_count() {
        let rule = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert!(LocalZone::from_tzif("x", rule.as_bytes()).is_err());
        let damaged = |_: &Path| Ok(rule.as_bytes().to_vec());
        let zone = from_setting(Some("America/New_York"), &damaged).expect("the program's own copy");
        assert_eq!(zone.offset_secs(WINTER), -5 * 3600);
        assert!(from_setting(None, &damaged).is_err_and(|e| e.contains("/etc/localtime is no time zone file")));
        let Ok(tokyo) = std::fs::read("/usr/share/zoneinfo/Asia/Tokyo") else { return };
        let mounted = move |path: &Path| match path.to_str() {
            Some("/usr/share/zoneinfo/America/New_York" | "/etc/localtime" | "/own") => Ok(tokyo.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        for value in [Some("America/New_York"), None, Some(":/own"), Some("/own")] {
            assert_eq!(from_setting(value, &mounted).expect("a zone").offset_secs(WINTER), 9 * 3600, "{value:?}");
        }
    }
}
