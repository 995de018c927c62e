// SPDX-License-Identifier: GPL-2.0

//! Mapping: the bytes of an object, for as long as a guard lives.
//!
//! An object inside a page is lent where it is; so is one that spans two pages that happen to be
//! neighbours in memory. Any other is copied to a buffer of this CPU, and back.

use core::ptr::NonNull;

use super::events::BadHandle;
use super::geometry::HANDLE_SIZE;
use super::handle_table::Handle;
use super::pool::Pool;
use super::word::{ObjWord, Place};
use crate::sys::cpu_area::CpuArea;
use crate::sys::page::{read_u64_at, ZsPage, PAGE_SIZE};

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

// Where the bytes of an object are that is locked: behind its head.
struct Bytes {
    page: ZsPage,
    offset: usize,
    len: usize,
}

impl Bytes {
    /// Finds the bytes of the object at `place`.
    ///
    /// # Safety
    ///
    /// The place must be that of a word that the caller has locked.
    unsafe fn find(pool: &Pool, place: Place) -> Option<Self> {
        let shape = pool.class(place.class())?.shape();
        // SAFETY: The caller's promise.
        let page = unsafe { ZsPage::from_pfn(place.pfn()) };
        if place.is_huge() {
            return Some(Self {
                page,
                offset: 0,
                len: PAGE_SIZE,
            });
        }
        let len = (shape.size as usize).saturating_sub(HANDLE_SIZE);
        let offset = place.offset().wrapping_add(HANDLE_SIZE);
        if offset < PAGE_SIZE {
            return Some(Self { page, offset, len });
        }
        // Objects begin at multiples of eight, so just the head may be on the first page.
        Some(Self {
            // SAFETY: The object is locked, so its pages stay.
            page: unsafe { page.next() }?,
            offset: 0,
            len,
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

// Why an object was not mapped at once.
#[derive(Clone, Copy)]
enum Obstacle {
    // The table has no such word.
    NoWord,
    // The CPU has a mapping already.
    AreaInUse,
    // The area is taken; the word is free, or locked by somebody else.
    NotLocked,
    // The area is taken and the word is locked; the object spans pages, is huge, or is another's.
    NotPlain,
}

impl Pool {
    /// Maps an object on this CPU. A handle that is not one of a live object is reported with a
    /// kernel warning and refused; so is a second mapping on one CPU.
    ///
    /// Waits, spinning, for whoever has that object mapped or moves it, and for nobody else.
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
        match self.map_plain(handle, mode) {
            Ok(bytes) => Some(bytes),
            Err(obstacle) => self.map_other(handle, obstacle),
        }
    }

    // Maps an object that nobody has mapped and that is in one page: that is short enough to need
    // no stack. Whatever else there is to do is left to `map_other`, on the area as it is.
    #[inline(always)]
    fn map_plain(&self, handle: Handle, mode: MapMode) -> Result<NonNull<u8>, Obstacle> {
        let word = self.table().word(handle).ok_or(Obstacle::NoWord)?;
        let mut area = CpuArea::enter(handle.in_object(), word.memory(), mode.number())
            .ok_or(Obstacle::AreaInUse)?;
        let obstacle = match word.try_lock() {
            Ok(place) if place.is_plain() => {
                // SAFETY: By the invariant of words this is where the object is. It is locked, so
                // its page stays, and it is inside it.
                let (head, bytes) = unsafe {
                    let object = area.map_page(ZsPage::from_pfn(place.pfn()), place.offset());
                    let bytes = NonNull::new_unchecked(object.as_ptr().add(HANDLE_SIZE));
                    (object.as_ptr().cast::<u64>().read(), bytes)
                };
                if head == handle.in_object() {
                    area.keep();
                    return Ok(bytes);
                }
                Obstacle::NotPlain
            }
            Ok(_) => Obstacle::NotPlain,
            Err(_) => Obstacle::NotLocked,
        };
        area.keep();
        Err(obstacle)
    }

    #[cold]
    #[inline(never)]
    fn map_other(&self, handle: Handle, obstacle: Obstacle) -> Option<NonNull<u8>> {
        self.try_map_other(handle, obstacle)
            .inspect_err(|&why| self.report(handle, why))
            .ok()
    }

    fn try_map_other(&self, handle: Handle, obstacle: Obstacle) -> Result<NonNull<u8>, BadHandle> {
        match obstacle {
            Obstacle::NoWord => return Err(BadHandle::NotAllocated),
            Obstacle::AreaInUse => return Err(BadHandle::Nested),
            Obstacle::NotLocked | Obstacle::NotPlain => {}
        }
        // SAFETY: `map_plain` kept the area.
        let area = unsafe { CpuArea::resume(handle.in_object()) };
        let mut area = area.ok_or(BadHandle::NotMapped)?;
        let word = ObjWord::new(area.word());
        let place = match obstacle {
            Obstacle::NotLocked => word.lock()?,
            _ => word.held_place(),
        };
        let Some(bytes) = self.map_locked(&mut area, handle, place) else {
            word.unlock(place);
            return Err(BadHandle::Mismatch);
        };
        area.keep();
        Ok(bytes)
    }

    fn map_locked(
        &self,
        area: &mut CpuArea<'_>,
        handle: Handle,
        place: Place,
    ) -> Option<NonNull<u8>> {
        // SAFETY: The object is locked, so its pages stay; the head is in its first page.
        let (head, found) = unsafe {
            let page = ZsPage::from_pfn(place.pfn());
            let head = if place.is_huge() {
                page.huge_head()
            } else {
                read_u64_at(place.address())
            };
            (head, Bytes::find(self, place)?)
        };
        if head != handle.in_object() {
            return None;
        }
        // SAFETY: As above, and the buffer is a page.
        unsafe {
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

    fn mapped_len(&self, handle: Handle) -> usize {
        let place = self.table().word(handle).map(ObjWord::held_place);
        // SAFETY: The object is mapped, so its word is locked.
        let found = place.and_then(|place| unsafe { Bytes::find(self, place) });
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
        match unsafe { CpuArea::resume(handle.in_object()) } {
            Some(area) if !area.is_bounced() => {
                ObjWord::new(area.word()).unlock_in_place();
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
        let Some(area) = (unsafe { CpuArea::resume(handle.in_object()) }) else {
            return;
        };
        let word = ObjWord::new(area.word());
        // Handles of two pools may be the same number.
        let ours = self.table().word(handle).map(ObjWord::memory);
        if !ours.is_some_and(|ours| core::ptr::eq(ours, area.word())) {
            area.keep();
            self.report(handle, BadHandle::NotMapped);
            return;
        }
        if MapMode::from_number(area.mode()) != MapMode::ReadOnly {
            // SAFETY: The object is locked, the buffer is a page, and the object is one of ours, so
            // what our classes say of its size is true.
            unsafe {
                if let Some(found) = Bytes::find(self, word.held_place()) {
                    found.copy(area.buffer(), true);
                }
            }
        }
        word.unlock_in_place();
    }
}

impl Mapping<'_> {
    /// How many bytes there are: a multiple of eight, and at least as many as were asked for.
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
