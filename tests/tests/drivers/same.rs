//! Every scenario reads the same, whatever the driver and the network.

use tests::driver::Driver;

use super::place::{Network, Place};
use super::scenarios;

/// Verifies: R1, R2, R4, R8, L4, S4 (conformance of the drivers)
#[test]
fn every_driver_tells_the_same_over_every_network() {
    for (name, scenario) in scenarios::ALL {
        let expected = scenario(&Place::new(Driver::Blocking, Network::Embedded));
        assert!(expected.iter().all(|line| !line.contains("failed") || line.contains("closed")), "{name}: {expected:#?}");
        for driver in Driver::ALL {
            for network in Network::ALL {
                let told = scenario(&Place::new(driver, network));
                assert_eq!(told, expected, "{name}, {driver:?}, {network:?}");
            }
        }
    }
}
