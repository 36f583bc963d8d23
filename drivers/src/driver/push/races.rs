//! Races between the push lane as a task, and those who give it batches or close it.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use countersign_core::{BackendFailure, EffectId, Push};
use shuttle::future::block_on;

use super::{Job, run_task};
use crate::backend::{AsyncPushLane, LaneFuture};
use crate::races::{check, schema, shared};
use crate::sync::{Mutex, lock, thread};

/// A backend that takes a batch at once, but for those on the first event, of which it never says anything.
#[derive(Clone, Default)]
struct Mute(Arc<Mutex<Vec<u64>>>);

const MUTE: u64 = 1;

impl AsyncPushLane for Mute {
    fn push<'a>(&'a mut self, push: &'a Push) -> LaneFuture<'a, Result<(), BackendFailure>> {
        Box::pin(poll_fn(move |_| {
            if push.parent == MUTE {
                return Poll::Pending;
            }
            lock(&self.0).push(push.parent);
            Poll::Ready(Ok(()))
        }))
    }
}

// Verifies: V1
#[test]
fn a_task_whose_lane_is_closed_ends_whatever_it_pushes() {
    check(|| {
        let shared = shared(schema());
        let mute = Mute::default();
        let pushes = {
            let (shared, mute) = (Arc::clone(&shared), mute.clone());
            thread::spawn(move || block_on(run_task(shared, Box::new(mute))))
        };
        let orders = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for parent in [0, MUTE, 2] {
                    let push = Push { parent, backend: None, events: Vec::new() };
                    shared.push.put(Job { id: EffectId(parent), push });
                }
            })
        };
        let closes = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.push.close().into_iter().map(|job| job.push.parent).collect::<Vec<_>>())
        };
        orders.join().unwrap();
        pushes.join().unwrap();
        let (pushed, left) = (lock(&mute.0).clone(), closes.join().unwrap());
        assert!(pushed.is_empty() || pushed == [0_u64], "nothing overtakes what is under way: {pushed:?}");
        assert!(left.is_sorted() && !left.iter().any(|parent| pushed.contains(parent)), "{pushed:?}, then {left:?}");
        assert!(shared.push.close().is_empty());
    });
}
