//! A file system for SQLite that remembers what was written, and fails on request.
//!
//! It is a shim over SQLite's own: files are real, locks and shared memory are those of the system. Below a folder that a [`Disk`] looks
//! after it notes every change in order, so that afterwards any moment can be turned into the files that a crash at that moment would
//! have left ([`History::power_loss`], [`History::kill`]); and it makes calls fail as a disk does that is broken or full ([`Fault`]).
//! Nothing is really synced there: a sync only says what a loss of power would have spared.
//!
//! It becomes the default of the process, so that stores and backends open their files through it without knowing. What is below no such
//! folder is passed through as it is.
//!
//! What it does not model: files are made and removed by the store itself too, beside SQLite; a file that was made is there after a
//! crash, empty if nothing of it was synced.
//!
//! Crates that make a file system out of a trait would have to bring locks and shared memory of their own, which are then what is
//! tried; so this is the one place with `unsafe`.

mod disk;
mod fault;
mod file;
mod folder;
mod history;
mod image;
mod shim;

pub use disk::Disk;
pub use fault::{Call, Fault, Lasting, Trouble};
pub use folder::folder;
pub use history::{Change, History, Step};
pub use image::{FileImage, Image, Tear};
