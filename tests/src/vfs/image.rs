//! Files as they are at one moment: what has reached the medium, and what is still on its way.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::history::Change;

/// What a loss of power makes of the changes that no sync has covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// None of them happened.
    Dropped,
    /// All of them did.
    Kept,
    /// Of each write some sectors of this many bytes did, by this seed; the one under way included.
    Torn(u64, u64),
    /// Some of them did, by this seed: as if written in another order.
    Subset(u64),
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileImage {
    /// What is on the medium; nothing if there is no such file.
    durable: Option<Vec<u8>>,
    /// What was done since, in order.
    pending: Vec<Change>,
}

/// The files of a folder, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub(super) files: BTreeMap<Arc<str>, FileImage>,
}

impl Image {
    /// The files that are in the folder now, all of them synced. Without locks and shared memory, which don't outlive who uses them.
    ///
    /// # Errors
    ///
    /// If one can't be read.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.ends_with("-shm") && !name.ends_with(".lock") {
                files.insert(Arc::from(name), FileImage::synced(std::fs::read(entry.path())?));
            }
        }
        Ok(Self { files })
    }

    /// Writes the files into an empty folder, as whoever opens them sees them.
    ///
    /// # Errors
    ///
    /// If one can't be written.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        for (name, file) in &self.files {
            if let Some(bytes) = file.seen() {
                std::fs::write(folder.join(&**name), bytes)?;
            }
        }
        Ok(())
    }

    /// Whether there is such a file, with something in it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.files.get(name).and_then(FileImage::seen).is_some_and(|bytes| !bytes.is_empty())
    }

    /// A sum over all that whoever opens the files sees.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let mut sum = DefaultHasher::new();
        for (name, file) in &self.files {
            (name, file.seen()).hash(&mut sum);
        }
        sum.finish()
    }

    pub(super) fn file(&mut self, name: &Arc<str>) -> &mut FileImage {
        self.files.entry(Arc::clone(name)).or_default()
    }

    /// What a loss of power leaves.
    pub(super) fn torn(&self, tear: Tear) -> Self {
        let mut coin = Coin::of(tear);
        let files = self.files.iter().map(|(name, file)| (Arc::clone(name), file.torn(tear, &mut coin))).collect();
        Self { files }
    }
}

impl FileImage {
    fn synced(bytes: Vec<u8>) -> Self {
        Self { durable: Some(bytes), pending: Vec::new() }
    }

    pub(super) fn take(&mut self, change: &Change) {
        match change {
            Change::Sync => self.settle(),
            // The folder was synced with it.
            Change::Delete { synced: true } => *self = Self::default(),
            Change::Create if self.durable.is_none() && self.pending.is_empty() => self.durable = Some(Vec::new()),
            change => self.pending.push(change.clone()),
        }
    }

    /// What a call that is cut short may have done.
    pub(super) fn take_under_way(&mut self, change: &Change) {
        if matches!(change, Change::Write { .. }) {
            self.pending.push(change.clone());
        }
    }

    /// Its folder has been synced: if it was deleted it stays so.
    pub(super) fn settle_existence(&mut self) {
        if let Some(last) = self.pending.iter().rposition(|change| matches!(change, Change::Delete { .. })) {
            self.durable = None;
            self.pending.drain(..=last);
            if self.pending.first() == Some(&Change::Create) {
                self.durable = Some(Vec::new());
            }
        }
    }

    /// As whoever opens it sees it.
    pub(super) fn seen(&self) -> Option<Vec<u8>> {
        let mut file = self.clone();
        file.settle();
        file.durable
    }

    fn settle(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    fn torn(&self, tear: Tear, coin: &mut Coin) -> Self {
        let mut bytes = self.durable.clone();
        for change in &self.pending {
            match (tear, change) {
                (Tear::Dropped, _) => {}
                (Tear::Kept, change) => apply(&mut bytes, change),
                (Tear::Torn(sector, _), Change::Write { at, bytes: written }) => {
                    for part in sectors(*at, written, sector) {
                        if coin.falls() {
                            apply(&mut bytes, &part);
                        }
                    }
                }
                (Tear::Torn(..) | Tear::Subset(_), change) => {
                    if coin.falls() {
                        apply(&mut bytes, change);
                    }
                }
            }
        }
        Self { durable: bytes, pending: Vec::new() }
    }
}

/// The parts of a write that lie in different sectors.
fn sectors(at: u64, bytes: &[u8], sector: u64) -> impl Iterator<Item = Change> + '_ {
    let mut done = 0_usize;
    std::iter::from_fn(move || {
        let start = at + done as u64;
        let length = usize::try_from(sector - start % sector).unwrap_or(usize::MAX).min(bytes.len() - done);
        let part = Change::Write { at: start, bytes: bytes[done..done + length].into() };
        done += length;
        (length > 0).then_some(part)
    })
}

fn apply(bytes: &mut Option<Vec<u8>>, change: &Change) {
    match change {
        Change::Create => drop(bytes.get_or_insert_default()),
        Change::Delete { .. } => *bytes = None,
        Change::Sync | Change::SyncFolder => {}
        Change::Truncate(length) => {
            if let Some(bytes) = bytes {
                bytes.resize(index(*length), 0);
            }
        }
        Change::Write { at, bytes: written } => {
            let bytes = bytes.get_or_insert_default();
            let (from, to) = (index(*at), index(*at) + written.len());
            if bytes.len() == from {
                bytes.extend_from_slice(written);
                return;
            }
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            bytes[from..to].copy_from_slice(written);
        }
    }
}

/// The files here are a few megabytes at most.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Heads or tails, by a seed (SplitMix64).
struct Coin(u64);

impl Coin {
    fn of(tear: Tear) -> Self {
        match tear {
            Tear::Torn(_, seed) | Tear::Subset(seed) => Self(seed),
            Tear::Dropped | Tear::Kept => Self(0),
        }
    }

    fn falls(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) & 1 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(at: u64, bytes: &[u8]) -> Change {
        Change::Write { at, bytes: bytes.into() }
    }

    fn after(file: &FileImage, tear: Tear) -> Option<Vec<u8>> {
        file.torn(tear, &mut Coin::of(tear)).seen()
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_may_not() {
        let mut file = FileImage::default();
        file.take(&Change::Create);
        file.take(&write(0, b"abcd"));
        assert_eq!((file.seen().unwrap(), after(&file, Tear::Dropped).unwrap()), (b"abcd".to_vec(), Vec::new()));
        file.take(&Change::Sync);
        file.take(&write(2, b"XYZ"));
        file.take(&Change::Truncate(1));
        assert_eq!((after(&file, Tear::Dropped).unwrap(), after(&file, Tear::Kept).unwrap()), (b"abcd".to_vec(), b"a".to_vec()));
        let seen: std::collections::BTreeSet<_> = (0..64).filter_map(|seed| after(&file, Tear::Subset(seed))).collect();
        assert_eq!(seen.len(), 3, "both, neither, one (a truncation to one byte hides the write): {seen:?}");
    }

    #[test]
    fn a_write_is_torn_where_sectors_end_and_nowhere_else() {
        let mut file = FileImage::synced(vec![0; 12]);
        file.take(&write(3, &[1; 8]));
        for seed in 0..64 {
            let bytes = after(&file, Tear::Torn(4, seed)).unwrap();
            assert_eq!((&bytes[..3], bytes[11]), (&[0; 3][..], 0));
            assert!(bytes[4..8] == [0; 4] || bytes[4..8] == [1; 4], "{bytes:?}");
            assert!(bytes[8..11] == [0; 3] || bytes[8..11] == [1; 3], "{bytes:?}");
        }
    }

    #[test]
    fn a_deletion_is_undone_unless_its_folder_was_synced() {
        let mut file = FileImage::synced(vec![1]);
        file.take(&Change::Delete { synced: false });
        assert_eq!((file.seen(), after(&file, Tear::Dropped)), (None, Some(vec![1])));
        let mut other = file.clone();
        file.take(&Change::Delete { synced: true });
        assert_eq!(after(&file, Tear::Dropped), None);
        other.take(&Change::Create);
        other.take(&write(0, b"new"));
        other.settle_existence();
        assert_eq!((other.seen().unwrap(), after(&other, Tear::Dropped).unwrap()), (b"new".to_vec(), Vec::new()));
    }
}
