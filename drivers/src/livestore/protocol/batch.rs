//! How batches are cut.

use std::ops::Range;

/// Events in one message, in either direction.
pub(crate) const MESSAGE_EVENTS: usize = 100;
/// Bytes of JSON in one message, in either direction.
pub(crate) const MESSAGE_BYTES: usize = 900_000;

/// Cuts a batch into messages of at most [`MESSAGE_EVENTS`] events and [`MESSAGE_BYTES`] bytes: `around` for what is around the
/// events, and the events' own `sizes`. An event that is too large by itself gets a message of its own.
pub(crate) fn split(around: usize, sizes: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut messages: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0_usize;
    for (i, size) in sizes.into_iter().enumerate() {
        // A comma before each event but the first.
        let more = size.saturating_add(1);
        match messages.last_mut() {
            Some(last) if last.len() < MESSAGE_EVENTS && bytes.saturating_add(more) <= MESSAGE_BYTES => {
                last.end = i + 1;
                bytes = bytes.saturating_add(more);
            }
            _ => {
                messages.push(i..i + 1);
                bytes = around.saturating_add(size);
            }
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: L7
    #[test]
    fn a_message_is_full_at_a_hundred_events_or_900_000_bytes() {
        assert_eq!(split(50, [10; 250]), [0..100, 100..200, 200..250]);
        let exact = (MESSAGE_BYTES - 50 - 1) / 2;
        assert_eq!(split(51, [exact, exact - 1, 1]), [0..2, 2..3]);
        assert_eq!(split(0, [2_000_000, 1, 1, 2_000_000]), [0..1, 1..3, 3..4]);
        assert!(split(50, []).is_empty());
    }
}
