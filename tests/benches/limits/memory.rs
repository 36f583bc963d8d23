//! P10: what a pending event and a receipt hold in memory. Each measurement is a process of its own, whose memory is nobody else's.

use std::process::Command;
use std::time::Duration;

use countersign::{CommitReceipt, Settled};

use crate::machine::World;
use crate::server::resident;
use crate::stage::{store, todo};

/// Makes this program measure one thing, and print it in bytes an item: what, and how many.
pub(crate) const MEASURED: &str = "--memory-of";

pub(crate) fn report(smoke: bool) {
    let items = if smoke { 20_000 } else { 500_000 };
    let lines = [
        ("pending", "a pending event in the machine, beside its payload", 200.0),
        ("held", "a receipt held", 200.0),
        ("dropped", "a receipt dropped", 0.0),
    ];
    for (which, what, goal) in lines {
        let output = Command::new(std::env::current_exe().unwrap()).args([MEASURED, which, &items.to_string()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        let ratio = if goal > 0.0 { bytes / goal } else { f64::NAN };
        let goal = format!("{goal} B");
        crate::print("P10", &format!("memory of {what}"), &format!("{bytes:.0} B"), "-", ratio, &goal);
    }
}

/// Measures, in the process made for it.
pub(crate) fn measure(which: &str, items: usize) {
    let bytes = match which {
        "pending" => pending(items),
        "held" => receipts(items, true),
        _ => receipts(items, false),
    };
    println!("{bytes}");
}

/// All events share one payload, so that what is counted is beside it.
fn pending(items: usize) -> f64 {
    let before = World::new(1_000);
    let start = resident("self");
    let world = World::new(items);
    let grown = resident("self").saturating_sub(start);
    drop((before, world));
    grown as f64 / items as f64
}

/// Of a store that has been at work before, so that its caches are full.
fn receipts(items: usize, hold: bool) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("store.db"));
    let mut held: Vec<CommitReceipt> = Vec::with_capacity(items);
    let mut commit = |hold: bool| {
        let mut last = None;
        for n in 0..items {
            let receipt = store.commit(todo(n)).unwrap();
            if n + 1 == items {
                last = Some(receipt.leader_sync.clone());
            }
            if hold {
                held.push(receipt);
            }
            if n % 10_000 == 0 {
                let _ = store.barrier(countersign::Stage::Leader).wait_timeout(Duration::from_secs(60));
            }
        }
        assert_eq!(last.unwrap().wait(), Ok(Settled::Persisted));
    };
    commit(false);
    commit(false);
    let start = resident("self");
    commit(hold);
    let grown = resident("self") as f64 - start as f64;
    drop(held);
    let _ = store.close(Duration::from_secs(60));
    grown / items as f64
}
