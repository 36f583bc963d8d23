//! Bugs to be put back into storage, one at a time, so that the harness shows that it catches them. Nothing of this is in a normal
//! build: without the feature `mutants` every question is answered with no.

/// A bug that can be put back into storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "it is public where it is of use"))]
pub enum StorageMutant {
    /// A rebase does not undo what was done to one of the tables.
    SkipUndoOfOneTable,
    /// The heads are advanced in a transaction of their own, after the events.
    HeadInSecondTransaction,
    /// SQLite is told not to sync.
    SynchronousOff,
}

#[cfg(feature = "mutants")]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::StorageMutant;

    /// One more than the bug's place; 0 for none.
    static PUT_BACK: AtomicU8 = AtomicU8::new(0);

    impl StorageMutant {
        /// Every bug that can be put back.
        pub const ALL: [Self; 3] = [Self::SkipUndoOfOneTable, Self::HeadInSecondTransaction, Self::SynchronousOff];

        /// Puts a bug back into every store of this process, or takes it out again.
        pub fn put_back(mutant: Option<Self>) {
            PUT_BACK.store(mutant.map_or(0, |mutant| mutant as u8 + 1), Ordering::SeqCst);
        }

        pub(crate) fn is_in(self) -> bool {
            PUT_BACK.load(Ordering::SeqCst) == self as u8 + 1
        }
    }
}

#[cfg(not(feature = "mutants"))]
impl StorageMutant {
    pub(crate) fn is_in(self) -> bool {
        false
    }
}
