//! Reads SQL only as far as to tell its bare words from what is quoted, and its ends.

/// The bare words of SQL text: neither in quotes nor in comments.
pub(super) fn words(sql: &str) -> impl Iterator<Item = &str> {
    Pieces { sql, at: 0 }.filter_map(|piece| match piece {
        Piece::Word(word) => Some(word),
        Piece::Other => None,
    })
}

/// Whether this keyword is among the bare words.
pub(super) fn has_word(sql: &str, keyword: &str) -> bool {
    words(sql).any(|word| word.eq_ignore_ascii_case(keyword))
}

/// Whether SQL text could end a transaction by a conflict clause (`OR ROLLBACK`): that would take every other commit of the
/// transaction with it, and passes the authorizer.
pub(super) fn may_roll_back(sql: &str) -> bool {
    const KEYWORD: &[u8] = b"ROLLBACK";
    // Nearly no text has the letters at all, and this is asked for every statement that a materialiser runs.
    sql.as_bytes().windows(KEYWORD.len()).any(|window| window.eq_ignore_ascii_case(KEYWORD)) && has_word(sql, "ROLLBACK")
}

/// Whether SQL text could keep a part of what a failed statement has done (`OR FAIL`).
pub(super) fn may_stop_halfway(sql: &str) -> bool {
    has_word(sql, "FAIL")
}

enum Piece<'a> {
    Word(&'a str),
    Other,
}

struct Pieces<'a> {
    sql: &'a str,
    at: usize,
}

impl Pieces<'_> {
    /// The place after the next occurrence of `end`, from `from` on; the end of the text if there is none.
    fn after(&self, from: usize, end: &str) -> usize {
        self.sql.get(from..).and_then(|rest| rest.find(end)).map_or(self.sql.len(), |n| from + n + end.len())
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = &self.sql[self.at..];
        let first = rest.chars().next()?;
        let start = self.at;
        self.at = match first {
            '\'' => self.after(start + 1, "'"),
            '"' => self.after(start + 1, "\""),
            '`' => self.after(start + 1, "`"),
            '[' => self.after(start + 1, "]"),
            '-' if rest.starts_with("--") => self.after(start, "\n"),
            '/' if rest.starts_with("/*") => self.after(start + 2, "*/"),
            _ if is_word(first) => {
                let end = rest.find(|char| !is_word(char)).map_or(self.sql.len(), |n| start + n);
                self.at = end;
                return Some(Piece::Word(&self.sql[start..end]));
            }
            _ => start + first.len_utf8(),
        };
        Some(Piece::Other)
    }
}

/// Parameters count as words with their sign, so that `:rollback` is not a keyword.
fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '_' | '$' | ':' | '@' | '#') || !char.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_told_from_names_and_text() {
        assert!(may_roll_back("INSERT OR/**/rollback INTO t VALUES (1)"));
        assert!(may_roll_back("CREATE TABLE t (a UNIQUE ON CONFLICT ROLLBACK)"));
        assert!(may_roll_back("SELECT 'it''s', \"a\"\"b\" -- x\n; Rollback"));
        for quiet in [
            "SELECT 'OR ROLLBACK'",
            "SELECT \"rollback\", [rollback], `rollback`",
            "SELECT 1 -- rollback",
            "SELECT 1 /* rollback",
            "SELECT :rollback, rollback_count",
            "SELECT 'it''s rollback'",
            "SELECT 'ä rollback",
            "",
        ] {
            assert!(!may_roll_back(quiet), "{quiet}");
        }
    }
}
