//! Which states are the same: a hash of everything that can be told apart from inside.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use super::moves::{Progress, is_late};
use crate::world::{Sum, World};

/// The hash of a state.
pub(super) fn hash(world: &World, progress: &Progress) -> u128 {
    let mut canon = Canon { now: world.now.0, sum: Sum::default(), effects: BTreeMap::new() };
    for (c, client) in world.clients.iter().enumerate() {
        canon.effects.clear();
        // Effects get their names in this order, so what orders them best comes first.
        canon.add(&client.storage);
        canon.add(&(&client.push, &client.pull, &client.stream, client.storage_busy));
        for (id, local) in &client.sessions {
            canon.add(&(id, local));
        }
        canon.add(&client.node());
        canon.add(&(client.link, client.authorised, client.disk_full, client.closing));
        let disk = &client.disk;
        canon.add(&(disk.number.wrapping_sub(client.told), &disk.heads, &disk.log, &disk.state, &disk.quarantine, &disk.failed));
        canon.add(&(&disk.marks, disk.unsettled, disk.wiped));
        let of_client = world.queue.iter().filter(|(_, event)| event.client() == Some(c));
        for (place, event) in of_client {
            canon.add(event);
            if is_late(event) {
                canon.add(&place.0);
            }
        }
    }
    canon.add(&world.backend);
    canon.add(&world.model);
    canon.add(&(&progress.done, progress.left));
    canon.sum.wide()
}

/// Takes what the states say of themselves: without the names of orders, which are numbered anew as they are met, without the time of
/// day, since moments count from now, and without counters that nothing depends on, which say nothing.
struct Canon {
    now: u64,
    sum: Sum,
    effects: BTreeMap<i64, u64>,
}

impl Canon {
    fn add(&mut self, what: &impl Hash) {
        what.hash(self);
    }
}

impl Hasher for Canon {
    /// The name of an order, as `EffectId` writes it.
    fn write_i64(&mut self, id: i64) {
        let known = self.effects.len() as u64;
        let name = *self.effects.entry(id).or_insert(known);
        self.sum.write_u64(name);
    }

    /// A moment, as `Time` writes it.
    fn write_i128(&mut self, at: i128) {
        self.sum.write_u64((at as u64).wrapping_sub(self.now));
    }

    fn write(&mut self, bytes: &[u8]) {
        self.sum.write(bytes);
    }

    fn write_u8(&mut self, word: u8) {
        self.sum.write_u8(word);
    }

    fn write_u32(&mut self, word: u32) {
        self.sum.write_u32(word);
    }

    fn write_u64(&mut self, word: u64) {
        self.sum.write_u64(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.sum.write_usize(word);
    }

    fn write_isize(&mut self, word: isize) {
        self.sum.write_usize(word as usize);
    }

    fn finish(&self) -> u64 {
        self.sum.finish()
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::{EffectId, Time};

    use super::*;

    fn canon(now: u64) -> Canon {
        Canon { now, sum: Sum::default(), effects: BTreeMap::new() }
    }

    #[test]
    fn names_of_orders_and_the_time_of_day_make_no_difference_and_everything_else_does() {
        let sum = |now: u64, what: (u64, [EffectId; 3], Time)| {
            let mut canon = canon(now);
            canon.add(&what);
            canon.sum.wide()
        };
        let ids = |a, b, c| [EffectId(a), EffectId(b), EffectId(c)];
        let same = sum(100, (7, ids(1, 2, 1), Time(105)));
        assert_eq!(same, sum(900, (7, ids(8, 3, 8), Time(905))));
        assert_ne!(same, sum(100, (7, ids(1, 2, 3), Time(105))), "another order is meant");
        assert_ne!(same, sum(100, (7, ids(1, 2, 1), Time(106))), "later");
        assert_ne!(same, sum(100, (8, ids(1, 2, 1), Time(105))), "another number");
    }
}
