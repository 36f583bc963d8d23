//! The program as it is run: its output, its exit statuses, and what it does beside other processes.

#![allow(clippy::unwrap_used)] // in helpers of tests

mod bad_input;
mod beside;
mod commands;
mod failures;
mod guards;
mod network;
mod stdin;
mod support;
mod trouble;
