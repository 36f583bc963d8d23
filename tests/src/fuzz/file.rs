//! A store's file that was damaged: it is refused with an error, or opened and closed again; nothing panics.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use countersign::Reader;

use crate::todos::{LONG, filter, local, note, opener, schema, todo};
use crate::world::Choices;

/// A store's file with a little of everything in it.
fn good() -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let path = folder.path().join("good.db");
        let store = local(&path);
        for i in 0..8 {
            store.commit((todo(i), note(i), filter("all"))).expect("the store takes it");
        }
        assert!(store.close(LONG).persisted);
        fs::read(&path).expect("the file is there")
    })
}

pub(super) fn store_file(bytes: &[u8]) {
    let mut choices = Choices::given(bytes.to_vec());
    let mut file = good().to_vec();
    for _ in 0..=choices.below(4) {
        let at = choices.index(file.len());
        match choices.below(4) {
            0 => file.truncate(at),
            1 => {
                let end = (at + choices.below(600) as usize).min(file.len());
                file[at..end].fill(choices.below(256) as u8);
            }
            2 => {
                let from = choices.index(file.len());
                let len = (choices.below(4_096) as usize).min(file.len() - at.max(from));
                file.copy_within(from..from + len, at);
            }
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << choices.below(8);
                }
            }
        }
        if file.is_empty() {
            break;
        }
    }
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let path = folder.path().join("damaged.db");
    fs::write(&path, &file).expect("there is room for a file");
    if let Ok(mut reader) = Reader::open(&path) {
        let _ = reader.check(&schema());
    }
    match opener(&path).blocking() {
        Ok(store) => drop(store.close(Duration::from_secs(2))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
