//! Where files are put that only tests read.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

/// Where Linux keeps shared memory.
const MEMORY: &str = "/dev/shm";

/// Bytes that have to fit there: more than all tests at work need at once.
const ENOUGH: u64 = 1 << 30;

/// A folder for a [`super::Disk`], in memory where there is a large file system of that kind, which spares the machine's disk: what a loss
/// of power would leave is worked out, and nothing is really synced.
///
/// # Errors
///
/// If none can be made.
pub fn folder() -> io::Result<TempDir> {
    if is_large(&fs::read_to_string("/proc/mounts").unwrap_or_default())
        && let Ok(folder) = tempfile::tempdir_in(Path::new(MEMORY))
    {
        return Ok(folder);
    }
    tempfile::tempdir()
}

/// Whether these mounts have the shared memory as a file system of its own that was not made small, as it is in many containers.
fn is_large(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        let (Some(MEMORY), Some("tmpfs"), Some(options)) = (fields.next(), fields.next(), fields.next()) else { return false };
        let size = options.split(',').find_map(|option| option.strip_prefix("size="));
        size.is_none_or(|size| size.strip_suffix('k').and_then(|size| size.parse().ok()).is_some_and(|k: u64| k * 1024 >= ENOUGH))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_only_if_it_is_large() {
        assert!(is_large("proc /proc proc rw 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,nodev 0 0\n"));
        assert!(is_large("tmpfs /dev/shm tmpfs rw,size=24678912k,inode64 0 0\n"));
        assert!(!is_large("shm /dev/shm tmpfs rw,nosuid,size=65536k 0 0\n"));
        assert!(!is_large("/dev/vda / ext4 rw 0 0\n") && !is_large(""));
    }
}
