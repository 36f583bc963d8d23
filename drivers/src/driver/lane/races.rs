//! Races in a lane.

use std::sync::Arc;

use super::{Lane, Next};
use crate::races::check;
use crate::sync::thread;

/// What the lane had for whoever carries its orders out, by thread or as a task.
fn carry_out(lane: &Lane<(u8, u8)>, as_task: bool) -> Vec<(u8, u8)> {
    let mut done = Vec::new();
    loop {
        let next = match as_task {
            false => lane.take(None),
            true => shuttle::future::block_on(std::future::poll_fn(|task| lane.poll_take(task.waker()))),
        };
        match next {
            Next::Order(order) => done.push(order),
            Next::Late => panic!("there was no deadline"),
            Next::Closed => return done,
        }
    }
}

fn orders_are_carried_out_once(as_task: bool) {
    let lane = Arc::new(Lane::<(u8, u8)>::default());
    let carries_out = {
        let lane = Arc::clone(&lane);
        thread::spawn(move || carry_out(&lane, as_task))
    };
    let give = |from: u8| {
        let lane = Arc::clone(&lane);
        thread::spawn(move || (0..3).for_each(|number| lane.put((from, number))))
    };
    let giving = [give(0), give(1)];
    let closes = {
        let lane = Arc::clone(&lane);
        thread::spawn(move || lane.close_after(|(from, _)| *from == 0))
    };
    giving.into_iter().for_each(|giving| giving.join().unwrap());
    let dropped = closes.join().unwrap();
    let done = carries_out.join().unwrap();
    // In order, without a gap, and what is dropped stood behind what was carried out.
    for from in [0, 1] {
        let of = |orders: &mut dyn Iterator<Item = &(u8, u8)>| -> Vec<u8> {
            orders.filter(|order| order.0 == from).map(|order| order.1).collect()
        };
        let taken = of(&mut done.iter().chain(&dropped));
        assert_eq!(taken, (0..taken.len() as u8).collect::<Vec<_>>());
    }
    assert!(dropped.iter().all(|(from, _)| *from == 1), "those of the other one were wanted");
    assert!(lane.close().is_empty(), "what comes too late is dropped, not kept");
}

// Verifies: D3, V1
#[test]
fn orders_of_several_threads_are_carried_out_once_and_the_lane_ends() {
    check(|| orders_are_carried_out_once(false));
}

// Verifies: D3, V1
#[test]
fn a_task_carries_orders_out_once_and_ends() {
    check(|| orders_are_carried_out_once(true));
}
