//! A receipt is awaited on any executor and waited for on any thread, whichever driver it comes from; and the tasks of a store end with
//! it.

use std::thread;
use std::time::Instant;

use async_executor::Executor;
use countersign::Settled;
use futures_lite::future::{block_on, yield_now};
use tests::driver::Driver;
use tests::todos::{LONG, note, opener};

use super::place::{Network, Place, backend};

/// Verifies: R1, R2
#[test]
fn receipts_of_any_driver_are_awaited_anywhere() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for driver in Driver::ALL {
        let place = Place::new(driver, Network::Ws);
        let client = place.client("anna");
        let receipt = client.store.commit(note("a")).unwrap();
        let on_tokio = {
            let receipt = receipt.clone();
            tokio.spawn(async move { (receipt.leader_sync.await, receipt.backend_sync.await) })
        };
        let on_smol = {
            let receipt = receipt.clone();
            thread::spawn(move || {
                let executor = Executor::new();
                block_on(executor.run(async { ((&receipt.leader_sync).await, (&receipt.backend_sync).await) }))
            })
        };
        let on_thread = {
            let receipt = receipt.clone();
            thread::spawn(move || (receipt.leader_sync.wait(), receipt.backend_sync.wait()))
        };
        let outcomes = [tokio.block_on(on_tokio).unwrap(), on_smol.join().unwrap(), on_thread.join().unwrap()];
        for (leader, backend) in outcomes {
            assert_eq!(leader, Ok(Settled::Persisted), "{driver:?}");
            assert_eq!(backend.unwrap().position().map(|at| at.global), Some(1), "{driver:?}");
        }
    }
}

/// Verifies: R7, V5 (nothing of a store is left on the executor, whether its pull waits, its dial, or nothing)
#[test]
fn the_tasks_of_a_store_end_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = countersign::server::Server::new(dir.path().join("logs")).no_auth().start().unwrap();
    // Accepts, and never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = "127.0.0.1:9".parse().unwrap();
    for (round, addr) in [server.addr(), mute.local_addr().unwrap(), nobody].into_iter().enumerate() {
        for network in Network::REAL {
            for in_order in [true, false] {
                let executor = Executor::new();
                let path = dir.path().join(format!("{round}-{network:?}-{in_order}.db"));
                let store = opener(&path).backend(backend(network, addr)).smol(&executor).unwrap();
                let receipt = store.commit(note("a")).unwrap();
                block_on(executor.run(async {
                    (&receipt.leader_sync).await.unwrap();
                    if round == 0 {
                        (&receipt.backend_sync).await.unwrap();
                    }
                }));
                if in_order {
                    assert!(store.close(LONG).persisted);
                } else {
                    drop(store);
                }
                let began = Instant::now();
                block_on(executor.run(async {
                    while !executor.is_empty() {
                        assert!(began.elapsed() < LONG, "tasks are left");
                        yield_now().await;
                    }
                }));
            }
        }
    }
}
