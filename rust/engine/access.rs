// SPDX-License-Identifier: GPL-2.0

//! Reading and writing of objects, by callers that may sleep between the begin and the end of a
//! read.
//!
//! An object on one page is lent in place, and so is one on two pages that are physically
//! contiguous. Other objects are copied to the caller's memory. The entry of the handle counts the
//! reader until the read ends. Nothing else is written for it.

use core::ptr::NonNull;

use super::events::BadHandle;
use super::geometry::HANDLE_SIZE;
use super::handle_entry::Refused;
use super::handle_table::Handle;
use super::locked_entry::{HeldEntry, ReadEntry};
use super::pool::Pool;
use crate::sys::buffer::{Destination, Source};
use crate::sys::page::{ZsPage, PAGE_SIZE};
use crate::sys::scatterlist::ScatterList;
use crate::sys::sched::{self, NoPreemption};

// Returns the number of bytes of an object, without its handle.
#[inline]
fn object_len(held: &HeldEntry<'_>) -> Option<usize> {
    if held.location().is_huge() {
        return Some(PAGE_SIZE);
    }
    let size = held.zspage()?.class().shape().size;
    (size as usize).checked_sub(HANDLE_SIZE)
}

/// The first bytes of an object: `first` bytes from `offset` of `page` on, and `rest` bytes at the
/// beginning of the next page of the chain.
pub(super) struct Span<'a> {
    pub(super) page: ZsPage<'a>,
    pub(super) offset: usize,
    pub(super) first: usize,
    pub(super) rest: usize,
}

impl<'a> Span<'a> {
    // Returns the first `len` bytes of the object, at least one, if it has as many.
    #[inline]
    fn new(held: &'a HeldEntry<'_>, len: usize) -> Result<Self, BadHandle> {
        let whole = object_len(held).ok_or(BadHandle::Mismatch)?;
        if len.wrapping_sub(1) >= whole {
            return Err(BadHandle::Length);
        }
        Ok(Self::of_len(held, len))
    }

    /// Returns all bytes of the object.
    #[inline]
    pub(super) fn whole(held: &'a HeldEntry<'_>) -> Option<Self> {
        Some(Self::of_len(held, object_len(held)?))
    }

    // The object has `len` bytes.
    #[inline]
    fn of_len(held: &'a HeldEntry<'_>, len: usize) -> Self {
        let (page, offset) = (held.page(), held.location().offset());
        // An offset is less than the size of a page.
        let first = len.min(PAGE_SIZE.wrapping_sub(offset));
        Self {
            page,
            offset,
            first,
            rest: len.wrapping_sub(first),
        }
    }

    // Returns where the bytes are if they are contiguous in memory.
    #[inline]
    fn contiguous(&self) -> Option<NonNull<u8>> {
        if self.rest == 0 {
            Some(self.page.map(self.offset))
        } else {
            self.page.map_neighbours(self.offset)
        }
    }
}

// Returns where the first `len` bytes of an object are, or copies them.
#[inline]
fn lend(
    held: &HeldEntry<'_>,
    len: usize,
    copy: Option<Destination<'_>>,
) -> Result<NonNull<u8>, BadHandle> {
    let span = Span::new(held, len)?;
    if let Some(bytes) = span.contiguous() {
        return Ok(bytes);
    }
    let copy = copy.ok_or(BadHandle::NoBuffer)?;
    let next = held.next_page().ok_or(BadHandle::Mismatch)?;
    let copied = copy.fill(0, span.page, span.offset, span.first)
        && copy.fill(span.first, next, 0, span.rest);
    copied.then(|| copy.start()).ok_or(BadHandle::NoBuffer)
}

// Puts the pages of the first `len` bytes of an object into `list`.
// A call would cost a read by scatterlist 12 % of its instructions.
#[inline(always)]
fn lend_pages(held: &HeldEntry<'_>, len: usize, list: &ScatterList<'_>) -> Result<(), BadHandle> {
    let span = Span::new(held, len)?;
    if span.contiguous().is_some() {
        list.set(&[(span.page, span.offset, len)]);
    } else {
        let next = held.next_page().ok_or(BadHandle::Mismatch)?;
        list.set(&[(span.page, span.offset, span.first), (next, 0, span.rest)]);
    }
    Ok(())
}

// Writes the first bytes of an object.
#[inline]
fn write(held: &HeldEntry<'_>, from: &Source<'_>) -> Result<(), BadHandle> {
    let span = Span::new(held, from.len())?;
    let mut inside = from.write_to(0, span.page, span.offset, span.first);
    if span.rest != 0 {
        let next = held.next_page().ok_or(BadHandle::Mismatch)?;
        inside &= from.write_to(span.first, next, 0, span.rest);
    }
    inside.then_some(()).ok_or(BadHandle::Length)
}

// Returns where the first `len` bytes of an object on one page are, if it has as many.
#[inline]
fn lend_plain(held: &HeldEntry<'_>, len: usize) -> Option<NonNull<u8>> {
    let size = held.zspage()?.class().shape().size as usize;
    // Every size has room for a handle, and `len` may be anything.
    (len.wrapping_sub(1) < size.wrapping_sub(HANDLE_SIZE))
        .then(|| held.page().map_address(held.location().address()))
}

impl Pool {
    // The fast path: locks the entry of an object that has no other reader, and that is on one page
    // if `plain`, and passes it to `access`. If that returns `None`, or the entry was not locked, the
    // caller takes the other path, which also finds out what is wrong.
    // Measured together with `lend_pages`.
    #[inline(always)]
    fn access_first<R>(
        &self,
        handle: Handle,
        plain: bool,
        access: impl FnOnce(&HeldEntry<'_>) -> Option<R>,
        unlock: bool,
    ) -> Option<R> {
        let no_preemption = NoPreemption::new();
        let entries = self.table().entries(no_preemption.rcu());
        let entry = entries.entry(handle)?;
        let locked = if plain {
            ReadEntry::try_lock_plain(entry, handle.generation())
        } else {
            ReadEntry::try_lock_first(entry, handle.generation())
        };
        let locked = locked.ok()?;
        let result = access(&locked);
        if unlock || result.is_none() {
            locked.unlock();
        }
        result
    }

    // Locks the entry of `handle` for reading, and passes it to `access`. Warns if either fails.
    #[inline]
    fn access<R>(
        &self,
        handle: Handle,
        call: &str,
        access: impl FnOnce(ReadEntry<'_>) -> Result<R, BadHandle>,
    ) -> Option<R> {
        let why = loop {
            let no_preemption = NoPreemption::new();
            let entries = self.table().entries(no_preemption.rcu());
            let Some(entry) = entries.entry(handle) else {
                break BadHandle::NotAllocated;
            };
            match ReadEntry::lock(entry, handle.generation()) {
                Ok(locked) => match access(locked) {
                    Ok(result) => return Some(result),
                    Err(why) => break why,
                },
                Err(Refused::Full) => {
                    drop(no_preemption);
                    sched::sleep_a_tick();
                }
                Err(why) => break why.into(),
            }
        };
        self.report(handle, call, why);
        None
    }

    /// Begins to read the first `len` bytes of an object. Returns where they are: in the object, or
    /// if they are on two pages that are not contiguous, in `copy`.
    ///
    /// Until [`Pool::obj_read_end`] is called, the object is neither moved nor freed. Others may
    /// read it, too. Warns and returns `None` if the handle is bad, if `len` is zero or larger than
    /// the object, or if a copy is needed and `copy` is `None` or shorter than `len`.
    ///
    /// Context: any but an interrupt. Sleeps while the object has [`MAX_READERS`].
    ///
    /// [`MAX_READERS`]: super::handle_entry::MAX_READERS
    #[inline]
    pub fn obj_read_begin(
        &self,
        handle: Handle,
        len: usize,
        copy: Option<Destination<'_>>,
    ) -> Option<NonNull<u8>> {
        let plain = |held: &HeldEntry<'_>| lend_plain(held, len);
        self.access_first(handle, true, plain, false)
            .or_else(|| self.obj_read_begin_other(handle, len, copy))
    }

    // Out of line, so that the fast path has no stack frame.
    #[inline(never)]
    fn obj_read_begin_other(
        &self,
        handle: Handle,
        len: usize,
        copy: Option<Destination<'_>>,
    ) -> Option<NonNull<u8>> {
        self.access(handle, "zs_obj_read_begin", |locked| {
            lend(&locked, len, copy).inspect_err(|_| locked.unlock())
        })
    }

    /// Begins to read the first `len` bytes of an object, and puts the pages that they are on into
    /// `list`: one entry, or two if the bytes are not contiguous. Nothing is copied.
    ///
    /// Otherwise like [`Pool::obj_read_begin`]. Returns whether it began to read.
    #[inline]
    pub fn obj_read_sg_begin(&self, handle: Handle, len: usize, list: &ScatterList<'_>) -> bool {
        let any = |held: &HeldEntry<'_>| lend_pages(held, len, list).ok();
        self.access_first(handle, false, any, false).is_some()
            || self.obj_read_sg_begin_other(handle, len, list)
    }

    #[inline(never)]
    fn obj_read_sg_begin_other(&self, handle: Handle, len: usize, list: &ScatterList<'_>) -> bool {
        self.access(handle, "zs_obj_read_sg_begin", |locked| {
            lend_pages(&locked, len, list).inspect_err(|_| locked.unlock())
        })
        .is_some()
    }

    /// Ends a read. Warns if nobody reads the object. `call` is the function that C called.
    ///
    /// Context: any but an interrupt. Does not sleep.
    ///
    /// # Safety
    ///
    /// The caller must have begun to read the object, and not have ended that. The bytes must not be
    /// used any more.
    #[inline]
    pub unsafe fn obj_read_end(&self, handle: Handle, call: &str) {
        let no_preemption = NoPreemption::new();
        let entries = self.table().entries(no_preemption.rcu());
        let entry = entries.entry(handle);
        let ended = entry.is_some_and(|entry| entry.read_unlock(handle.generation()).is_ok());
        drop(no_preemption);
        if !ended {
            self.report(handle, call, BadHandle::NotRead);
        }
    }

    /// Writes the first bytes of an object. The others keep their contents. Warns and returns false
    /// if the handle is bad, or if `from` is empty or larger than the object.
    ///
    /// Context: any but an interrupt. Sleeps while the object has [`MAX_READERS`].
    ///
    /// [`MAX_READERS`]: super::handle_entry::MAX_READERS
    #[inline]
    pub fn obj_write(&self, handle: Handle, from: Source<'_>) -> bool {
        let any = |held: &HeldEntry<'_>| write(held, &from).ok();
        self.access_first(handle, false, any, true).is_some() || self.obj_write_other(handle, &from)
    }

    #[inline(never)]
    fn obj_write_other(&self, handle: Handle, from: &Source<'_>) -> bool {
        self.access(handle, "zs_obj_write", |locked| {
            let written = write(&locked, from);
            locked.unlock();
            written
        })
        .is_some()
    }
}
