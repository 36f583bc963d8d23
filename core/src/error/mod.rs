//! Failures that a receipt, or a commit, can end in. Each says what is certain, and where the events are.

mod backend;
mod certainty;
mod commit;
mod differs;
mod quarantined;
mod storage;
mod sync;

pub use backend::BackendFailure;
pub use certainty::{Certainty, Class, Whereabouts};
pub use commit::{CommitError, Limit};
pub use differs::BackendDiffers;
pub(crate) use differs::LOST_HISTORY;
pub use quarantined::Quarantined;
pub use storage::{Poison, StorageClass, StorageFailure};
pub use sync::{InvalidPush, SyncError};
