//! Races between those who wait for a turn and those who take one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Turns;
use crate::races::check;
use crate::sync::{Mutex, lock, thread};

/// A machine of which only the turns are counted, told under its lock, as the driver does.
#[derive(Default)]
struct Counted {
    taken: Mutex<u32>,
    turns: Turns,
}

impl Counted {
    fn turn(&self) {
        let mut taken = lock(&self.taken);
        *taken += 1;
        self.turns.tell();
    }

    fn wait_for(&self, number: u32, deadline: Option<Instant>) -> Option<u32> {
        self.turns.wait(deadline, || {
            let taken = *lock(&self.taken);
            (taken >= number).then_some(taken)
        })
    }
}

// Verifies: V1
#[test]
fn no_turn_between_a_look_and_a_wait_is_missed() {
    check(|| {
        let machine = Arc::new(Counted::default());
        let wait = |number: u32, deadline: Option<Instant>| {
            let machine = Arc::clone(&machine);
            thread::spawn(move || machine.wait_for(number, deadline))
        };
        let waits = [wait(1, None), wait(4, Instant::now().checked_add(Duration::from_secs(600))), wait(3, None)];
        let takes = [2, 2].map(|turns| {
            let machine = Arc::clone(&machine);
            thread::spawn(move || (0..turns).for_each(|_| machine.turn()))
        });
        for (wait, number) in waits.into_iter().zip([1, 4, 3]) {
            assert!(wait.join().unwrap().is_some_and(|taken| taken >= number));
        }
        takes.into_iter().for_each(|takes| takes.join().unwrap());
        assert_eq!(machine.wait_for(5, Some(Instant::now())), None, "the time is over");
        assert_eq!(machine.wait_for(4, None), Some(4), "nothing to wait for");
    });
}
