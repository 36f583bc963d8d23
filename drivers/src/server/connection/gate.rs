//! How many connections there are, in all and from each address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::limits::Limits;
use super::super::metrics::Metrics;

/// Counts connections.
#[derive(Clone, Default)]
pub(in crate::server) struct Gate(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// Why there is no place for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("this server has as many connections as it may have; try again later")]
    InAll,
    #[error("your address has as many connections to this server as it may have; close some, or try again later")]
    FromAddress,
}

impl Gate {
    /// A place for a connection from this address.
    pub(super) fn enter(&self, address: IpAddr, limits: &Limits, metrics: &Arc<Metrics>) -> Result<Place, Full> {
        let address = address.to_canonical();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= limits.connections {
            return Err(Full::InAll);
        }
        if counts.by_address.get(&address).is_some_and(|count| *count >= limits.connections_per_address) {
            return Err(Full::FromAddress);
        }
        counts.all += 1;
        *counts.by_address.entry(address).or_default() += 1;
        metrics.connections.up();
        Ok(Place { gate: self.clone(), address, metrics: metrics.clone() })
    }
}

/// Given back when it is dropped.
pub(super) struct Place {
    gate: Gate,
    address: IpAddr,
    metrics: Arc<Metrics>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
        self.metrics.connections.down();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_and_an_address_is_forgotten() {
        let (gate, metrics) = (Gate::default(), Arc::default());
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let enter = |address: &str| gate.enter(address.parse().unwrap(), &limits, &metrics);
        let first = enter("10.0.0.1").ok().unwrap();
        let _second = enter("::ffff:10.0.0.1").ok().unwrap();
        assert_eq!(enter("10.0.0.1").err(), Some(Full::FromAddress));
        let third = enter("10.0.0.2").ok().unwrap();
        assert_eq!(enter("10.0.0.3").err(), Some(Full::InAll));
        drop((first, third));
        assert_eq!(gate.0.lock().unwrap().by_address.len(), 1);
        assert_eq!(metrics.connections.get(), 1);
        assert!(enter("10.0.0.1").is_ok());
    }
}
