//! The two drivers, to run one test on each.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_executor::Executor;
use countersign::backend::EmbeddedBackend;
use countersign::{Opener, Store};
use futures_channel::oneshot;
use futures_lite::future;
use tempfile::TempDir;

/// A test on each driver: a module for each, with a test for each function.
macro_rules! on_both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod blocking {
            $(#[test] fn $name() { super::$name(&crate::drivers::Place::new(crate::drivers::Driver::Blocking)); })+
        }
        mod smol {
            $(#[test] fn $name() { super::$name(&crate::drivers::Place::new(crate::drivers::Driver::smol())); })+
        }
    };
}

/// What a store runs on.
pub(crate) enum Driver {
    Blocking,
    Smol(SmolThread),
}

impl Driver {
    pub(crate) fn smol() -> Self {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = oneshot::channel::<()>();
        let runs = Arc::clone(&executor);
        let thread = thread::spawn(move || {
            // Ends when the other end is dropped.
            let _ = future::block_on(runs.run(stopped));
        });
        Self::Smol(SmolThread { executor, stop: Some(stop), thread: Some(thread) })
    }
}

/// An executor on a thread of its own, until it is dropped.
pub(crate) struct SmolThread {
    executor: Arc<Executor<'static>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for SmolThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A folder with a backend in it, and a driver for the stores beside it.
pub(crate) struct Place {
    dir: TempDir,
    driver: Driver,
}

impl Place {
    pub(crate) fn new(driver: Driver) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), driver }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A handle on the one backend, with a switch and faults of its own.
    pub(crate) fn backend(&self) -> EmbeddedBackend {
        EmbeddedBackend::open(self.path("backend.db")).unwrap()
    }

    pub(crate) fn opener(&self, name: &str) -> Opener {
        tests::todos::opener(&self.path(name))
    }

    pub(crate) fn open(&self, opener: Opener) -> Store {
        match &self.driver {
            Driver::Blocking => opener.blocking(),
            Driver::Smol(smol) => opener.smol(&smol.executor),
        }
        .unwrap()
    }

    pub(crate) fn local(&self, name: &str) -> Store {
        self.open(self.opener(name))
    }

    pub(crate) fn synced(&self, name: &str, backend: &EmbeddedBackend) -> Store {
        self.open(self.opener(name).backend(backend.clone()))
    }
}
