// SPDX-License-Identifier: GPL-2.0

//! Scatterlists of callers.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)

use core::marker::PhantomData;
use core::ptr::NonNull;

use kernel::bindings::scatterlist;

use super::page::ZsPage;
use crate::bindings;

/// A scatterlist of a caller, with two entries.
///
/// # Invariants
///
/// During `'a`, `0` points to two entries, which nobody else uses.
pub struct ScatterList<'a>(NonNull<scatterlist>, PhantomData<&'a mut scatterlist>);

impl ScatterList<'_> {
    /// Wraps the scatterlist of a caller.
    ///
    /// # Safety
    ///
    /// During the lifetime of the result, `raw` must be valid for two entries, and nobody else may
    /// use them. They need not be initialised.
    pub unsafe fn new(raw: NonNull<scatterlist>) -> Self {
        // INVARIANT: The safety requirement is the invariant.
        Self(raw, PhantomData)
    }

    /// Sets the entries, at most two: a page, an offset in it, and a length in bytes.
    ///
    /// The bytes may continue on the next page if its `struct page` is the next one, too.
    pub fn set(&self, entries: &[(ZsPage<'_>, usize, usize)]) {
        let count = entries.len().min(2);
        // SAFETY: By the type invariants, there are two entries, which nobody else uses.
        unsafe { bindings::zs_helper_sg_init(self.0.as_ptr(), count as u32) };
        for (n, (page, offset, len)) in entries.iter().take(count).enumerate() {
            // SAFETY: By the type invariants, there are two entries, and `n` is less than that. The
            // page is allocated.
            unsafe {
                bindings::zs_helper_sg_set_page(
                    self.0.as_ptr().add(n),
                    page.raw().as_ptr(),
                    *offset,
                    *len,
                );
            }
        }
    }

    /// Makes the list one of zeroes, at most a page.
    pub fn set_zeroes(&self, len: usize) {
        // SAFETY: By the type invariants, there are two entries, which nobody else uses.
        unsafe {
            bindings::zs_helper_sg_init(self.0.as_ptr(), 1);
            bindings::zs_helper_sg_set_zeroes(self.0.as_ptr(), len);
        }
    }
}
