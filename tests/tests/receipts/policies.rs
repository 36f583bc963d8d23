//! What a store does by policy, set when it is opened.

use std::time::Duration;

use countersign::core::StuckPolicy;
use countersign::testing::TestClock;
use countersign::{Config, IdentityPolicy, News, OfflinePolicy, Schema, SyncError, SyncState, Whereabouts, Why};
use tests::todos::{assert_sound, builder, config, journal, note, settled, todo, todos, until};

use crate::drivers::Place;

on_both_drivers!(
    an_outage_is_final_after_its_deadline,
    an_outage_is_final_and_takes_the_events_back,
    credentials_pause_and_resume,
    another_backend_stops_is_started_over_with_or_is_ignored,
    a_gap_in_the_backends_log_pauses_and_is_asked_for_again,
    what_is_stuck_is_withdrawn_in_time,
    what_the_schema_does_not_know_is_skipped_and_taken_up_later,
    a_drop_with_the_disk_in_trouble_holds_nobody_up_for_long,
    sessions_see_each_other_and_keep_their_receipts,
);

const HOUR: Duration = Duration::from_secs(3_600);

fn offline(at: &Place, withdraw: bool) -> (TestClock, countersign::backend::EmbeddedBackend, countersign::Store) {
    let backend = at.backend();
    backend.switch().off();
    let clock = TestClock::new();
    let offline = OfflinePolicy { deadline: Some(HOUR), withdraw };
    let opener = at.opener("a.db").config(Config { offline, ..Config::default() });
    let store = at.open(opener.backend(backend.clone()).clock(clock.clone()));
    until("the outage is known", || matches!(store.status().sync, SyncState::Offline { .. }));
    (clock, backend, store)
}

// Verifies: R5
fn an_outage_is_final_after_its_deadline(at: &Place) {
    let (clock, backend, store) = offline(at, false);
    let receipt = store.commit(note("x")).unwrap();
    settled(&receipt.leader_sync).unwrap();
    clock.advance(HOUR - Duration::from_secs(1));
    until("it has been tried again", || receipt.status().attempt() > 1 || store.status().pull_attempt > 1);
    assert_eq!(receipt.backend_sync.peek(), None);
    clock.advance(Duration::from_secs(1));
    let error = settled(&receipt.backend_sync).unwrap_err();
    assert!(matches!(&error, SyncError::IsOffline { reason, .. } if reason.contains("3600 s")), "{error}");
    assert_eq!(error.events(), Whereabouts::Queued);
    let meanwhile = store.commit(note("meanwhile")).unwrap();
    assert!(matches!(settled(&meanwhile.backend_sync), Err(SyncError::IsOffline { .. })), "the same, at once");
    backend.switch().on();
    store.tell(News::Online);
    until("they are pushed all the same", || backend.head() == Ok(2));
    assert!(settled(&store.commit(note("later")).unwrap().backend_sync).is_ok());
}

// Verifies: R6, L4
fn an_outage_is_final_and_takes_the_events_back(at: &Place) {
    let (clock, backend, store) = offline(at, true);
    let receipt = store.commit(todo(1)).unwrap();
    settled(&receipt.leader_sync).unwrap();
    clock.advance(HOUR);
    let error = settled(&receipt.backend_sync).unwrap_err();
    assert!(matches!(error, SyncError::IsOffline { events: Whereabouts::Quarantine, .. }), "{error}");
    until("the session has let go of it", || todos(&store) == 0);
    assert_eq!(store.failures().unwrap().len(), 1);
    backend.switch().on();
    store.tell(News::Online);
    assert!(settled(&store.commit(todo(2)).unwrap().backend_sync).is_ok());
    assert_eq!(backend.head(), Ok(1));
}

// Verifies: R5
fn credentials_pause_and_resume(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    until("the first pull is over", || store.status().sync == SyncState::Synced);
    backend.want_credentials("expired");
    until(
        "a pull that waited is ended",
        || matches!(&store.status().sync, SyncState::NeedsAuth { message } if &**message == "expired"),
    );
    let receipt = store.commit(note("x")).unwrap();
    settled(&receipt.leader_sync).unwrap();
    assert!(matches!(receipt.status().why(), Some(Why::NeedsAuth { .. })) && receipt.status().next_retry().is_none());
    store.tell(News::Authenticated);
    until("they are still not good", || matches!(store.status().sync, SyncState::NeedsAuth { .. }));
    assert_eq!(receipt.backend_sync.peek(), None);
    backend.take_credentials();
    store.tell(News::Authenticated);
    assert!(settled(&receipt.backend_sync).is_ok());
}

// Verifies: L8, L4
fn another_backend_stops_is_started_over_with_or_is_ignored(at: &Place) {
    for (name, identity) in [("stop", IdentityPolicy::Stop), ("reset", IdentityPolicy::Reset), ("ignore", IdentityPolicy::Ignore)]
    {
        let backend = countersign::backend::EmbeddedBackend::open(at.path(&format!("{name}-backend.db"))).unwrap();
        let store = at.open(at.opener(name).config(Config { identity, ..config() }).backend(backend.clone()));
        settled(&store.commit(note("old")).unwrap().backend_sync).unwrap();
        until("it is pulled", || store.status().pending_events == 0 && store.status().drained);
        backend.switch().off();
        let receipt = store.commit(note("pending")).unwrap();
        settled(&receipt.leader_sync).unwrap();
        backend.reset().unwrap();
        backend.switch().on();
        match identity {
            IdentityPolicy::Stop => {
                assert_eq!(settled(&receipt.backend_sync).unwrap_err().events(), Whereabouts::Queued);
                assert_eq!(journal(&store), ["old", "pending"]);
            }
            IdentityPolicy::Reset => {
                assert_eq!(settled(&receipt.backend_sync).unwrap_err().events(), Whereabouts::Quarantine);
                until("it has started over", || journal(&store).is_empty() && store.failures().unwrap().len() == 1);
                let row = &store.failures().unwrap()[0];
                let again = store.retry(row.quarantined.commit, countersign::Risk::MayDuplicate).unwrap();
                assert_eq!(settled(&again.backend_sync).unwrap().position().unwrap().global, 1);
            }
            _ => {
                until("it is noticed", || matches!(receipt.status().why(), Some(Why::BackendIdMismatch { .. })));
                assert_eq!(receipt.backend_sync.peek(), None);
            }
        }
        drop(store);
        assert_sound(&at.path(name));
    }
}

// Verifies: R5, L3, S4
fn a_gap_in_the_backends_log_pauses_and_is_asked_for_again(at: &Place) {
    let (ours, theirs) = (at.backend(), at.backend());
    let other = at.synced("b.db", &theirs);
    for n in 1..=4 {
        settled(&other.commit(note(n)).unwrap().backend_sync).unwrap();
    }
    ours.leave_out(Some(3));
    let store = at.synced("a.db", &ours);
    let receipt = store.commit(note("ours")).unwrap();
    until("it is noticed", || matches!(receipt.status().why(), Some(Why::BackendLogBroken { at: 2 })));
    assert!(matches!(store.status().sync, SyncState::BackendLogBroken { at: 2 }));
    let status = receipt.status();
    assert_eq!(status.last_error().map(|error| error.class), Some(countersign::Class::Defect), "{status}");
    assert!(status.to_string().contains("the backend's log has a gap after e2"), "{status}");
    until("what came before it is there", || journal(&store) == ["1", "2", "ours"]);
    assert_eq!((receipt.backend_sync.peek(), ours.head()), (None, Ok(4)), "nothing is pushed");
    until("it is asked for again", || receipt.status().attempt() > 1);
    assert_eq!(journal(&store).len(), 3, "what is behind the gap is not taken");
    ours.leave_out(None);
    assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, 5);
    until("the session has it", || journal(&store) == ["1", "2", "3", "4", "ours"]);
    drop(store);
    assert_sound(&at.path("a.db"));
}

fn what_is_stuck_is_withdrawn_in_time(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo 1"), false, "not now");
    let clock = TestClock::new();
    let policy = Config { stuck: StuckPolicy::WithdrawAfter(HOUR), ..Config::default() };
    let store = at.open(at.opener("a.db").config(policy).backend(backend).clock(clock.clone()));
    let (stuck, behind) = (store.commit(todo(1)).unwrap(), store.commit(todo(2)).unwrap());
    until("it is stuck", || {
        clock.advance(Duration::from_secs(1));
        matches!(stuck.status().why(), Some(Why::Stuck { .. }))
    });
    clock.advance(HOUR / 2);
    assert_eq!(stuck.backend_sync.peek(), None);
    clock.advance(HOUR / 2);
    let withdrawn = || stuck.backend_sync.wait_timeout(Duration::from_millis(20)).settled();
    let mut outcome = None;
    until("it is withdrawn", || {
        // A push under way has to be answered first, and the next one comes by the clock.
        clock.advance(Duration::from_secs(30));
        outcome = withdrawn();
        outcome.is_some()
    });
    assert!(matches!(outcome, Some(Err(SyncError::Withdrawn { cause: Some(_), .. }))));
    assert!(settled(&behind.backend_sync).is_ok());
}

// Verifies: S1, S4
fn what_the_schema_does_not_know_is_skipped_and_taken_up_later(at: &Place) {
    let backend = at.backend();
    let none: [&str; 0] = [];
    let old = Schema::builder(1)
        .state_sql("CREATE TABLE todos (id TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT")
        .event_sql("v1.TodoCreated", false, ["INSERT INTO todos (id, text) VALUES (:id, :text)"])
        .event_sql("v1.Unused", false, none)
        .build()
        .unwrap();
    let open_old = || at.open(at.opener("old.db").schema(old.clone()).backend(backend.clone()));
    let newer = at.synced("new.db", &backend);
    settled(&newer.commit((note("not known there"), todo(1))).unwrap().backend_sync).unwrap();
    let store = open_old();
    until("it has both", || store.status().upstream_head.global == 2 && todos(&store) == 1);
    assert_eq!((store.status().skipped, newer.status().skipped), (1, 0));
    drop(store);
    let store = open_old();
    until("it is counted after a restart too", || store.status().skipped == 1);
    drop(store);
    let store = at.open(at.opener("old.db").schema(builder(2).build().unwrap()).backend(backend.clone()));
    assert_eq!((journal(&store), store.status().skipped), (vec!["not known there".to_owned()], 0));
}

// Verifies: R3, L4
fn a_drop_with_the_disk_in_trouble_holds_nobody_up_for_long(at: &Place) {
    let store = at.local("a.db");
    let kept = store.commit(todo(1)).unwrap();
    settled(&kept.leader_sync).unwrap();
    let disk = rusqlite::Connection::open(at.path("a.db")).unwrap();
    disk.execute_batch("BEGIN IMMEDIATE").unwrap();
    let late = store.commit(todo(2)).unwrap();
    until("the disk is busy", || store.status().storage.is_some());
    drop(store);
    assert_eq!(late.leader_sync.peek(), None, "it is tried on in the background");
    disk.execute_batch("ROLLBACK").unwrap();
    drop(disk);
    assert!(settled(&late.leader_sync).is_ok());
    until("the file is let go", || countersign::Reader::open(&at.path("a.db")).unwrap().writer().is_none());
    assert_eq!(todos(&at.local("a.db")), 2);
}

// Verifies: S3, L7, R2
fn sessions_see_each_other_and_keep_their_receipts(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let sessions = [store.session().unwrap(), store.session().unwrap(), store.session().unwrap()];
    let receipts: Vec<_> =
        (0..30).map(|n: usize| sessions[n % 3].commit((todo(n), tests::todos::filter(&n.to_string()))).unwrap()).collect();
    let dump = |session: &countersign::Session| session.dump().unwrap();
    until("all are alike", || todos(&store) == 30 && sessions.iter().all(|session| dump(session) == store.dump().unwrap()));
    let [one, ..] = sessions;
    drop(one);
    backend.switch().on();
    store.barrier(countersign::Stage::Backend).wait().unwrap();
    for receipt in &receipts {
        assert!(matches!(receipt.backend_sync.peek(), Some(Ok(countersign::Settled::Confirmed(_)))));
    }
    assert_eq!(backend.head(), Ok(30), "client-only events reach no backend");
}
