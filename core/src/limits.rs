//! What a commit has to fit into.

use crate::config::Config;
use crate::error::{CommitError, Limit};
use crate::guard::{Batch, Guard};
use crate::leader::Leader;
use crate::seq::{GLOBAL_MAX, Pos};
use crate::time::Time;

/// The limits of a machine, and how much of them is taken.
pub(crate) struct Limits<'a> {
    pub(crate) config: &'a Config,
    pub(crate) leader: &'a Leader,
    pub(crate) closing: bool,
    pub(crate) now: Time,
}

impl Limits<'_> {
    /// Whether a commit of these events fits. So many events and bytes of its session are on their way to the leader.
    pub(crate) fn check(&self, (unsent, unsent_bytes): (usize, usize), batch: &Batch) -> Result<(), CommitError> {
        let config = self.config;
        if self.closing {
            return Err(CommitError::Closing);
        }
        if let Some(message) = self.leader.broken() {
            return Err(CommitError::StorageBroken { message: message.clone() });
        }
        let Batch { events, guard } = batch;
        let mut bytes = guard.as_ref().map_or(0, Guard::bytes);
        let (mut synced, mut client_only) = (0, 0);
        for (index, event) in events.iter().enumerate() {
            let size = event.encoded_bytes();
            if size > config.event_bytes {
                let name = event.name.clone();
                return Err(CommitError::EventTooLarge { index, name, bytes: size, max: config.event_bytes });
            }
            bytes += size;
            *(if event.client_only { &mut client_only } else { &mut synced }) += 1;
        }
        if events.len() > config.commit_events || bytes > config.commit_bytes {
            let (max_events, max_bytes) = (config.commit_events, config.commit_bytes);
            return Err(CommitError::CommitTooLarge { events: events.len(), bytes, max_events, max_bytes });
        }
        let load = self.leader.load();
        let full = |limit, queued: usize, new: usize, max: usize| {
            // A limit stops what comes on top of it, not a commit that is larger than the limit on an empty queue.
            let fits = new == 0 || queued == 0 || queued + new <= max;
            if fits { Ok(()) } else { Err(CommitError::Full { limit, max: max as u64 }) }
        };
        if config.backend {
            // What may yet be found at the backend counts, but must not keep the log from growing: growing is what settles it.
            let queued = load.pending_events + unsent;
            let waiting = if queued > 0 { queued + load.uncertain } else { 0 };
            full(Limit::PendingEvents, waiting, synced, config.pending_events)?;
            let new_bytes = if synced > 0 { bytes } else { 0 };
            full(Limit::PendingBytes, load.pending_bytes + unsent_bytes, new_bytes, config.pending_bytes)?;
            if synced > 0
                && let Some(max) = config.pending_age
                && let Some(since) = self.leader.oldest_pending()
            {
                let waited = self.now.since(since);
                if waited >= max {
                    return Err(CommitError::PendingTooLong { waited, max });
                }
            }
            full(Limit::PendingClientOnly, load.pending_client_only, client_only, config.pending_client_only)?;
        }
        full(Limit::UnpersistedEvents, load.unpersisted_events + unsent, events.len(), config.unpersisted_events)?;
        full(Limit::UnpersistedBytes, load.unpersisted_bytes + unsent_bytes, bytes, config.unpersisted_bytes)?;
        if !has_numbers(self.leader.tail().local_head(), unsent, synced, client_only) {
            return Err(CommitError::OutOfNumbers);
        }
        Ok(())
    }
}

/// Whether there are numbers left behind `head` for so many events: those that are on their way there, of whichever kind, and the new ones.
fn has_numbers(head: Pos, unsent: usize, synced: usize, client_only: usize) -> bool {
    let client_only_fits = u32::try_from(unsent + client_only).is_ok_and(|new| head.client.checked_add(new).is_some());
    client_only_fits && head.global + (unsent + synced) as u64 <= GLOBAL_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: V5, L1 (numbers run out before they are too large for those who read them)
    #[test]
    fn numbers_are_left_for_what_is_on_its_way_and_what_is_new() {
        let head = Pos { global: GLOBAL_MAX - 5, client: u32::MAX - 5 };
        assert!(has_numbers(head, 2, 3, 3) && has_numbers(head, 0, 5, 5) && has_numbers(head, 5, 0, 0));
        assert!(!has_numbers(head, 2, 4, 0) && !has_numbers(head, 2, 0, 4));
        assert!(!has_numbers(head, 0, 6, 0) && !has_numbers(head, 0, 0, 6));
    }
}
