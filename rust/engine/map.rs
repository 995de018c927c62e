// SPDX-License-Identifier: GPL-2.0

//! Mapping of objects.
//!
//! An object on one page is mapped in place, and so is one on two pages that are physically
//! contiguous. Other objects are copied to a per-CPU buffer, and back.

use core::ptr::NonNull;

use super::events::BadHandle;
use super::geometry::HANDLE_SIZE;
use super::handle_entry::{HandleEntry, ObjLocation};
use super::handle_table::Handle;
use super::pool::Pool;
use super::zspage::Zspage;
use crate::sys::cpu_area::CpuArea;
use crate::sys::page::{ZsPage, PAGE_SIZE};
use crate::sys::sched::NoPreemption;

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

// The location of the bytes of a locked object, without its handle.
struct Bytes {
    page: ZsPage,
    offset: usize,
    len: usize,
}

impl Bytes {
    /// Returns the bytes of the object at `location`.
    ///
    /// # Safety
    ///
    /// The caller must have locked the entry that `location` came from.
    unsafe fn find(location: ObjLocation) -> Option<Self> {
        // SAFETY: By the type invariant of `HandleEntry` this is the location of an object. Its
        // entry is locked (safety requirement), so its page and its zspage stay.
        let (page, shape) = unsafe {
            let page = ZsPage::from_pfn(location.pfn());
            (page, Zspage::of(page)?.class().shape())
        };
        if location.is_huge() {
            return Some(Self {
                page,
                offset: 0,
                len: PAGE_SIZE,
            });
        }
        Some(Self {
            page,
            offset: location.offset(),
            len: (shape.size as usize).saturating_sub(HANDLE_SIZE),
        })
    }

    fn in_one_page(&self) -> bool {
        self.offset.wrapping_add(self.len) <= PAGE_SIZE
    }

    /// Copies between the object and `buffer`, in either direction.
    ///
    /// # Safety
    ///
    /// The caller must have locked the entry of the object, which must span pages. `buffer` must be
    /// valid for `len` bytes.
    unsafe fn copy(&self, buffer: NonNull<u8>, to_object: bool) {
        let first = PAGE_SIZE.saturating_sub(self.offset);
        // SAFETY: The entry is locked (safety requirement), so both pages and the link
        // between them stay. The parts are inside the pages and inside the buffer.
        unsafe {
            let Some(next) = self.page.next() else { return };
            let parts = [
                (self.page, self.offset, 0, first),
                (next, 0, first, self.len.saturating_sub(first)),
            ];
            for (page, offset, start, len) in parts {
                let buffer = NonNull::new_unchecked(buffer.as_ptr().add(start));
                if to_object {
                    page.write_bytes(offset, buffer, len);
                } else {
                    page.read_bytes(offset, buffer, len);
                }
            }
        }
    }
}

fn map_waiting(handle: Handle) -> Result<NonNull<u8>, BadHandle> {
    // SAFETY: `map_raw` kept the area before it called this.
    let area = unsafe { CpuArea::resume(handle.into_raw() as u64) };
    let mut area = area.ok_or(BadHandle::NotMapped)?;
    let location = entry_of(&area)
        .ok_or(BadHandle::NotMapped)?
        .lock(handle.generation())?;
    let bytes = map_locked(&mut area, location);
    if bytes.is_some() {
        area.keep();
    } else if let Some(entry) = entry_of(&area) {
        entry.unlock();
    }
    bytes.ok_or(BadHandle::Mismatch)
}

// Returns the entry of the mapped object.
#[inline(always)]
fn entry_of(area: &CpuArea) -> Option<HandleEntry<'_>> {
    area.entry().map(HandleEntry::new)
}

fn map_locked(area: &mut CpuArea, location: ObjLocation) -> Option<NonNull<u8>> {
    // SAFETY: Both callers have locked the entry that `location` came from, so the pages of the
    // object stay. The buffer is a page, and `len` is less.
    unsafe {
        let found = Bytes::find(location)?;
        if found.in_one_page() {
            return Some(area.map_page(found.page, found.offset));
        }
        if let Some(bytes) = area.map_neighbours(found.page, found.offset) {
            return Some(bytes);
        }
        let buffer = area.bounce();
        if MapMode::from_number(area.mode()) != MapMode::WriteOnly {
            found.copy(buffer, false);
        }
        Some(buffer)
    }
}

/// The bytes of an object, mapped on this CPU.
///
/// Its task cannot sleep. The object cannot be moved, freed or mapped again.
#[must_use = "the object is unmapped when this is dropped"]
pub struct Mapping<'a> {
    pool: &'a Pool,
    handle: Handle,
    mode: MapMode,
    bytes: NonNull<u8>,
    len: usize,
}

impl Pool {
    /// Maps an object on this CPU. Warns and returns `None` if the handle is bad, or if this CPU
    /// has an object mapped already.
    ///
    /// Spins while the object is mapped elsewhere, being moved or freed. Takes only the entry lock.
    ///
    /// Context: any but an interrupt. Preemption and page faults are off while it is mapped.
    pub fn map(&self, handle: Handle, mode: MapMode) -> Option<Mapping<'_>> {
        let bytes = self.map_raw(handle, mode)?;
        let len = self.mapped_len(handle);
        Some(Mapping {
            pool: self,
            handle,
            mode,
            bytes,
            len,
        })
    }

    /// Maps an object for C: see [`Pool::unmap_raw`]. [`Mapping::len`] bytes are mapped.
    #[inline(always)]
    pub fn map_raw(&self, handle: Handle, mode: MapMode) -> Option<NonNull<u8>> {
        // The fast path: an object on one page that is not locked. It needs no stack frame.
        // `map_other` handles all other cases.
        let Some(mut area) = CpuArea::enter(handle.into_raw() as u64, mode.number()) else {
            return self.map_other(handle, Some(BadHandle::Nested));
        };
        let Some(entry) = self.table().entries(area.rcu()).entry(handle) else {
            drop(area);
            return self.map_other(handle, Some(BadHandle::NotAllocated));
        };
        // SAFETY: The entry was looked up in the read-side section of `area.rcu()`.
        unsafe { area.set_entry(entry.memory()) };
        let Ok(location) = entry.try_lock_plain(handle.generation()) else {
            area.keep();
            return self.map_other(handle, None);
        };
        // SAFETY: By the type invariant of `HandleEntry` this is the location of an object. Its
        // entry is locked, so its page stays. `try_lock_plain` refuses objects that span pages.
        let bytes = unsafe { area.map_page(ZsPage::from_pfn(location.pfn()), location.offset()) };
        area.keep();
        Some(bytes)
    }

    // Reports why the object was not mapped, or without a reason maps it in the area that was kept.
    #[cold]
    #[inline(never)]
    fn map_other(&self, handle: Handle, why: Option<BadHandle>) -> Option<NonNull<u8>> {
        why.map_or_else(|| map_waiting(handle), Err)
            .inspect_err(|&why| self.report(handle, why))
            .ok()
    }

    fn mapped_len(&self, handle: Handle) -> usize {
        let no_preemption = NoPreemption::new();
        let entry = self.table().entries(no_preemption.rcu()).entry(handle);
        let location = entry.map(HandleEntry::held_location);
        // SAFETY: The object is mapped, so its entry is locked.
        let found = location.and_then(|location| unsafe { Bytes::find(location) });
        found.map_or(0, |found| found.len)
    }

    /// Unmaps an object that [`Pool::map_raw`] mapped. Warns if it is not mapped on this CPU.
    ///
    /// # Safety
    ///
    /// The mapped bytes must not be used any more, and must not belong to a [`Mapping`]. The pool
    /// that they belong to must still exist.
    #[inline(always)]
    pub unsafe fn unmap_raw(&self, handle: Handle) {
        // SAFETY: `map_raw` keeps the area on success.
        match unsafe { CpuArea::resume(handle.into_raw() as u64) } {
            Some(area) if !area.is_bounced() => {
                if let Some(entry) = entry_of(&area) {
                    entry.unlock();
                }
            }
            Some(area) => {
                area.keep();
                self.unmap_bounced(handle);
            }
            None => self.report(handle, BadHandle::NotMapped),
        }
    }

    #[inline(never)]
    fn unmap_bounced(&self, handle: Handle) {
        // SAFETY: `unmap_raw` kept the area before it called this.
        let Some(area) = (unsafe { CpuArea::resume(handle.into_raw() as u64) }) else {
            return;
        };
        let Some(entry) = entry_of(&area) else {
            return;
        };
        // Another pool may have an equal handle.
        let ours = self.table().entries(area.rcu()).entry(handle);
        if !ours.is_some_and(|ours| core::ptr::eq(ours.memory(), entry.memory())) {
            area.keep();
            self.report(handle, BadHandle::NotMapped);
            return;
        }
        if MapMode::from_number(area.mode()) != MapMode::ReadOnly {
            // SAFETY: The object is mapped, so its entry is locked. It is bounced, so it spans
            // pages. The buffer is a page, and `len` is less.
            unsafe {
                if let Some(found) = Bytes::find(entry.held_location()) {
                    found.copy(area.buffer(), true);
                }
            }
        }
        entry.unlock();
    }
}

impl Mapping<'_> {
    /// Returns the number of bytes: at least the size of the request, and a multiple of four.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes. Always false.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes for reading. Their contents are unspecified in a write-only mapping.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: The bytes are mapped until `self` is dropped, and nobody else has them mapped.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// Returns the bytes for writing, or `None` if the mapping is read-only.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if self.mode == MapMode::ReadOnly {
            return None;
        }
        // SAFETY: The bytes are mapped until `self` is dropped, nobody else has them mapped, and
        // `self` is borrowed mutably.
        Some(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) })
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        // SAFETY: All references to the bytes borrow `self`, so none is left.
        unsafe { self.pool.unmap_raw(self.handle) };
    }
}
