//! The conditions of [`crate::Node::check`].

/// What has to hold here, and how that is said if it does not: ends the `check` around it.
macro_rules! ensure {
    ($holds:expr, $what:literal) => {
        if !$holds {
            return Err($what);
        }
    };
}
pub(crate) use ensure;
