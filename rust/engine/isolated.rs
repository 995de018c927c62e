// SPDX-License-Identifier: GPL-2.0

//! Isolated zspages.
//!
//! The ownership rule: **a zspage is on one list, or isolated.** Isolating a zspage yields an
//! [`IsolatedZspage`], its only owner, which cannot be copied. [`ClassGuard::putback_zspage`] and
//! the functions that free it consume it. A second `list_add` of a zspage, the bug of the
//! fine-grained fullness series, therefore does not compile. Dropping an isolated zspage warns.

#![forbid(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Deref;

use super::class::{ClassGuard, SizeClass};
use super::zspage::Zspage;
use crate::sys::list::List;
use crate::sys::prelude::*;
use crate::sys::report;
use crate::sys::slab::SlabBox;

/// A new zspage, without pages. Nobody else can find it, so dropping it frees it.
pub struct NewZspage<'c>(SlabBox<Zspage>, PhantomData<&'c SizeClass>);

impl<'c> NewZspage<'c> {
    /// Allocates a zspage of `class`.
    ///
    /// Returns [`ENOMEM`] if memory ran out. Context: depends on `gfp`. No lock may be held.
    pub fn alloc(class: &'c SizeClass, gfp: Gfp) -> Result<Self> {
        Ok(Self(SlabBox::new(Zspage::new(class), gfp)?, PhantomData))
    }

    /// Makes it an isolated zspage, to which pages can be added.
    pub fn isolate(self) -> IsolatedZspage<'c> {
        IsolatedZspage(Some(self.0), PhantomData)
    }
}

/// The only owner of a zspage that is on no list. The class outlives `'c`.
#[must_use = "an isolated zspage has to be put back or freed"]
pub struct IsolatedZspage<'c>(Option<SlabBox<Zspage>>, PhantomData<&'c SizeClass>);

impl<'c> IsolatedZspage<'c> {
    /// Wraps a zspage of `class` that came off a list.
    pub(super) fn new(_class: &'c SizeClass, zspage: SlabBox<Zspage>) -> Self {
        Self(Some(zspage), PhantomData)
    }

    /// Adds the zspage to a list, which owns it from now on.
    pub(super) fn put_on(mut self, list: &List<Zspage>, front: bool) {
        if let Some(zspage) = self.0.take() {
            list.push(zspage, front);
        }
    }

    /// Drops the class lock, and frees a zspage without pages. A zspage with pages, or of another
    /// class, is leaked with a warning.
    pub fn unlock_and_free(mut self, guard: ClassGuard<'_>) {
        // A reference to the zspage that the guard lent ends here, with the guard.
        if self.can_free(&guard) {
            drop(guard);
            self.0 = None;
        }
    }

    /// Frees a zspage without pages. A zspage with pages, or of another class, is leaked with a
    /// warning.
    pub fn free(mut self, guard: &mut ClassGuard<'_>) {
        // A reference to the zspage that the guard lent has ended: the guard is borrowed
        // exclusively.
        if self.can_free(guard) {
            self.0 = None;
        }
    }

    // A zspage without a page has no object, and no page by which migration could find it.
    fn can_free(&self, guard: &ClassGuard<'_>) -> bool {
        self.is_of(guard.class()) && self.page_count() == 0
    }
}

impl Deref for IsolatedZspage<'_> {
    type Target = Zspage;

    fn deref(&self) -> &Zspage {
        match &self.0 {
            Some(zspage) => zspage,
            // Only functions that consume `self` take the box.
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
