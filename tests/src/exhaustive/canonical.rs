//! Which states are the same: a hash of everything that can be told apart from inside.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write};

use super::moves::{Progress, is_late};
use crate::world::World;

/// The hash of a state.
pub(super) fn hash(world: &World, progress: &Progress) -> u128 {
    let mut writer = Writer { now: world.now.0, hash: Sum::default(), effects: BTreeMap::new(), last: Last::Other };
    for (c, client) in world.clients.iter().enumerate() {
        writer.effects.clear();
        // Effects get their names in this order, so what orders them best comes first.
        writer.add(&client.storage);
        writer.add(&(&client.push, &client.pull, &client.stream, client.storage_busy));
        for (id, local) in &client.sessions {
            writer.add(&(id, &local.lane, local.busy, local.dead, local.seeded, &local.prepared));
            writer.add(&local.db);
        }
        writer.add(&client.node());
        writer.add(&(client.link, client.authorised, client.disk_full, client.closing));
        let disk = &client.disk;
        writer.add(&(disk.number.wrapping_sub(client.told), &disk.heads, &disk.log, &disk.state, &disk.quarantine, &disk.failed));
        writer.add(&(&disk.marks, disk.unsettled, disk.wiped));
        let of_client = world.queue.iter().filter(|(_, event)| event.client() == Some(c));
        for (place, event) in of_client {
            writer.add(event);
            if is_late(event) {
                writer.add(&place.0);
            }
        }
    }
    writer.add(&world.backend);
    writer.add(&world.model);
    writer.add(&(&progress.done, progress.left));
    writer.hash.finish()
}

/// What was written last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Other,
    /// The name of the type, and then its parenthesis.
    Effect(bool),
    Time(bool),
    /// The name of a field that only counts, and then its colon.
    Counter(bool),
}

/// Takes what the states say of themselves, without the names of effects, without the time of day, and without counters that nothing
/// depends on.
struct Writer {
    now: u64,
    hash: Sum,
    effects: BTreeMap<u64, u64>,
    last: Last,
}

impl Writer {
    fn add(&mut self, what: &impl Debug) {
        // Nothing here can fail.
        let _ = write!(self, "{what:?};");
        self.last = Last::Other;
    }
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.last = match (self.last, text) {
            (_, "EffectId") => Last::Effect(false),
            (_, "Time") => Last::Time(false),
            (_, "next" | "stale_answers" | "leader_ahead" | "server_ahead" | "queued") => Last::Counter(false),
            (Last::Effect(false), "(") => Last::Effect(true),
            (Last::Time(false), "(") => Last::Time(true),
            (Last::Counter(false), ": ") => Last::Counter(true),
            (Last::Effect(true), number) => {
                let known = self.effects.len() as u64;
                let id = number.parse().unwrap_or(u64::MAX);
                let name = *self.effects.entry(id).or_insert(known);
                self.hash.number(name);
                Last::Other
            }
            (Last::Time(true), number) => {
                let at: u64 = number.parse().unwrap_or(0);
                self.hash.number(at.wrapping_sub(self.now));
                Last::Other
            }
            (Last::Counter(true), _) => Last::Other,
            _ => {
                self.hash.bytes(text.as_bytes());
                Last::Other
            }
        };
        Ok(())
    }
}

/// Two sums over the same words, each with its own multiplier.
struct Sum(u64, u64);

impl Default for Sum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325, 0x9e37_79b9_7f4a_7c15)
    }
}

impl Sum {
    fn number(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
        self.1 = (self.1.rotate_left(31) ^ word).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.number(u64::from_le_bytes(word));
        }
        self.number(bytes.len() as u64);
    }

    fn finish(&self) -> u128 {
        let mix = |mut word: u64| {
            word ^= word >> 32;
            word = word.wrapping_mul(0x9fb2_1c65_1e98_df25);
            word ^ (word >> 29)
        };
        u128::from(mix(self.0)) << 64 | u128::from(mix(self.1))
    }
}
