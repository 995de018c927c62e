// SPDX-License-Identifier: GPL-2.0

//! The chain of pages of a zspage, linked through `struct page`. `rust/host` shares this file.

use core::cell::Cell;
use core::marker::PhantomPinned;
use core::ptr::NonNull;

use super::page::{DetachedPage, Migration, ZsPage};
use super::raw_page::RawPage;

/// The pages of a zspage, ordered by position.
///
/// The chain is a ring: the next page of the last is the first. The page of a huge zspage has no
/// link, as `struct page` has the handle of its object in the same field.
///
/// A chain is not `Sync`: a lock has to protect it.
///
/// # Invariants
///
/// Every page reachable from `cursor` is in this chain, and is the next page of one other, or of
/// itself. A page is in this chain if and only if it has its address as the owner. It is
/// zsmalloc's, and stays so until [`Chain::remove_next`] or [`Chain::replace`].
pub struct Chain {
    // Lookups start here. Usually this is the page of the last object, as the next object tends to
    // be on that page or the next one. None if there is no page.
    cursor: Cell<Option<RawPage>>,
    _pin: PhantomPinned,
}

/// The type that all chains are a part of.
///
/// # Safety
///
/// Every [`Chain`] must be the field at [`HasChain::OFFSET`] of a value of this type.
pub unsafe trait HasChain: Sized {
    /// The offset of the chain, in bytes.
    const OFFSET: usize;
}

impl Chain {
    /// Creates a chain without pages.
    ///
    /// # Safety
    ///
    /// The chain must be the field of a [`HasChain`] type. It must not move, nor be freed, while it
    /// has a page.
    pub const unsafe fn new() -> Self {
        Self {
            cursor: Cell::new(None),
            _pin: PhantomPinned,
        }
    }

    /// Returns the value whose chain a page is in, or `None` after the page was detached.
    #[inline]
    pub fn owner<T: HasChain>(page: ZsPage<'_>) -> Option<&T> {
        let chain = page.owner()?.as_ptr();
        // SAFETY: The owner of a page is its chain, which exists as long as the `ZsPage` by the
        // type invariants of that. It is the field at `OFFSET` of a `T` (requirement of
        // `HasChain`). The address comes from `struct page`, so it may be used for all of the `T`.
        unsafe { Some(&*chain.byte_sub(T::OFFSET).cast()) }
    }

    #[inline]
    fn address(&self) -> NonNull<()> {
        NonNull::from(self).cast()
    }

    /// Returns the page if it is in this chain.
    #[inline]
    pub fn own<'a>(&'a self, page: ZsPage<'_>) -> Option<ZsPage<'a>> {
        // SAFETY: By the type invariants, a page with this owner is in the chain. It is freed only
        // after `remove_next` or `replace`, and then only when no `ZsPage` is in use.
        (page.owner() == Some(self.address())).then(|| unsafe { ZsPage::from_raw(page.raw()) })
    }

    /// Returns the page at `position`, if there is one. The next lookup starts there.
    #[inline]
    pub fn find(&self, position: u32) -> Option<ZsPage<'_>> {
        // SAFETY: By the type invariants, all pages reachable from `cursor` are zsmalloc's.
        let page = unsafe { self.cursor.get()?.find(position) }?;
        self.cursor.set(Some(page));
        // SAFETY: As the page is reachable from `cursor`, it is in the chain. See `own`.
        Some(unsafe { ZsPage::from_raw(page) })
    }

    /// Returns the next page in the ring. A single page is its own next page, also in a huge zspage,
    /// where it has no link.
    ///
    /// # Safety
    ///
    /// The page must be zsmalloc's.
    #[inline]
    unsafe fn next_raw(page: RawPage) -> RawPage {
        // SAFETY: The page is zsmalloc's (safety requirement).
        unsafe { page.next() }.unwrap_or(page)
    }

    /// Returns the next page in the ring, or `None` for a page of another chain. A single page is
    /// its own next page.
    #[inline]
    pub fn next<'a>(&'a self, page: ZsPage<'_>) -> Option<ZsPage<'a>> {
        // SAFETY: The page is in this chain, so by the type invariants the next one is. See `own`.
        unsafe { Some(ZsPage::from_raw(Self::next_raw(self.own(page)?.raw()))) }
    }

    /// Sets the handle of a huge object. Does nothing if the page is linked to another one, or is
    /// not in this chain.
    #[inline]
    pub fn set_huge_handle(&self, page: ZsPage<'_>, handle: u32) {
        let Some(page) = self.own(page).map(ZsPage::raw) else {
            return;
        };
        // SAFETY: The page is in this chain, and alone: nothing needs its link. A chain is not
        // `Sync`, so nobody else writes it.
        unsafe {
            if Self::next_raw(page) == page {
                page.set_huge_handle(handle);
            }
        }
    }

    /// Returns the next page of the one that [`Chain::find`] returned last.
    #[inline]
    pub fn next_of_found(&self) -> Option<ZsPage<'_>> {
        // SAFETY: By the type invariants, the page at `cursor` is in the chain, and so is its next
        // one. See `own`.
        unsafe { Some(ZsPage::from_raw(self.cursor.get()?.next()?)) }
    }

    /// Adds a page of `class` at `position`, next to `prev`, or to an empty chain. Makes it movable
    /// and unlocks it. The caller has checked that `position` has no page, and that `prev` is the page
    /// before.
    ///
    /// If `prev` is not in this chain, the page is leaked.
    pub fn insert(&self, page: DetachedPage, class: u16, position: u32, prev: Option<ZsPage<'_>>) {
        let prev = prev.and_then(|prev| self.own(prev));
        if prev.is_none() && self.cursor.get().is_some() {
            return;
        }
        let (page, is_movable) = page.into_raw();
        // SAFETY: The page was a `DetachedPage`: it is locked, zsmalloc's, and in no chain. `prev`
        // is in this chain, and so is its next page.
        // INVARIANT: The page gets this owner, and a link to a page of the chain.
        unsafe {
            page.attach(self.address(), position, class);
            match prev {
                Some(prev) => {
                    page.set_next(Some(Self::next_raw(prev.raw())));
                    prev.raw().set_next(Some(page));
                }
                None => {
                    page.set_next(Some(page));
                    self.cursor.set(Some(page));
                }
            }
            if !is_movable {
                page.make_movable();
            }
            page.unlock();
        }
    }

    /// Removes the page at `position`, the next one of `prev`. It stays locked. Returns `None` if it
    /// is locked, at another position, or `prev` is not in this chain.
    #[inline]
    pub fn remove_next(&self, prev: ZsPage<'_>, position: u32) -> Option<DetachedPage> {
        let prev = self.own(prev)?.raw();
        // SAFETY: `prev` is in this chain, so by the type invariants the next pages are.
        // INVARIANT: No page is linked to the removed one, and its owner is cleared.
        unsafe {
            let page = Self::next_raw(prev);
            if page.position() != position || !page.try_lock() {
                return None;
            }
            if prev == page {
                self.cursor.set(None);
            } else {
                prev.set_next(page.next());
                self.cursor.set(Some(prev));
            }
            page.detach();
            Some(DetachedPage::new(page))
        }
    }

    /// Copies the old page of a migration to the new one, and replaces it. `prev` is the previous
    /// page in the ring, or the page itself. Returns false, and has changed nothing, if that is not
    /// so.
    pub fn replace(&self, prev: ZsPage<'_>, migration: &Migration) -> bool {
        let (Some(prev), Some(old)) = (self.own(prev), self.own(migration.old())) else {
            return false;
        };
        let (position, class) = (old.position(), old.class());
        let (prev, old) = (prev.raw(), old.raw());
        // SAFETY: `old` and `prev` are in this chain. The migration has `old` and `new` locked.
        // INVARIANT: `new` gets the owner, the position and the links of `old`, which loses them.
        unsafe {
            if Self::next_raw(prev) != old {
                return false;
            }
            let Some(new) = migration.copy() else {
                return false;
            };
            new.attach(self.address(), position, class);
            new.take_link(old);
            if prev != old {
                prev.set_next(Some(new));
            } else if new.next().is_some() {
                new.set_next(Some(new));
            }
            self.cursor.set(Some(new));
            old.detach();
        }
        true
    }
}
