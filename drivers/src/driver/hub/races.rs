//! Races between threads that hand the machine something, and those that carry out what it says.

use std::sync::Arc;

use countersign_core::{EffectId, Input, SessionId};
use shuttle::future::block_on;

use crate::driver::Job;
use crate::driver::lane::Next;
use crate::races::{check, schema, shared};
use crate::sync::thread;

fn session(number: u8) -> SessionId {
    SessionId([number; 16])
}

// Verifies: D3
#[test]
fn what_the_machine_says_to_several_threads_reaches_a_lane_in_order() {
    check(|| {
        let shared = shared(schema());
        let opens = [[1, 2], [3, 4]].map(|numbers| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for number in numbers {
                    shared.feed(Input::SessionOpened { session: session(number) });
                }
            })
        });
        let stores = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut last = None::<EffectId>;
                for _ in 0..4 {
                    let Next::Order(Job::Snapshot(id, _)) = shared.storage.take(None) else { panic!("another order") };
                    assert!(last < Some(id), "{id:?} after {last:?}");
                    last = Some(id);
                }
            })
        };
        opens.into_iter().chain([stores]).for_each(|thread| thread.join().unwrap());
    });
}

// Verifies: V1
#[test]
fn who_listens_before_looking_misses_no_turn() {
    check(|| {
        let shared = shared(schema());
        let waits = [1, 2].map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                loop {
                    let turn = shared.next_turn();
                    if shared.with_node(|node, ended| node.knows(session(number)) || ended) {
                        return;
                    }
                    block_on(turn).unwrap();
                }
            })
        });
        let opens = [1, 2].map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.feed(Input::SessionOpened { session: session(number) }))
        });
        waits.into_iter().chain(opens).for_each(|thread| thread.join().unwrap());
    });
}
