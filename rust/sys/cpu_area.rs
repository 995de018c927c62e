// SPDX-License-Identifier: GPL-2.0

//! The per-CPU mapping area. A CPU can have one object mapped at a time.
//!
//! While a [`CpuArea`] exists, preemption and page faults are off, as they are after
//! `kmap_atomic()`. Users of `zs_map_object()` rely on that. Each CPU has a buffer of one page for
//! objects that have to be copied. CPU hotplug (`helpers/cpu_area.c`) allocates and frees it.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::atomic::AtomicU64;
use super::page::ZsPage;
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

    /// Sets the entry of the mapping.
    ///
    /// # Safety
    ///
    /// `entry` must have been found in the read-side section of [`CpuArea::rcu`].
    #[inline]
    pub unsafe fn set_entry(&self, entry: &AtomicU64) {
        // SAFETY: By the type invariants nobody else uses the area.
        // INVARIANT: `entry` was found under RCU (safety requirement).
        unsafe { (*self.0.as_ptr()).entry = core::ptr::from_ref(entry).cast() };
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
    /// Nobody may use the area: it must have been kept.
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

    /// Returns the buffer of this CPU, one page.
    pub fn buffer(&self) -> NonNull<u8> {
        // SAFETY: By the type invariants `0` points to this CPU's area. Its buffer is allocated
        // before the CPU goes online.
        unsafe { NonNull::new_unchecked((*self.0.as_ptr()).buffer.cast()) }
    }

    /// Makes the mapping use the buffer, and returns that.
    pub fn bounce(&mut self) -> NonNull<u8> {
        // SAFETY: By the type invariants nobody else uses the area.
        unsafe { (*self.0.as_ptr()).flags |= bindings::ZS_AREA_BOUNCED };
        self.buffer()
    }

    /// Maps a page. Returns the address of the byte at `offset`.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage and stay in it until the area is dropped. `offset` must be
    /// below the page size.
    #[inline]
    pub unsafe fn map_page(&mut self, page: ZsPage, offset: usize) -> NonNull<u8> {
        // SAFETY: The page is allocated, and `offset` is inside it (safety requirements). A mapped
        // page is not at address zero.
        unsafe {
            NonNull::new_unchecked(
                bindings::zs_helper_cpu_area_map(self.0.as_ptr(), page.as_ptr(), offset).cast(),
            )
        }
    }

    /// Returns the address of the byte at `offset` of `page` if the next page of the chain follows
    /// it in memory, and otherwise `None`.
    ///
    /// # Safety
    ///
    /// As for [`CpuArea::map_page`], for both pages.
    pub unsafe fn map_neighbours(&mut self, page: ZsPage, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: Both pages belong to a zspage and stay in it (safety requirements).
        NonNull::new(unsafe { bindings::zs_helper_page_neighbours(page.as_ptr(), offset) }.cast())
    }
}

impl Drop for CpuArea {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants nobody else uses the area, and preemption is off.
        unsafe { bindings::zs_helper_cpu_area_exit(self.0.as_ptr()) };
    }
}
