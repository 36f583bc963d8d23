//! Races between the pull lane, and those who ask for a pull, want it no longer, or close the lane.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use countersign_core::{BackendFailure, BackendId, EffectId, Page, Pull};
use shuttle::future::block_on;

use super::{run, run_task};
use crate::backend::{AsyncPullLane, Interrupter, LaneFuture, PullLane, interrupted};
use crate::driver::Shared;
use crate::races::{check, schema, shared};
use crate::sync::{Condvar, Mutex, lock, thread, wait_until};

/// A backend that has nothing after the first event until it is given something, and a page after any other.
#[derive(Clone, Default)]
struct Silent(Arc<(Mutex<Heard>, Condvar)>);

#[derive(Default)]
struct Heard {
    interrupted: bool,
    /// There is something after the first event.
    given: bool,
    /// The pulls that have ended, by what they asked for, and whether with a page.
    ended: Vec<(u64, bool)>,
    /// How often the one that waits was begun.
    begun: u32,
    /// How often the one that fails has failed.
    failed: u32,
}

const SILENT: u64 = 1;
const NEWS: u64 = 2;
const FAILS: u64 = 3;

fn page() -> Page {
    Page { events: Vec::new(), more: false, backend: BackendId::from("backend") }
}

fn pull(after: u64) -> Pull {
    Pull { after, fresh: false, backend: None }
}

impl PullLane for Silent {
    fn pull(&mut self, pull: &Pull) -> Result<Page, BackendFailure> {
        let (heard, news) = &*self.0;
        let mut heard = lock(heard);
        heard.begun += u32::from(pull.after == SILENT);
        // One that was there before ends the pull that it finds.
        let too_late = std::mem::take(&mut heard.interrupted);
        while pull.after == SILENT && !too_late && !heard.interrupted && !heard.given {
            heard = wait_until(news, heard, None);
        }
        // One that came meanwhile was meant for this one, however it ends.
        heard.interrupted = false;
        let has_page = !too_late && (pull.after != SILENT || heard.given);
        heard.ended.push((pull.after, has_page));
        news.notify_all();
        if !has_page {
            return Err(interrupted());
        }
        if pull.after == FAILS {
            heard.failed += 1;
            return Err(BackendFailure::Unreachable { message: "the line is dead".into(), maybe_applied: false });
        }
        Ok(page())
    }

    fn interrupter(&self) -> Interrupter {
        let silent = self.clone();
        Interrupter::new(move || {
            lock(&silent.0.0).interrupted = true;
            silent.0.1.notify_all();
        })
    }
}

impl AsyncPullLane for Silent {
    fn pull<'a>(&'a mut self, pull: &'a Pull) -> LaneFuture<'a, Result<Page, BackendFailure>> {
        Box::pin(poll_fn(move |_| {
            let mut heard = lock(&self.0.0);
            if pull.after == SILENT {
                heard.begun += 1;
                return Poll::Pending;
            }
            heard.ended.push((pull.after, true));
            self.0.1.notify_all();
            Poll::Ready(Ok(page()))
        }))
    }
}

fn start(shared: &Arc<Shared>, silent: &Silent, as_task: bool) -> thread::JoinHandle<()> {
    let (shared, silent) = (Arc::clone(shared), silent.clone());
    thread::spawn(move || match as_task {
        false => run(&shared, Box::new(silent)),
        true => block_on(run_task(shared, Box::new(silent))),
    })
}

/// As the machine does it: one pull, which it then gives up for another one. Only that one, and the end of the lane, come to it.
fn a_pull_given_up_makes_room(as_task: bool) {
    let shared = shared(schema());
    let silent = Silent::default();
    let pulls = start(&shared, &silent, as_task);
    let asks = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            shared.pull.put(EffectId(1), pull(SILENT));
            shared.pull.abandon(EffectId(1));
            shared.pull.put(EffectId(2), pull(NEWS));
        })
    };
    // The first one may end by itself too, just when it is interrupted.
    let gives = {
        let silent = silent.clone();
        thread::spawn(move || {
            lock(&silent.0.0).given = true;
            silent.0.1.notify_all();
        })
    };
    [asks, gives].into_iter().for_each(|thread| thread.join().unwrap());
    // Until the second one is answered.
    let mut heard = lock(&silent.0.0);
    while !heard.ended.contains(&(NEWS, true)) {
        heard = wait_until(&silent.0.1, heard, None);
    }
    drop(heard);
    shared.pull.close();
    pulls.join().unwrap();
    let heard = lock(&silent.0.0);
    assert_eq!(heard.ended.last(), Some(&(NEWS, true)), "an interruption that was meant for the first one: {:?}", heard.ended);
}

// Verifies: V1, D3
#[test]
fn a_pull_that_is_given_up_ends_and_the_next_one_is_spared() {
    check(|| a_pull_given_up_makes_room(false));
}

// Verifies: V1 (a dead line is told of at once: it is not asked again, though the one before was interrupted when it had just ended)
#[test]
fn a_failure_of_its_own_is_told_at_once() {
    check(|| {
        let shared = shared(schema());
        let silent = Silent::default();
        let pulls = start(&shared, &silent, false);
        shared.pull.put(EffectId(1), pull(SILENT));
        let gives = {
            let silent = silent.clone();
            thread::spawn(move || {
                lock(&silent.0.0).given = true;
                silent.0.1.notify_all();
            })
        };
        shared.pull.abandon(EffectId(1));
        shared.pull.put(EffectId(2), pull(FAILS));
        let mut heard = lock(&silent.0.0);
        while heard.failed == 0 {
            heard = wait_until(&silent.0.1, heard, None);
        }
        drop(heard);
        shared.pull.close();
        [gives, pulls].into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(lock(&silent.0.0).failed, 1);
    });
}

// Verifies: V1, D3
#[test]
fn a_pull_that_is_given_up_ends_and_the_next_one_is_carried_out_on_a_task() {
    check(|| a_pull_given_up_makes_room(true));
}

/// A pull that waits, whenever it began, does not hold up the end.
fn the_lane_ends(as_task: bool) {
    let shared = shared(schema());
    let silent = Silent::default();
    let pulls = start(&shared, &silent, as_task);
    let asks = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.pull.put(EffectId(1), pull(SILENT)))
    };
    let closes = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || shared.pull.close())
    };
    [asks, closes, pulls].into_iter().for_each(|thread| thread.join().unwrap());
    assert!(lock(&silent.0.0).begun <= 1 || as_task);
}

// Verifies: V1
#[test]
fn a_lane_that_is_closed_ends_whatever_it_pulls() {
    check(|| the_lane_ends(false));
}

// Verifies: V1
#[test]
fn a_task_whose_lane_is_closed_ends_whatever_it_pulls() {
    check(|| the_lane_ends(true));
}
