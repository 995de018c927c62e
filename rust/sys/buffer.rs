// SPDX-License-Identifier: GPL-2.0

//! Memory of callers that objects are copied to and from. `rust/host` shares this file.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::page::{is_inside, ZsPage};

// Returns whether `total` bytes have `len` bytes from byte `at` on.
fn has(total: usize, at: usize, len: usize) -> bool {
    total.checked_sub(at).is_some_and(|left| len <= left)
}

/// Returns the address of byte `at` of the memory at `start`. Kernels may have a Rust that lacks
/// `NonNull::add`.
///
/// # Safety
///
/// The memory must have more than `at` bytes, or as many.
unsafe fn byte(start: NonNull<u8>, at: usize) -> NonNull<u8> {
    // SAFETY: The address is in the memory, or just after it (safety requirement), so not null.
    unsafe { NonNull::new_unchecked(start.as_ptr().add(at)) }
}

/// Memory that a caller wants an object copied to.
///
/// # Invariants
///
/// During `'a`, `start` is valid for writes of `len` bytes, which nobody else uses. They are on no
/// page of a zspage.
pub struct Destination<'a> {
    start: NonNull<u8>,
    len: usize,
    _memory: PhantomData<&'a mut [u8]>,
}

impl Destination<'_> {
    /// Wraps the memory of a caller.
    ///
    /// # Safety
    ///
    /// During the lifetime of the result, `start` must be valid for writes of `len` bytes. Nobody
    /// else may use them, and they must be on no page of a zspage.
    #[inline]
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: The safety requirement is the invariant.
        Self {
            start,
            len,
            _memory: PhantomData,
        }
    }

    /// Returns the address of the first byte.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Copies `len` bytes of a page to byte `at`. Returns false if either is shorter.
    pub fn fill(&self, at: usize, page: ZsPage<'_>, offset: usize, len: usize) -> bool {
        let inside = has(self.len, at, len) && is_inside(offset, len);
        if inside {
            // SAFETY: The page is zsmalloc's, and has the range. `at` is inside the memory, which is
            // valid for `len` bytes from there on by the type invariants.
            unsafe { page.raw().read_bytes(offset, byte(self.start, at), len) };
        }
        inside
    }
}

/// Memory that a caller wants written to an object.
///
/// # Invariants
///
/// During `'a`, `start` is valid for reads of `len` bytes, which nobody writes. They are on no page
/// of a zspage.
pub struct Source<'a> {
    start: NonNull<u8>,
    len: usize,
    _memory: PhantomData<&'a [u8]>,
}

impl Source<'_> {
    /// Wraps the memory of a caller.
    ///
    /// # Safety
    ///
    /// During the lifetime of the result, `start` must be valid for reads of `len` bytes. Nobody may
    /// write them, and they must be on no page of a zspage.
    #[inline]
    pub unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        // INVARIANT: The safety requirement is the invariant.
        Self {
            start,
            len,
            _memory: PhantomData,
        }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies `len` bytes from byte `at` on to a page. Returns false if either is shorter.
    ///
    /// The bytes of the page should belong to an object that the caller reads.
    pub fn write_to(&self, at: usize, page: ZsPage<'_>, offset: usize, len: usize) -> bool {
        let inside = has(self.len, at, len) && is_inside(offset, len);
        if inside {
            // SAFETY: The page is zsmalloc's, and has the range. `at` is inside the memory, which is
            // valid for `len` bytes from there on by the type invariants. There is no reference to
            // bytes of a page.
            unsafe { page.raw().write_bytes(offset, byte(self.start, at), len) };
        }
        inside
    }
}
