//! Opening: what is refused, and how it is said.

use std::fs;

use super::*;

fn refusal(path: &Path) -> OpenError {
    match Storage::open(path, options(true)) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn a_new_store_is_its_owners_alone_and_keeps_its_client() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(&folder);
    let open = || Storage::open(&path, Options { client: None, ..options(true) }).unwrap();
    let (storage, boot, _) = open();
    let client = boot.client;
    assert_eq!(client.len(), 10);
    #[cfg(unix)]
    for name in ["test.db", "test.db-wal", "test.db-shm", "test.db.lock"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(storage);
    let (_, boot, report) = open();
    assert_eq!(boot.client, client);
    assert!(!report.created && report.rebuilt.is_none());
}

#[test]
fn the_promise_of_durability_is_set_explicitly() {
    let folder = tempfile::tempdir().unwrap();
    for (durability, level) in [(Durability::Power, 2), (Durability::Process, 1)] {
        let (mut storage, ..) = Storage::open(&store_path(&folder), Options { durability, ..options(true) }).unwrap();
        let conn = &storage.file().unwrap().conn;
        let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("foreign_keys"), pragma("recursive_triggers")), (level, 1, 1));
        let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }
}

#[test]
fn a_second_writer_is_refused_by_name_and_a_reader_is_not() {
    let bench = Bench::new(true);
    assert_eq!(refusal(&bench.path()), OpenError::Locked { path: bench.path(), holder: Some(std::process::id()) });
    assert!(refusal(&bench.path()).to_string().contains(&format!("process {}", std::process::id())));
    assert_eq!(Reader::open(&bench.path()).unwrap().status().unwrap().entries, 0);
    let path = bench.path();
    let Bench { folder: _folder, storage, .. } = bench;
    drop(storage);
    assert!(Storage::open(&path, options(true)).is_ok());
}

/// Not a test by itself: the other process of the next one.
#[test]
fn other_process() {
    let Ok(path) = std::env::var("COUNTERSIGN_TEST_OTHER") else { return };
    let error = refusal(Path::new(&path));
    println!("refused: {error}");
}

#[test]
fn another_process_is_refused_with_the_holders_pid() {
    let bench = Bench::new(true);
    let other = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::tests::opening::other_process", "--nocapture"])
        .env("COUNTERSIGN_TEST_OTHER", bench.path())
        .output()
        .unwrap();
    let said = String::from_utf8(other.stdout).unwrap();
    assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
}

#[test]
fn a_newer_format_is_left_alone() {
    let bench = Bench::new(true);
    let path = bench.path();
    let Bench { folder: _folder, mut storage, .. } = bench;
    storage.file().unwrap().conn.pragma_update(None, "user_version", 99).unwrap();
    drop(storage);
    let before = fs::read(&path).unwrap();
    let expected = OpenError::NewerFormat { path: path.clone(), found: 99 };
    assert_eq!(refusal(&path), expected);
    assert_eq!(Reader::open(&path).unwrap_err(), expected);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage");
    fs::write(&garbage, "this is not a database, but long enough to be taken for one ".repeat(100)).unwrap();
    let other = folder.path().join("other");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE somebody (id)").unwrap();
    for path in [&garbage, &other, &folder.path().to_owned()] {
        let before = fs::read(path).ok();
        assert!(matches!(refusal(path), OpenError::NotAStore { .. }), "{}", refusal(path));
        assert!(matches!(Reader::open(path).unwrap_err(), OpenError::NotAStore { .. }));
        assert_eq!(fs::read(path).ok(), before);
    }
}

#[test]
fn a_truncated_store_is_named_as_damaged() {
    let mut bench = Bench::new(true);
    for id in 1..200 {
        bench.commit(&[event("v1.Added", id, &"long".repeat(100))]);
    }
    let path = bench.path();
    let Bench { folder: _folder, storage, .. } = bench;
    drop(storage);
    let length = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    assert!(matches!(refusal(&path), OpenError::Corrupt { .. }), "{}", refusal(&path));
    assert!(matches!(Reader::open(&path), Err(OpenError::Corrupt { .. })));
}

#[test]
fn a_path_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/test.db");
    let error = refusal(&missing);
    assert!(matches!(&error, OpenError::Storage { .. }) && error.to_string().contains("make it first"), "{error}");
    assert_eq!(Reader::open(&missing).unwrap_err(), OpenError::Missing { path: missing });
    #[cfg(target_os = "linux")]
    {
        // Nobody makes files there, whatever their rights.
        let error = refusal(Path::new("/sys/countersign.db"));
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_read_only_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let privileged = fs::write(folder.path().join("probe"), "").is_ok();
    let opened = Storage::open(&store_path(&folder), options(true)).map(drop);
    assert!(privileged == opened.is_ok() && (privileged || matches!(opened, Err(OpenError::NotWritable { .. }))), "{opened:?}");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn init_remembers_settings_and_refuses_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(&folder);
    let settings = [("schema", "version = 1"), ("backend", "embedded:x")];
    let client = Storage::init(&path, &settings, None).unwrap();
    assert_eq!(Storage::init(&path, &settings, None), Err(OpenError::Exists { path: path.clone() }));
    let status = Reader::open(&path).unwrap().status().unwrap();
    assert_eq!((status.client.clone(), status.schema_version, status.settings.len()), (client.clone(), None, 2));
    let (mut storage, boot, report) = Storage::open(&path, options(true)).unwrap();
    assert_eq!((boot.client, report), (client, OpenReport::default()));
    assert_eq!(storage.setting("backend").unwrap().as_deref(), Some("embedded:x"));
    storage.set_setting("backend", None).unwrap();
    storage.set_setting("store", Some("s1")).unwrap();
    drop(storage);
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!(reader.setting("backend").unwrap(), None);
    assert_eq!(reader.setting("store").unwrap().as_deref(), Some("s1"));
    assert_eq!(reader.status().unwrap().schema_version, Some(1));
}

/// What a failed opening has made, it takes away again.
#[test]
fn a_failed_opening_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_path(&folder);
    fault::arm(fault::Point::BeforeCommit);
    let opened = Storage::open(&path, options(true)).map(drop);
    assert!(matches!(opened, Err(OpenError::Storage { .. })), "{opened:?}");
    assert!(!path.exists() && !folder.path().join("test.db-wal").exists());
    assert!(Storage::open(&path, options(true)).is_ok());
}
