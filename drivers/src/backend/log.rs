//! What a backend needs of the engine that keeps its log, and the limits that every engine keeps.
//!
//! An engine promises that an append is all or nothing, checked against the head in the same step, and durable before it is
//! acknowledged; and that what a reader has been given stays what it was, or the reader is told.

use std::sync::Arc;
use std::time::Instant;

use countersign_core::{BackendFailure, BackendId, Event, Page, PulledEvent, WireIds};

/// Events in one page: what LiveStore's servers send at most.
pub(crate) const PAGE_EVENTS: usize = 100;
/// Bytes of JSON in one page: what LiveStore's servers send at most.
pub(crate) const PAGE_BYTES: usize = 900_000;
/// Bytes of JSON in one event, so that each fits a page, with room for its author and the page around it.
pub(crate) const EVENT_BYTES: usize = 890_000;
/// Bytes in the name of a client or session. Escaped, two of them still fit beside the largest event.
const AUTHOR_BYTES: usize = 500;

/// The engine that keeps a backend's log. Each page names the log, and an identity that is `expected` is checked in the same
/// step as what depends on it.
pub(crate) trait Log: Send {
    /// Whether this handle can still be used. After a failure it may not be; the log itself is not touched by that.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "who knows the engine asks it directly"))]
    fn is_usable(&self) -> bool;

    /// Appends all drafts at `parent + 1` and on, if `parent` is the head, and returns when they are durable.
    ///
    /// A batch that stands there already, with the same identities and the same content, is acknowledged and not stored again:
    /// its reply was lost. Drafts without identities are never taken for a repetition. Nothing to append is acknowledged.
    fn append(&mut self, expected: Option<&BackendId>, parent: u64, drafts: &[Draft]) -> Result<(), BackendFailure>;

    /// The page after the cursor, and the head, as of one moment. A cursor beyond the head gives an empty page; one whose last
    /// event is no longer in the log gives [`BackendFailure::Truncated`].
    fn read(&mut self, expected: Option<&BackendId>, cursor: &Cursor) -> Result<Slice, BackendFailure>;

    /// As `read`, but waits while there is nothing after the cursor. `None` if `until` has passed, or if `stop` says so when
    /// the log's bell rings; both are looked at before the log is.
    fn tail(
        &mut self,
        expected: Option<&BackendId>,
        cursor: &Cursor,
        until: Option<Instant>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Slice>, BackendFailure>;
}

/// An event that has no position yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The client that wrote it.
    pub(crate) client: Arc<str>,
    /// The session that wrote it.
    pub(crate) session: Arc<str>,
    /// The rest of its identity, if its author has told.
    pub(crate) ids: Option<WireIds>,
    /// What it says.
    pub(crate) event: Arc<Event>,
    /// Whether its author has sent no arguments at all. Means `null`, and is kept: some clients tell one from the other.
    pub(crate) void: bool,
}

impl Draft {
    /// Whether the event in the log is this one. Its identity alone is not enough: an acknowledgement speaks of the content.
    pub(crate) fn is(&self, stored: &PulledEvent) -> bool {
        self.ids.is_some()
            && self.ids == stored.ids
            && self.client == stored.client
            && self.session == stored.session
            && self.event.says_the_same(&stored.event)
    }
}

/// How far a reader has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    after: u64,
    /// The last event that the reader was given: if it is no longer there, the history that it was given isn't either.
    last: Option<PulledEvent>,
}

impl Cursor {
    /// A reader that starts here, and knows nothing.
    pub(crate) fn after(after: u64) -> Self {
        Self { after, last: None }
    }

    /// The position before the next page.
    pub(crate) fn position(&self) -> u64 {
        self.after
    }

    /// The event that has to stand before the next page.
    pub(crate) fn last(&self) -> Option<&PulledEvent> {
        self.last.as_ref()
    }

    /// The cursor when this page has been taken.
    pub(crate) fn behind(self, page: &Page) -> Self {
        match page.events.last() {
            Some(last) => Self { after: last.seq, last: Some(last.clone()) },
            None => self,
        }
    }
}

/// A page, and how long the log was when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// The page.
    pub(crate) page: Page,
    /// The position of the log's last event.
    pub(crate) head: u64,
    /// What the log knows of the page's events beside what they say, in their order.
    #[cfg_attr(not(feature = "server"), expect(dead_code, reason = "only told over the network"))]
    pub(crate) notes: Vec<Note>,
}

/// What a log knows of an event beside what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// When it was taken (ISO 8601); unknown for events from before this was written down.
    pub(crate) created_at: Option<Arc<str>>,
    /// As [`Draft::void`].
    pub(crate) void: bool,
}

/// How much room an event takes in a page at most.
pub(crate) fn page_bytes(event: &PulledEvent) -> usize {
    event.event.encoded_bytes() + 6 * (event.client.len() + event.session.len())
}

/// The drafts that no log can hold, by index, and why.
pub(crate) fn refusals(drafts: &[Draft]) -> Vec<(u32, Arc<str>)> {
    let refused = |(i, draft): (usize, &Draft)| Some((u32::try_from(i).unwrap_or(u32::MAX), refusal(draft)?.into()));
    drafts.iter().enumerate().filter_map(refused).collect()
}

fn refusal(draft: &Draft) -> Option<String> {
    let Draft { client, session, ids, event, .. } = draft;
    let bytes = event.encoded_bytes();
    if event.client_only {
        return Some(format!("{} is client-only and never leaves its client", event.name));
    }
    if bytes > EVENT_BYTES {
        let kept = "keep large content elsewhere and commit where it is";
        return Some(format!("an event {} of {bytes} bytes encoded; at most {EVENT_BYTES} fit a page: {kept}", event.name));
    }
    if client.len() > AUTHOR_BYTES || session.len() > AUTHOR_BYTES {
        return Some(format!("the names of a client and its session may have {AUTHOR_BYTES} bytes each"));
    }
    let too_large = |n: u64| i64::try_from(n).is_err();
    if ids.is_some_and(|ids| too_large(ids.ordinal) || too_large(ids.commit)) {
        return Some(format!("an ordinal of {} is beyond 2^63 - 1", event.name));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(args: usize) -> Draft {
        let event = Event { name: "v1.Noted".into(), args: "x".repeat(args).into(), client_only: false };
        let ids = Some(WireIds { ordinal: 1, commit: 1, last: true });
        Draft { client: "c".into(), session: "s".into(), ids, event: Arc::new(event), void: false }
    }

    // Verifies: L7
    #[test]
    fn what_no_log_can_hold_is_named_by_index() {
        let fits = EVENT_BYTES - draft(0).event.encoded_bytes();
        let mut drafts = vec![draft(fits), draft(fits + 1), draft(0), draft(0), draft(0)];
        drafts[2].event = Arc::new(Event { client_only: true, ..(*draft(0).event).clone() });
        drafts[3].client = "c".repeat(AUTHOR_BYTES + 1).into();
        drafts[4].ids = Some(WireIds { ordinal: u64::MAX, commit: 1, last: true });
        let refused = refusals(&drafts);
        assert_eq!(refused.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1, 2, 3, 4]);
        for ((_, why), part) in refused.iter().zip(["890001 bytes", "client-only", "500 bytes", "2^63"]) {
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn the_largest_event_fits_a_page() {
        let fits = EVENT_BYTES - draft(0).event.encoded_bytes();
        let Draft { event, ids, .. } = draft(fits);
        let author: Arc<str> = "\u{1}".repeat(AUTHOR_BYTES).into();
        let event = PulledEvent { seq: 1, parent: 0, client: author.clone(), session: author, ids, event };
        assert!(page_bytes(&event) <= PAGE_BYTES);
    }
}
