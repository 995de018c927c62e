// SPDX-License-Identifier: GPL-2.0

//! Pages outside of a zspage.

use core::mem::ManuallyDrop;

use crate::sys::page::ZsPage;
use crate::sys::prelude::*;

/// A locked page that is in no zspage.
///
/// Dropping it frees the page.
pub struct OwnedPage {
    page: ZsPage,
    // Whether the page was in a zspage, and so was made movable.
    is_movable: bool,
}

impl OwnedPage {
    /// Allocates a page, or returns [`ENOMEM`]. Context: depends on `gfp`.
    pub fn alloc(gfp: Gfp) -> Result<Self> {
        let page = ZsPage::alloc(gfp).ok_or(ENOMEM)?;
        Ok(Self {
            page,
            is_movable: false,
        })
    }

    /// Wraps a locked page that was taken out of its zspage.
    pub(super) fn detached(page: ZsPage) -> Self {
        Self {
            page,
            is_movable: true,
        }
    }

    /// Unwraps the page, to add it to a zspage. Also returns whether it was in one before.
    pub(super) fn into_page(self) -> (ZsPage, bool) {
        let this = ManuallyDrop::new(self);
        (this.page, this.is_movable)
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: `self` owns the page, which is locked and in no zspage.
        unsafe {
            if self.is_movable {
                self.page.release();
            } else {
                self.page.discard();
            }
        }
    }
}
