//! What happened to the files of a folder, in order, and what a crash at any moment of it leaves.

use std::sync::Arc;

use super::image::{FileImage, Image, Tear};

/// What was done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was made, empty.
    Create,
    /// Bytes were written.
    Write {
        /// Where.
        at: u64,
        /// Which.
        bytes: Arc<[u8]>,
    },
    /// It was cut or extended to this length.
    Truncate(u64),
    /// What was done to it before has reached the medium.
    Sync,
    /// Its folder has been synced too, as after the first sync of a journal: what was made and deleted there has reached the medium.
    SyncFolder,
    /// It was deleted.
    Delete {
        /// Whether the folder was synced at once.
        synced: bool,
    },
}

/// One change.
#[derive(Clone, Debug)]
pub struct Step {
    /// The file.
    pub file: Arc<str>,
    /// The change.
    pub change: Change,
}

/// What happened since the beginning. A crash at step `n` comes before it: the steps before have been carried out.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// What was there.
    pub base: Image,
    /// What happened.
    pub steps: Vec<Step>,
}

impl History {
    /// What is on the medium after a loss of power at this step.
    #[must_use]
    pub fn power_loss(&self, at: usize, tear: Tear) -> Image {
        let mut image = self.kill(at);
        if let (Tear::Torn(..), Some(step)) = (tear, self.steps.get(at)) {
            image.file(&step.file).take_under_way(&step.change);
        }
        image.torn(tear)
    }

    /// What there is after the death of the process at this step: everything is seen, and what was on its way to the medium still is.
    #[must_use]
    pub fn kill(&self, at: usize) -> Image {
        let mut image = self.base.clone();
        for step in &self.steps[..at.min(self.steps.len())] {
            match step.change {
                Change::SyncFolder => image.files.values_mut().for_each(FileImage::settle_existence),
                _ => image.file(&step.file).take(&step.change),
            }
        }
        image
    }

    /// The step in a few words.
    #[must_use]
    pub fn describe(&self, at: usize) -> String {
        let Some(Step { file, change }) = self.steps.get(at) else { return "the end".to_owned() };
        match change {
            Change::Create => format!("create {file}"),
            Change::Write { at, bytes } => format!("write {} bytes at {at} of {file}", bytes.len()),
            Change::Truncate(length) => format!("truncate {file} to {length}"),
            Change::Sync => format!("sync {file}"),
            Change::SyncFolder => format!("sync the folder of {file}"),
            Change::Delete { synced } => format!("delete {file}{}", if *synced { ", sync the folder" } else { "" }),
        }
    }
}
