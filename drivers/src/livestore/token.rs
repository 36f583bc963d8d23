//! Where a token comes from.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::sync::{Mutex, lock};

/// No token is longer: what is, is another file.
const TOKEN_MAX: u64 = 64 << 10;

/// A token that can be replaced while stores use it: a clone is the same token.
///
/// `Debug` does not show it.
#[derive(Clone)]
pub struct Token(Arc<Mutex<String>>);

impl Token {
    /// This token, for now.
    pub fn new(token: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(token.into())))
    }

    /// From now on it is this one. A store that waits for other credentials finds it within seconds;
    /// [`Store::tell`](crate::Store::tell) with [`News::Authenticated`](crate::News::Authenticated) makes it look at once.
    pub fn replace(&self, token: impl Into<String>) {
        *lock(&self.0) = token.into();
    }

    pub(super) fn get(&self) -> String {
        lock(&self.0).clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token in a file.
///
/// # Errors
///
/// If there is none. Says where, never what.
pub(super) fn from_file(path: &Path) -> Result<String, String> {
    let wrong = |what: String| format!("the token file {}: {what}", path.display());
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > TOKEN_MAX {
        return Err(wrong(format!("it has {size} bytes, which is no token: name a file that holds the token and nothing else")));
    }
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8(text).map_err(|_| wrong("it is no text".to_owned()))?;
    trimmed(&text).map_err(wrong)
}

/// The token in a variable of the environment.
///
/// # Errors
///
/// If there is none. Says where, never what.
pub(super) fn from_env(variable: &str) -> Result<String, String> {
    let wrong = |what: String| format!("the environment variable {variable}: {what}");
    let text = std::env::var(variable).map_err(|error| match error {
        std::env::VarError::NotPresent => wrong("it is not set".to_owned()),
        std::env::VarError::NotUnicode(_) => wrong("it is no text".to_owned()),
    })?;
    trimmed(&text).map_err(wrong)
}

fn trimmed(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty: it has to hold the token".to_owned()),
        token if token.contains(char::is_control) => Err("it has more than one line: it has to hold the token alone".to_owned()),
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_a_file_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        assert!(from_file(&path).unwrap_err().contains("token: "));
        for (text, token) in [(" sesame 1\n", "sesame 1"), ("sesame-2", "sesame-2")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(from_file(&path).as_deref(), Ok(token));
        }
        for (text, why) in [(b"\n".to_vec(), "empty"), (b"sesame\nopen".to_vec(), "one line"), (vec![0xff; 9], "no text")] {
            std::fs::write(&path, text).unwrap();
            let error = from_file(&path).unwrap_err();
            assert!(error.contains(why) && !error.contains("sesame"), "{error}");
        }
        std::fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(from_file(&path).unwrap_err().contains("70000 bytes"));
    }

    #[test]
    fn a_token_is_read_from_the_environment() {
        // Set by cargo, for every test.
        assert_eq!(from_env("CARGO_PKG_NAME").as_deref(), Ok("countersign"));
        assert!(from_env("COUNTERSIGN_NO_SUCH_VARIABLE").unwrap_err().contains("COUNTERSIGN_NO_SUCH_VARIABLE: it is not set"));
    }

    #[test]
    fn a_token_that_is_replaced_is_replaced_for_all_who_use_it() {
        let token = Token::new("sesame");
        let same = token.clone();
        token.replace("other");
        assert_eq!((same.get().as_str(), format!("{same:?}").as_str()), ("other", "Token(…)"));
    }
}
