//! Races between those who set a deadline, the clock, and whoever keeps it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use shuttle::future::block_on;

use super::{Next, Timer};
use crate::clock::Clock;
use crate::races::check;
use crate::sync::thread;
use crate::testing::TestClock;

/// As the driver keeps a deadline, by thread or as a task: whether it has passed, or the store is closed.
fn wait(timer: &Timer, as_task: bool) -> bool {
    if !as_task {
        return timer.wait();
    }
    block_on(poll_fn(|task| match timer.next(task.waker()) {
        Next::Due => Poll::Ready(true),
        Next::Closed => Poll::Ready(false),
        Next::Sleep(until) => {
            assert_eq!(until, None, "time passes only by being told to");
            Poll::Pending
        }
    }))
}

/// `sooner`: the first deadline takes the place of one that is far off.
fn every_deadline_is_kept(as_task: bool, sooner: bool) {
    const SECOND: Duration = Duration::from_secs(1);
    let clock = TestClock::new();
    let timer = Timer::new(Clock::from(clock.clone()));
    let start = clock.time();
    let keeps = {
        let timer = Arc::clone(&timer);
        thread::spawn(move || {
            let mut due = 0;
            while wait(&timer, as_task) {
                due += 1;
                if due == 1 {
                    // As the machine does when it is told: the next one.
                    timer.set(Some(start.after(2 * SECOND)));
                }
                if due == 2 {
                    timer.close();
                }
            }
            due
        })
    };
    let sets = {
        let timer = Arc::clone(&timer);
        thread::spawn(move || {
            if sooner {
                timer.set(Some(start.after(60 * SECOND)));
            }
            timer.set(Some(start.after(SECOND)));
        })
    };
    let passes = thread::spawn(move || (0..2).for_each(|_| clock.advance(SECOND)));
    assert_eq!(keeps.join().unwrap(), 2);
    sets.join().unwrap();
    passes.join().unwrap();
}

// Verifies: V1, V4
#[test]
fn a_thread_misses_no_deadline() {
    check(|| every_deadline_is_kept(false, false));
}

// Verifies: V1, V4
#[test]
fn a_thread_misses_no_deadline_that_comes_sooner() {
    check(|| every_deadline_is_kept(false, true));
}

// Verifies: V1, V4
#[test]
fn a_task_misses_no_deadline() {
    check(|| every_deadline_is_kept(true, false));
}

// Verifies: V1, V4
#[test]
fn a_task_misses_no_deadline_that_comes_sooner() {
    check(|| every_deadline_is_kept(true, true));
}
