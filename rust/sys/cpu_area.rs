// SPDX-License-Identifier: GPL-2.0

//! The per-CPU mapping area. A CPU can have one object mapped at a time.
//!
//! While a [`CpuArea`] exists, preemption and page faults are off, as they are after
//! `kmap_atomic()`. Users of `zs_map_object()` rely on that. Each CPU has a buffer of one page for
//! objects that have to be copied. CPU hotplug (`helpers/cpu_area.c`) allocates and frees it.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::atomic::AtomicU64;
use super::page::{is_inside, ZsPage};
use super::prelude::Result;
use super::sched::RcuRead;
use crate::bindings;

/// The mapping areas of all CPUs.
pub struct CpuAreas(());

impl CpuAreas {
    /// Allocates the buffers and registers the CPU hotplug callbacks. May sleep.
    ///
    /// # Safety
    ///
    /// Only one instance may exist. It must exist whenever an object is mapped.
    pub unsafe fn new() -> Result<Self> {
        // SAFETY: No other instance exists (safety requirement).
        kernel::error::to_result(unsafe { bindings::zs_helper_cpu_areas_init() })?;
        Ok(Self(()))
    }
}

impl Drop for CpuAreas {
    fn drop(&mut self) {
        // SAFETY: `new` set up the areas, and no object is mapped (safety requirement of `new`).
        unsafe { bindings::zs_helper_cpu_areas_exit() };
    }
}

/// The mapping area of this CPU, in use for one object.
///
/// Dropping it ends the mapping. [`CpuArea::keep`] leaves it to a later [`CpuArea::resume`].
///
/// # Invariants
///
/// `0` points to the area of this CPU, and nobody else uses that. Preemption is off since
/// [`CpuArea::enter`]. The entry in the area is null, or was found under RCU since then.
pub struct CpuArea(NonNull<bindings::zs_cpu_area>, PhantomData<*mut ()>);

impl CpuArea {
    /// Begins a mapping on this CPU, which still needs an entry. Returns `None` if there is one.
    #[inline]
    pub fn enter(handle: u64, mode: u8) -> Option<Self> {
        // SAFETY: The helper may be called in any context. It fails if this CPU has a mapping.
        let area = unsafe { bindings::zs_helper_cpu_area_enter(handle, mode) };
        // INVARIANT: The helper disabled preemption and returned this CPU's unused area.
        NonNull::new(area).map(|area| Self(area, PhantomData))
    }

    /// Returns the RCU read-side section that lasts as long as the mapping.
    #[inline]
    pub fn rcu(&self) -> RcuRead<'_> {
        // SAFETY: By the type invariants preemption is off.
        unsafe { RcuRead::new() }
    }

    /// Sets the entry of the mapping to the one that `find` looks up in `table`. `find` gets the
    /// read-side section of the mapping, in which the entry stays valid. Returns whether there is
    /// one.
    ///
    /// # Safety
    ///
    /// `table` must exist until the mapping ends.
    #[inline]
    pub unsafe fn set_entry<T>(
        &self,
        table: &T,
        find: impl for<'r> FnOnce(&'r T, RcuRead<'r>) -> Option<&'r AtomicU64>,
    ) -> bool {
        let entry = find(table, self.rcu());
        if let Some(entry) = entry {
            // SAFETY: By the type invariants nobody else uses the area.
            // INVARIANT: `find` found `entry` in a section that lasts as long as the mapping.
            unsafe { (*self.0.as_ptr()).entry = core::ptr::from_ref(entry).cast() };
        }
        entry.is_some()
    }

    /// Leaves the area as it is, for [`CpuArea::resume`].
    #[inline]
    pub fn keep(self) {
        core::mem::forget(self);
    }

    /// Returns the area that was kept on this CPU for `handle`, or `None` if there is none.
    ///
    /// # Safety
    ///
    /// Nobody may use the area: it must have been kept. The table of its entry must still exist.
    #[inline]
    pub unsafe fn resume(handle: u64) -> Option<Self> {
        // SAFETY: The helper only reads this CPU's area.
        let area = unsafe { bindings::zs_helper_cpu_area_resume(handle) };
        // INVARIANT: The area has an entry, so preemption is off since `enter`. It was kept (safety
        // requirement), so nobody else uses it.
        NonNull::new(area).map(|area| Self(area, PhantomData))
    }

    /// Returns the entry given to [`CpuArea::set_entry`].
    #[inline]
    pub fn entry(&self) -> Option<&AtomicU64> {
        // SAFETY: By the type invariants the entry is null, or found under RCU and valid.
        unsafe { (*self.0.as_ptr()).entry.cast::<AtomicU64>().as_ref() }
    }

    /// Returns the mode given to [`CpuArea::enter`].
    pub fn mode(&self) -> u8 {
        // SAFETY: By the type invariants `0` points to this CPU's area.
        unsafe { ((*self.0.as_ptr()).flags & bindings::ZS_AREA_MODE) as u8 }
    }

    /// Returns whether the mapping uses the buffer.
    #[inline]
    pub fn is_bounced(&self) -> bool {
        // SAFETY: By the type invariants `0` points to this CPU's area.
        unsafe { (*self.0.as_ptr()).flags & bindings::ZS_AREA_BOUNCED != 0 }
    }

    // Returns the address of byte `at` of the buffer.
    fn buffer(&self, at: usize) -> NonNull<u8> {
        // SAFETY: By the type invariants `0` points to this CPU's area. Its buffer, a page, is
        // allocated before the CPU goes online.
        unsafe { NonNull::new_unchecked((*self.0.as_ptr()).buffer.cast::<u8>().wrapping_add(at)) }
    }

    /// Makes the mapping use the buffer of this CPU, one page, and returns that.
    pub fn bounce(&self) -> NonNull<u8> {
        // SAFETY: By the type invariants nobody else uses the area.
        unsafe { (*self.0.as_ptr()).flags |= bindings::ZS_AREA_BOUNCED };
        self.buffer(0)
    }

    /// Copies `len` bytes of a page to byte `at` of the buffer. Returns false if either is shorter.
    pub fn copy_in(&self, at: usize, page: ZsPage<'_>, offset: usize, len: usize) -> bool {
        let inside = is_inside(at, len) && is_inside(offset, len);
        if inside {
            // SAFETY: The page is zsmalloc's. Both ranges are inside a page. By the type invariants
            // nobody else uses the buffer.
            unsafe { page.raw().read_bytes(offset, self.buffer(at), len) };
        }
        inside
    }

    /// Copies `len` bytes from byte `at` of the buffer to a page. Returns false if either is
    /// shorter. The bytes should belong to the mapped object.
    pub fn copy_out(&self, at: usize, page: ZsPage<'_>, offset: usize, len: usize) -> bool {
        let inside = is_inside(at, len) && is_inside(offset, len);
        if inside {
            // SAFETY: The page is zsmalloc's. Both ranges are inside a page. There is no reference
            // to bytes of a page.
            unsafe { page.raw().write_bytes(offset, self.buffer(at), len) };
        }
        inside
    }

    /// Maps a page. Returns the address of the byte at `offset`.
    #[inline]
    pub fn map_page(&self, page: ZsPage<'_>, offset: usize) -> NonNull<u8> {
        page.map(offset)
    }

    /// Returns the address of the byte at `offset` of `page` if the next page of the chain follows
    /// it in memory, and otherwise `None`.
    pub fn map_neighbours(&self, page: ZsPage<'_>, offset: usize) -> Option<NonNull<u8>> {
        page.map_neighbours(offset)
    }
}

impl Drop for CpuArea {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants nobody else uses the area, and preemption is off.
        unsafe { bindings::zs_helper_cpu_area_exit(self.0.as_ptr()) };
    }
}
