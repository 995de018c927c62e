// SPDX-License-Identifier: GPL-2.0

//! Mapping: the bytes of an object, for as long as a guard lives.
//!
//! An object inside a page is lent where it is; so is one that spans two pages that happen to be
//! neighbours in memory. Any other is copied to a buffer of this CPU, and back.

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

/// What a mapping is for. The numbers are those of `enum zs_mapmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapMode(u8);

#[allow(non_upper_case_globals)]
impl MapMode {
    /// Read, then perhaps change.
    pub const ReadWrite: MapMode = MapMode(0);
    /// Read only.
    pub const ReadOnly: MapMode = MapMode(1);
    /// Write everything; what was there before may be lost.
    pub const WriteOnly: MapMode = MapMode(2);

    /// The number that stands for the mode.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The mode of this number. One that is none reads and writes, the safest.
    pub const fn from_number(number: u8) -> Self {
        MapMode(number)
    }
}

// Where the bytes of an object are that is locked: in front of its handle.
struct Bytes {
    page: ZsPage,
    offset: usize,
    len: usize,
}

impl Bytes {
    /// Finds the bytes of the object at `location`.
    ///
    /// # Safety
    ///
    /// The location must be that of an entry that the caller has locked.
    unsafe fn find(location: ObjLocation) -> Option<Self> {
        // SAFETY: By the invariant of entries a zspage's page is there, and it stays.
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

    /// Copies between the object and `buffer`, page by page.
    ///
    /// # Safety
    ///
    /// The caller must have the object locked, and `buffer` room for it.
    unsafe fn copy(&self, buffer: NonNull<u8>, to_object: bool) {
        let first = PAGE_SIZE.saturating_sub(self.offset);
        // SAFETY: The object is locked, so its pages stay; it has two, as it does not fit in one.
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
    // SAFETY: `map_raw` kept the area.
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

// The entry of the object that is mapped.
#[inline(always)]
fn entry_of(area: &CpuArea) -> Option<HandleEntry<'_>> {
    area.entry().map(HandleEntry::new)
}

fn map_locked(area: &mut CpuArea, location: ObjLocation) -> Option<NonNull<u8>> {
    // SAFETY: The object is locked, so its pages stay; the buffer is a page.
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

/// The bytes of an object, on this CPU.
///
/// While it lives the CPU cannot sleep or be preempted, the object cannot move, and nobody else
/// can have it mapped.
#[must_use = "the object is unmapped when this is dropped"]
pub struct Mapping<'a> {
    pool: &'a Pool,
    handle: Handle,
    mode: MapMode,
    bytes: NonNull<u8>,
    len: usize,
}

impl Pool {
    /// Maps an object on this CPU. A handle that is not one of a live object is reported with a
    /// kernel warning and refused; so is a second mapping on one CPU.
    ///
    /// Waits, spinning, for whoever has that object mapped, moves it or frees it; for nobody else.
    ///
    /// Context: any but an interrupt. Preemption and page faults are off until the guard goes.
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

    /// The same for C, which ends it with [`Pool::unmap_raw`]. The bytes are as many as
    /// [`Mapping::len`] says.
    #[inline(always)]
    pub fn map_raw(&self, handle: Handle, mode: MapMode) -> Option<NonNull<u8>> {
        // An object that nobody has mapped and that is in one page: that is short enough to need no
        // stack. All else is left to `map_other`.
        let Some(mut area) = CpuArea::enter(handle.into_raw() as u64, mode.number()) else {
            return self.map_other(handle, Some(BadHandle::Nested));
        };
        let Some(entry) = self.table().entries(area.rcu()).entry(handle) else {
            drop(area);
            return self.map_other(handle, Some(BadHandle::NotAllocated));
        };
        // SAFETY: The entry was just looked up in the mapping's own read-side section.
        unsafe { area.set_entry(entry.memory()) };
        let Ok(location) = entry.try_lock_plain(handle.generation()) else {
            area.keep();
            return self.map_other(handle, None);
        };
        // SAFETY: By the invariant of entries this is where the object is. It is locked, so its page
        // stays, and it is inside it.
        let bytes = unsafe { area.map_page(ZsPage::from_pfn(location.pfn()), location.offset()) };
        area.keep();
        Some(bytes)
    }

    // Says why an object was not mapped; or maps it, whatever it is, on the area that was kept.
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

    /// Ends a mapping of `handle` that was left to C on this CPU. If this CPU has none, that is
    /// reported and nothing is done.
    ///
    /// # Safety
    ///
    /// The bytes that were mapped must not be used any more, and no [`Mapping`] have them. The pool
    /// that they were mapped of must still exist.
    #[inline(always)]
    pub unsafe fn unmap_raw(&self, handle: Handle) {
        // SAFETY: Mapping kept the area.
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
        // SAFETY: `unmap_raw` kept the area.
        let Some(area) = (unsafe { CpuArea::resume(handle.into_raw() as u64) }) else {
            return;
        };
        let Some(entry) = entry_of(&area) else {
            return;
        };
        // Handles of two pools may be the same number.
        let ours = self.table().entries(area.rcu()).entry(handle);
        if !ours.is_some_and(|ours| core::ptr::eq(ours.memory(), entry.memory())) {
            area.keep();
            self.report(handle, BadHandle::NotMapped);
            return;
        }
        if MapMode::from_number(area.mode()) != MapMode::ReadOnly {
            // SAFETY: The object is locked, and the buffer is a page.
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
    /// How many bytes there are: a multiple of four, and at least as many as were asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none. There always are.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, to read. In a mapping that is to write everything they are anything.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: The bytes are mapped, and this is the only mapping.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// The bytes, to write; `None` if the mapping is read-only.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if self.mode == MapMode::ReadOnly {
            return None;
        }
        // SAFETY: The bytes are mapped, and this is the only mapping.
        Some(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) })
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        // SAFETY: Nobody can borrow the bytes any more.
        unsafe { self.pool.unmap_raw(self.handle) };
    }
}
