//! How many lines of the machine's code there are for each assertion in it.
//!
//! Counted is what is compiled into a program: no blank lines, comments, documentation and tests. An assertion is one of the standard
//! macros, or a condition of `Node::check`, which is written with a macro of its own so that it can be told.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// What is counted.
const SOURCES: &str = "core/src";
const ASSERTIONS: [&str; 7] =
    ["assert", "assert_eq", "assert_ne", "debug_assert", "debug_assert_eq", "debug_assert_ne", "ensure"];

/// What one file has, or several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Lines of code.
    pub lines: usize,
    /// Assertions in them.
    pub assertions: usize,
}

impl Count {
    /// Of the text of one file.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut count = Self::default();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).peekable();
        while let Some(line) = lines.next() {
            // Unit tests are the last thing in a file.
            if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod ")) {
                break;
            }
            count.lines += 1;
            count.assertions += macros(line).filter(|name| ASSERTIONS.contains(name)).count();
        }
        count
    }

    /// Whether there is an assertion for each so many lines, or fewer.
    #[must_use]
    pub fn is_within(self, lines: usize) -> bool {
        self.assertions * lines >= self.lines
    }

    /// Lines for one assertion; none if there is no assertion.
    #[must_use]
    pub fn density(self) -> Option<f64> {
        (self.assertions > 0).then(|| self.lines as f64 / self.assertions as f64)
    }
}

impl std::iter::Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |a, b| Self { lines: a.lines + b.lines, assertions: a.assertions + b.assertions })
    }
}

/// The files of the machine in this workspace, and what each has.
///
/// # Errors
///
/// If a file or directory can't be read.
pub fn of_core() -> io::Result<Vec<(PathBuf, Count)>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut counts = Vec::new();
    look_through(package.parent().unwrap_or(package), Path::new(SOURCES), &mut counts)?;
    Ok(counts)
}

fn look_through(workspace: &Path, directory: &Path, counts: &mut Vec<(PathBuf, Count)>) -> io::Result<()> {
    let entries: Vec<_> = fs::read_dir(workspace.join(directory)).and_then(Iterator::collect)?;
    let mut names: Vec<_> = entries.iter().map(fs::DirEntry::file_name).collect();
    names.sort();
    for name in names {
        let path = directory.join(&name);
        if workspace.join(&path).is_dir() {
            look_through(workspace, &path, counts)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(workspace.join(&path))?;
            counts.push((path, Count::of(&text)));
        }
    }
    Ok(())
}

/// The macros that a line of code calls with round brackets.
fn macros(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices("!(").map(move |(at, _)| {
        let before = &line[..at];
        before.rfind(|c| !is_name(c)).map_or(before, |end| &before[end + 1..])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_counted() {
        let text =
            "//! What it is.\n\nuse core::fmt;\n/// What it does.\nfn f(n: u64) {\n    // Why.\n    debug_assert!(n > 0);\n}\n";
        assert_eq!(Count::of(text), Count { lines: 4, assertions: 1 });
        let tested = format!("{text}\n#[cfg(test)]\nmod tests {{\n    assert_eq!(1, 1);\n}}\n");
        assert_eq!(Count::of(&tested), Count::of(text));
    }

    #[test]
    fn assertions_are_told_from_what_only_looks_like_them() {
        for line in ["debug_assert_eq!(a, b);", "if x { assert!(y) }", "ensure!(a, \"b\");"] {
            assert_eq!(Count::of(line).assertions, 1, "{line}");
        }
        for line in ["macro_rules! ensure {", "// assert!(a)", "my_assert!(a);", "matches!(a, b)", "(n != (1))"] {
            assert_eq!(Count::of(line).assertions, 0, "{line}");
        }
        assert_eq!(Count::of("assert!(a); assert!(b);").assertions, 2);
    }

    #[test]
    fn the_floor_is_met_at_the_last_line_that_it_allows() {
        let count = |lines| Count { lines, assertions: 2 };
        assert!(count(40).is_within(20) && !count(41).is_within(20));
        assert!(Count::default().is_within(20) && Count::default().density().is_none());
        assert_eq!(count(41).density(), Some(20.5));
    }

    #[test]
    fn every_file_of_the_machine_is_found() {
        let counts = of_core().unwrap();
        let has = |path: &str| counts.iter().any(|(found, count)| found == Path::new(path) && count.lines > 0);
        assert!(has("core/src/lib.rs") && has("core/src/leader/tail/check.rs"));
        assert!(!counts.iter().any(|(path, _)| path.ends_with("tests.rs")));
    }
}
