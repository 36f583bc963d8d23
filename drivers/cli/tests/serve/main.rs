//! `countersign serve` as a process: how it starts, how it ends, and what is left when it is killed.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // in helpers of tests

mod idle;
mod killing;
mod secrets;
mod starting;
mod support;
