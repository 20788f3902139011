//! Unit tests of the file provider.

use super::*;
use std::fs;
use std::io::Write;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// How long tests wait for an update. Long enough for a slow machine; a passing test never waits this long.
const UPDATE_WAIT_MAX: Duration = Duration::from_secs(10);

fn with_backends(names: &[&str]) -> String {
    names.iter().map(|name| format!("[backends.{name}.servers.s]\nurl = \"http://127.0.0.1:1\"\n")).collect()
}

struct Provider {
    updates: UnboundedReceiver<ProviderUpdate>,
    task: JoinHandle<()>,
}

impl Provider {
    fn start(location: RoutesLocation, watch: bool, poll: Duration) -> Provider {
        let (send, updates) = crate::control::update::channel();
        Provider { updates, task: tokio::spawn(run(FileSettings { location, watch, poll }, send)) }
    }

    async fn backends(&mut self) -> Vec<String> {
        let update = tokio::time::timeout(UPDATE_WAIT_MAX, self.updates.recv()).await.expect("no update in time");
        update.expect("the provider ended").dynamic.backends.into_keys().collect()
    }

    async fn assert_quiet(&mut self) {
        let quiet = tokio::time::timeout(Duration::from_millis(400), self.updates.recv()).await;
        assert!(quiet.is_err(), "unexpected update: {quiet:?}");
    }
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a written file");
}

#[test]
fn rewritten_renamed_and_emptied_file_is_reloaded() {
    block_on(async {
        let folder = folder();
        let file = folder.path().join("routes.toml");
        write(&file, &with_backends(&["a"]));
        // Polling is too slow to help, so inotify must notice the changes.
        let mut provider = Provider::start(RoutesLocation::File(file.clone()), true, Duration::from_secs(3600));
        assert_eq!(provider.backends().await, ["a"]);
        write(&file, &with_backends(&["b"]));
        assert_eq!(provider.backends().await, ["b"]);

        let draft = folder.path().join("draft");
        for names in [["c"], ["d"]] {
            write(&draft, &with_backends(&names));
            fs::rename(&draft, &file).expect("renamed");
            assert_eq!(provider.backends().await, names);
        }

        write(&file, "[backends.x\n");
        provider.assert_quiet().await;
        fs::remove_file(&file).expect("removed");
        provider.assert_quiet().await;
        write(&file, "");
        assert_eq!(provider.backends().await, Vec::<String>::new());
        provider.assert_quiet().await;

        drop(provider.updates);
        tokio::time::timeout(UPDATE_WAIT_MAX, provider.task)
            .await
            .expect("the provider ends when the receiver is dropped")
            .expect("no panic");
    });
}

#[test]
fn pausing_writer_is_waited_for() {
    block_on(async {
        let folder = folder();
        let file = folder.path().join("routes.toml");
        let (first, second) = (with_backends(&["a"]), with_backends(&["b"]));
        write(&file, &first);
        let never = Duration::from_secs(3600);
        let mut single = Provider::start(RoutesLocation::File(file.clone()), true, never);
        let mut whole = Provider::start(RoutesLocation::Directory(folder.path().to_owned()), true, never);
        assert_eq!(single.backends().await, ["a"]);
        assert_eq!(whole.backends().await, ["a"]);
        // As on a busy disk, each write takes longer than the provider waits for an unchanged file.
        let mut writer = fs::File::create(&file).expect("emptied");
        for part in [&first, &second] {
            tokio::time::sleep(SETTLE_PERIOD * 25).await;
            writer.write_all(part.as_bytes()).expect("written");
        }
        assert!(single.updates.try_recv().is_err() && whole.updates.try_recv().is_err(), "routes of half a file");
        drop(writer);
        assert_eq!(single.backends().await, ["a", "b"]);
        assert_eq!(whole.backends().await, ["a", "b"]);
    });
}

#[test]
fn link_swapped_as_by_kubernetes_is_noticed() {
    block_on(async {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        for (generation, name) in [("..1", "a"), ("..2", "b")] {
            fs::create_dir(path(generation)).expect("created");
            write(&path(generation).join("routes.toml"), &with_backends(&[name]));
        }
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(target, path(name)).expect("linked");
        link("..1", "..data");
        link("..data/routes.toml", "routes.toml");
        let never = Duration::from_secs(3600);
        let mut single = Provider::start(RoutesLocation::File(path("routes.toml")), true, never);
        let mut whole = Provider::start(RoutesLocation::Directory(folder.path().to_owned()), true, never);
        assert_eq!(single.backends().await, ["a"]);
        assert_eq!(whole.backends().await, ["a"]);
        link("..2", "..data_tmp");
        fs::rename(path("..data_tmp"), path("..data")).expect("renamed");
        assert_eq!(single.backends().await, ["b"]);
        assert_eq!(whole.backends().await, ["b"]);
    });
}

#[test]
fn polling_alone_notices_corrected_first_file() {
    block_on(async {
        let folder = folder();
        let file = folder.path().join("routes.toml");
        write(&file, "[backends.x\n");
        // Without a watcher, as on a mount that delivers no events.
        let mut provider = Provider::start(RoutesLocation::File(file.clone()), false, Duration::from_millis(20));
        provider.assert_quiet().await;
        write(&file, &with_backends(&["a"]));
        assert_eq!(provider.backends().await, ["a"]);
        tokio::time::timeout(UPDATE_WAIT_MAX, provider.task)
            .await
            .expect("the provider ends without watch")
            .expect("no panic");
    });
}

#[test]
fn folder_that_appears_later_is_found() {
    block_on(async {
        let folder = folder();
        let later = folder.path().join("later");
        let mut provider =
            Provider::start(RoutesLocation::File(later.join("routes.toml")), true, Duration::from_millis(50));
        provider.assert_quiet().await;
        fs::create_dir(&later).expect("created");
        write(&later.join("routes.toml"), &with_backends(&["a"]));
        assert_eq!(provider.backends().await, ["a"]);
    });
}

#[test]
fn folder_is_read_in_path_order_with_subfolders() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("sub")).expect("created");
    write(&path("b.toml"), &with_backends(&["one", "two"]));
    write(&path("a.toml"), &with_backends(&["one"]));
    write(&path("sub/c.toml"), &with_backends(&["three"]));
    write(&path("notes.txt"), "not toml");
    let location = RoutesLocation::Directory(folder.path().to_owned());
    let merged = load(&location).expect("all files are good");
    assert_eq!(merged.dynamic.backends.keys().collect::<Vec<_>>(), ["one", "three", "two"]);
    assert_eq!(merged.rejected.len(), 1);
    assert!(merged.rejected[0].name.ends_with("b.toml"), "{:?}", merged.rejected);

    write(&path("sub/d.tmpl"), "{{ range . }}\n");
    let error = load(&location).expect_err("a template is rejected").to_string();
    assert!(error.contains("d.tmpl:1:1") && error.contains("does not run templates"), "{error}");
}

#[test]
fn main_file_yields_only_routes_and_may_have_braces() {
    let folder = folder();
    let main = folder.path().join("traefik.toml");
    let text = "[file]\n[entryPoints.http.redirect]\nreplacement = '{{ x }}'\n";
    write(&main, &(text.to_owned() + &with_backends(&["a"])));
    let settings = FileSettings::new(&static_config::File::default(), Some(&main)).expect("there is a main file");
    assert_eq!(settings.location, RoutesLocation::Main(main));
    let merged = load(&settings.location).expect("good");
    assert_eq!(merged.dynamic.backends.len(), 1);
    assert_eq!(FileSettings::new(&static_config::File::default(), None), None);
}

#[test]
fn reading_a_file_is_no_change_and_error_is_logged_once() {
    block_on(async {
        let folder = folder();
        let file = folder.path().join("routes.toml");
        write(&file, "");
        let (report, mut events) = unbounded_channel();
        let mut watcher = FileWatcher::new(&RoutesLocation::File(file.clone()), report);
        tokio::time::sleep(Duration::from_millis(100)).await;
        while events.try_recv().is_ok() {}
        for _ in 0..3 {
            watcher.renew();
            fs::read_to_string(&file).expect("readable");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(events.try_recv().is_err(), "reading the file must not count as a change");
        write(&file, "x = 1");
        tokio::time::timeout(UPDATE_WAIT_MAX, events.recv()).await.expect("in time").expect("an event");
    });
    let mut last = String::new();
    report_once(&mut last, "bad".to_owned(), true);
    assert_eq!(last, "bad");
}
