//! The file system that SQLite sees: opening, deleting, looking for files.
#![allow(unsafe_code, reason = "SQLite's file systems are tables of C functions")]

use std::ffi::{CStr, c_char, c_int};
use std::io;
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use countersign::rusqlite::ffi;

use super::disk::Disk;
use super::fault::Call;
use super::file::{self, ShimFile, Tracked};
use super::history::Change;

/// SQLite's own file system, behind this one.
struct Real(*mut ffi::sqlite3_vfs);

// SAFETY: the table is SQLite's, is never freed, and its functions may be called from any thread.
unsafe impl Send for Real {}
// SAFETY: as above; nothing is ever written through the pointer.
unsafe impl Sync for Real {}

static REAL: OnceLock<Option<Real>> = OnceLock::new();

/// Makes the shim the process's default, once.
pub(super) fn install() -> io::Result<()> {
    let installed = REAL.get_or_init(|| {
        // SAFETY: both may be called at any time, and initialise SQLite if need be. The shim's table is leaked, as SQLite asks for: it
        // has to stay. It is a copy of the real one, so whatever is not replaced works as there: those functions find their data in
        // `pAppData`, which is copied too.
        unsafe {
            let real = ffi::sqlite3_vfs_find(ptr::null());
            if real.is_null() {
                return None;
            }
            let shim = Box::leak(Box::new(ptr::read(real)));
            shim.pNext = ptr::null_mut();
            shim.zName = c"countersign-tests".as_ptr();
            shim.szOsFile += size_of::<ShimFile>() as c_int;
            shim.xOpen = Some(open);
            shim.xDelete = Some(delete);
            shim.xAccess = Some(access);
            (ffi::sqlite3_vfs_register(shim, 1) == ffi::SQLITE_OK).then_some(Real(real))
        }
    });
    installed.as_ref().map(drop).ok_or_else(|| io::Error::other("SQLite does not take the file system of the tests"))
}

fn real() -> *mut ffi::sqlite3_vfs {
    // Only called through the shim's table, which is made known after this was set; a null would be SQLite's to refuse.
    REAL.get().and_then(Option::as_ref).map_or(ptr::null_mut(), |real| real.0)
}

/// Who looks after a path that SQLite names.
///
/// # Safety
///
/// `name` is null, or a C string.
unsafe fn find(name: *const c_char) -> Option<(std::sync::Arc<Disk>, std::sync::Arc<str>)> {
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, and by contract a C string.
    let path = unsafe { CStr::from_ptr(name) };
    Disk::of(Path::new(path.to_str().ok()?))
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    opened: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives `szOsFile` bytes at `opened`: the shim's part, then the real file's. All pointers are SQLite's, used as the
    // contract of `xOpen` says. Until `pMethods` is set SQLite never closes the file.
    unsafe {
        (*opened).pMethods = ptr::null();
        let found = find(name);
        if let Some((disk, _)) = &found
            && let Err(code) = disk.ask(Call::Open)
        {
            return code;
        }
        let real = real();
        let inner = file::inner(opened);
        (*inner).pMethods = ptr::null();
        let Some(open) = (*real).xOpen else { return ffi::SQLITE_ERROR };
        let code = open(real, name, inner, flags, out_flags);
        if code != ffi::SQLITE_OK {
            return code;
        }
        let tracked = found.map_or(ptr::null_mut(), |(disk, name)| {
            disk.opened(&name);
            let journal = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
            let syncs_folder = (flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & journal != 0).into();
            Box::into_raw(Box::new(Tracked { disk, name, syncs_folder }))
        });
        file::begin(opened, tracked);
        code
    }
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: the pointers are SQLite's, passed on as they came.
    unsafe {
        if let Some((disk, file)) = find(name)
            && let Err(code) = disk.change(Call::Delete, &file, Change::Delete { synced: sync_folder != 0 })
        {
            return code;
        }
        let real = real();
        // The folder is synced on paper only.
        (*real).xDelete.map_or(ffi::SQLITE_ERROR, |delete| delete(real, name, 0))
    }
}

unsafe extern "C" fn access(_: *mut ffi::sqlite3_vfs, name: *const c_char, flags: c_int, answer: *mut c_int) -> c_int {
    // SAFETY: the pointers are SQLite's, passed on as they came.
    unsafe {
        if let Some((disk, _)) = find(name)
            && let Err(code) = disk.ask(Call::Access)
        {
            return code;
        }
        let real = real();
        (*real).xAccess.map_or(ffi::SQLITE_ERROR, |access| access(real, name, flags, answer))
    }
}
