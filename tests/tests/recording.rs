//! A run of a real store, recorded while threads and lanes race, is played again into a fresh machine and says the same, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test stops at any failure")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::thread;

use countersign::backend::EmbeddedBackend;
use countersign::{Played, Recording, RecordingError, Store};
use countersign_core::{Input, Output, Resolution};
use tests::todos::{LONG, filter, note, opener, settled, todo};

/// What is written ends up here.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn read(&self) -> Recording {
        Recording::read(self.text().as_bytes()).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Threads commit in sessions of their own, to two stores of one backend that loses replies.
fn racing() -> (Sink, Sink) {
    let folder = tempfile::tempdir().unwrap();
    let backend = EmbeddedBackend::open(folder.path().join("backend.db")).unwrap();
    let (first, second) = (Sink::default(), Sink::default());
    let open = |name: &str, sink: &Sink| -> Store {
        opener(&folder.path().join(name)).backend(backend.clone()).record(sink.clone()).blocking().unwrap()
    };
    let stores = [open("a.db", &first), open("b.db", &second)];
    thread::scope(|scope| {
        for (s, store) in stores.iter().enumerate() {
            for t in 0..3 {
                scope.spawn(move || {
                    let session = store.session().unwrap();
                    for i in 0..20 {
                        let receipt = match i % 5 {
                            0 => session.commit(filter(&format!("{s}{t}{i}"))),
                            // Whoever comes second is refused, at once or by its leader.
                            1 => session.commit(todo(format!("{t}{i}"))),
                            _ => session.commit(note(format!("{s}{t}{i}"))),
                        };
                        if i % 7 == 0
                            && let Ok(receipt) = receipt
                        {
                            // Well or not: the next commit comes after it.
                            let _ = settled(&receipt.leader_sync);
                        }
                    }
                });
            }
        }
        backend.fail_next_pushes(2);
        backend.lose_next_replies(2);
    });
    for store in stores {
        assert!(store.close(LONG).persisted);
    }
    (first, second)
}

// Verifies: D1, D2 (a real driver against a machine alone)
#[test]
fn a_recorded_run_says_the_same_when_it_is_played_again() {
    let (first, second) = racing();
    for sink in [first, second] {
        let recording = sink.read();
        let (mut inputs, mut confirmed) = (0, 0);
        let replayed = recording.replay(|played| match played {
            Played::Input(..) => inputs += 1,
            Played::Output(Output::Resolve(Resolution::Confirmed { commits, .. })) => confirmed += commits.len(),
            Played::Output(_) => {}
        });
        let replayed = replayed.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((replayed.inputs, inputs), (inputs, recording.inputs().count() as u64));
        assert!(inputs > 100 && replayed.outputs > 100 && confirmed > 0, "{replayed:?}, {confirmed} confirmed");
        assert!(recording.inputs().any(|(_, input)| matches!(input, Input::Pulled { page, .. } if !page.events.is_empty())));
        assert!(recording.inputs().any(|(_, input)| *input == Input::Shutdown), "it is recorded to the end");
    }
}

#[test]
fn a_recording_that_is_not_that_run_is_told() {
    let (sink, _) = racing();
    let text = sink.text();
    let lines: Vec<&str> = text.lines().collect();
    let read = |lines: &[&str]| Recording::read(lines.join("\n").as_bytes());

    // An input is missing.
    let at = lines.iter().position(|line| line.contains("\"Pulled\"")).unwrap();
    let without = [&lines[..at], &lines[at + 1..]].concat();
    let error = read(&without).unwrap().replay(|_| ()).unwrap_err();
    assert!(matches!(error, RecordingError::Differs { line, .. } if line > at), "{error}");

    // The process was killed while it wrote a line.
    let cut = [&lines[..40], &[&lines[40][..5]]].concat();
    let error = read(&cut).unwrap_err();
    assert!(matches!(error, RecordingError::Line { line: 41, .. }), "{error}");
    let replayed = read(&lines[..40]).unwrap().replay(|_| ());
    assert!(replayed.is_ok(), "{replayed:?}");

    let newer = lines[0].replacen("\"countersign_recording\":1", "\"countersign_recording\":2", 1);
    assert!(matches!(read(&[&newer]), Err(RecordingError::Version { found: 2 })));
    assert!(matches!(read(&[]), Err(RecordingError::Empty)));
    assert!(matches!(read(&["{}"]), Err(RecordingError::Line { line: 1, .. })));
}

/// A sink that can't be written any more ends the recording, and not the store.
#[test]
fn a_store_goes_on_when_its_recording_can_not() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = opener(&folder.path().join("a.db")).record(Full(4_000)).blocking().unwrap();
    for i in 0..50 {
        assert!(settled(&store.commit(note(i)).unwrap().leader_sync).is_ok());
    }
    assert!(store.close(LONG).persisted);
    assert!(opener(&folder.path().join("b.db")).record(Full(10)).blocking().is_err(), "not even its beginning can be written");
}
