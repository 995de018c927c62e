// SPDX-License-Identifier: GPL-2.0

//! Mapping of objects.
//!
//! An object on one page is mapped in place, and so is one on two pages that are physically
//! contiguous. Other objects are copied to a per-CPU buffer, and back.
//!
//! A mapping is a reader of the object that does not sleep: see [`super::access`].

use core::ptr::NonNull;

use super::access::Span;
use super::events::BadHandle;
use super::handle_entry::{HandleEntry, Refused};
use super::handle_table::Handle;
use super::locked_entry::ReadEntry;
use super::pool::Pool;
use crate::sys::atomic::spin_loop;
use crate::sys::cpu_area::CpuArea;

/// The access mode of a mapping. Numbered as in `enum zs_mapmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapMode(u8);

#[allow(non_upper_case_globals)]
impl MapMode {
    /// Read and write.
    pub const ReadWrite: MapMode = MapMode(0);
    /// Read only.
    pub const ReadOnly: MapMode = MapMode(1);
    /// Write only. The old contents may be lost.
    pub const WriteOnly: MapMode = MapMode(2);

    /// Returns the number of the mode.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Converts from a number. An unknown one reads and writes, the safe choice.
    pub const fn from_number(number: u8) -> Self {
        MapMode(number)
    }
}

// Maps a locked object in place, or copies it to the buffer of this CPU.
fn map_locked(area: &CpuArea, locked: &ReadEntry<'_>) -> Option<NonNull<u8>> {
    let span = Span::whole(locked)?;
    if span.rest == 0 {
        return Some(area.map_page(span.page, span.offset));
    }
    if let Some(bytes) = area.map_neighbours(span.page, span.offset) {
        return Some(bytes);
    }
    let bytes = area.bounce();
    if MapMode::from_number(area.mode()) != MapMode::WriteOnly {
        area.copy_in(0, span.page, span.offset, span.first);
        area.copy_in(span.first, locked.next_page()?, 0, span.rest);
    }
    Some(bytes)
}

// Copies the buffer of this CPU back to a locked object, which spans two pages.
fn copy_back(area: &CpuArea, locked: &ReadEntry<'_>) -> Option<()> {
    let span = Span::whole(locked)?;
    area.copy_out(0, span.page, span.offset, span.first);
    area.copy_out(span.first, locked.next_page()?, 0, span.rest);
    Some(())
}

// Waits for the entry of `handle`, and maps the object.
fn map_waiting(area: CpuArea, handle: Handle) -> Result<NonNull<u8>, BadHandle> {
    let entry = HandleEntry::new(area.entry().ok_or(BadHandle::NotMapped)?);
    let locked = loop {
        match ReadEntry::lock(entry, handle.generation()) {
            // Kernels with `zs_map_object()` have no readers that sleep: the others are mappings.
            Err(Refused::Full) => spin_loop(),
            result => break result?,
        }
    };
    let Some(bytes) = map_locked(&area, &locked) else {
        locked.unlock();
        return Err(BadHandle::Mismatch);
    };
    area.keep();
    Ok(bytes)
}

impl Pool {
    /// Maps an object on this CPU. Warns and returns `None` if the handle is bad, or if this CPU
    /// has an object mapped already.
    ///
    /// The bytes are at least as many as were requested, and a multiple of four. They may be used
    /// as `mode` says until [`Pool::unmap_object`] is called on this CPU for the handle.
    ///
    /// Spins while the object is being moved or freed, or has [`MAX_READERS`]. Takes only the entry
    /// lock.
    ///
    /// [`MAX_READERS`]: super::handle_entry::MAX_READERS
    ///
    /// Context: any but an interrupt. Preemption and page faults are off while it is mapped.
    #[inline]
    pub fn map_object(&self, handle: Handle, mode: MapMode) -> Option<NonNull<u8>> {
        // The fast path: an object on one page that is not locked. It needs no stack frame.
        // `map_other` handles all other cases.
        let Some(area) = CpuArea::enter(handle.into_raw() as u64, mode.number()) else {
            return self.map_other(handle, None, BadHandle::Nested);
        };
        // SAFETY: The table exists as long as the pool, which must exist until the object is
        // unmapped (safety requirement of `unmap_object`).
        let found = unsafe {
            area.set_entry(self.table(), |table, rcu| {
                Some(table.entries(rcu).entry(handle)?.memory())
            })
        };
        if !found {
            drop(area);
            return self.map_other(handle, None, BadHandle::NotAllocated);
        }
        let entry = area.entry().map(HandleEntry::new);
        let locked = entry.map(|entry| ReadEntry::try_lock_plain(entry, handle.generation()));
        let Some(Ok(locked)) = locked else {
            return self.map_other(handle, Some(area), BadHandle::NotMapped);
        };
        let bytes = area.map_page(locked.page(), locked.location().offset());
        area.keep();
        Some(bytes)
    }

    // Maps an object that needs more than the fast path does, or without `area` reports `why` it
    // was not mapped. Two arguments, so that they are in registers.
    #[cold]
    #[inline(never)]
    fn map_other(
        &self,
        handle: Handle,
        area: Option<CpuArea>,
        why: BadHandle,
    ) -> Option<NonNull<u8>> {
        area.ok_or(why)
            .and_then(|area| map_waiting(area, handle))
            .inspect_err(|&why| self.report(handle, "zs_map_object", why))
            .ok()
    }

    /// Unmaps an object that [`Pool::map_object`] mapped. Warns if it is not mapped on this CPU.
    ///
    /// # Safety
    ///
    /// The mapped bytes must not be used any more. The pool that they belong to must still exist.
    #[inline]
    pub unsafe fn unmap_object(&self, handle: Handle) {
        // SAFETY: `map_object` keeps the area if it succeeds, and drops it otherwise.
        match unsafe { CpuArea::resume(handle.into_raw() as u64) } {
            Some(area) if !area.is_bounced() => {
                let entry = area.entry().map(HandleEntry::new);
                // The mapping is a reader. It is refused only if somebody else has ended it.
                if !entry.is_some_and(HandleEntry::read_unlock_held) {
                    self.report(handle, "zs_unmap_object", BadHandle::NotMapped);
                }
            }
            Some(area) => self.unmap_bounced(area, handle),
            None => self.report(handle, "zs_unmap_object", BadHandle::NotMapped),
        }
    }

    #[inline(never)]
    fn unmap_bounced(&self, area: CpuArea, handle: Handle) {
        let Some(entry) = area.entry() else {
            return;
        };
        // Another pool may have an equal handle.
        let ours = self.table().entries(area.rcu()).entry(handle);
        if !ours.is_some_and(|ours| core::ptr::eq(ours.memory(), entry)) {
            area.keep();
            self.report(handle, "zs_unmap_object", BadHandle::NotMapped);
            return;
        }
        // SAFETY: `map_object` kept the `ReadEntry` of this entry when it kept the area.
        let locked = unsafe { ReadEntry::resume(HandleEntry::new(entry)) };
        if MapMode::from_number(area.mode()) != MapMode::ReadOnly {
            // The pages of a locked object are there, so this does not fail.
            let _ = copy_back(&area, &locked);
        }
        locked.unlock();
    }
}
