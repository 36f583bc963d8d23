//! How stages settle: for every row of the settlement table a transcript, and its essence asserted.

mod acknowledged;
mod borders;
mod failures;
mod guards;
mod held;
mod identity;
mod limits;
mod offline;
mod poison;
mod pulls;
mod receipts;
mod refusals;
mod sessions;
mod standing;
mod storage;
mod waiting;
