//! How much of the tail storage holds.

/// What storage holds of the tail, in counts that go on for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct View {
    /// Settled entries before this one are stored where they stand.
    pub(crate) settled: u64,
    /// Pending events before this one are stored where they stand.
    pub(crate) pending: u64,
    /// Whether there is more after those, which stands there no longer and has to be undone.
    pub(crate) beyond: bool,
    /// Pending events before this one are stored, if not where they stand: they may be pushed.
    pub(crate) durable: u64,
    /// The stored cursor.
    pub(crate) upstream: u64,
    /// The parent of the event at the stored cursor.
    pub(crate) upstream_parent: u64,
    /// The last place that an own event is known to have at the backend.
    pub(crate) acknowledged: u64,
    /// Where the backend's log ended when the store began with it.
    pub(crate) own_after: u64,
}
