//! Events and reads of containers, in any order.

use super::*;
use crate::config::Severity;
use crate::config::labels::{NetworkFacts, rejection};

fn event(action: &str) -> Event {
    let (action, detail) = action.split_once(": ").unwrap_or((action, ""));
    Event {
        subject: events::EventSubject::Container,
        action: action.to_owned(),
        id: "c1".to_owned(),
        signal: Some(15),
        is_unhealthy: detail == "unhealthy",
        ..Event::default()
    }
}

/// A container that is up and running.
fn container(id: &str) -> InspectedContainer {
    let facts = ContainerFacts { id: id.into(), running: true, ..ContainerFacts::default() };
    InspectedContainer { facts, is_up: true, ..InspectedContainer::default() }
}

fn done(container: InspectedContainer) -> (String, Inspection) {
    (container.facts.id.clone(), Inspection::Done(Box::new(container)))
}

fn of(containers: Vec<(String, Inspection)>) -> Inspections {
    Inspections { containers, ..Inspections::default() }
}

/// A listing of one running container, `c1`.
fn listing() -> Inspections {
    of(vec![done(container("c1"))])
}

fn ids(inventory: &ContainerInventory) -> Vec<String> {
    inventory.containers().into_iter().map(|facts| facts.id).collect()
}

fn listed() -> ContainerInventory {
    let mut inventory = ContainerInventory::default();
    inventory.begin_read(true, Instant::now());
    inventory.apply_listing(listing(), Instant::now());
    assert!(runs(&inventory));
    inventory
}

fn runs(inventory: &ContainerInventory) -> bool {
    inventory.containers()[0].running
}

fn on_event(inventory: &mut ContainerInventory, action: &str) -> EventEffect {
    inventory.on_event(&event(action), EventTime::default(), Instant::now())
}

#[tokio::test]
async fn ending_event_removes_container_until_later_listing() {
    for action in ["pause", "die", "stop", "destroy", "health_status: unhealthy"] {
        let mut inventory = listed();
        assert_eq!(on_event(&mut inventory, action), EventEffect::Removed, "{action}");
        assert_eq!(
            on_event(&mut inventory, action),
            EventEffect::Changed,
            "{action}: the container is removed already"
        );
        assert!(!runs(&inventory), "{action}");
        inventory.begin_read(true, Instant::now());
        assert!(!runs(&inventory), "{action}: a listing in progress changes nothing");
        inventory.apply_listing(listing(), Instant::now());
        assert!(runs(&inventory), "{action}: the later listing found it running");
    }
}

#[tokio::test]
async fn listing_in_progress_does_not_restore_removed_container() {
    let mut inventory = listed();
    inventory.begin_read(true, Instant::now());
    assert_eq!(on_event(&mut inventory, "die"), EventEffect::Removed);
    assert_eq!(on_event(&mut inventory, "start"), EventEffect::Changed);
    inventory.apply_listing(listing(), Instant::now());
    assert!(!runs(&inventory), "the listing may have inspected the container before its exit, at another address");
    inventory.begin_read(true, Instant::now());
    inventory.apply_listing(listing(), Instant::now());
    assert!(runs(&inventory));
}

#[tokio::test]
async fn stopping_container_is_removed_until_timeout_or_start() {
    let mut inventory = listed();
    assert_eq!(on_event(&mut inventory, "kill"), EventEffect::Removed);
    inventory.begin_read(true, Instant::now());
    inventory.apply_listing(listing(), Instant::now());
    assert!(!runs(&inventory), "it still runs, but must get no requests");
    assert!(inventory.next_read().is_some());
    inventory.begin_read(true, Instant::now());
    inventory.apply_listing(listing(), Instant::now() + events::STOPPING_GRACE);
    assert!(runs(&inventory), "it has survived its signal");
    on_event(&mut inventory, "kill");
    assert_eq!(on_event(&mut inventory, "start"), EventEffect::Changed);
    assert!(runs(&inventory));
}

/// A start event is missed if the event stream breaks for long, because only recent events are requested again.
#[tokio::test]
async fn stopping_container_is_restored_by_later_start_time() {
    let started = |secs: Option<u64>| {
        let mut listing = listing();
        let Inspection::Done(container) = &mut listing.containers[0].1 else { panic!("inspected") };
        container.stop.started = secs.map(Duration::from_secs);
        listing
    };
    let (mut inventory, now) = (listed(), Instant::now());
    let kill = Event { sent_at: Some(Duration::from_secs(100)), ..event("kill") };
    assert_eq!(inventory.on_event(&kill, EventTime::default(), now), EventEffect::Removed);
    for (secs, runs_then) in [(None, false), (Some(50), false), (Some(100), false), (Some(101), true)] {
        inventory.begin_read(true, now);
        inventory.apply_listing(started(secs), now);
        assert_eq!(runs(&inventory), runs_then, "started at {secs:?}");
    }
}

#[tokio::test]
async fn history_event_removes_only_a_stopping_container() {
    let history = EventTime { age: Duration::from_secs(20), is_history: true };
    let mut inventory = listed();
    inventory.begin_read(true, Instant::now());
    for action in ["kill", "die", "start", "pause"] {
        assert_eq!(inventory.on_event(&event(action), history, Instant::now()), EventEffect::Changed, "{action}");
    }
    assert!(runs(&inventory), "it was restarted a while ago, as a listing begun since has seen");
    inventory.on_event(&event("kill"), history, Instant::now());
    inventory.apply_listing(listing(), Instant::now());
    assert!(!runs(&inventory));
}

#[tokio::test]
async fn unresponsive_container_keeps_state_and_is_inspected_later() {
    let unresponsive = || of(vec![("c1".to_owned(), Inspection::TimedOut)]);
    let (mut inventory, now) = (listed(), Instant::now());
    assert_eq!(inventory.begin_read(true, now), NextRead::All(HashSet::new()));
    inventory.apply_listing(unresponsive(), now);
    assert!(runs(&inventory));
    assert_eq!(inventory.next_read(), Some(now + INSPECT_AGAIN_AFTER));
    let skipped = NextRead::All(HashSet::from(["c1".to_owned()]));
    assert_eq!(inventory.begin_read(true, now), skipped, "its inspection would fail again");
    inventory.apply_listing(unresponsive(), now + INSPECT_AGAIN_AFTER / 2);
    assert_eq!(
        inventory.next_read(),
        Some(now + INSPECT_AGAIN_AFTER),
        "a skipped inspection does not postpone the next one"
    );
    assert_eq!(inventory.begin_read(true, now + INSPECT_AGAIN_AFTER), NextRead::All(HashSet::new()));
    // An event arrives while the listing waits for the inspection.
    on_event(&mut inventory, "die");
    inventory.apply_listing(unresponsive(), now + INSPECT_AGAIN_AFTER);
    assert_eq!(inventory.begin_read(true, now + INSPECT_AGAIN_AFTER), NextRead::All(HashSet::new()));
    inventory.apply_listing(unresponsive(), now + INSPECT_AGAIN_AFTER);
    assert!(!runs(&inventory), "only an inspection restores it");
    inventory.begin_read(true, now);
    inventory.apply_listing(listing(), now);
    assert!(runs(&inventory) && inventory.next_read().is_none());
}

#[tokio::test]
async fn container_unresponsive_from_start_is_not_routed() {
    let (mut inventory, now) = (ContainerInventory::default(), Instant::now());
    inventory.begin_read(true, now);
    inventory.apply_listing(of(vec![("c1".to_owned(), Inspection::TimedOut)]), now);
    assert!(inventory.containers().is_empty() && !inventory.is_empty());
    let warning = inventory.warnings().next().unwrap();
    assert!(warning.contains("c1") && warning.contains("not routed"), "{warning}");
}

#[tokio::test]
async fn event_of_unrouted_container_removes_nothing() {
    let mut inventory = ContainerInventory::default();
    assert_eq!(on_event(&mut inventory, "kill"), EventEffect::Changed);
    assert_eq!(on_event(&mut inventory, "exec_start: sh"), EventEffect::None);
}

#[tokio::test]
async fn event_of_one_container_reads_that_container_alone() {
    let (mut inventory, now) = (ContainerInventory::default(), Instant::now());
    inventory.begin_read(true, now);
    inventory.apply_listing(of(vec![done(container("c1")), done(container("c2"))]), now);
    assert_eq!(inventory.begin_read(false, now), NextRead::Some(Vec::new()), "nothing has happened");
    inventory.apply_some(Inspections::default(), now);
    for _ in 0..20 {
        on_event(&mut inventory, "health_status: healthy");
    }
    assert_eq!(inventory.begin_read(false, now), NextRead::Some(vec!["c1".to_owned()]));
    let mut healthy = container("c1");
    healthy.facts.health = Some("healthy".to_owned());
    inventory.apply_some(of(vec![done(healthy)]), now);
    assert_eq!(ids(&inventory), ["c1", "c2"]);
    assert_eq!(on_event(&mut inventory, "health_status: unhealthy"), EventEffect::Removed);
    assert_eq!(on_event(&mut inventory, "health_status: healthy"), EventEffect::Changed);
    assert_eq!(inventory.begin_read(false, now), NextRead::Some(vec!["c1".to_owned()]));
    inventory.apply_some(of(vec![("c1".to_owned(), Inspection::Gone)]), now);
    assert_eq!(ids(&inventory), ["c2"]);
}

#[tokio::test]
async fn too_many_changes_or_an_event_without_id_list_all() {
    let (mut inventory, now) = (listed(), Instant::now());
    let of_other = |id: String| Event { id, ..event("start") };
    for number in 0..=CHANGED_MAX {
        inventory.on_event(&of_other(number.to_string()), EventTime::default(), now);
    }
    assert!(matches!(inventory.begin_read(false, now), NextRead::All(_)));
    inventory.on_event(&of_other(String::new()), EventTime::default(), now);
    assert!(matches!(inventory.begin_read(false, now), NextRead::All(_)));
    assert_eq!(inventory.begin_read(false, now), NextRead::Some(Vec::new()));
}

#[tokio::test]
async fn new_container_takes_its_place_by_creation_time() {
    let created = |id: &str, secs| InspectedContainer { created: Some(Duration::from_secs(secs)), ..container(id) };
    let (mut inventory, now) = (ContainerInventory::default(), Instant::now());
    inventory.begin_read(true, now);
    inventory.apply_listing(of(vec![done(created("old", 10)), done(created("new", 30))]), now);
    assert_eq!(ids(&inventory), ["new", "old"], "the Engine's order is another one");
    inventory.begin_read(false, now);
    inventory.apply_some(of(vec![done(created("middle", 20)), done(created("newest", 40))]), now);
    assert_eq!(ids(&inventory), ["newest", "new", "middle", "old"]);
    inventory.begin_read(false, now);
    let exited = InspectedContainer { is_up: false, ..created("middle", 20) };
    inventory.apply_some(of(vec![done(exited)]), now);
    assert_eq!(ids(&inventory), ["newest", "new", "old"]);
}

#[tokio::test]
async fn removed_network_concerns_its_containers_only() {
    let (mut inventory, now) = (ContainerInventory::default(), Instant::now());
    let mut attached = container("c1");
    attached.facts.networks.insert("net".to_owned(), NetworkFacts { id: "n1".into(), ..NetworkFacts::default() });
    inventory.begin_read(true, now);
    inventory.apply_listing(of(vec![done(attached), done(container("c2"))]), now);
    let removed = |id: &str| Event {
        subject: events::EventSubject::Network,
        action: "destroy".to_owned(),
        id: id.to_owned(),
        ..Event::default()
    };
    assert_eq!(inventory.on_event(&removed("n2"), EventTime::default(), now), EventEffect::None);
    assert_eq!(inventory.on_event(&removed("n1"), EventTime::default(), now), EventEffect::Changed);
    assert_eq!(inventory.begin_read(false, now), NextRead::Some(vec!["c1".to_owned()]));
}

#[tokio::test]
async fn unreadable_container_costs_itself_alone_and_is_named() {
    let (mut inventory, now) = (ContainerInventory::default(), Instant::now());
    inventory.begin_read(true, now);
    let reason = rejection("container odd".to_owned(), "its State is 5".to_owned(), Severity::Rejected);
    let odd = ("odd".to_owned(), Inspection::Unreadable(reason.clone()));
    inventory.apply_listing(of(vec![odd, done(container("c1"))]), now);
    assert_eq!(ids(&inventory), ["c1"]);
    assert_eq!(inventory.rejected().collect::<Vec<_>>(), [&reason]);
    assert_eq!(inventory.warnings().count(), 0);
    inventory.begin_read(false, now);
    inventory.apply_some(of(vec![done(container("odd"))]), now);
    assert_eq!((ids(&inventory).len(), inventory.rejected().count()), (2, 0));
}
