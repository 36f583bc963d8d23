//! What is refused: each says what, where and what to do, and the store goes on.

use super::support::{Folder, TODO, objects, settings};

#[test]
fn what_is_refused_is_said_in_full() {
    let folder = Folder::new();
    for (name, from, to) in [
        ("syntax.toml", "version = 1", "version = one"),
        ("key.toml", "client_only", "clientonly"),
        ("sql.toml", "INSERT INTO todos (id, text)", "INSERT INTO todoes (id, text)"),
        ("undo.toml", "id TEXT PRIMARY KEY, text", "id INTEGER PRIMARY KEY AUTOINCREMENT, text"),
        ("random.toml", "VALUES (:id, :text)", "VALUES (random(), :text)"),
    ] {
        assert!(TODO.contains(from));
        std::fs::write(folder.path(name), TODO.replacen(from, to, 1)).unwrap();
    }
    std::fs::write(folder.path("text.txt"), "no database, and long enough to be looked at as one").unwrap();
    let transcript = folder.transcript(&[
        "init s.db --schema none.toml",
        "init s.db --schema syntax.toml",
        "init s.db --schema key.toml",
        "init s.db --schema sql.toml",
        "init s.db --schema undo.toml",
        "init s.db --schema random.toml",
        "init s.db --schema todo.toml --backend ftp://example.org",
        "init s.db --schema todo.toml --backend ws://127.0.0.1:1?payload=sesame",
        "init s.db --schema todo.toml --backend ws://me:sesame@127.0.0.1:1",
        "init s.db --schema todo.toml --backend ws://127.0.0.1:1 --token sesame",
        "init s.db --schema todo.toml --backend ws://127.0.0.1:1 --token-env se-same",
        "init s.db --schema todo.toml --backend embedded:b.db --token-env TOKEN",
        "init s.db --schema todo.toml --token-file token",
        "init s.db --schema todo.toml --backend embedded:",
        "init s.db --schema todo.toml --backend embedded:./s.db",
        "init s.db --schema todo.toml --backend embedded:text.txt",
        "init s.db --schema todo.toml --backend embedded:nowhere/b.db",
        "init s.db --schema todo.toml --store-id 'a b'",
        "init nowhere/s.db --schema todo.toml",
        "status s.db",
        "status .",
        "status text.txt",
        "commit text.txt --event v1.TodoDone",
        "init s.db --schema todo.toml",
        "init s.db --schema todo.toml",
        "commit s.db",
        "commit s.db --event v1.TodoDone --stdin",
        "commit s.db --event v1.TodoDun",
        "commit s.db --event v1.TodoDone --args '{'",
        r#"commit s.db --event v1.TodoDone --args '{"id":9007199254740993}'"#,
        r#"commit s.db --event v1.TodoDone --args '{"id":1,"id":2}'"#,
        r#"commit s.db --event v1.TodoCreated --args '{"id":"1"}'"#,
        "commit s.db --event v1.TodoDone --timeout soon",
        "query s.db 'DELETE FROM todos'",
        "query s.db 'SELECT missing FROM todos'",
        "query s.db 'SELECT 1; SELECT 2'",
        "log s.db --since 5",
        "receipt s.db 1",
        "sync s.db --until synced --for 1s",
        "schema s.db --schema syntax.toml",
        "commit s.db --event v1.TodoCreated --args 7 --json",
        "commit s.db --json",
        "status none.db --json",
    ]);
    settings().bind(|| insta::assert_snapshot!("refused", transcript));
}

#[test]
fn a_store_goes_on_after_bad_input() {
    let folder = Folder::local();
    let large = format!("{{\"id\":\"{}\"}}", "x".repeat(900_000));
    let refused =
        folder.run_with(&["commit", "s.db", "--stdin", "--json"], &format!("{{\"name\":\"v1.TodoDone\",\"args\":{large}}}\n"));
    let error = refused.error();
    assert_eq!((refused.status, &error["code"], &error["line"]), (2, &"too_large".into(), &1.into()));
    assert!(error["message"].as_str().unwrap().contains("the limit is 890000: split it"), "{error}");

    assert_eq!(folder.run(&["commit", "s.db", "--event", "v1.TodoCreated", "--args", "{}"]).status, 2);
    folder.ok(&["commit", "s.db", "--event", "v1.TodoCreated", "--args", r#"{"id":"1","text":"x"}"#]);
    let log = objects(&folder.ok(&["log", "s.db", "--json"]));
    assert_eq!((log.len(), &log[0]["seq"]), (1, &"e1".into()));
}

#[test]
fn nothing_is_left_behind_by_a_refused_init() {
    let folder = Folder::new();
    std::fs::write(folder.path("broken.toml"), "version = 1").unwrap();
    assert_eq!(folder.run(&["init", "s.db", "--schema", "broken.toml", "--backend", "embedded:b.db"]).status, 2);
    let left: Vec<_> = std::fs::read_dir(folder.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
