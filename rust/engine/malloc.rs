// SPDX-License-Identifier: GPL-2.0

//! Allocation of an object in a class.

#![forbid(unsafe_code)]

use super::class::ClassGuard;
use super::handle_table::{Handle, HandleTable};
use super::object::Object;
use super::zspage::Zspage;
use crate::sys::page::{DetachedPage, OwnedPage};

/// What a class needs before it can allocate another object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missing {
    /// This many handles.
    Handles(usize),
    /// A page, for a zspage that the class has.
    Page,
    /// A zspage and its first page.
    Zspage,
    /// Nothing. The counts of a zspage or the chain of free handles are corrupt.
    Corrupt,
}

impl ClassGuard<'_> {
    /// Returns the zspage and the position that the next page goes to. Called when no slot is free:
    /// then a zspage that is not full lacks a page.
    #[inline]
    fn growable(&self) -> Option<(&Zspage, u32)> {
        let zspage = self.fullest_partial()?;
        Some((zspage, zspage.next_position()?))
    }

    /// Adds a page to a zspage of this class. Returns the page if `position` has one already.
    ///
    /// The caller must then call [`ClassGuard::fix_fullness_group`] or put the zspage back.
    pub fn add_page<P: Into<DetachedPage>>(
        &self,
        zspage: &Zspage,
        page: P,
        position: u32,
    ) -> Result<(), P> {
        self.page_added(zspage.add_page(self, page, position)?);
        Ok(())
    }

    /// Allocates the object that was freed last. If the sheaf is empty, allocates one in the fullest
    /// zspage that has a free slot, and a handle for it.
    ///
    /// On error nothing is allocated.
    // Calls would cost `malloc` 2 % of its instructions, and after a `free` 5 %.
    #[inline(always)]
    pub(super) fn malloc(&self, table: &HandleTable) -> Result<Handle, Missing> {
        if let Some(handle) = self.reuse(table) {
            return Ok(handle);
        }
        if self.needs_handles() {
            self.refill_handles(table).map_err(Missing::Handles)?;
        }
        match self.fullest_free() {
            Some(zspage) => self.malloc_in(zspage, table),
            None if self.growable().is_some() => Err(Missing::Page),
            None => Err(Missing::Zspage),
        }
    }

    /// Like [`ClassGuard::malloc`]. If no slot is free, adds `page` to a zspage that lacks one.
    pub(super) fn malloc_growing(
        &self,
        table: &HandleTable,
        page: &mut Option<OwnedPage>,
    ) -> Result<Handle, Missing> {
        let missing = match self.malloc(table) {
            Err(missing @ Missing::Page) => missing,
            done => return done,
        };
        let (zspage, position) = self.growable().ok_or(missing)?;
        // `growable` returned a position without a page.
        let _ = self.add_page(zspage, page.take().ok_or(missing)?, position);
        self.malloc_in_new_page(zspage, table)
    }

    /// Like [`ClassGuard::malloc_in`], in a zspage that a page was added to for the object.
    pub(super) fn malloc_in_new_page(
        &self,
        zspage: &Zspage,
        table: &HandleTable,
    ) -> Result<Handle, Missing> {
        self.malloc_in(zspage, table)
            .inspect(|&handle| self.sheaf().page_added_for(handle))
    }

    /// Allocates an object in a free slot of a zspage of this class, and takes one of the class's
    /// free handles for it. The zspage may be isolated. Returns [`Missing::Corrupt`] if either
    /// fails: the caller has checked that both are there.
    // Measured together with `malloc`.
    #[inline(always)]
    pub(super) fn malloc_in(
        &self,
        zspage: &Zspage,
        table: &HandleTable,
    ) -> Result<Handle, Missing> {
        let Some((handle, entry)) = self.handles().pop(self.entries(table)) else {
            self.fix_fullness_group(zspage);
            return Err(Missing::Corrupt);
        };
        let Some(object) = Object::take_first_below(self, zspage, usize::MAX) else {
            // The counts say that there is a free slot, but the bitmap has none.
            self.handles().push(handle, entry);
            self.fix_fullness_group(zspage);
            return Err(Missing::Corrupt);
        };
        object.set_handle(handle.in_object());
        entry.record_obj(object.location(), handle.generation());
        self.object_allocated();
        self.fix_fullness_group(zspage);
        Ok(handle)
    }
}
