//! An open file as SQLite sees it: noted, or made to fail, and passed on.
#![allow(unsafe_code, reason = "SQLite's files are tables of C functions")]

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use countersign::rusqlite::ffi;

use super::disk::Disk;
use super::fault::Call;
use super::history::Change;

/// The shim's part of an open file; the real one follows it in memory.
#[repr(C)]
pub(super) struct ShimFile {
    /// First, since SQLite looks here.
    base: ffi::sqlite3_file,
    /// Nothing for a file that nobody looks after.
    tracked: *mut Tracked,
}

/// A file that somebody looks after.
pub(super) struct Tracked {
    pub(super) disk: Arc<Disk>,
    pub(super) name: Arc<str>,
    /// Whether its first sync is its folder's too, as it is where SQLite makes a journal.
    pub(super) syncs_folder: AtomicBool,
}

/// Without memory-mapped reads (version 3), so that every read is seen.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(map_shared),
    xShmLock: Some(lock_shared),
    xShmBarrier: Some(barrier),
    xShmUnmap: Some(unmap_shared),
    xFetch: None,
    xUnfetch: None,
};

/// The real file behind a shim's.
///
/// # Safety
///
/// `file` has room for both.
pub(super) unsafe fn inner(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: by contract in bounds; two pointers long, so what follows is aligned as SQLite aligns files: for a pointer.
    unsafe { file.cast::<ShimFile>().add(1).cast() }
}

/// From here on SQLite uses the file.
///
/// # Safety
///
/// The real file is open; `tracked` is null or comes from `Box::into_raw`, and is this file's alone.
pub(super) unsafe fn begin(file: *mut ffi::sqlite3_file, tracked: *mut Tracked) {
    let shim = file.cast::<ShimFile>();
    // SAFETY: by contract there is room for it.
    unsafe {
        ptr::addr_of_mut!((*shim).tracked).write(tracked);
        (*file).pMethods = &raw const METHODS;
    }
}

/// Who looks after the file.
///
/// # Safety
///
/// `file` was handed to SQLite by [`begin`] and is not closed; the answer is used no longer than that.
unsafe fn tracked<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a Tracked> {
    // SAFETY: by contract it points to a `ShimFile`, whose box lives until `close`.
    unsafe { (*file.cast::<ShimFile>()).tracked.as_ref() }
}

/// Calls a function of the real file.
macro_rules! pass {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let inner = inner($file);
        match (*(*inner).pMethods).$method {
            Some(method) => method(inner $(, $argument)*),
            None => ffi::SQLITE_ERROR,
        }
    }};
}

/// What a tracked file says to it first.
macro_rules! first {
    ($file:expr, $ask:expr) => {
        if let Some(file) = tracked($file)
            && let Err(code) = $ask(file)
        {
            return code;
        }
    };
}

// SAFETY (all below): SQLite calls them on files that `begin` has handed over and that are open, with pointers as its documentation
// of `sqlite3_io_methods` promises; they are passed on as they came.

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let shim = file.cast::<ShimFile>();
        let code = pass!(file, xClose);
        let tracked = std::mem::replace(&mut (*shim).tracked, ptr::null_mut());
        if !tracked.is_null() {
            // Made by `Box::into_raw`, and taken out a line above: nobody has it any more.
            Box::from_raw(tracked).disk.closed();
        }
        code
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, length: c_int, at: ffi::sqlite3_int64) -> c_int {
    unsafe {
        first!(file, |file: &Tracked| file.disk.ask(Call::Read));
        pass!(file, xRead, into, length, at)
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, length: c_int, at: ffi::sqlite3_int64) -> c_int {
    unsafe {
        first!(file, |file: &Tracked| {
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), usize::try_from(length).unwrap_or(0));
            let change = Change::Write { at: at.unsigned_abs(), bytes: bytes.into() };
            file.disk.change(Call::Write, &file.name, change)
        });
        pass!(file, xWrite, from, length, at)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    unsafe {
        first!(file, |file: &Tracked| file.disk.change(Call::Truncate, &file.name, Change::Truncate(length.unsigned_abs())));
        pass!(file, xTruncate, length)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        if let Some(file) = tracked(file) {
            // On paper only: the process that runs this is not the one whose power fails.
            if let Err(code) = file.disk.change(Call::Sync, &file.name, Change::Sync) {
                return code;
            }
            if file.syncs_folder.swap(false, Ordering::Relaxed) {
                return file.disk.change(Call::Sync, &file.name, Change::SyncFolder).err().unwrap_or(ffi::SQLITE_OK);
            }
            return ffi::SQLITE_OK;
        }
        pass!(file, xSync, flags)
    }
}

unsafe extern "C" fn size(file: *mut ffi::sqlite3_file, answer: *mut ffi::sqlite3_int64) -> c_int {
    unsafe {
        first!(file, |file: &Tracked| file.disk.ask(Call::Size));
        pass!(file, xFileSize, answer)
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe { pass!(file, xLock, level) }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    unsafe { pass!(file, xUnlock, level) }
}

unsafe extern "C" fn check_reserved(file: *mut ffi::sqlite3_file, answer: *mut c_int) -> c_int {
    unsafe { pass!(file, xCheckReservedLock, answer) }
}

unsafe extern "C" fn control(file: *mut ffi::sqlite3_file, what: c_int, argument: *mut c_void) -> c_int {
    unsafe { pass!(file, xFileControl, what, argument) }
}

unsafe extern "C" fn sector_size(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe { pass!(file, xSectorSize) }
}

unsafe extern "C" fn characteristics(file: *mut ffi::sqlite3_file) -> c_int {
    // Whatever else the real one can do is not what the images show.
    unsafe { pass!(file, xDeviceCharacteristics) & ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE }
}

unsafe extern "C" fn map_shared(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    answer: *mut *mut c_void,
) -> c_int {
    unsafe {
        first!(file, |file: &Tracked| file.disk.ask(Call::MapShared));
        pass!(file, xShmMap, region, size, extend, answer)
    }
}

unsafe extern "C" fn lock_shared(file: *mut ffi::sqlite3_file, offset: c_int, n: c_int, flags: c_int) -> c_int {
    unsafe { pass!(file, xShmLock, offset, n, flags) }
}

unsafe extern "C" fn barrier(file: *mut ffi::sqlite3_file) {
    unsafe {
        let inner = inner(file);
        if let Some(method) = (*(*inner).pMethods).xShmBarrier {
            method(inner);
        }
    }
}

unsafe extern "C" fn unmap_shared(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    unsafe { pass!(file, xShmUnmap, delete) }
}
