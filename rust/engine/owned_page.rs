// SPDX-License-Identifier: GPL-2.0

//! A page that is in no zspage.

use core::mem::ManuallyDrop;

use crate::sys::page::ZsPage;
use crate::sys::prelude::*;

/// A page that is in no zspage, and is locked.
///
/// It goes into one, or back to the kernel, which happens at the latest when it is dropped.
pub struct OwnedPage {
    page: ZsPage,
    // It was in a zspage before.
    is_movable: bool,
}

impl OwnedPage {
    /// Allocates a page; [`ENOMEM`] if there is none. Context: as `gfp` says.
    pub fn alloc(gfp: Gfp) -> Result<Self> {
        let page = ZsPage::alloc(gfp).ok_or(ENOMEM)?;
        Ok(Self {
            page,
            is_movable: false,
        })
    }

    /// A locked page that was taken out of its zspage.
    pub(super) fn detached(page: ZsPage) -> Self {
        Self {
            page,
            is_movable: true,
        }
    }

    /// The page, which goes into a zspage, and whether it was in one before.
    pub(super) fn into_page(self) -> (ZsPage, bool) {
        let this = ManuallyDrop::new(self);
        (this.page, this.is_movable)
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: The page is in no zspage, so it is ours alone, and it is locked.
        unsafe {
            if self.is_movable {
                self.page.release();
            } else {
                self.page.discard();
            }
        }
    }
}
