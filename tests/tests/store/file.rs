//! What happens to a store's file behind its back.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use countersign::backend::EmbeddedBackend;
use countersign::core::StorageClass;
use countersign::{CloseReport, CommitReceipt, OpenError, Reader, Settled, Store};
use tests::todos::{LONG, assert_sound, backend_args, journal, local, note, opener, reopened, settled, synced, until};

/// A process of its own does it: this binary, started again.
const OTHER: &str = "TESTS_FILE_OF_ANOTHER_PROCESS";

fn in_another_process(test: &str, path: &Path) -> Command {
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", test, "--nocapture"]).env(OTHER, path);
    other
}

/// Stores something, does this to the file, and stores more. Answers the store's last words, and what was not promised.
fn behind_its_back(path: &Path, happens: impl Fn()) -> (CloseReport, CommitReceipt) {
    let store = local(path);
    settled(&store.commit(note("before")).unwrap().leader_sync).unwrap();
    happens();
    let receipt = store.commit(note("after")).unwrap();
    until("it is noticed", || store.status().storage.is_some_and(|failure| failure.class == StorageClass::Corrupt));
    assert_eq!(receipt.leader_sync.peek(), None, "nobody would find it");
    let said = store.commit(note("too late")).unwrap_err().to_string();
    assert!(said.contains("moved, deleted or replaced") && said.contains("put the file back"), "{said}");
    (store.close(Duration::ZERO), receipt)
}

/// Verifies: R3, L4
#[cfg(unix)]
#[test]
fn a_store_whose_file_is_deleted_or_replaced_promises_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    for how in ["deleted", "moved", "replaced"] {
        let (path, other) = (dir.path().join(format!("{how}.db")), dir.path().join(format!("{how} other.db")));
        drop(local(&other));
        let (report, receipt) = behind_its_back(&path, || {
            match how {
                "deleted" => std::fs::remove_file(&path),
                "moved" => std::fs::rename(&path, other.with_extension("moved")),
                _ => std::fs::rename(&other, &path),
            }
            .unwrap();
        });
        assert!(!report.persisted, "{how}");
        let handed_back: Vec<_> = report.unpersisted.iter().chain(&report.uncertain).collect();
        let [(id, events)] = &handed_back[..] else { panic!("{how}: {handed_back:?}") };
        assert_eq!((*id, events.events.len()), (receipt.id(), 1), "{how}");
        if how == "moved" {
            // Put back, it goes on where it was.
            std::fs::rename(other.with_extension("moved"), &path).unwrap();
            let store = reopened(&path);
            assert_eq!(journal(&store), ["before"]);
            drop(store);
            assert_sound(&path);
        }
    }
}

/// Verifies: R4, L4, L6, S1 (what was pushed comes back from the backend, once)
#[test]
fn a_store_that_is_an_older_copy_of_itself_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let (path, copy) = (dir.path().join("a.db"), dir.path().join("copy.db"));
    let backend = EmbeddedBackend::open(dir.path().join("backend.db")).unwrap();
    let commit = |store: &Store, text: &str| {
        let receipt = store.commit(note(text)).unwrap();
        settled(&receipt.backend_sync).unwrap();
        receipt.id()
    };
    let store = synced(&path, &backend);
    let old = commit(&store, "old");
    assert!(store.close(LONG).persisted);
    std::fs::copy(&path, &copy).unwrap();

    let store = synced(&path, &backend);
    for n in 0..3 {
        commit(&store, &format!("newer {n}"));
    }
    assert!(store.close(LONG).persisted);
    std::fs::rename(&copy, &path).unwrap();

    let store = synced(&path, &backend);
    commit(&store, "after");
    let lines = ["old", "newer 0", "newer 1", "newer 2", "after"];
    until("the session has it", || journal(&store) == lines);
    let receipt = store.receipt(old).unwrap().unwrap();
    assert_eq!(settled(&receipt.backend_sync).unwrap().position().unwrap().global, 1);
    assert!(store.close(LONG).persisted);
    assert_eq!(backend_args(&backend), lines.map(|line| format!(r#"{{"text":"{line}"}}"#)));
    assert_sound(&path);
}

/// Verifies: R5 (an older copy put over the open file is not written to, and nothing is promised meanwhile)
#[test]
fn a_store_whose_file_becomes_an_older_copy_while_it_is_open_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = local(&path);
    settled(&store.commit(note("before")).unwrap().leader_sync).unwrap();
    let tool = rusqlite::Connection::open(&path).unwrap();
    tool.execute("UPDATE countersign_heads SET number = number - 1", []).unwrap();
    let receipt = store.commit(note("after")).unwrap();
    until("it is noticed", || store.status().storage.is_some_and(|failure| failure.message.contains("replaced by a copy")));
    assert_eq!(receipt.leader_sync.peek(), None);
    tool.execute("UPDATE countersign_heads SET number = number + 1", []).unwrap();
    assert_eq!(settled(&receipt.leader_sync), Ok(Settled::Persisted), "it goes on when it is the file again");
}

/// Not a test by itself: somebody who may not write the file.
#[cfg(unix)]
#[test]
fn opens_what_it_may_not_write() {
    let Some(path) = std::env::var_os(OTHER) else { return };
    let path = Path::new(&path);
    match opener(path).blocking() {
        Err(OpenError::NotWritable { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
    assert_eq!(Reader::open(path).unwrap().status().unwrap().entries, 1, "reading works");
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_written_is_named_and_can_be_read() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = local(&path);
    settled(&store.commit(note("written")).unwrap().leader_sync).unwrap();
    assert!(store.close(LONG).persisted);
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(&path, 0o444);
    set(&dir.path().join("a.db.lock"), 0o666);
    set(dir.path(), 0o777);
    let program = dir.path().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    set(&program, 0o755);
    let is_privileged = std::fs::OpenOptions::new().append(true).open(&path).is_ok();
    let mut other = Command::new(program);
    other.args(["--exact", "file::opens_what_it_may_not_write"]).env(OTHER, &path).current_dir("/");
    if is_privileged {
        // Rights mean nothing to root: nobody tries it.
        other.uid(65_534).gid(65_534);
    }
    let said = other.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
}

/// Not a test by itself: a tool that looks at the file and goes.
#[test]
fn looks_and_goes() {
    let Some(path) = std::env::var_os(OTHER) else { return };
    let tool = rusqlite::Connection::open(path).unwrap();
    tool.query_row("SELECT count(*) FROM countersign_eventlog", [], |row| row.get::<_, i64>(0)).unwrap();
}

/// Verifies: R3 (a tool that leaves last takes SQLite's log with it: the store's locks say that it isn't the last)
#[test]
fn a_tool_that_comes_and_goes_leaves_the_log_of_an_open_store_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    drop(local(&path));
    // Before the store: this process has a lock on the file already, and must not lose it.
    let reader = Reader::open(&path).unwrap();
    let store = local(&path);
    settled(&store.commit(note("1")).unwrap().leader_sync).unwrap();
    assert!(in_another_process("file::looks_and_goes", &path).status().unwrap().success());
    assert!(dir.path().join("a.db-wal").exists(), "it was moved into the database and deleted under a store that writes to it");
    let second = store.commit(note("2")).unwrap();
    settled(&second.leader_sync).unwrap();
    let mut beside = Reader::open(&path).unwrap();
    assert!(matches!(beside.find(second.id()).unwrap(), countersign::Found::InLog { .. }));
    drop((reader, store));
    assert_sound(&path);
}
