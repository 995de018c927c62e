// SPDX-License-Identifier: GPL-2.0

//! Isolated zspages.
//!
//! The ownership rule: **a zspage is on one list, or isolated.** Isolating a zspage yields an
//! [`IsolatedZspage`], its only owner, which cannot be copied.
//! [`super::class::ClassGuard::putback_zspage`] and [`IsolatedZspage::release`] consume it. A
//! second `list_add` of a zspage, the bug of the fine-grained fullness series, therefore does not
//! compile. Dropping an isolated zspage warns.

use core::marker::PhantomData;
use core::ops::Deref;

use super::class::SizeClass;
use super::zspage::Zspage;
use crate::sys::report;
use crate::sys::slab::SlabBox;

/// The only owner of a zspage that is on no list. The class outlives `'c`.
#[must_use = "an isolated zspage has to be put back or released"]
pub struct IsolatedZspage<'c>(Option<SlabBox<Zspage>>, PhantomData<&'c SizeClass>);

impl<'c> IsolatedZspage<'c> {
    /// Wraps a zspage that came off a list of `class`, or a new one.
    pub(super) fn from_box(_class: &'c SizeClass, zspage: SlabBox<Zspage>) -> Self {
        Self(Some(zspage), PhantomData)
    }

    /// Unwraps the zspage.
    ///
    /// # Safety
    ///
    /// The box must go on a list, or no reference borrowed from a guard of the class may be in use.
    pub(super) unsafe fn into_box(mut self) -> Option<SlabBox<Zspage>> {
        self.0.take()
    }

    /// Frees a zspage without pages. A zspage with pages is leaked, with a warning.
    ///
    /// # Safety
    ///
    /// No reference borrowed from a guard of the class while the zspage was on a list may be in
    /// use: the guard must have been dropped, or be borrowed exclusively.
    pub unsafe fn release(self) {
        if self.page_count() == 0 {
            // SAFETY: The caller guarantees that no reference from a guard is in use.
            drop(unsafe { self.into_box() });
        }
    }
}

impl Deref for IsolatedZspage<'_> {
    type Target = Zspage;

    fn deref(&self) -> &Zspage {
        match &self.0 {
            Some(zspage) => zspage,
            // Only `into_box` and `drop` take the box, and `self` ends with both.
            None => report::unreachable(),
        }
    }
}

impl Drop for IsolatedZspage<'_> {
    fn drop(&mut self) {
        if let Some(zspage) = self.0.take() {
            // Leak the memory: pages still point to it.
            report::forgotten_zspage();
            zspage.leak();
        }
    }
}
