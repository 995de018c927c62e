// SPDX-License-Identifier: GPL-2.0

//! Pages that were detached from their zspages and are still to be freed.
//!
//! Freeing a page can take long, so it happens without the class lock. It has to wait for that in
//! any case: a guard of the class may have lent a reference to the page.

use super::class::{ClassGuard, SizeClass};
use super::isolated::IsolatedZspage;
use crate::sys::page::{DetachedPage, DetachedPages};

/// Locked pages of one class that are in no zspage.
///
/// # Invariants
///
/// All pages were detached from zspages of `class`, under its lock. They go back to zspages of
/// `class` only, or are freed.
pub(super) struct PageBatch<'c> {
    class: &'c SizeClass,
    pages: DetachedPages,
}

impl<'c> PageBatch<'c> {
    /// Creates a batch without pages.
    pub(super) fn new(class: &'c SizeClass) -> Self {
        Self {
            class,
            pages: DetachedPages::new(),
        }
    }

    /// Returns the number of pages.
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Adds a page that the caller detached from a zspage under `guard`. If `guard` is of another
    /// class, the page is leaked.
    pub(super) fn add(&mut self, guard: &ClassGuard<'_>, page: DetachedPage) {
        if guard.is_of(self.class) {
            self.pages.push(page);
        }
    }

    /// Removes a page, to be added to a zspage again.
    pub(super) fn take(&mut self) -> Option<DetachedPage> {
        self.pages.pop()
    }

    /// Drops the class lock, and frees a zspage without pages, and the pages.
    pub(super) fn unlock_and_free(
        &mut self,
        guard: ClassGuard<'_>,
        zspage: Option<IsolatedZspage<'_>>,
    ) {
        let is_ours = guard.is_of(self.class);
        match zspage {
            Some(zspage) => zspage.unlock_and_free(guard),
            None => drop(guard),
        }
        if is_ours {
            self.free();
        }
    }

    /// Drops the class lock, frees the pages, calls `f`, and takes the lock again.
    pub(super) fn free_unlocked(&mut self, guard: &mut ClassGuard<'_>, f: impl FnOnce()) {
        let is_ours = guard.is_of(self.class);
        guard.unlocked(|| {
            if is_ours {
                self.free();
            }
            f();
        });
    }

    // Called with the guard of the class dropped, or borrowed exclusively.
    fn free(&mut self) {
        // SAFETY: Three things lend a `ZsPage`. A chain lends it for a guard of its class: the guard
        // is gone, and other contexts had none while the page was detached. An entry lends it for an
        // object on the page, which it does not have. A migration lends a page that it has locked,
        // and these are locked by the batch.
        unsafe { self.pages.free() };
    }
}
