//! Which invariants have a test that names them.
//!
//! The list is `invariants.txt` beside this package's manifest. A test names what it verifies in a comment line of its own,
//! ids first: a comment that begins with the word, a colon and `R3, L1`; what follows the last id is for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The directories whose Rust files are looked through, in the workspace.
const SOURCES: [&str; 4] = ["core", "drivers", "tests", "fuzz"];
const WORD: &str = "Verifies:";

/// What keeps the invariants from being compared with their tests.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the list is not an id and what it stands for, or the id has been used before.
    #[error("{}, line {line}: expected an id that is not listed yet, such as R1, and a sentence", path.display())]
    List {
        /// The list.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
    },
}

/// The invariants, and where tests name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invariants {
    /// The listed ids that no test names, each with what it stands for.
    pub untested: Vec<(String, String)>,
    /// What tests name and the list does not have, each with file and line.
    pub unknown: Vec<(String, String)>,
}

impl Invariants {
    /// Compares the list of this package with the sources of the workspace around it.
    ///
    /// # Errors
    ///
    /// If the list or a source can't be read, or the list has another form.
    pub fn of_this_workspace() -> Result<Self, Error> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = package.parent().unwrap_or(package);
        Self::compare(&package.join("invariants.txt"), workspace)
    }

    fn compare(list: &Path, workspace: &Path) -> Result<Self, Error> {
        let mut untested = read_list(list)?;
        let listed: BTreeSet<String> = untested.iter().map(|(id, _)| id.clone()).collect();
        let mut named = BTreeMap::new();
        for directory in SOURCES.map(|name| workspace.join(name)) {
            // `fuzz` is built apart, and need not be there.
            if directory.is_dir() {
                look_through(&directory, &mut named)?;
            }
        }
        untested.retain(|(id, _)| !named.contains_key(id));
        let unknown = named.into_iter().filter(|(id, _)| !listed.contains(id)).collect();
        Ok(Self { untested, unknown })
    }
}

fn read_list(path: &Path) -> Result<Vec<(String, String)>, Error> {
    let mut list: Vec<(String, String)> = Vec::new();
    for (i, line) in read(path)?.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(' ') {
            Some((id, meaning)) if is_id(id) && !meaning.is_empty() && list.iter().all(|(other, _)| other != id) => {
                list.push((id.to_owned(), meaning.to_owned()));
            }
            _ => return Err(Error::List { path: path.to_owned(), line: i + 1 }),
        }
    }
    Ok(list)
}

/// Adds each id that the Rust files in here name, with the first place that does.
fn look_through(directory: &Path, named: &mut BTreeMap<String, String>) -> Result<(), Error> {
    let unreadable = |source| Error::Read { path: directory.to_owned(), source };
    let entries: Vec<_> = fs::read_dir(directory).and_then(Iterator::collect).map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                look_through(&path, named)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            for (i, line) in read(&path)?.lines().enumerate() {
                for id in ids(line) {
                    named.entry(id.to_owned()).or_insert_with(|| format!("{}:{}", path.display(), i + 1));
                }
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })
}

/// The ids that a line of Rust says are verified, if it is a comment that says so.
fn ids(line: &str) -> Vec<&str> {
    let Some(comment) = line.trim_start().strip_prefix("//") else { return Vec::new() };
    let Some(said) = comment.trim_start_matches(['/', '!']).trim_start().strip_prefix(WORD) else { return Vec::new() };
    let mut ids = Vec::new();
    for part in said.split(',') {
        let word = part.split_whitespace().next().unwrap_or_default();
        let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
        if !is_id(word) {
            break;
        }
        ids.push(word);
        // Words after an id begin what is for people, commas included.
        if part.split_whitespace().nth(1).is_some() {
            break;
        }
    }
    ids
}

/// A capital letter and a number.
fn is_id(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_ascii_uppercase())
        && chars.as_str().parse::<u32>().is_ok_and(|number| number.to_string() == chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_first_in_a_comment_of_their_own() {
        assert_eq!(ids("    // Verifies: R3, L1"), ["R3", "L1"]);
        assert_eq!(ids("/// Verifies: L4 (never twice, S1 apart)"), ["L4"]);
        assert_eq!(ids("//! Verifies: D1, D4."), ["D1", "D4"]);
        assert_eq!(ids("// Verifies: D1, D4, and nothing else, R1"), ["D1", "D4"]);
        for other in ["let x = 1; // Verifies: R1", "// It Verifies: R1", "\"// Verifies: R1\"", "// Verifies: r1, R01, R"] {
            assert!(ids(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn what_no_test_names_and_what_no_list_has_is_told() {
        let workspace = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = workspace.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let list = write("list", "# Letters\n\nA1 the first\nA2 the second\nB1 the third\n");
        write("core/src/deep/a.rs", "\n// Verifies: A1, Z9\n");
        write("tests/notes.txt", "// Verifies: A2\n");
        write("tests/target/a.rs", "// Verifies: A2\n");
        write("elsewhere/a.rs", "// Verifies: A2\n");
        write("fuzz/b.rs", "fn f() {} // Verifies: A2\n    /// Verifies: B1 (at last)\n");
        let found = Invariants::compare(&list, workspace.path()).unwrap();
        assert_eq!(found.untested, [("A2".to_owned(), "the second".to_owned())]);
        let place = format!("{}:2", workspace.path().join("core/src/deep/a.rs").display());
        assert_eq!(found.unknown, [("Z9".to_owned(), place)]);

        for bad in ["A1 one\nA1 again\n", "A1 one\nA2\n", "A1 one\nsomething else\n"] {
            let list = write("bad", bad);
            assert!(matches!(Invariants::compare(&list, workspace.path()), Err(Error::List { line: 2, .. })), "{bad}");
        }
        assert!(matches!(Invariants::compare(Path::new("none"), workspace.path()), Err(Error::Read { .. })));
    }

    #[test]
    fn the_list_of_this_package_is_complete() {
        let list = read_list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("invariants.txt")).unwrap();
        let ids: Vec<String> = list.into_iter().map(|(id, _)| id).collect();
        let all = [('R', 8), ('L', 8), ('S', 5), ('V', 6), ('D', 4)];
        let all: Vec<String> = all.iter().flat_map(|(c, n)| (1..=*n).map(move |i| format!("{c}{i}"))).collect();
        assert_eq!(ids, all);
    }
}
