// SPDX-License-Identifier: GPL-2.0

//! What is on no list, and what is in no zspage.
//!
//! Ownership rule: **a zspage is on one list or in one hand.** [`InHand`] is that hand. Taking a
//! zspage off a list yields one; putting it on a list ([`super::class::ClassGuard::put`]) or
//! releasing it consumes it. There is no way to copy it, so adding a zspage to a list twice, the
//! bug that the fine-grained fullness series had, does not compile; and one that goes out of scope
//! with its zspage still in it reports that. [`NewPage`] is the same for a page.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::class::SizeClass;
use super::zspage::Zspage;
use crate::sys::page::ZsPage;
use crate::sys::prelude::*;
use crate::sys::report;
use crate::sys::slab::SlabBox;

/// The sole owner of a zspage that is on no list. The class `'c` outlives it.
#[must_use = "a zspage in hand has to go back on a list or be released"]
pub struct InHand<'c>(Option<SlabBox<Zspage>>, PhantomData<&'c SizeClass>);

impl<'c> InHand<'c> {
    /// Takes what a list of `class` gave up.
    pub(super) fn from_box(_class: &'c SizeClass, zspage: SlabBox<Zspage>) -> Self {
        Self(Some(zspage), PhantomData)
    }

    /// Gives the zspage to a list.
    ///
    /// # Safety
    ///
    /// The box must go on a list, or else as [`InHand::release`] says.
    pub(super) unsafe fn into_box(mut self) -> Option<SlabBox<Zspage>> {
        self.0.take()
    }

    /// Frees a zspage that has no pages. One that has some is reported, and lost.
    ///
    /// # Safety
    ///
    /// No reference to the zspage may be in use that a guard of its class lent while it was on a
    /// list: the guard must be gone, or borrowed exclusively.
    pub unsafe fn release(self) {
        if self.page_count() == 0 {
            // SAFETY: The caller's promise.
            drop(unsafe { self.into_box() });
        }
    }
}

impl Deref for InHand<'_> {
    type Target = Zspage;

    fn deref(&self) -> &Zspage {
        match &self.0 {
            Some(zspage) => zspage,
            // Only `into_box` takes it out, and it consumes the hand.
            None => report::unreachable(),
        }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let Some(zspage) = self.0.take() {
            // The memory is lost, but its pages still name it.
            report::forgotten_zspage();
            zspage.leak();
        }
    }
}

/// A page that is in no zspage, and is locked.
///
/// It goes into one, or back to the kernel, which happens at the latest when it is dropped.
pub struct NewPage {
    page: ZsPage,
    // It was in a zspage before.
    is_movable: bool,
}

impl NewPage {
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

impl Drop for NewPage {
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
