//! Opening: locks, schemas, settings.

use std::sync::{Arc, Mutex};

use countersign::backend::EmbeddedBackend;
use countersign::{Durability, OpenError, Progress, Reader, Settled, Store};
use tests::driver::Start as _;
use tests::todos::{LONG, assert_sound, builder, journal, local, note, opener, settled, synced, todo};

const STORE: &str = "TESTS_LOCKED_STORE";

/// Not a test by itself: the other process of the next one.
#[test]
fn holds_a_store_until_its_input_ends() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = local(path.as_ref());
    settled(&store.commit(todo(1)).unwrap().leader_sync).unwrap();
    let mut line = String::new();
    std::fs::write(std::path::Path::new(&path).with_extension("ready"), "").unwrap();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[test]
fn a_store_that_another_process_has_open_is_refused_by_its_pid() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::holds_a_store_until_its_input_ends"])
        .env(STORE, &path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tests::todos::until("the other process has it", || path.with_extension("ready").exists());
    let error = opener(&path).start().unwrap_err();
    assert_eq!(error, OpenError::Locked { path: path.clone(), holder: Some(child.id()) });
    assert!(error.to_string().contains(&child.id().to_string()), "{error}");
    assert_eq!(Reader::open(&path).unwrap().status().unwrap().entries, 1, "reading works beside it");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_eq!(tests::todos::todos(&local(&path)), 1);
}

#[test]
fn a_second_handle_of_this_process_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = local(&path);
    assert!(matches!(opener(&path).start(), Err(OpenError::Locked { holder: Some(pid), .. }) if pid == std::process::id()));
    drop(store);
    drop(local(&path));
}

/// Verifies: S2 (two writers of one file would damage it, whatever they call it)
#[cfg(unix)]
#[test]
fn a_store_under_another_name_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (link, folder) = (dir.path().join("link.db"), dir.path().join("folder"));
    let store = local(&path);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
    for name in [link.clone(), folder.join("a.db"), folder.join("link.db")] {
        let Err(OpenError::Locked { holder, .. }) = opener(&name).start() else { panic!("{}", name.display()) };
        assert_eq!(holder, Some(std::process::id()));
        assert!(Reader::open(&name).unwrap().writer().is_some(), "{}", name.display());
    }
    settled(&store.commit(note("by the one name")).unwrap().leader_sync).unwrap();
    drop(store);
    let store = local(&link);
    assert!(matches!(opener(&path).start(), Err(OpenError::Locked { .. })));
    settled(&store.commit(note("by the other")).unwrap().leader_sync).unwrap();
    drop(store);
    assert_eq!(journal(&local(&path)), ["by the one name", "by the other"]);

    let hard = dir.path().join("hard.db");
    std::fs::hard_link(&path, &hard).unwrap();
    for name in [&path, &hard] {
        let error = opener(name).start().unwrap_err();
        assert_eq!(error, OpenError::ManyNames { path: name.clone(), names: 2 });
        assert!(error.to_string().contains("Remove the other names"), "{error}");
    }
    std::fs::remove_file(&hard).unwrap();
    assert_eq!(journal(&local(&path)).len(), 2);
    assert_sound(&path);
}

#[test]
fn who_only_wants_to_read_is_not_told_to_make_it_writable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    drop(local(&path));
    // As where SQLite may make no file beside the store, also for those who may do anything.
    let beside = dir.path().join("a.db-wal");
    let _ = std::fs::remove_file(&beside);
    std::fs::create_dir(&beside).unwrap();
    let error = Reader::open(&path).unwrap_err();
    assert!(matches!(&error, OpenError::NotReadable { .. }) && error.to_string().contains("copy the store"), "{error}");
    assert!(matches!(opener(&path).start(), Err(OpenError::NotWritable { .. })));
    std::fs::remove_dir(&beside).unwrap();
    assert_eq!(Reader::open(&path).unwrap().status().unwrap().entries, 0);
}

#[test]
fn no_schema_is_a_typed_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = Store::open(dir.path().join("a.db")).start().unwrap_err();
    assert!(matches!(&error, OpenError::NoSchema { .. }) && error.to_string().contains("schema"), "{error}");
    assert!(!dir.path().join("a.db").exists());
}

/// Verifies: S1
#[test]
fn another_schema_builds_the_state_anew_with_progress() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let backend = EmbeddedBackend::open(dir.path().join("b.db")).unwrap();
    let store = synced(&path, &backend);
    settled(&store.commit((0..300).map(note).collect::<Vec<_>>()).unwrap().backend_sync).unwrap();
    backend.switch().off();
    let pending = store.commit(note("pending")).unwrap();
    assert!(store.close(LONG).persisted);

    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let new =
        builder(2).state_sql("CREATE TABLE lengths (length INTEGER PRIMARY KEY, lines INTEGER NOT NULL) STRICT").build().unwrap();
    let into = Arc::clone(&told);
    let store = opener(&path)
        .schema(new.clone())
        .backend(backend.clone())
        .progress(move |progress| into.lock().unwrap().push(progress))
        .start()
        .unwrap();
    let told = told.lock().unwrap().clone();
    assert!(told.iter().map(|at| at.done).is_sorted() && told.iter().all(|at| at.total == 301), "{told:?}");
    assert_eq!(told.last().map(|at| at.done), Some(301));
    assert_eq!(journal(&store).len(), 301);
    assert_eq!(store.query(|db| db.query_row("SELECT count(*) FROM lengths", [], |row| row.get::<_, i64>(0))).unwrap(), 0);
    backend.switch().on();
    let again = store.receipt(pending.id()).unwrap().unwrap();
    assert_eq!(settled(&again.backend_sync).unwrap().position().unwrap().global, 301);
    drop(store);
    assert_eq!(Reader::open(&path).unwrap().check(&new).unwrap(), Vec::<String>::new());
}

/// Verifies: R3
#[test]
fn a_store_that_need_only_survive_the_process_works_alike() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = opener(&path).durability(Durability::Process).start().unwrap();
    for n in 0..10 {
        assert_eq!(settled(&store.commit(note(n)).unwrap().leader_sync), Ok(Settled::Persisted));
    }
    drop(store);
    assert_eq!(journal(&local(&path)).len(), 10);
    assert_sound(&path);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    std::fs::write(&path, "a letter to a friend, which is longer than a header of a database would be").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(opener(&path).start(), Err(OpenError::NotAStore { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
