//! What has failed: handed out until it is seen, tried again, let go of.

use std::sync::Barrier;
use std::thread;

use countersign::{Certainty, CommitId, FailureError, News, QuarantineRow, Risk, Settled, SyncError, Whereabouts};
use tests::todos::{LONG, assert_sound, backend_args, note, settled, synced, todo, todos, until};

use crate::drivers::Place;

on_both_drivers!(
    what_nobody_was_told_of_is_handed_out_after_every_restart_until_acknowledged,
    what_a_waiter_has_seen_is_not_handed_out_again,
    a_retry_is_a_new_commit_and_happens_once,
    a_retry_that_is_refused_changes_nothing,
    what_may_be_at_the_backend_is_tried_again_only_when_told_so,
    what_is_discarded_is_gone_and_its_receipt_stays,
    a_failure_is_decided_once_however_many_do_so_at_once,
    what_failed_while_it_was_queued_and_was_pushed_after_that_is_confirmed,
);

fn ids(rows: Vec<QuarantineRow>) -> Vec<CommitId> {
    rows.into_iter().map(|row| row.quarantined.commit).collect()
}

// Verifies: L4
fn what_nobody_was_told_of_is_handed_out_after_every_restart_until_acknowledged(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo"), true, "no todos here");
    let store = at.synced("a.db", &backend);
    let receipts = [store.commit(todo(1)).unwrap(), store.commit(todo(2)).unwrap()];
    let failed = receipts.each_ref().map(countersign::CommitReceipt::id);
    until("both are in quarantine", || store.unobserved_failures().unwrap().len() == 2);
    // To print a receipt is not to be told of its failure.
    assert!(format!("{receipts:?}").contains("Rejected"));
    for _ in 0..2 {
        assert_eq!(ids(store.unobserved_failures().unwrap()), failed);
    }
    drop((receipts, store));
    let store = at.synced("a.db", &backend);
    assert_eq!(ids(store.unobserved_failures().unwrap()), failed);
    store.acknowledge(failed[0]).unwrap();
    store.acknowledge(failed[0]).unwrap();
    assert!(store.close(LONG).persisted);
    let store = at.synced("a.db", &backend);
    assert_eq!(ids(store.unobserved_failures().unwrap()), failed[1..]);
    assert_eq!(ids(store.failures().unwrap()), failed, "they stay in quarantine");
    let unknown = CommitId { ordinal: 9, ..failed[0] };
    assert_eq!(store.acknowledge(unknown), Err(FailureError::Unknown { id: unknown }));
}

fn what_a_waiter_has_seen_is_not_handed_out_again(at: &Place) {
    let backend = at.backend();
    backend.refuse(|_| true, true, "closed today");
    let store = at.synced("a.db", &backend);
    let (seen, unseen) = (store.commit(todo(1)).unwrap(), store.commit(todo(2)).unwrap());
    settled(&seen.backend_sync).unwrap_err();
    until("that is noted", || ids(store.unobserved_failures().unwrap()) == [unseen.id()]);
    drop(store);
    let store = at.synced("a.db", &backend);
    assert_eq!(ids(store.unobserved_failures().unwrap()), [unseen.id()]);
    let again = store.receipt(unseen.id()).unwrap().unwrap();
    assert!(matches!(again.backend_sync.peek(), Some(Err(SyncError::Rejected { .. }))));
    until("that is noted too", || store.unobserved_failures().unwrap().is_empty());
}

// Verifies: L4, R4
fn a_retry_is_a_new_commit_and_happens_once(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo 2"), true, "not here");
    let store = at.synced("a.db", &backend);
    let failed = store.commit((todo(1), todo(2), todo(3))).unwrap();
    let error = settled(&failed.backend_sync).unwrap_err();
    assert_eq!(error.certainty(), Certainty::NotApplied);
    until("the session has let go of it", || todos(&store) == 0);
    backend.accept_all();
    let again = store.retry(failed.id(), Risk::NoDuplicate).unwrap();
    assert_ne!(again.id(), failed.id());
    let twice = store.retry(failed.id(), Risk::MayDuplicate).unwrap_err();
    assert_eq!(twice, FailureError::Retried { id: failed.id(), again: again.id() });
    assert!(store.failures().unwrap().is_empty());
    settled(&again.backend_sync).unwrap();
    assert_eq!((todos(&store), backend_args(&backend).len()), (3, 3));
    drop(store);
    let store = at.synced("a.db", &backend);
    assert!(store.failures().unwrap().is_empty() && store.unobserved_failures().unwrap().is_empty());
    assert_eq!(store.discard(failed.id()), Err(FailureError::Retried { id: failed.id(), again: again.id() }));
    assert_eq!(store.receipt(failed.id()).unwrap().unwrap().backend_sync.peek(), Some(Err(error)), "as it settled");
    drop(store);
    assert_sound(&at.path("a.db"));
}

// Verifies: L4
fn a_retry_that_is_refused_changes_nothing(at: &Place) {
    let (ours, theirs) = (at.backend(), at.backend());
    let store = at.synced("a.db", &ours);
    until("the first pull is over", || store.status().backend.is_some());
    ours.switch().off();
    let failed = store.commit(todo(1)).unwrap();
    settled(&failed.leader_sync).unwrap();
    let other = synced(&at.path("b.db"), &theirs);
    settled(&other.commit(todo(1)).unwrap().backend_sync).unwrap();
    ours.switch().on();
    assert!(matches!(settled(&failed.backend_sync), Err(SyncError::Materialise { .. })));
    until("the session has the other", || todos(&store) == 1 && store.failures().unwrap().len() == 1);
    let dump = store.dump().unwrap();
    let refused = store.retry(failed.id(), Risk::MayDuplicate).unwrap_err();
    assert!(matches!(refused, FailureError::Commit(countersign::CommitError::Materialise { .. })), "{refused}");
    assert_eq!((ids(store.failures().unwrap()), store.dump().unwrap()), (vec![failed.id()], dump));
    let next = store.commit(todo(2)).unwrap();
    assert!(settled(&next.backend_sync).is_ok(), "the session goes on");
    let inside = store.query(|_| Ok(store.retry(failed.id(), Risk::NoDuplicate).map(drop))).unwrap();
    assert_eq!(inside, Err(FailureError::Inside));
}

// Verifies: L6, L4
fn what_may_be_at_the_backend_is_tried_again_only_when_told_so(at: &Place) {
    let backend = at.backend();
    let store = at.synced("a.db", &backend);
    until("the first pull is over", || store.status().backend.is_some());
    backend.switch().off();
    let unknown = store.commit(note("once or twice")).unwrap();
    settled(&unknown.leader_sync).unwrap();
    drop(store);
    // After a restart nobody knows any more whether it was sent.
    let store = at.synced("a.db", &backend);
    store.withdraw(unknown.id());
    let unknown = store.receipt(unknown.id()).unwrap().unwrap();
    assert_eq!(settled(&unknown.backend_sync).unwrap_err().certainty(), Certainty::Unknown);
    let refused = store.retry(unknown.id(), Risk::NoDuplicate).unwrap_err();
    assert_eq!(refused, FailureError::MayDuplicate { id: unknown.id() });
    let again = store.retry(unknown.id(), Risk::MayDuplicate).unwrap();
    assert_eq!(settled(&again.leader_sync), Ok(Settled::Persisted));
    backend.switch().on();
    settled(&again.backend_sync).unwrap();
    assert_eq!(backend_args(&backend).len(), 1, "it had not been sent");
}

// Verifies: L4, L6
fn what_is_discarded_is_gone_and_its_receipt_stays(at: &Place) {
    let backend = at.backend();
    backend.refuse(|own| own.event.args.contains("todo"), true, "no todos here");
    let store = at.synced("a.db", &backend);
    let refused = store.commit(todo(1)).unwrap();
    let error = settled(&refused.backend_sync).unwrap_err();
    store.discard(refused.id()).unwrap();
    assert!(store.failures().unwrap().is_empty());
    assert_eq!(store.discard(refused.id()), Err(FailureError::Discarded { id: refused.id() }));
    assert_eq!(store.retry(refused.id(), Risk::MayDuplicate).unwrap_err(), FailureError::Discarded { id: refused.id() });

    // Sent, and taken back before it is known what became of it: discarded or not, it is recognised when it turns up.
    backend.lose_next_replies(1);
    backend.want_credentials("not again");
    let pushed = store.commit(note("sent")).unwrap();
    until("it is held up", || matches!(pushed.status().why(), Some(countersign::Why::NeedsAuth { .. })));
    store.withdraw(pushed.id());
    settled(&pushed.backend_sync).unwrap_err();
    store.discard(pushed.id()).ok();
    assert_eq!(store.receipt(refused.id()).unwrap().unwrap().backend_sync.peek(), Some(Err(error)));
    backend.take_credentials();
    drop(store);
    let store = at.synced("a.db", &backend);
    assert!(settled(&store.commit(note("next")).unwrap().backend_sync).is_ok());
    until("it is all pulled", || store.status().pending_events == 0 && store.status().drained);
    assert!(store.failures().unwrap().is_empty());
    drop(store);
    assert_sound(&at.path("a.db"));
}

// Verifies: L4, L6 (two who commit it again at once, and one who discards it: one of them does)
fn a_failure_is_decided_once_however_many_do_so_at_once(at: &Place) {
    let backend = at.backend();
    backend.refuse(|_| true, true, "not here");
    let store = at.synced("a.db", &backend);
    let mut taken = 0;
    for n in 0..10 {
        let failed = store.commit(note(n)).unwrap();
        settled(&failed.backend_sync).unwrap_err();
        let id = failed.id();
        let begin = Barrier::new(3);
        let retried = || {
            begin.wait();
            store.retry(id, Risk::NoDuplicate).map(|receipt| receipt.id())
        };
        let discarded = || {
            begin.wait();
            store.discard(id)
        };
        let (one, two, gone) = thread::scope(|scope| {
            let threads = (scope.spawn(retried), scope.spawn(retried), scope.spawn(discarded));
            (threads.0.join().unwrap(), threads.1.join().unwrap(), threads.2.join().unwrap())
        });
        let done = [one.is_ok(), two.is_ok(), gone.is_ok()];
        assert_eq!(done.iter().filter(|done| **done).count(), 1, "{one:?} {two:?} {gone:?}");
        taken += usize::from(one.is_ok() || two.is_ok());
        for error in [one.err(), two.err(), gone.err()].into_iter().flatten() {
            assert!(matches!(error, FailureError::Retried { .. } | FailureError::Discarded { .. }), "{error}");
        }
    }
    store.barrier(countersign::Stage::Backend).wait().ok();
    let ids = ids(store.failures().unwrap());
    assert_eq!(ids.len(), taken, "each that was committed again has failed again, and none twice");
}

// Verifies: R1, R5
fn what_failed_while_it_was_queued_and_was_pushed_after_that_is_confirmed(at: &Place) {
    let backend = at.backend();
    backend.switch().off();
    let store = at.synced("a.db", &backend);
    let failed = store.commit(note("x")).unwrap();
    settled(&failed.leader_sync).unwrap();
    store.tell(News::OfflineForGood);
    let error = settled(&failed.backend_sync).unwrap_err();
    assert_eq!(error.events(), Whereabouts::Queued);
    assert_eq!(store.retry(failed.id(), Risk::MayDuplicate).unwrap_err(), FailureError::Queued { id: failed.id() });
    backend.switch().on();
    store.tell(News::Online);
    until("it is pushed, and known to be", || store.status().pending_events == 0 && store.status().drained);
    assert_eq!(backend.head(), Ok(1));
    assert_eq!(store.retry(failed.id(), Risk::MayDuplicate).unwrap_err(), FailureError::Confirmed { id: failed.id() });
    assert_eq!(store.discard(failed.id()), Err(FailureError::Confirmed { id: failed.id() }));
    assert_eq!(failed.backend_sync.peek(), Some(Err(error)), "its receipt stays as it settled");
}
