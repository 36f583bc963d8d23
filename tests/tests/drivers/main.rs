//! Both drivers, over the embedded backend and over the network: the same scenarios, the same transcript; and what goes wrong on a real
//! network.
#![allow(clippy::unwrap_used)]

mod awaiting;
mod credentials;
mod dead;
mod encrypted;
mod faults;
mod place;
mod same;
mod scenarios;
