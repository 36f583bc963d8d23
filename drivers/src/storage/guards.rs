//! Guards as they are stored: JSON text with a name and arguments.

use std::sync::Arc;

use countersign_core::Guard;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{Result, Trouble};

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    name: String,
    #[serde(borrow)]
    args: &'a RawValue,
}

/// The guard as text.
pub(super) fn encode(guard: &Guard) -> Result<String> {
    let args: &RawValue = serde_json::from_str(&guard.args).map_err(|error| Trouble::defect(error.to_string()))?;
    serde_json::to_string(&Stored { name: guard.name.to_string(), args }).map_err(|error| Trouble::defect(error.to_string()))
}

/// The guard in a column of this row.
pub(super) fn read(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<Arc<Guard>>> {
    let text: Option<String> = row.get(column)?;
    let decode = |text: String| {
        let Stored { name, args } =
            serde_json::from_str(&text).map_err(|error| Trouble::damaged(format!("a stored guard can't be read: {error}")))?;
        Ok(Arc::new(Guard { name: Arc::from(name), args: Arc::from(args.get()) }))
    };
    text.map(decode).transpose()
}
