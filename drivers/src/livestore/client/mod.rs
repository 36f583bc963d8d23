//! The client's side of the protocol, without IO: bytes in, frames and answers out, deadlines as values. Whatever reads and
//! writes the sockets drives these, and no clock is looked at here.

mod failure;
mod pull;
mod pulse;
mod push;
#[cfg(test)]
mod tests;

pub(crate) use failure::{of_status, unreachable};
pub(crate) use pull::{Pace, PullClient};
pub(crate) use push::{PushCalls, read_first_pages, read_pages};
