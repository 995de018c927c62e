// SPDX-License-Identifier: GPL-2.0

//! Mapping: the bytes of an object, for as long as a guard lives.
//!
//! An object inside a page is lent where it is; so is one that spans two pages that happen to be
//! neighbours in memory. Any other is copied to a buffer of this CPU, and back.

use core::ptr::NonNull;

use super::class::SizeClass;
use super::geometry::HANDLE_SIZE;
use super::handle_table::Handle;
use super::pool::{BadHandle, Pool};
use super::word::{ObjWord, Place};
use crate::sys::cpu_area::CpuArea;
use crate::sys::page::{ZsPage, PAGE_SIZE};

/// What a mapping is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapMode {
    /// Read, then perhaps change.
    ReadWrite,
    /// Read only. Any number of these may exist for one object.
    ReadOnly,
    /// Write everything; what was there before may be lost.
    WriteOnly,
}

impl MapMode {
    /// The number that stands for the mode in `enum zs_mapmode`.
    pub const fn number(self) -> u8 {
        match self {
            MapMode::ReadWrite => 0,
            MapMode::ReadOnly => 1,
            MapMode::WriteOnly => 2,
        }
    }

    /// The mode of this number; what is not one reads and writes, the safest.
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => MapMode::ReadOnly,
            2 => MapMode::WriteOnly,
            _ => MapMode::ReadWrite,
        }
    }
}

/// The bytes of an object, on this CPU.
///
/// While it lives the CPU cannot sleep or be preempted, the object cannot move, and nobody else
/// can write it (or, for a mapping that may write, have it mapped at all).
#[must_use = "the object is unmapped when this is dropped"]
pub struct Mapping<'a> {
    pool: &'a Pool,
    word: ObjWord<'a>,
    mode: MapMode,
    bytes: NonNull<u8>,
    len: usize,
    area: CpuArea,
}

// Where an object's bytes are.
struct Bytes<'a> {
    class: &'a SizeClass,
    page: ZsPage,
    // Of the bytes behind the in-object handle.
    offset: usize,
    len: usize,
}

impl<'a> Bytes<'a> {
    fn find(pool: &'a Pool, place: Place) -> Option<Self> {
        let class = pool.class(place.class())?;
        let shape = class.shape();
        let head = if shape.is_huge() { 0 } else { HANDLE_SIZE };
        Some(Self {
            class,
            // SAFETY: The place is that of a live word.
            page: unsafe { ZsPage::from_pfn(place.pfn()) },
            // Objects are multiples of eight bytes, so the head never spans pages, but the bytes
            // may begin right at the end of the page: then they are all in the next.
            offset: (class.offset(place.index()) & (PAGE_SIZE - 1)).wrapping_add(head),
            len: (shape.size as usize).saturating_sub(head),
        })
    }

    // The handle at the head, for an object that is pinned.
    fn head(&self) -> u64 {
        // SAFETY: The object is pinned, so the page stays; the head is in front of the bytes.
        unsafe {
            if self.class.shape().is_huge() {
                self.page.huge_head()
            } else {
                self.page.read_u64(self.offset.wrapping_sub(HANDLE_SIZE))
            }
        }
    }

    fn in_one_page(&self) -> bool {
        self.offset.wrapping_add(self.len) <= PAGE_SIZE
    }

    // Copies between the object and `buffer`, page by page.
    //
    // SAFETY: The caller has the object pinned, or locked to copy into it, and `buffer` has
    // room for it.
    unsafe fn copy(&self, buffer: NonNull<u8>, to_object: bool) {
        let first = PAGE_SIZE.saturating_sub(self.offset);
        // SAFETY: The object is pinned, so its pages stay; it has two, as it does not fit in one.
        unsafe {
            let Some(next) = self.page.next() else { return };
            let parts = [
                (self.page, self.offset, 0, first),
                (next, 0, first, self.len.saturating_sub(first)),
            ];
            for (page, offset, start, len) in parts {
                let buffer = buffer.add(start);
                if to_object {
                    page.write_bytes(offset, buffer, len);
                } else {
                    page.read_bytes(offset, buffer, len);
                }
            }
        }
    }
}

impl Pool {
    /// Maps an object on this CPU. A handle that is not one of a live object is reported with a
    /// kernel warning and refused; so is a second mapping on one CPU.
    ///
    /// Waits, spinning, for whoever writes or moves that object, and for nobody else.
    ///
    /// Context: any but an interrupt. Preemption and page faults are off until the guard goes.
    pub fn map(&self, handle: Handle, mode: MapMode) -> Result<Mapping<'_>, BadHandle> {
        self.try_map(handle, mode)
            .inspect_err(|&why| self.report(handle, why))
    }

    #[inline]
    fn try_map(&self, handle: Handle, mode: MapMode) -> Result<Mapping<'_>, BadHandle> {
        let word = self.table().word(handle).ok_or(BadHandle::NotAllocated)?;
        let mut area = CpuArea::enter(mode.number(), word.address()).ok_or(BadHandle::Nested)?;
        let place = match mode {
            MapMode::ReadOnly => word.pin()?,
            MapMode::ReadWrite | MapMode::WriteOnly => word.lock()?,
        };
        let found = Bytes::find(self, place).filter(|bytes| bytes.head() == handle.in_object());
        let Some(found) = found else {
            let_go(word, mode, place);
            return Err(BadHandle::Mismatch);
        };
        let bytes = if found.in_one_page() {
            // SAFETY: The object is pinned, so its page stays.
            unsafe { area.map_page(found.page, found.offset) }
        // SAFETY: As above; an object that does not fit in its page has a next one.
        } else if let Some(bytes) = unsafe { area.map_neighbours(found.page, found.offset) } {
            bytes
        } else {
            let buffer = area.bounce();
            if mode != MapMode::WriteOnly {
                // SAFETY: The object is pinned, the buffer is a page.
                unsafe { found.copy(buffer, false) };
            }
            buffer
        };
        Ok(Mapping {
            pool: self,
            word,
            mode,
            bytes,
            len: found.len,
            area,
        })
    }

    /// Ends a mapping of `handle` that was left to C on this CPU. If this CPU has none, that is
    /// reported and nothing is done.
    ///
    /// # Safety
    ///
    /// The bytes that were mapped must not be used any more.
    pub unsafe fn unmap(&self, handle: Handle) {
        let resumed = self.table().word(handle).and_then(|word| {
            // SAFETY: A mapping is left to C by `into_raw`, which forgets the area.
            Some((word, unsafe { CpuArea::resume(word.address()) }?))
        });
        let Some((word, area)) = resumed else {
            self.report(handle, BadHandle::NotMapped);
            return;
        };
        drop(Mapping {
            pool: self,
            word,
            mode: MapMode::from_number(area.mode()),
            bytes: area.buffer(),
            len: 0,
            area,
        });
    }
}

// Ends a pin or a lock.
#[inline]
fn let_go(word: ObjWord<'_>, mode: MapMode, place: Place) -> bool {
    if mode == MapMode::ReadOnly {
        word.unpin()
    } else {
        word.unlock(place);
        true
    }
}

impl Mapping<'_> {
    /// The bytes, for C. They are multiples of eight, and at least as many as were asked for.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.bytes
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none. There always are.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, to read.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: The bytes are mapped, and nobody writes them while the mapping lives: for a
        // mapping that may write, this is the only one.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// The bytes, to write; `None` if the mapping is read-only.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if self.mode == MapMode::ReadOnly {
            return None;
        }
        // SAFETY: The bytes are mapped, and a mapping that may write is the only one.
        Some(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) })
    }

    /// Leaves the object mapped, for [`Pool::unmap`].
    pub fn into_raw(self) -> NonNull<u8> {
        let bytes = self.bytes;
        core::mem::forget(self);
        bytes
    }
}

impl Drop for Mapping<'_> {
    #[inline]
    fn drop(&mut self) {
        let place = self.word.held_place();
        if self.area.is_bounced() && self.mode != MapMode::ReadOnly {
            if let Some(found) = Bytes::find(self.pool, place) {
                // SAFETY: The object is locked, the buffer is a page.
                unsafe { found.copy(self.area.buffer(), true) };
            }
        }
        let_go(self.word, self.mode, place);
    }
}
