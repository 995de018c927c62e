// SPDX-License-Identifier: GPL-2.0

//! `zs_rs_*`: the functions of `<linux/zsmalloc.h>`, and those that `rust/glue` calls.
//!
//! Each function of `<linux/zsmalloc.h>` behaves like its C namesake: it returns the same errors
//! and may be called in the same contexts. The methods of [`Pool`] have the details.
//!
//! C header: [`include/linux/zsmalloc.h`](srctree/include/linux/zsmalloc.h)
//!
//! Pool pointers from C are trusted, as they are in C zsmalloc. Handles are validated: see
//! [`crate::engine::handle_table`].

use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kernel::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use kernel::prelude::*;

use super::check_prototype;
use super::registration::PoolDirectories;
use crate::bindings::{self, zs_rs_pool};
use crate::engine::compact::By;
use crate::engine::fullness::NR_GROUPS;
use crate::engine::geometry::{DEFAULT_CHAIN_LIMIT, MAX_CHAIN_LIMIT, MIN_CHAIN_LIMIT};
use crate::engine::handle_table::Handle;
use crate::engine::map::MapMode;
use crate::engine::migrate::migrate_page;
use crate::engine::pool::Pool;
use crate::sys::buffer::{Destination, Source};
use crate::sys::page::Migration;
use crate::sys::prelude::Gfp;
use crate::sys::raw_page::RawPage;
use crate::sys::scatterlist::ScatterList;
use crate::sys::shrinker::{Shrinkable, Shrinker};
use crate::sys::trace;

// The numbers that C has, too.
const _: () = {
    assert!(bindings::ZS_NR_GROUPS as usize == NR_GROUPS);
    assert!(bindings::ZS_CHAIN_MIN as usize == MIN_CHAIN_LIMIT);
    assert!(bindings::ZS_CHAIN_MAX as usize == MAX_CHAIN_LIMIT);
    assert!(bindings::ZS_CHAIN_DEFAULT as usize == DEFAULT_CHAIN_LIMIT);
    assert!(bindings::zs_compact_by_ZS_COMPACT_USER == By::User as c_uint);
    assert!(bindings::zs_compact_by_ZS_COMPACT_SHRINKER == By::Shrinker as c_uint);
    assert!(bindings::zs_compact_by_ZS_COMPACT_BACKGROUND == By::Background as c_uint);
    assert!(bindings::zs_mapmode_ZS_MM_RW == MapMode::ReadWrite.number() as c_uint);
    assert!(bindings::zs_mapmode_ZS_MM_RO == MapMode::ReadOnly.number() as c_uint);
    assert!(bindings::zs_mapmode_ZS_MM_WO == MapMode::WriteOnly.number() as c_uint);
};

/// A pool with its shrinker and its directories in debugfs and sysfs.
///
/// Fields are dropped in order: the pool is last, when nobody else can reach it.
#[pin_data]
struct ZsPool {
    _shrinker: Option<Shrinker>,
    _directories: PoolDirectories,
    #[pin]
    pool: Pool,
}

impl ZsPool {
    fn new(name: &CStr) -> Result<Pin<KBox<Self>>> {
        // SAFETY: The helper may be called in any context.
        let chain_limit = unsafe { bindings::zs_glue_chain_limit() } as usize;
        KBox::pin_init(
            try_pin_init!(&this in Self {
                pool <- Pool::new(name, chain_limit),
                // SAFETY: The pool is initialised, pinned, and dropped after its directories.
                _directories: unsafe { PoolDirectories::new(pool_of(this).cast(), name) },
                // SAFETY: The pool is initialised, pinned, and dropped after the shrinker.
                _shrinker: unsafe { Shrinker::register(name, pool_of(this)) }.ok(),
            }),
            GFP_KERNEL,
        )
    }
}

fn pool_of(this: NonNull<ZsPool>) -> NonNull<Pool> {
    // SAFETY: `this` is allocated, so the address of a field is not null.
    unsafe { NonNull::new_unchecked(&raw mut (*this.as_ptr()).pool) }
}

impl Shrinkable for Pool {
    fn count(&self) -> usize {
        self.freeable_pages()
    }

    fn scan(&self) -> usize {
        self.shrink().pages
    }
}

/// Returns the pool of a C pointer: the address of the `pool` field, as most calls need only that.
///
/// # Safety
///
/// `raw` must be a pool that [`zs_rs_create_pool`] returned and that exists throughout `'a`.
unsafe fn pool<'a>(raw: *mut zs_rs_pool) -> &'a Pool {
    // SAFETY: `raw` is the address of the `pool` field of a live `ZsPool` (safety requirement).
    unsafe { &*raw.cast::<Pool>() }
}

fn error_handle(error: Error) -> c_ulong {
    // As `ERR_PTR()` does.
    error.to_errno() as isize as c_ulong
}

fn is_no_handle(handle: c_ulong) -> bool {
    // As `IS_ERR_OR_NULL()` does.
    handle == 0 || handle >= (-4095isize) as c_ulong
}

/// Creates a pool, its shrinker and its directories in debugfs and sysfs. Returns null if memory ran out.
///
/// The pool gets the current chain limit of the module parameter `chain_size`. Context: may sleep.
///
/// # Safety
///
/// `name` must be a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_create_pool(name: *const c_char) -> *mut zs_rs_pool {
    // SAFETY: `name` is a NUL-terminated string (safety requirement).
    let name = unsafe { CStr::from_char_ptr(name) };
    match ZsPool::new(name) {
        Ok(this) => {
            // SAFETY: Nothing moves out of the box. C returns the address to `zs_rs_destroy_pool`.
            let raw = KBox::into_raw(unsafe { Pin::into_inner_unchecked(this) });
            // SAFETY: `raw` came from a box, so it is valid.
            unsafe { (&raw mut (*raw).pool).cast() }
        }
        Err(_) => null_mut(),
    }
}

/// Destroys a pool. Objects still in it are lost. Reports each fullness group with zspages.
///
/// Context: may sleep. Waits for the shrinker, for readers of the files in debugfs and sysfs, for the
/// pool's work items, and for page locks.
///
/// # Safety
///
/// `raw` must be a pool that [`zs_rs_create_pool`] returned, and must not be used any more.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_destroy_pool(raw: *mut zs_rs_pool) {
    // SAFETY: `raw` is the `pool` field of a `ZsPool` from `zs_rs_create_pool` (requirement).
    drop(unsafe {
        Pin::new_unchecked(KBox::from_raw(
            raw.byte_sub(core::mem::offset_of!(ZsPool, pool))
                .cast::<ZsPool>(),
        ))
    });
}

/// Allocates an object of `size` bytes, preferably on node `nid`. Returns its handle, or an error as
/// `ERR_PTR()` has it: [`EINVAL`], [`ENOSPC`], [`ENOMEM`], or [`EIO`] if a zspage is corrupt.
/// Failures are traced.
///
/// Context: depends on `gfp`. Not in an interrupt.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_malloc(
    raw: *mut zs_rs_pool,
    size: usize,
    gfp: kernel::bindings::gfp_t,
    nid: c_int,
) -> c_ulong {
    // SAFETY: `raw` is a live pool (safety requirement).
    let pool = unsafe { pool(raw) };
    match pool.malloc(size, Gfp::from_raw(gfp, nid)) {
        Ok(handle) => handle.into_raw() as c_ulong,
        Err(error) => {
            trace::malloc_fail(pool.name(), size, gfp, error);
            error_handle(error)
        }
    }
}

/// Frees an object. Ignores null and error pointers. Warns about a bad handle and does nothing.
///
/// Context: any but an interrupt. Does not sleep.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_free(raw: *mut zs_rs_pool, handle: c_ulong) {
    if is_no_handle(handle) {
        return;
    }
    // SAFETY: `raw` is a live pool (safety requirement). `free` has reported the error.
    let _ = unsafe { pool(raw) }.free(Handle::from_raw(handle));
}

/// Returns the smallest request in bytes that gets a page of its own. Any context.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_huge_class_size(raw: *mut zs_rs_pool) -> usize {
    // SAFETY: `raw` is a live pool (safety requirement).
    unsafe { pool(raw) }.huge_class_size()
}

/// Maps an object on this CPU. `mode` is an `enum zs_mapmode`. Warns and returns null if the handle
/// is bad, or if this CPU has an object mapped.
///
/// Context: any but an interrupt. Preemption and page faults stay off until the object is unmapped.
/// Spins while the object is being moved or freed, or has many readers.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. Only accesses that `mode` names are allowed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_map_object(
    raw: *mut zs_rs_pool,
    handle: c_ulong,
    mode: c_int,
) -> *mut c_void {
    // SAFETY: `raw` is a live pool (safety requirement).
    let pool = unsafe { pool(raw) };
    let handle = Handle::from_raw(handle);
    pool.map_object(handle, MapMode::from_number(mode as u8))
        .map_or(null_mut(), |bytes| bytes.as_ptr().cast())
}

/// Unmaps an object that [`zs_rs_map_object`] mapped. Warns if it is not mapped on this CPU.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. The mapped memory must not be used any more.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_unmap_object(raw: *mut zs_rs_pool, handle: c_ulong) {
    // SAFETY: `raw` is a live pool, and the memory is not used any more (requirements).
    unsafe { pool(raw).unmap_object(Handle::from_raw(handle)) };
}

/// Begins to read the first `mem_len` bytes of an object. Returns where they are: in the object, or
/// if they are on two pages that are not contiguous, in `local_copy`. Warns and returns null if the
/// handle is bad, if `mem_len` is zero or larger than the object, or if a copy is needed and
/// `local_copy` is null.
///
/// Context: any but an interrupt. May sleep if the object has many readers. The caller may sleep
/// until it ends the read.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. `local_copy` must be null, or valid for writes
/// of `mem_len` bytes. The bytes must not be written.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_obj_read_begin(
    raw: *mut zs_rs_pool,
    handle: c_ulong,
    mem_len: usize,
    local_copy: *mut c_void,
) -> *mut c_void {
    // SAFETY: `raw` is a live pool (safety requirement).
    let pool = unsafe { pool(raw) };
    let copy = NonNull::new(local_copy.cast::<u8>());
    // SAFETY: The memory is the caller's, and valid for `mem_len` bytes (safety requirement).
    let copy = copy.map(|copy| unsafe { Destination::new(copy, mem_len) });
    pool.obj_read_begin(Handle::from_raw(handle), mem_len, copy)
        .map_or(null_mut(), |bytes| bytes.as_ptr().cast())
}

/// Ends a read that [`zs_rs_obj_read_begin`] began. Warns if nobody reads the object.
///
/// Context: any but an interrupt.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. The caller must have begun the read, and not
/// have ended it. The bytes must not be used any more.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_obj_read_end(
    raw: *mut zs_rs_pool,
    handle: c_ulong,
    _mem_len: usize,
    _handle_mem: *mut c_void,
) {
    // SAFETY: `raw` is a live pool. This ends a read of the caller (requirements).
    unsafe { pool(raw).obj_read_end(Handle::from_raw(handle), "zs_obj_read_end") };
}

/// Begins to read the first `mem_len` bytes of an object, and puts the pages that they are on into a
/// scatterlist with one or two entries. Warns about what [`zs_rs_obj_read_begin`] warns about. Then
/// the scatterlist has zeroes.
///
/// Context: as for [`zs_rs_obj_read_begin`].
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. `sg` must be valid for two entries. The bytes
/// must not be written.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_obj_read_sg_begin(
    raw: *mut zs_rs_pool,
    handle: c_ulong,
    sg: *mut kernel::bindings::scatterlist,
    mem_len: usize,
) {
    let Some(sg) = NonNull::new(sg) else { return };
    // SAFETY: `raw` is a live pool, and `sg` has two entries (safety requirements).
    let (pool, list) = unsafe { (pool(raw), ScatterList::new(sg)) };
    if !pool.obj_read_sg_begin(Handle::from_raw(handle), mem_len, &list) {
        list.set_zeroes(mem_len);
    }
}

/// Ends a read that [`zs_rs_obj_read_sg_begin`] began. Warns if nobody reads the object.
///
/// Context: any but an interrupt.
///
/// # Safety
///
/// As for [`zs_rs_obj_read_end`].
#[no_mangle]
pub unsafe extern "C" fn zs_rs_obj_read_sg_end(raw: *mut zs_rs_pool, handle: c_ulong) {
    // SAFETY: `raw` is a live pool. This ends a read of the caller (requirements).
    unsafe { pool(raw).obj_read_end(Handle::from_raw(handle), "zs_obj_read_sg_end") };
}

/// Writes the first `mem_len` bytes of an object. Warns and writes nothing if the handle is bad, or
/// if `mem_len` is zero or larger than the object.
///
/// Context: any but an interrupt. May sleep if the object has many readers.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. `handle_mem` must be valid for reads of
/// `mem_len` bytes, and outside of all pools.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_obj_write(
    raw: *mut zs_rs_pool,
    handle: c_ulong,
    handle_mem: *mut c_void,
    mem_len: usize,
) {
    let Some(from) = NonNull::new(handle_mem.cast::<u8>()) else {
        return;
    };
    // SAFETY: `raw` is a live pool. The memory is the caller's, and valid (requirements).
    let (pool, from) = unsafe { (pool(raw), Source::new(from, mem_len)) };
    // The pool has warned if it refused.
    let _ = pool.obj_write(Handle::from_raw(handle), from);
}

/// Returns the number of pages in zspages. Pages of the handle table are not counted. Any context.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_get_total_pages(raw: *mut zs_rs_pool) -> c_ulong {
    // SAFETY: `raw` is a live pool (safety requirement).
    unsafe { pool(raw) }.total_pages() as c_ulong
}

/// Compacts a pool and returns the pages freed: zero if a compaction is running. Traced.
///
/// Context: may sleep between objects.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_compact(raw: *mut zs_rs_pool) -> c_ulong {
    // SAFETY: `raw` is a live pool (safety requirement).
    unsafe { pool(raw) }.compact().pages as c_ulong
}

/// Returns the class index for requests of `size` bytes. Any context.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_lookup_class_index(raw: *mut zs_rs_pool, size: c_uint) -> c_uint {
    // SAFETY: `raw` is a live pool (safety requirement).
    unsafe { pool(raw) }.lookup_class_index(size as usize) as c_uint
}

/// Returns the number of pages that compaction freed since the pool was created. Any context.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_pages_compacted(raw: *mut zs_rs_pool) -> c_ulong {
    // SAFETY: `raw` is a live pool (safety requirement).
    let events = unsafe { pool(raw) }.events();
    events.pages_compacted() as c_ulong
}

/// Migrates a page for the kernel; see [`migrate_page`]. Returns 0 or a negative error number.
///
/// # Safety
///
/// As for `migrate_page` of `struct movable_operations`.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_migrate_page(
    new: *mut kernel::bindings::page,
    old: *mut kernel::bindings::page,
) -> c_int {
    // SAFETY: The kernel passes a newly allocated page and a movable page of a zspage, both locked
    // (safety requirement).
    let migration = unsafe {
        match (RawPage::from_raw(new), RawPage::from_raw(old)) {
            (Some(new), Some(old)) => Some(Migration::new(new, old)),
            _ => None,
        }
    };
    match migration.ok_or(EINVAL).and_then(migrate_page) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Fills in a row of the `classes` table. Returns false without class `index`. Takes its lock.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. `row` must be valid for writes.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_class_row(
    raw: *mut zs_rs_pool,
    index: c_uint,
    row: *mut bindings::zs_class_row,
) -> bool {
    // SAFETY: `raw` is a live pool (safety requirement).
    let Some((shape, stats)) = unsafe { pool(raw) }.class_stats(index as usize) else {
        return false;
    };
    let filled = bindings::zs_class_row {
        size: shape.size,
        pages_per_zspage: shape.pages.into(),
        objs_per_zspage: shape.objs.into(),
        zspages: stats.zspages.map(|zspages| zspages as c_ulong),
        objs_allocated: stats.objs_allocated as c_ulong,
        objs_inuse: stats.objs_inuse as c_ulong,
        pages: stats.pages as c_ulong,
        freeable: stats.freeable as c_ulong,
    };
    // SAFETY: `row` is valid for writes (safety requirement).
    unsafe { row.write(filled) };
    true
}

/// Fills in the numbers of a pool, and its event counters since it was created. Any context.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed. `counts` must be valid for writes.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_event_counts(
    raw: *mut zs_rs_pool,
    counts: *mut bindings::zs_event_counts,
) {
    // SAFETY: `raw` is a live pool (safety requirement).
    let pool = unsafe { pool(raw) };
    let events = pool.events();
    let get = |counter: &AtomicUsize| counter.load(Relaxed) as c_ulong;
    let filled = bindings::zs_event_counts {
        pages: pool.total_pages() as c_ulong,
        handle_pages: pool.handle_pages() as c_ulong,
        pages_freeable: pool.freeable_pages() as c_ulong,
        objects: pool.objects() as c_ulong,
        pages_compacted: events.pages_compacted() as c_ulong,
        pages_compacted_user: get(&events.pages_compacted_user),
        pages_compacted_shrinker: get(&events.pages_compacted_shrinker),
        pages_compacted_background: get(&events.pages_compacted_background),
        background_runs: get(&events.background_runs),
        background_deferred: get(&events.background_deferred),
        background_us: get(&events.background_us),
        objects_moved: get(&events.objects_moved),
        objects_busy: get(&events.objects_busy),
        pages_migrated: get(&events.pages_migrated),
        migrations_refused: get(&events.migrations_refused),
        deferred_frees: get(&events.deferred_frees),
    };
    // SAFETY: `counts` is valid for writes (safety requirement).
    unsafe { counts.write(filled) };
}

/// Returns the size of a pool's metadata in bytes. Takes each class lock for a moment.
///
/// Context: any but an interrupt.
///
/// # Safety
///
/// `raw` must be a pool that has not been destroyed.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_metadata_bytes(raw: *mut zs_rs_pool) -> usize {
    // SAFETY: `raw` is a live pool (safety requirement).
    unsafe { pool(raw) }.metadata_bytes()
}

check_prototype!(
    zs_rs_create_pool,
    zs_rs_destroy_pool,
    zs_rs_malloc,
    zs_rs_free,
    zs_rs_huge_class_size,
    zs_rs_map_object,
    zs_rs_unmap_object,
    zs_rs_obj_read_begin,
    zs_rs_obj_read_end,
    zs_rs_obj_read_sg_begin,
    zs_rs_obj_read_sg_end,
    zs_rs_obj_write,
    zs_rs_get_total_pages,
    zs_rs_compact,
    zs_rs_lookup_class_index,
    zs_rs_pages_compacted,
    zs_rs_migrate_page,
    zs_rs_class_row,
    zs_rs_event_counts,
    zs_rs_metadata_bytes,
);
