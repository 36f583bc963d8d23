//! An event as it is sent, written down once for all who get it.

use std::sync::Arc;

use countersign_core::PulledEvent;

use crate::backend::log::{Note, Slice};
use crate::livestore::protocol::{Dialect, EncodeError, encode_event, encode_item, encode_void_event};

/// An event of the log, in JSON.
#[derive(Debug)]
pub(in crate::server) struct Item {
    pub(in crate::server) seq: u64,
    json: Box<str>,
    /// What LiveStore's older clients get of an event that has come without arguments: to them `null` is something else, and an
    /// event that comes back with it would not be theirs any more.
    void: Option<Box<str>>,
}

impl Item {
    /// All events of a slice, in order.
    pub(super) fn all(slice: &Slice) -> Result<Vec<Arc<Self>>, EncodeError> {
        slice.page.events.iter().zip(&slice.notes).map(|(event, note)| Self::of(event, note).map(Arc::new)).collect()
    }

    pub(in crate::server) fn text(&self, dialect: Dialect) -> &str {
        match (&self.void, dialect) {
            (Some(void), Dialect::Tree) => void,
            _ => &self.json,
        }
    }

    pub(in crate::server) fn bytes(&self) -> usize {
        self.json.len()
    }

    fn of(event: &PulledEvent, note: &Note) -> Result<Self, EncodeError> {
        let at = note.created_at.as_deref();
        let json = encode_item(&encode_event(event)?, at).into();
        let void = if note.void { Some(encode_item(&encode_void_event(event)?, at).into()) } else { None };
        Ok(Self { seq: event.seq, json, void })
    }
}

/// As many items from the front as fit a message, and at least one.
pub(super) fn fitting(items: &[Arc<Item>], max_items: usize, max_bytes: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |item: &&Arc<Item>| {
        bytes = bytes.saturating_add(item.bytes() + 1);
        bytes <= max_bytes
    };
    items.iter().take(max_items).take_while(fits).count().max(1).min(items.len())
}
