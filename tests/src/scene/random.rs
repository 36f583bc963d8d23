//! Scenes that nobody wrote.

use countersign_core::{Batch, Event};

use super::{Deed, Scene};
use crate::world::Choices;
use crate::world::state::{self, CLIENT_ONLY, FORBIDDEN, GUARDS, SYNCED};

pub(super) fn draw(seed: u64) -> Scene {
    let c = &mut Choices::new(seed);
    let clients = c.between(1, 3) as usize;
    let mut online = vec![true; clients];
    let mut sessions = vec![1; clients];
    let (mut deeds, mut commits) = (Vec::new(), 0);
    for _ in 0..c.between(4, 16) {
        let who = c.index(clients);
        let deed = match c.below(14) {
            0 | 1 if online[who] => {
                online[who] = false;
                Deed::Offline(who)
            }
            0..=2 if !online[who] => {
                online[who] = true;
                Deed::Online(who)
            }
            3 => {
                sessions[who] = 1;
                Deed::Restart(who)
            }
            // A reply can only be lost of a push that is sent at once.
            4 if online[who] => Deed::ReplyLost(who, vec![state::event("v1.Append", c.below(3), c.below(9), false)].into()),
            5 if sessions[who] < 3 => {
                sessions[who] += 1;
                Deed::Open(who)
            }
            6 if commits > 0 => Deed::Withdraw(c.index(commits)),
            _ => Deed::Commit(who, c.index(sessions[who]), batch(c)),
        };
        commits += usize::from(matches!(deed, Deed::Commit(..) | Deed::ReplyLost(..)));
        deeds.push(deed);
    }
    Scene { clients, backend: !c.chance(60), deeds }
}

fn batch(c: &mut Choices) -> Batch {
    let count = [0, 1, 1, 1, 2, 3][c.index(6)];
    let events = (0..count).map(|_| event(c)).collect();
    let guard = c.chance(150).then(|| state::guard(GUARDS[c.index(2)], c.below(3)));
    Batch { events, guard }
}

fn event(c: &mut Choices) -> Event {
    let (key, value) = (c.below(3), c.below(9));
    if c.chance(200) {
        return state::event(CLIENT_ONLY[c.index(CLIENT_ONLY.len())], key, value, true);
    }
    let name = if c.chance(40) { FORBIDDEN } else { SYNCED[c.index(SYNCED.len())] };
    state::event(name, key, value, false)
}
