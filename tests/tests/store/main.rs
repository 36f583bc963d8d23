//! The store as its users have it: real files, real threads; all of it again on a smol executor.
#![allow(clippy::unwrap_used)]

mod closing;
mod committing;
mod file;
mod guards;
mod opening;
mod receipts;
mod sessions;
mod syncing;
mod trouble;
mod watching;

use std::process::Command;

use tests::driver::{Driver, VARIABLE};

/// Runs this program again, with the other driver.
#[test]
fn all_of_it_on_smol() {
    if Driver::of_this_run() == Driver::Smol {
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--test-threads", "2", "--skip", "all_of_it_on_smol"]).env(VARIABLE, "smol");
    let done = again.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && !said.contains(" 0 passed"), "{said}");
}
