//! The marks that stand for variants: every error, notice and reason that the machine has must have come up.
//!
//! What no world can make in reasonable time is not among them: `CommitError::OutOfNumbers` has a scenario of its own.

use countersign_core::{BackendFailure, CommitError, Input, Limit, Materialised, Notice, Reason, StorageClass};

/// Of a commit that is refused.
pub(super) fn commit_error(error: &CommitError) -> Option<&'static str> {
    Some(match error {
        CommitError::Full { limit: Limit::PendingEvents, .. } => "refused: pending events",
        CommitError::Full { limit: Limit::PendingBytes, .. } => "refused: pending bytes",
        CommitError::Full { limit: Limit::UnpersistedEvents, .. } => "refused: unpersisted events",
        CommitError::Full { limit: Limit::UnpersistedBytes, .. } => "refused: unpersisted bytes",
        CommitError::Full { limit: Limit::PendingClientOnly, .. } => "refused: pending client-only events",
        CommitError::EventTooLarge { .. } => "refused: event too large",
        CommitError::CommitTooLarge { .. } => "refused: commit too large",
        CommitError::SessionClosed => "refused: session closed",
        CommitError::SessionNotReady => "refused: session not ready",
        CommitError::SessionBusy => "refused: session busy",
        CommitError::Closing => "refused: closing",
        CommitError::StorageBroken { .. } => "refused: storage broken",
        _ => return None,
    })
}

/// Of a deadline that has passed.
pub(super) fn reason(reason: Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::PushRetry => "woken: push again",
        Reason::PullRetry => "woken: pull again",
        Reason::StorageRetry => "woken: store again",
        Reason::OfflineDeadline => "woken: offline deadline",
        Reason::StuckPolicy => "woken: policy for stuck commits",
        _ => return None,
    })
}

/// Of a notice.
pub(super) fn notice(notice: &Notice) -> Option<&'static str> {
    Some(match notice {
        Notice::Rebased { .. } => "notice: rebased",
        Notice::Quarantined { .. } => "notice: quarantined",
        Notice::Released { .. } => "released by an echo",
        Notice::Skipped(_) => "notice: skipped",
        Notice::EchoDiffers { .. } => "notice: echo differs",
        Notice::Unreachable { .. } => "notice: unreachable",
        Notice::Reachable => "notice: reachable",
        Notice::NeedsAuth { .. } => "notice: needs auth",
        Notice::Stuck { .. } => "stuck",
        Notice::BackendIdMismatch { .. } => "notice: another backend",
        Notice::BackendLogBroken { .. } => "gap seen again",
        Notice::StorageTrouble(_) => "notice: storage in trouble",
        Notice::StorageWorks => "notice: storage works",
        Notice::Reseeding { .. } => "session seeded anew",
        _ => return None,
    })
}

/// Of an answer.
pub(super) fn answer(input: &Input) -> Option<&'static str> {
    Some(match input {
        Input::PushFailed { failure, .. } => match failure {
            BackendFailure::Unreachable { maybe_applied: true, .. } => "push failed: maybe applied",
            BackendFailure::Unreachable { .. } => "push failed: not sent",
            BackendFailure::NeedsAuth { .. } => "push failed: auth",
            BackendFailure::ServerAhead { .. } => "push failed: server ahead",
            BackendFailure::Identity { .. } => "push failed: identity",
            BackendFailure::Refused { .. } => "push failed: refused",
            BackendFailure::Unknown { .. } => "push failed: unknown",
            _ => return None,
        },
        Input::PullFailed { failure, .. } => match failure {
            BackendFailure::Unreachable { .. } => "pull failed: unreachable",
            BackendFailure::NeedsAuth { .. } => "pull failed: auth",
            BackendFailure::Identity { .. } => "pull failed: identity",
            BackendFailure::Truncated { .. } => "pull failed: truncated",
            BackendFailure::Unknown { .. } => "pull failed: server error",
            BackendFailure::ServerAhead { .. } => "pull failed: as if it were a push",
            _ => return None,
        },
        Input::Materialised { outcome: Materialised::Failed(failure), .. } => match failure.class {
            StorageClass::Full => "storage failed: full",
            StorageClass::Io => "storage failed: i/o",
            StorageClass::Busy => "storage failed: busy",
            StorageClass::Memory => "storage failed: memory",
            StorageClass::Corrupt => "storage failed: damaged",
            StorageClass::Other => "storage failed: other",
            _ => return None,
        },
        Input::Seeded { seed: None, .. } => "snapshot failed",
        _ => return None,
    })
}
