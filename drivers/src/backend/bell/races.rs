//! Races between those who ring and those who wait for news, as the lanes of an embedded backend do.

use std::sync::Arc;
use std::time::Duration;

use super::Bell;
use crate::backend::Switch;
use crate::races::check;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::thread;

const LONG: Duration = Duration::from_secs(600);

// Verifies: V1
#[test]
fn no_news_between_a_look_and_a_wait_is_missed() {
    check(|| {
        let (bell, news) = (Arc::new(Bell::default()), Arc::new(AtomicU32::new(0)));
        let waits = [1, 2, 2].map(|wanted| {
            let (bell, news) = (Arc::clone(&bell), Arc::clone(&news));
            thread::spawn(move || {
                loop {
                    let heard = bell.rings();
                    if news.load(Ordering::SeqCst) >= wanted {
                        return;
                    }
                    assert!(bell.wait(heard, LONG), "the time is never over");
                }
            })
        });
        let rings = [(); 2].map(|()| {
            let (bell, news) = (Arc::clone(&bell), Arc::clone(&news));
            thread::spawn(move || {
                news.fetch_add(1, Ordering::SeqCst);
                bell.ring();
            })
        });
        waits.into_iter().chain(rings).for_each(|thread| thread.join().unwrap());
        assert_eq!((bell.rings(), bell.waiting()), (2, 0));
    });
}

// Verifies: V1
#[test]
fn a_request_that_waits_when_the_line_is_cut_ends() {
    check(|| {
        let bell = Arc::new(Bell::default());
        let switch = Switch::new(Arc::clone(&bell));
        let waits = [(); 2].map(|()| {
            let (bell, switch) = (Arc::clone(&bell), switch.clone());
            thread::spawn(move || {
                let Ok(call) = switch.call() else { return };
                loop {
                    let heard = bell.rings();
                    if call.is_cut() {
                        return;
                    }
                    assert!(bell.wait(heard, LONG), "the time is never over");
                }
            })
        });
        let flips = {
            let switch = switch.clone();
            thread::spawn(move || {
                switch.off();
                switch.on();
                switch.off();
            })
        };
        waits.into_iter().chain([flips]).for_each(|thread| thread.join().unwrap());
        assert!(!switch.is_on());
    });
}
