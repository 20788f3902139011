//! Containers that exited before the provider started.

use std::time::Duration;

use ringway::control::docker::DockerProviderSettings;

use super::{Case, IMAGE, docker, engine_answers, follow, until};

#[tokio::test]
async fn recently_exited_container_keeps_its_frontend() {
    if !engine_answers() {
        return;
    }
    let case = Case::new("ended");
    case.start("c", &["--label", "traefik.frontend.rule=Path:/ended"], IMAGE, &[]);
    docker(&["stop", "-t", "5", &case.name("c")]).unwrap();
    let settings = |secs| DockerProviderSettings { unavailable_grace: Duration::from_secs(secs), ..case.settings() };

    let mut updates = follow(settings(60));
    let first = until(&mut updates, "anything", |_| true).await;
    let backend = first.dynamic.backends.get(&case.backend("c")).expect("the backend from the first update on");
    assert!(backend.servers.is_empty());
    assert!(first.dynamic.frontends.contains_key("frontend-Path-ended-0"), "{:?}", first.dynamic.frontends);

    // With a shorter grace the container is forgotten when the rest of it has elapsed, and not known at all after that.
    let mut updates = follow(settings(4));
    until(&mut updates, "nothing any more", |update| update.dynamic.backends.is_empty()).await;
    let mut updates = follow(settings(4));
    let first = until(&mut updates, "anything", |_| true).await;
    assert!(first.dynamic.backends.is_empty(), "{:?}", first.dynamic.backends);
}
