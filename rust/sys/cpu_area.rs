// SPDX-License-Identifier: GPL-2.0

//! The one mapping that a CPU can have at a time.
//!
//! While a [`CpuArea`] exists, preemption and page faults are off, as `kmap_atomic()` leaves them:
//! `zs_map_object()` has always promised that. Each CPU has a buffer of a page for objects that
//! have to be copied; CPU hotplug makes and frees them (`helpers/cpu_area.c`).

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::atomic::AtomicU64;
use super::page::ZsPage;
use super::prelude::Result;
use super::sched::RcuRead;
use crate::bindings;

/// Buffers on every CPU, as long as it exists.
pub struct CpuAreas(());

impl CpuAreas {
    /// Makes the buffers and follows CPU hotplug. May sleep.
    ///
    /// # Safety
    ///
    /// There must be no other. Every object that is mapped must be mapped while this exists.
    pub unsafe fn new() -> Result<Self> {
        // SAFETY: There are no other areas, by the caller's promise.
        kernel::error::to_result(unsafe { bindings::zs_helper_cpu_areas_init() })?;
        Ok(Self(()))
    }
}

impl Drop for CpuAreas {
    fn drop(&mut self) {
        // SAFETY: `new` made them.
        unsafe { bindings::zs_helper_cpu_areas_exit() };
    }
}

/// The mapping of this CPU, of the object of a handle.
///
/// Dropping it ends the mapping; [`CpuArea::keep`] leaves it to [`CpuArea::resume`].
///
/// # Invariants
///
/// The pointer is to this CPU's area, which is in use by nobody else. Preemption is off from
/// [`CpuArea::enter`] on. The area's entry is null or was found in that time, under RCU.
pub struct CpuArea(NonNull<bindings::zs_cpu_area>, PhantomData<*mut ()>);

impl CpuArea {
    /// Begins a mapping on this CPU; `None` if it has one. The mapping still needs its entry.
    #[inline]
    pub fn enter(handle: u64, mode: u8) -> Option<Self> {
        // SAFETY: May be called in any context; if this CPU has a mapping, it says so.
        let area = unsafe { bindings::zs_helper_cpu_area_enter(handle, mode) };
        // INVARIANT: The helper returned this CPU's area and marked it as used.
        NonNull::new(area).map(|area| Self(area, PhantomData))
    }

    /// The RCU read-side section that the mapping is.
    #[inline]
    pub fn rcu(&self) -> RcuRead<'_> {
        // SAFETY: By the type invariants preemption is off.
        unsafe { RcuRead::new() }
    }

    /// Sets the entry of the mapping.
    ///
    /// # Safety
    ///
    /// The entry must have been looked up in the section of [`CpuArea::rcu`].
    #[inline]
    pub unsafe fn set_entry(&self, entry: &AtomicU64) {
        // SAFETY: By the type invariants the area is ours.
        // INVARIANT: The entry was found under RCU, by the caller's promise.
        unsafe { (*self.0.as_ptr()).entry = core::ptr::from_ref(entry).cast() };
    }

    /// Leaves the mapping, for [`CpuArea::resume`].
    #[inline]
    pub fn keep(self) {
        core::mem::forget(self);
    }

    /// Takes back the mapping of `handle` that was kept on this CPU; `None` if there is none.
    ///
    /// # Safety
    ///
    /// The area must have been kept.
    #[inline]
    pub unsafe fn resume(handle: u64) -> Option<Self> {
        // SAFETY: Only reads this CPU's area.
        let area = unsafe { bindings::zs_helper_cpu_area_resume(handle) };
        // INVARIANT: The area is in use, and by the caller's promise nobody else has it.
        NonNull::new(area).map(|area| Self(area, PhantomData))
    }

    /// The entry given to [`CpuArea::set_entry`].
    #[inline]
    pub fn entry(&self) -> Option<&AtomicU64> {
        // SAFETY: By the type invariants the entry is null or still valid.
        unsafe { (*self.0.as_ptr()).entry.cast::<AtomicU64>().as_ref() }
    }

    /// The mode given to [`CpuArea::enter`].
    pub fn mode(&self) -> u8 {
        // SAFETY: By the type invariants.
        unsafe { ((*self.0.as_ptr()).flags & bindings::ZS_AREA_MODE) as u8 }
    }

    /// Whether the buffer is used.
    #[inline]
    pub fn is_bounced(&self) -> bool {
        // SAFETY: By the type invariants.
        unsafe { (*self.0.as_ptr()).flags & bindings::ZS_AREA_BOUNCED != 0 }
    }

    /// The CPU's buffer, of a page.
    pub fn buffer(&self) -> NonNull<u8> {
        // SAFETY: By the type invariants; every CPU that runs has a buffer.
        unsafe { NonNull::new_unchecked((*self.0.as_ptr()).buffer.cast()) }
    }

    /// Uses the buffer for this mapping.
    pub fn bounce(&mut self) -> NonNull<u8> {
        // SAFETY: By the type invariants.
        unsafe { (*self.0.as_ptr()).flags |= bindings::ZS_AREA_BOUNCED };
        self.buffer()
    }

    /// Maps a page. Returns the address of the byte at `offset`.
    ///
    /// # Safety
    ///
    /// The page must be ours, and stay until the area is dropped; `offset` must be inside it.
    #[inline]
    pub unsafe fn map_page(&mut self, page: ZsPage, offset: usize) -> NonNull<u8> {
        // SAFETY: The caller's promise; a mapped page is not at address zero.
        unsafe {
            NonNull::new_unchecked(
                bindings::zs_helper_cpu_area_map(self.0.as_ptr(), page.as_ptr(), offset).cast(),
            )
        }
    }

    /// Maps a page and the next of its chain, if they are neighbours in memory that is always
    /// mapped. Returns the address of the byte at `offset`.
    ///
    /// # Safety
    ///
    /// As for [`CpuArea::map_page`], for both pages.
    pub unsafe fn map_neighbours(&mut self, page: ZsPage, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: The caller's promise.
        NonNull::new(unsafe { bindings::zs_helper_page_neighbours(page.as_ptr(), offset) }.cast())
    }
}

impl Drop for CpuArea {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants the area is ours.
        unsafe { bindings::zs_helper_cpu_area_exit(self.0.as_ptr()) };
    }
}
