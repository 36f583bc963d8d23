//! What a program may rely on of the types: which of them go where, and come back as what.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::{Future, IntoFuture};
use std::str::FromStr;

use countersign::core::{EventId, Seq, Whereabouts};
use countersign::{
    BarrierError, Certainty, Class, Clock, CloseReport, CommitError, CommitId, CommitReceipt, EncodeError, FailureError,
    InvalidPush, LookupError, Milestone, MilestoneWait, OpenError, Outcome, ParseTokenError, PositionToken, QuarantineRow,
    ReachedError, ReadError, ReceiptStatus, Refused, Schema, SchemaError, Session, SessionError, SessionId, Settled, Stage,
    Store, SyncError, SyncStage, Updates, Wait, Waited, WaitingFor, Watch,
};
use futures_lite::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tests::todos::{config, note, settled, synced};

// Checked by being compiled.

fn handle<T: Clone + Send + Sync + 'static>() {}
fn wait<T: Send + 'static>() {}
fn error<T: Error + Clone + PartialEq + Send + Sync + 'static>() {}
fn awaited<T: IntoFuture<Output = O, IntoFuture = F>, F: Future<Output = O> + Send + 'static, O>() {}

#[test]
fn handles_and_waits_go_anywhere_and_errors_are_values() {
    handle::<Store>();
    handle::<Session>();
    handle::<Schema>();
    handle::<Clock>();
    handle::<CommitReceipt>();
    handle::<SyncStage>();
    handle::<Outcome>();
    handle::<Waited>();
    handle::<WaitingFor>();
    handle::<ReceiptStatus>();
    handle::<QuarantineRow>();
    handle::<CloseReport>();
    handle::<PositionToken>();
    handle::<Milestone<BarrierError>>();
    handle::<Milestone<ReachedError>>();
    handle::<countersign::testing::TestClock>();
    handle::<countersign::backend::EmbeddedBackend>();

    wait::<Wait>();
    wait::<MilestoneWait<BarrierError>>();
    wait::<Updates>();
    wait::<Watch>();
    fn stream<T: Stream<Item = ReceiptStatus> + Send + Unpin>() {}
    stream::<Updates>();
    awaited::<SyncStage, Wait, Outcome>();
    awaited::<&SyncStage, Wait, Outcome>();
    awaited::<Milestone<BarrierError>, MilestoneWait<BarrierError>, _>();
    awaited::<&Milestone<ReachedError>, MilestoneWait<ReachedError>, _>();

    error::<SyncError>();
    error::<InvalidPush>();
    error::<CommitError>();
    error::<EncodeError>();
    error::<SchemaError>();
    error::<OpenError>();
    error::<ReadError>();
    error::<SessionError>();
    error::<LookupError>();
    error::<FailureError>();
    error::<BarrierError>();
    error::<ReachedError>();
    error::<ParseTokenError>();
    error::<countersign::core::ParseIdError>();
    fn given_back<T: Error + Send>() {}
    given_back::<Refused<Vec<tests::todos::Noted>>>();
}

/// What comes back of a value that was written as JSON.
fn through_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
    text
}

fn through_text<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: &T) {
    assert_eq!(value.to_string().parse::<T>().unwrap(), *value);
}

#[test]
fn identities_tokens_and_errors_can_be_stored_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let backend = countersign::backend::EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let store = synced(&dir.path().join("a.db"), &backend);
    let receipt = store.commit(note("x")).unwrap();
    let token = settled(&receipt.backend_sync).unwrap().token().unwrap();
    let id: CommitId = receipt.id();
    through_text(&id);
    through_text::<SessionId>(&id.session);
    through_text(&token);
    assert_eq!(through_json(&id), format!("\"{id}\""), "as text, also as the key of an object");
    assert_eq!(through_json(&token), format!("\"{token}\""));
    through_json(&std::collections::BTreeMap::from([(id, 1)]));
    through_json(&EventId { session: id.session, ordinal: 3 });
    through_json(&Seq::ROOT);
    for stage in [Stage::Leader, Stage::Backend] {
        through_json(&stage);
    }

    let certainties = [Certainty::NotApplied, Certainty::Partial { confirmed: 3 }, Certainty::Unknown];
    let text = || std::sync::Arc::<str>::from("why");
    for certainty in certainties {
        let mismatch = InvalidPush::BackendIdMismatch { expected: text(), received: text() };
        for error in [
            SyncError::InvalidPush { cause: mismatch, certainty, events: Whereabouts::Quarantine },
            SyncError::Unknown { message: text(), certainty },
            SyncError::Materialise { event: text(), message: text(), certainty },
            SyncError::Conflict { guard: text(), message: text(), certainty },
            SyncError::Rejected { message: text(), certainty },
            SyncError::Withdrawn { cause: Some(text()), certainty },
        ] {
            through_json(&error);
            assert_eq!(error.certainty(), certainty, "{error:?}");
            assert!(!error.to_string().is_empty());
        }
    }
    let offline = SyncError::IsOffline { reason: text(), events: Whereabouts::Queued };
    let closed = [true, false].map(|durable| SyncError::Closed { durable });
    for (error, class, events) in [
        (&offline, Class::Retryable, Whereabouts::Queued),
        (&closed[0], Class::Closed, Whereabouts::Queued),
        (&closed[1], Class::Closed, Whereabouts::HandedBack),
    ] {
        through_json(error);
        assert_eq!((error.class(), error.events()), (class, events));
    }
}

// Whether a warning asks for the receipt is seen when this is compiled.
#[deny(unused_must_use)]
#[test]
fn a_receipt_may_be_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let store = tests::todos::opener(&dir.path().join("a.db")).config(config()).blocking().unwrap();
    let commit = || -> Result<(), CommitError> {
        store.commit(note("x"))?;
        Ok(())
    };
    commit().unwrap();
    store.barrier(Stage::Leader).wait().unwrap();
    assert_eq!(store.commit(()).unwrap().backend_sync.wait(), Ok(Settled::NotApplicable));
}
