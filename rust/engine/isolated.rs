// SPDX-License-Identifier: GPL-2.0

//! A zspage that is on no list.
//!
//! The ownership rule: **a zspage is on one list, or isolated.** Isolating a zspage yields an
//! [`IsolatedZspage`], its only owner. [`super::class::ClassGuard::putback_zspage`] and
//! [`IsolatedZspage::release`] consume it. It cannot be copied. So a second `list_add` of the same
//! zspage, the bug of the fine-grained fullness series, does not compile. One that goes out of scope
//! without being put back warns.

use core::marker::PhantomData;
use core::ops::Deref;

use super::class::SizeClass;
use super::zspage::Zspage;
use crate::sys::report;
use crate::sys::slab::SlabBox;

/// The sole owner of a zspage that is on no list. The class `'c` outlives it.
#[must_use = "an isolated zspage has to be put back or released"]
pub struct IsolatedZspage<'c>(Option<SlabBox<Zspage>>, PhantomData<&'c SizeClass>);

impl<'c> IsolatedZspage<'c> {
    /// Takes what a list of `class` gave up.
    pub(super) fn from_box(_class: &'c SizeClass, zspage: SlabBox<Zspage>) -> Self {
        Self(Some(zspage), PhantomData)
    }

    /// Gives the zspage to a list.
    ///
    /// # Safety
    ///
    /// The box must go on a list, or else as [`IsolatedZspage::release`] says.
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

impl Deref for IsolatedZspage<'_> {
    type Target = Zspage;

    fn deref(&self) -> &Zspage {
        match &self.0 {
            Some(zspage) => zspage,
            // Only `into_box` takes it out, and that consumes `self`.
            None => report::unreachable(),
        }
    }
}

impl Drop for IsolatedZspage<'_> {
    fn drop(&mut self) {
        if let Some(zspage) = self.0.take() {
            // The memory is lost, but its pages still name it.
            report::forgotten_zspage();
            zspage.leak();
        }
    }
}
