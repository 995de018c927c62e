// SPDX-License-Identifier: GPL-2.0

//! Mappings that end when they are dropped, for tests. The kernel calls `zs_unmap_object()`.

use core::ptr::NonNull;

use crate::engine::geometry::HANDLE_SIZE;
use crate::engine::handle_table::Handle;
use crate::engine::map::MapMode;
use crate::engine::pool::Pool;
use crate::engine::zspage::Zspage;
use crate::sys::page::ZsPage;

/// The bytes of an object, mapped on this CPU until this is dropped.
#[must_use = "the object is unmapped when this is dropped"]
pub struct Mapping<'a> {
    pool: &'a Pool,
    handle: Handle,
    mode: MapMode,
    bytes: NonNull<u8>,
    len: usize,
}

/// Wraps [`Pool::map_object`] in a [`Mapping`].
pub trait Map {
    /// Maps an object on this CPU.
    fn map(&self, handle: Handle, mode: MapMode) -> Option<Mapping<'_>>;
}

impl Map for Pool {
    fn map(&self, handle: Handle, mode: MapMode) -> Option<Mapping<'_>> {
        let bytes = self.map_object(handle, mode)?;
        Some(Mapping {
            pool: self,
            handle,
            mode,
            bytes,
            len: len(self, handle)?,
        })
    }
}

// Returns the size of a mapped object without its handle, in bytes.
fn len(pool: &Pool, handle: Handle) -> Option<usize> {
    let location = pool.location(handle)?;
    // SAFETY: The object is mapped, so its page stays in its zspage.
    let page = unsafe { ZsPage::from_pfn(location.pfn()) };
    let size = Zspage::of(page)?.class().shape().size as usize;
    Some(if location.is_huge() {
        size
    } else {
        size - HANDLE_SIZE
    })
}

impl Mapping<'_> {
    /// Returns the number of bytes: a multiple of four, and at least the size that was requested.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes. Always false.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes for reading. Their contents are unspecified in a write-only mapping.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: The bytes are mapped until `self` is dropped. The entry lock keeps others from
        // them.
        unsafe { core::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// Returns the bytes for writing, or `None` if the mapping is read-only.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if self.mode == MapMode::ReadOnly {
            return None;
        }
        // SAFETY: The bytes are mapped until `self` is dropped. The entry lock keeps others from
        // them, and the exclusive borrow keeps `bytes` from them.
        Some(unsafe { core::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) })
    }
}

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        // SAFETY: All references to the bytes borrow `self`, so none is left.
        unsafe { self.pool.unmap_object(self.handle) };
    }
}
