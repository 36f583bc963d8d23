//! The embedded backend, as a store's lanes see it.

// Tests may unwrap and print, and what they share is part of them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod append;
mod faults;
mod processes;
mod pull;
mod support;
