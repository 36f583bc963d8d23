//! Outages: they end by themselves, or are declared final.

use std::time::Duration;

use countersign_core::{Certainty, Config, Input, OfflinePolicy, Reason, SyncError, SyncState, Whereabouts};
use tests::script::Script;

fn with(offline: OfflinePolicy, about: &str) -> Script {
    Script::ready_with(Config { offline, ..Config::default() }, about)
}

fn is_offline(error: &SyncError, events: Whereabouts) -> bool {
    matches!(error, SyncError::IsOffline { .. }) && error.certainty() == Certainty::Unknown && error.events() == events
}

// Verifies: R5, V3
#[test]
fn offline_is_not_failure() {
    let mut s = Script::ready(
        "Offline: commits go on being stored, receipts wait, nothing fails; back online everything is pushed at once.",
    );
    s.tell(Input::Offline);
    let a = s.commit(1, "A");
    s.store_all();
    assert!(s.persisted(a) && s.backend(a).is_none() && s.pushed().is_none());
    assert!(matches!(s.status().sync, SyncState::Offline { .. }));
    s.tell(Input::Online);
    s.run();
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, V4
#[test]
fn an_outage_is_tried_again_with_backoff_for_ever() {
    let mut s = Script::ready("The backend can't be reached: tried again after ever longer waits, at most 30 s.");
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    s.pull_unreachable();
    for _ in 0..8 {
        s.wake();
        if s.pull_under_way().is_some() {
            s.pull_unreachable();
        }
        if s.pushed().is_some() {
            s.push_unsent();
        }
        assert!(s.status().next.is_some_and(|(wait, _)| wait <= Duration::from_secs(30)));
    }
    assert!(s.backend(a).is_none());
    while s.pushed().is_none() {
        s.wake();
        s.run();
        if s.backend(a).is_some() {
            break;
        }
    }
    assert_eq!(s.positions(a), [1]);
    insta::assert_snapshot!(s.end());
}

// Verifies: V4
#[test]
fn a_wait_is_counted_from_the_failure() {
    let mut s = Script::ready("A push is answered only after 40 s, with a time-out: the wait is counted from there.");
    s.commit(1, "A");
    s.store();
    let slow = s.delay_push();
    s.push_times_out_after(40, slow);
    s.page();
    assert_eq!(s.pushed(), None);
    assert!(s.status().next.is_some_and(|(wait, _)| wait >= Duration::from_millis(750)));
    s.wake();
    s.run();
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, R6
#[test]
fn declared_final_fails_receipts_and_keeps_events_queued() {
    let mut s = Script::ready(
        "The network is declared gone for good: IsOffline, unknown, events queued; and pushed when it is back after all.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_lost();
    s.tell(Input::OfflineForGood);
    let b = s.commit(1, "B");
    s.store_all();
    assert!(is_offline(&s.failed(a), Whereabouts::Queued));
    assert!(is_offline(&s.failed(b), Whereabouts::Queued) && s.persisted(b), "what is committed meanwhile settles the same");
    s.tell(Input::Online);
    let c = s.commit(1, "C");
    s.run();
    assert_eq!(s.backend_log(), ["A", "B", "C"]);
    assert!(is_offline(&s.failed(a), Whereabouts::Queued), "the receipt stays as it settled");
    assert_eq!(s.positions(c), [3]);
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, R6
#[test]
fn the_deadline_passes() {
    let deadline = OfflinePolicy { deadline: Some(Duration::from_secs(5)), withdraw: false };
    let mut s = with(deadline, "An offline deadline of 5 s, counted from the first failure.");
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    while s.wake() != Reason::OfflineDeadline {
        if s.pushed().is_some() {
            s.push_unsent();
        }
        assert!(s.backend(a).is_none());
    }
    s.store_all();
    assert!(is_offline(&s.failed(a), Whereabouts::Queued));
    assert!(s.persisted(a));
    insta::assert_snapshot!(s.end());
}

// Verifies: R5, R6, L4
#[test]
fn the_deadline_passes_and_the_policy_withdraws() {
    let deadline = OfflinePolicy { deadline: Some(Duration::from_secs(5)), withdraw: true };
    let mut s = with(
        deadline,
        "An offline deadline with withdrawal: A, B in flight, and C that is not stored yet, all end as IsOffline in quarantine.",
    );
    let a = s.commit(1, "A");
    s.store();
    s.push_unsent();
    let b = s.commit(1, "B");
    s.store();
    s.until_pushed();
    s.tell(Input::Offline);
    let c = s.commit(1, "C");
    assert_eq!(s.wake(), Reason::OfflineDeadline);
    assert!(s.backend(b).is_none(), "a request is unanswered");
    s.push_lost();
    s.store_all();
    for commit in [a, b, c] {
        assert!(is_offline(&s.failed(commit), Whereabouts::Quarantine), "{:?}", s.failed(commit));
        assert!(s.persisted(commit));
    }
    assert_eq!(s.quarantine(), ["A", "B", "C"]);
    let d = s.commit(1, "D");
    s.store_all();
    assert!(is_offline(&s.failed(d), Whereabouts::Quarantine), "what is committed meanwhile settles the same");
    s.tell(Input::Online);
    let e = s.commit(1, "E");
    s.run();
    assert_eq!(s.positions(e), [1]);
    insta::assert_snapshot!(s.end());
}
