// SPDX-License-Identifier: GPL-2.0

//! `zs_rs_*`: the functions of `<linux/zsmalloc.h>`.
//!
//! Each does what its namesake there does, with the same errors and in the same contexts, for
//! which [`Pool`]'s functions are the reference; here it says what C sees of them.
//!
//! C header: [`include/linux/zsmalloc.h`](srctree/include/linux/zsmalloc.h)
//!
//! A pool pointer from C is believed, as the kernel's own is: C got it from `zs_rs_create_pool`.
//! A handle is not: see [`crate::engine::handle_table`].

use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kernel::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use kernel::prelude::*;

use super::{check_prototype, trace};
use crate::bindings::{self, zs_rs_pool};
use crate::engine::fullness::NR_GROUPS;
use crate::engine::handle_table::Handle;
use crate::engine::map::MapMode;
use crate::engine::migrate::migrate_page;
use crate::engine::pool::Pool;
use crate::sys::page::ZsPage;
use crate::sys::prelude::Gfp;
use crate::sys::shrinker::{Shrinkable, Shrinker};

/// A pool as C has it.
///
/// Fields are dropped from top to bottom: nobody looks at the pool any more when it goes.
#[pin_data]
struct ZsPool {
    _shrinker: Option<Shrinker>,
    _debugfs: Option<DebugfsDirectory>,
    #[pin]
    pool: Pool,
}

impl ZsPool {
    fn new(name: &CStr) -> Result<Pin<KBox<Self>>> {
        // SAFETY: May be called any time.
        let chain_limit = unsafe { bindings::zs_glue_chain_limit() } as usize;
        KBox::pin_init(
            try_pin_init!(&this in Self {
                pool <- Pool::new(name, chain_limit),
                // A pool without these two works. They are dropped before the pool.
                _debugfs: DebugfsDirectory::new(pool_of(this).cast(), name),
                // SAFETY: The pool is initialised, pinned, and outlives the shrinker.
                _shrinker: unsafe { Shrinker::register(name, pool_of(this)) }.ok(),
            }),
            GFP_KERNEL,
        )
    }
}

fn pool_of(this: NonNull<ZsPool>) -> NonNull<Pool> {
    // SAFETY: `this` is allocated, if not yet initialised: the address of a field is not null.
    unsafe { NonNull::new_unchecked(&raw mut (*this.as_ptr()).pool) }
}

struct DebugfsDirectory(NonNull<kernel::bindings::dentry>);

impl DebugfsDirectory {
    fn new(pool: NonNull<zs_rs_pool>, name: &CStr) -> Option<Self> {
        // SAFETY: The pool outlives the directory.
        let raw = unsafe { bindings::zs_glue_debugfs_add(pool.as_ptr(), name.as_char_ptr()) };
        NonNull::new(raw).map(Self)
    }
}

impl Drop for DebugfsDirectory {
    fn drop(&mut self) {
        // SAFETY: The directory is the one that was added.
        unsafe { bindings::zs_glue_debugfs_remove(self.0.as_ptr()) };
    }
}

impl Shrinkable for Pool {
    fn count(&self) -> usize {
        self.freeable_pages()
    }

    fn scan(&self) -> usize {
        compact(self)
    }
}

// Pages freed. Every compaction of a pool comes through here.
fn compact(pool: &Pool) -> usize {
    trace::compact_start(pool);
    let done = pool.compact();
    trace::compact_end(pool, &done);
    done.pages
}

/// The pool that C has: the address of the `pool` field, as all calls but two need just that.
///
/// # Safety
///
/// `raw` must come from [`zs_rs_create_pool`], and not have been destroyed.
unsafe fn pool<'a>(raw: *mut zs_rs_pool) -> &'a Pool {
    // SAFETY: The caller's promise.
    unsafe { &*raw.cast::<Pool>() }
}

fn error_handle(error: Error) -> c_ulong {
    // As `ERR_PTR()` has it.
    error.to_errno() as isize as c_ulong
}

fn is_no_handle(handle: c_ulong) -> bool {
    // As `IS_ERR_OR_NULL()` has it.
    handle == 0 || handle >= (-4095isize) as c_ulong
}

/// Creates a pool, with its shrinker and its directory in debugfs. Null if there is no memory.
///
/// The chain limit is that of the module's parameter now. Context: may sleep.
///
/// # Safety
///
/// `name` must be a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_create_pool(name: *const c_char) -> *mut zs_rs_pool {
    // SAFETY: The caller's promise.
    let name = unsafe { CStr::from_char_ptr(name) };
    match ZsPool::new(name) {
        Ok(this) => {
            // SAFETY: The box is not moved out of: C has the address of a field, by which it
            // returns to `zs_rs_destroy_pool`.
            let raw = KBox::into_raw(unsafe { Pin::into_inner_unchecked(this) });
            // SAFETY: `raw` is valid.
            unsafe { (&raw mut (*raw).pool).cast() }
        }
        Err(_) => null_mut(),
    }
}

/// Destroys a pool. What is still in it is lost, with an error line per class and fullness group.
///
/// Context: may sleep; waits for who looks at the pool, and for page locks.
///
/// # Safety
///
/// `raw` must come from [`zs_rs_create_pool`] and not be used any more.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_destroy_pool(raw: *mut zs_rs_pool) {
    // SAFETY: The address is that of the `pool` field of a boxed `ZsPool`.
    drop(unsafe {
        Pin::new_unchecked(KBox::from_raw(
            raw.byte_sub(core::mem::offset_of!(ZsPool, pool))
                .cast::<ZsPool>(),
        ))
    });
}

/// Allocates `size` bytes. Returns a handle, or [`EINVAL`], [`ENOSPC`] or [`ENOMEM`] as an error
/// pointer, which is traced.
///
/// Context: as `gfp` says; not an interrupt.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_malloc(
    raw: *mut zs_rs_pool,
    size: usize,
    gfp: kernel::bindings::gfp_t,
) -> c_ulong {
    // SAFETY: The caller's promise.
    let pool = unsafe { pool(raw) };
    match pool.malloc(size, Gfp::from_raw(gfp)) {
        Ok(handle) => handle.into_raw() as c_ulong,
        Err(error) => {
            trace::malloc_fail(pool, size, gfp, error);
            error_handle(error)
        }
    }
}

/// Frees. Null and error pointers are ignored; a handle that is none is reported and refused.
///
/// Context: any but an interrupt; does not sleep.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_free(raw: *mut zs_rs_pool, handle: c_ulong) {
    if is_no_handle(handle) {
        return;
    }
    // SAFETY: The caller's promise. What is wrong with a handle was reported.
    let _ = unsafe { pool(raw) }.free(Handle::from_raw(handle));
}

/// The smallest request that gets a page of its own, in bytes. Any context.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_huge_class_size(raw: *mut zs_rs_pool) -> usize {
    // SAFETY: The caller's promise.
    unsafe { pool(raw) }.huge_class_size()
}

/// Maps an object on this CPU, for what `mode` (an `enum zs_mapmode`) says. Null, and a warning, if
/// the handle is none, or this CPU has an object mapped.
///
/// Context: any but an interrupt. Preemption and page faults are off until the object is unmapped;
/// spins while another CPU has it mapped, moves it or frees it.
///
/// # Safety
///
/// `raw` must be a pool, and what is done with the memory must fit `mode`.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_map_object(
    raw: *mut zs_rs_pool,
    handle: c_ulong,
    mode: c_int,
) -> *mut c_void {
    // SAFETY: The caller's promise.
    let pool = unsafe { pool(raw) };
    let handle = Handle::from_raw(handle);
    pool.map_raw(handle, MapMode::from_number(mode as u8))
        .map_or(null_mut(), |bytes| bytes.as_ptr().cast())
}

/// Ends [`zs_rs_map_object`] on the CPU that called it. If the object is not mapped there, that is
/// reported.
///
/// # Safety
///
/// `raw` must be a pool, and the memory must not be used any more.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_unmap_object(raw: *mut zs_rs_pool, handle: c_ulong) {
    // SAFETY: The caller's promise.
    unsafe { pool(raw).unmap_raw(Handle::from_raw(handle)) };
}

/// Pages that objects take; those of the handle table are not counted. Any context.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_get_total_pages(raw: *mut zs_rs_pool) -> c_ulong {
    // SAFETY: The caller's promise.
    unsafe { pool(raw) }.total_pages() as c_ulong
}

/// Compacts; returns the pages freed: none, if the pool is being compacted. Traced.
///
/// Context: may sleep, between two objects.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_compact(raw: *mut zs_rs_pool) -> c_ulong {
    // SAFETY: The caller's promise.
    compact(unsafe { pool(raw) }) as c_ulong
}

/// The index of the class for requests of `size` bytes. Any context.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_lookup_class_index(raw: *mut zs_rs_pool, size: c_uint) -> c_uint {
    // SAFETY: The caller's promise.
    unsafe { pool(raw) }.lookup_class_index(size as usize) as c_uint
}

/// Pages that compaction freed since the pool was created. Any context.
///
/// # Safety
///
/// `raw` must be a pool.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_pages_compacted(raw: *mut zs_rs_pool) -> c_ulong {
    // SAFETY: The caller's promise.
    let events = unsafe { pool(raw) }.events();
    events.pages_compacted.load(Relaxed) as c_ulong
}

/// The kernel migrates a page; see [`migrate_page`]. 0, or a negative error number.
///
/// # Safety
///
/// As for `migrate_page` of `struct movable_operations`.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_migrate_page(
    new: *mut kernel::bindings::page,
    old: *mut kernel::bindings::page,
) -> c_int {
    // SAFETY: The kernel passes a fresh page and one of ours, both locked.
    let result = unsafe {
        match (ZsPage::from_raw(new), ZsPage::from_raw(old)) {
            (Some(new), Some(old)) => migrate_page(new, old),
            _ => Err(EINVAL),
        }
    };
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Fills in a row of the `classes` table; false if there is no such class. Takes the class lock.
///
/// # Safety
///
/// `raw` must be a pool, `row` valid for writes.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_class_row(
    raw: *mut zs_rs_pool,
    index: c_uint,
    row: *mut bindings::zs_class_row,
) -> bool {
    const _: () = assert!(bindings::ZS_NR_GROUPS as usize == NR_GROUPS);
    // SAFETY: The caller's promise.
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
    // SAFETY: The caller's promise.
    unsafe { row.write(filled) };
    true
}

/// Fills in what happened so far, since the pool was created. Any context.
///
/// # Safety
///
/// `raw` must be a pool, `counts` valid for writes.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_event_counts(
    raw: *mut zs_rs_pool,
    counts: *mut bindings::zs_event_counts,
) {
    // SAFETY: The caller's promise.
    let pool = unsafe { pool(raw) };
    let events = pool.events();
    let get = |counter: &AtomicUsize| counter.load(Relaxed) as c_ulong;
    let filled = bindings::zs_event_counts {
        pages: pool.total_pages() as c_ulong,
        handle_pages: pool.handle_pages() as c_ulong,
        pages_compacted: get(&events.pages_compacted),
        objects_moved: get(&events.objects_moved),
        objects_busy: get(&events.objects_busy),
        pages_migrated: get(&events.pages_migrated),
        migrations_refused: get(&events.migrations_refused),
        deferred_frees: get(&events.deferred_frees),
    };
    // SAFETY: The caller's promise.
    unsafe { counts.write(filled) };
}

check_prototype!(
    zs_rs_create_pool,
    zs_rs_destroy_pool,
    zs_rs_malloc,
    zs_rs_free,
    zs_rs_huge_class_size,
    zs_rs_map_object,
    zs_rs_unmap_object,
    zs_rs_get_total_pages,
    zs_rs_compact,
    zs_rs_lookup_class_index,
    zs_rs_pages_compacted,
    zs_rs_migrate_page,
    zs_rs_class_row,
    zs_rs_event_counts,
);
