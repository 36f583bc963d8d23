//! Situations that a run of many worlds must have met: a generator that never makes them proves nothing about them.

use std::collections::BTreeMap;

/// Every situation, by name.
pub const MARKS: [&str; 103] = [
    "rebase during an in-flight push",
    "reply lost, then confirmed by a pull",
    "crash between commit and answer",
    "crash with a commit not stored",
    "two rebases on one receipt",
    "reset while pending",
    "truncation noticed",
    "queue full, commit refused",
    "poison",
    "poison that is held",
    "poison that is held, then confirmed",
    "poison that is held, then refused",
    "poison of a stored commit",
    "rejected for ever",
    "withdrawn by a user",
    "withdrawn by policy",
    "offline for good, queued",
    "offline for good, withdrawn",
    "identity mismatch ends a receipt",
    "failed with certainty NotApplied",
    "failed with certainty Partial",
    "failed with certainty Unknown",
    "leader stage failed",
    "bisected",
    "stuck",
    "released by an echo",
    "a commit split over two pushes",
    "session seeded anew",
    "outcome of a transaction unknown, then committed",
    "a queued transaction was stale",
    "confirmed entry without effect",
    "gap seen again",
    "receipt found again after a restart",
    "acknowledged, and found open again",
    "acknowledged, and known to be after a restart",
    "refused: pending events",
    "refused: pending bytes",
    "refused: unpersisted events",
    "refused: unpersisted bytes",
    "refused: pending client-only events",
    "refused: event too large",
    "refused: commit too large",
    "refused: session closed",
    "refused: session not ready",
    "refused: session busy",
    "refused: closing",
    "refused: storage broken",
    "woken: push again",
    "woken: pull again",
    "woken: store again",
    "woken: offline deadline",
    "woken: policy for stuck commits",
    "notice: rebased",
    "notice: quarantined",
    "notice: skipped",
    "notice: echo differs",
    "notice: unreachable",
    "notice: reachable",
    "notice: needs auth",
    "notice: another backend",
    "notice: storage in trouble",
    "notice: storage works",
    "push failed: maybe applied",
    "push failed: not sent",
    "push failed: auth",
    "push failed: server ahead",
    "push failed: identity",
    "push failed: refused",
    "push failed: unknown",
    "pull failed: unreachable",
    "pull failed: auth",
    "pull failed: identity",
    "pull failed: truncated",
    "storage failed: full",
    "storage failed: i/o",
    "storage failed: busy",
    "storage failed: memory",
    "storage failed: damaged",
    "storage failed: other",
    "snapshot failed",
    "a day passes in between",
    "process restarted after damage",
    "guard does not hold, commit refused",
    "guard of a stored commit no longer holds",
    "guard no longer holds after a restart",
    "the clock goes back",
    "server error after the push was taken",
    "server error on a push",
    "pull failed: server error",
    "pull failed: as if it were a push",
    "deaf: a page does not arrive",
    "what is taken is shown later",
    "the backend starts anew",
    "a session dies",
    "a session dies with a commit that is not stored",
    "another client's event",
    "a file is an older copy",
    "for ever: a dead session",
    "for ever: no network",
    "for ever: nothing arrives",
    "for ever: a full disk",
    "for ever: a slow disk",
    "for ever: refused credentials",
];

/// How often each situation was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    counts: BTreeMap<&'static str, u64>,
}

impl Reach {
    pub(crate) fn mark(&mut self, name: &'static str) {
        debug_assert!(MARKS.contains(&name), "{name} is not in the list");
        *self.counts.entry(name).or_insert(0) += 1;
    }

    /// Adds what another world has met.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_insert(0) += count;
        }
    }

    /// What was never met.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        MARKS.into_iter().filter(|name| !self.counts.contains_key(name)).collect()
    }

    /// How often each was met, in the order of the list.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        MARKS.into_iter().map(|name| (name, self.counts.get(name).copied().unwrap_or(0)))
    }
}
