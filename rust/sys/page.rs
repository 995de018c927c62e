// SPDX-License-Identifier: GPL-2.0

//! Pages, and the types that say who may use them. `rust/host` shares this file.
//!
//! ================  ==========================================================================
//! [`OwnedPage`]     is new, and in no zspage. Dropping it frees the page.
//! [`ZsPage`]        is in a zspage, for a lifetime. It is a reference, and can be copied.
//! [`DetachedPage`]  was in a zspage. A `ZsPage` may still name it, so it is not freed yet.
//! [`PinnedPage`]    holds a reference count: the page is not freed, but may leave its zspage.
//! [`Migration`]     is a page of a zspage that the kernel migrates, and its target.
//! ================  ==========================================================================
//!
//! Only [`super::chain::Chain`] puts pages into zspages and takes them out.

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use super::prelude::*;
use super::raw_page::{self, RawPage};

pub use super::raw_page::{PAGE_SHIFT, PAGE_SIZE, PFN_BITS};

/// A page of a zspage, for `'a`.
///
/// # Invariants
///
/// During `'a` the page is allocated for a zspage: it is in one, or was in one when `'a` began and
/// has not been freed since. The chain that it names as its owner exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZsPage<'a>(RawPage, PhantomData<&'a ()>);

impl<'a> ZsPage<'a> {
    /// Wraps a page.
    ///
    /// # Safety
    ///
    /// The page must be in a zspage. Neither may be freed during `'a`.
    #[inline]
    pub unsafe fn from_raw(raw: RawPage) -> Self {
        // INVARIANT: The safety requirement is the invariant.
        Self(raw, PhantomData)
    }

    /// Returns the page with frame number `pfn`.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::from_raw`]. `pfn` must be what [`ZsPage::pfn`] returned for the page.
    #[inline]
    pub unsafe fn from_pfn(pfn: usize) -> Self {
        // SAFETY: The page is allocated, and this is its frame number (safety requirements).
        unsafe { Self::from_raw(RawPage::from_pfn(pfn)) }
    }

    #[inline]
    pub(super) fn raw(self) -> RawPage {
        self.0
    }

    /// Returns the page frame number.
    #[inline]
    pub fn pfn(self) -> usize {
        self.0.pfn()
    }

    /// Returns the address of the chain that the page is in, or `None` after it was detached.
    #[inline]
    pub fn owner(self) -> Option<NonNull<()>> {
        // SAFETY: By the type invariants, the page is zsmalloc's.
        unsafe { self.0.owner() }
    }

    /// Returns the position of the page in its zspage.
    #[inline]
    pub fn position(self) -> u32 {
        // SAFETY: By the type invariants, the page is zsmalloc's.
        unsafe { self.0.position() }
    }

    /// Returns the index of the class of the zspage.
    #[inline]
    pub fn class(self) -> u16 {
        // SAFETY: By the type invariants, the page is zsmalloc's.
        unsafe { self.0.class() }
    }

    /// Returns the page that the object at the end of this page continues on.
    ///
    /// # Safety
    ///
    /// There must be such an object. During `'a` neither page may leave the zspage.
    pub unsafe fn next_of_object(self) -> Option<Self> {
        // SAFETY: By the type invariants, the page is zsmalloc's. So is the next one, which an
        // object spans to (safety requirement).
        unsafe { self.0.next() }.map(|next| Self(next, PhantomData))
    }

    /// Returns the handle of a huge object, which is stored in `struct page`. The result is
    /// meaningless for other pages.
    #[inline]
    pub fn huge_handle(self) -> u32 {
        // SAFETY: By the type invariants, the page is zsmalloc's.
        unsafe { self.0.huge_handle() }
    }

    /// Takes a reference to the page, so that it is not freed.
    pub fn pin(self) -> PinnedPage {
        // SAFETY: By the type invariants, the page is allocated.
        unsafe { self.0.get() };
        // INVARIANT: The reference was taken above.
        PinnedPage(self.0)
    }

    /// Copies `len` bytes to another page, or to another place in this one. Returns false if either
    /// page has not as many, or if the ranges overlap.
    ///
    /// The bytes should belong to objects that the caller has locked.
    #[inline]
    pub fn copy_to(self, offset: usize, to: ZsPage<'_>, to_offset: usize, len: usize) -> bool {
        let apart = self.0 != to.0 || offset.abs_diff(to_offset) >= len;
        let fits = apart && is_inside(offset, len) && is_inside(to_offset, len);
        if fits {
            // SAFETY: By the type invariants, both pages are zsmalloc's. The ranges are inside
            // them, and do not overlap. No reference to bytes of a page exists.
            unsafe { self.0.copy_to(offset, to.0, to_offset, len) };
        }
        fits
    }

    /// Returns the address of the byte at `offset`, which is below [`PAGE_SIZE`].
    #[inline]
    pub fn map(self, offset: usize) -> NonNull<u8> {
        self.0.map(offset)
    }

    /// Returns the kernel address of a physical address in this page.
    #[inline]
    pub fn map_address(self, address: u64) -> NonNull<u8> {
        raw_page::map_address(address)
    }

    /// Returns the address of the byte at `offset` if the next page of the chain follows this one in
    /// memory, and otherwise `None`.
    pub fn map_neighbours(self, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: By the type invariants, the page is zsmalloc's.
        unsafe { self.0.map_neighbours(offset) }
    }

    /// Returns four bytes of the page.
    ///
    /// # Safety
    ///
    /// `address` must be a physical address inside the page, and a multiple of four.
    #[inline]
    pub unsafe fn word(self, address: u64) -> PageWord<'a> {
        // INVARIANT: The safety requirement is the invariant.
        PageWord(address, PhantomData)
    }
}

// Returns whether a page has `len` bytes from `offset` on.
pub(super) fn is_inside(offset: usize, len: usize) -> bool {
    PAGE_SIZE
        .checked_sub(offset)
        .is_some_and(|left| len <= left)
}

/// Four bytes of a page of a zspage. They are read and written as a whole, and without a lock: a
/// user of an object may write past its end at any time.
///
/// # Invariants
///
/// `0` is their physical address, a multiple of four. During `'a` they are as in [`ZsPage`].
#[derive(Clone, Copy)]
pub struct PageWord<'a>(u64, PhantomData<ZsPage<'a>>);

impl PageWord<'_> {
    /// Reads the bytes.
    #[inline]
    pub fn get(self) -> u32 {
        // SAFETY: By the type invariants, the address is valid and aligned.
        unsafe { raw_page::read_u32_at(self.0) }
    }

    /// Writes the bytes.
    #[inline]
    pub fn set(self, value: u32) {
        // SAFETY: By the type invariants, the address is valid and aligned.
        unsafe { raw_page::write_u32_at(self.0, value) };
    }
}

/// A locked page that was never in a zspage. Dropping it frees the page.
///
/// # Invariants
///
/// The page is zsmalloc's and locked by the owner of this value. No [`ZsPage`] names it.
pub struct OwnedPage(RawPage);

impl OwnedPage {
    /// Allocates a page, or returns [`ENOMEM`]. Context: depends on `gfp`.
    pub fn alloc(gfp: Gfp) -> Result<Self> {
        // INVARIANT: The page is new, and `RawPage::alloc` has locked it.
        Ok(Self(RawPage::alloc(gfp).ok_or(ENOMEM)?))
    }
}

impl Drop for OwnedPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the page is locked, and nobody else uses it.
        unsafe { self.0.discard() };
    }
}

/// A locked page in no zspage, which a [`ZsPage`] may still name. Dropping it leaks the page.
///
/// # Invariants
///
/// The page is zsmalloc's and locked by the owner of this value. It is in no chain.
#[must_use = "a detached page has to be freed or added to a zspage"]
pub struct DetachedPage {
    raw: RawPage,
    // Whether the page was in a zspage, and so was made movable.
    is_movable: bool,
}

impl DetachedPage {
    /// Wraps a page that was taken out of its chain.
    ///
    /// # Safety
    ///
    /// The caller must have the page locked, and pass on both the lock and the page.
    pub(super) unsafe fn new(raw: RawPage) -> Self {
        // INVARIANT: The safety requirement is the invariant.
        Self {
            raw,
            is_movable: true,
        }
    }

    // Returns the page, still locked, and whether it is movable.
    pub(super) fn into_raw(self) -> (RawPage, bool) {
        (self.raw, self.is_movable)
    }
}

impl From<OwnedPage> for DetachedPage {
    fn from(page: OwnedPage) -> Self {
        Self {
            raw: ManuallyDrop::new(page).0,
            is_movable: false,
        }
    }
}

/// Detached pages, linked through `struct page`. Dropping it leaks them.
///
/// # Invariants
///
/// The pages reachable from `first` are `len`, and the last has no next page. Each was a
/// [`DetachedPage`] that had been in a chain, and is owned by this value.
pub struct DetachedPages {
    first: Option<RawPage>,
    len: usize,
}

impl DetachedPages {
    /// Creates an empty list.
    pub const fn new() -> Self {
        Self {
            first: None,
            len: 0,
        }
    }

    /// Returns the number of pages.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no pages.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a page. A page that was never in a chain is leaked.
    #[inline]
    pub fn push(&mut self, page: DetachedPage) {
        if page.is_movable {
            // SAFETY: The page was a `DetachedPage`: it is zsmalloc's, and nobody else uses its link.
            unsafe { page.raw.set_next(self.first) };
            self.first = Some(page.raw);
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Removes the page that was added last.
    #[inline]
    pub fn pop(&mut self) -> Option<DetachedPage> {
        let raw = self.first?;
        // SAFETY: By the type invariants, the page is zsmalloc's, and nobody else changes its link.
        self.first = unsafe { raw.next() };
        self.len = self.len.wrapping_sub(1);
        // INVARIANT: The page was a `DetachedPage`.
        Some(DetachedPage {
            raw,
            is_movable: true,
        })
    }

    /// Frees the pages. No lock may be held.
    ///
    /// # Safety
    ///
    /// No [`ZsPage`] that names one of them may be in use.
    pub unsafe fn free(&mut self) {
        self.len = 0;
        if let Some(first) = self.first.take() {
            // SAFETY: By the type invariants, the pages are owned by this value and locked, and the
            // last one has no next page. Nobody uses them any more (safety requirement).
            unsafe { first.release_all() };
        }
    }
}

impl Default for DetachedPages {
    fn default() -> Self {
        Self::new()
    }
}

/// A reference to a page, which may not be in a zspage any more.
///
/// # Invariants
///
/// `self` owns a reference to the page.
pub struct PinnedPage(RawPage);

impl PinnedPage {
    /// Waits until the page is unlocked. May sleep.
    pub fn wait_unlocked(&self) {
        // SAFETY: By the type invariants, this has a reference to the page.
        unsafe { self.0.wait_unlocked() };
    }
}

impl Drop for PinnedPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, this has a reference to the page.
        unsafe { self.0.put() };
    }
}

/// A migration: the kernel wants to move the contents of one page to another.
///
/// # Invariants
///
/// The kernel has both pages locked. `old` is a movable page, so it is in a zspage, unless it was
/// replaced: then `new` is, with the same contents. Otherwise `new` is newly allocated.
pub struct Migration {
    new: RawPage,
    old: RawPage,
    replaced: Cell<bool>,
}

impl Migration {
    /// Begins the migration of `old` to `new`.
    ///
    /// # Safety
    ///
    /// `old` must be a movable page of a zspage, and `new` a newly allocated page. The caller must
    /// have both locked for as long as the result exists.
    pub unsafe fn new(new: RawPage, old: RawPage) -> Self {
        // INVARIANT: The safety requirements are the invariants.
        Self {
            new,
            old,
            replaced: Cell::new(false),
        }
    }

    /// Returns the page to be moved.
    pub fn old(&self) -> ZsPage<'_> {
        // SAFETY: By the type invariants, both pages are locked. That keeps the zspage, which is
        // freed only after its pages, and the page: if it was replaced, only `finish` releases it.
        unsafe { ZsPage::from_raw(self.old) }
    }

    // Copies the old page to the new one, which becomes zsmalloc's and movable, and returns that.
    // Returns `None` if this was done before. The caller has to replace the old page in its chain.
    pub(super) fn copy(&self) -> Option<RawPage> {
        if self.replaced.replace(true) {
            return None;
        }
        // SAFETY: By the type invariants, both pages are locked and `new` is newly allocated.
        unsafe {
            self.new.adopt();
            self.old.copy_page_to(self.new);
        }
        Some(self.new)
    }

    /// Releases the old page, if it was replaced. No lock may be held.
    ///
    /// # Safety
    ///
    /// No [`ZsPage`] that names the old page may be in use.
    pub unsafe fn finish(self) {
        if self.replaced.get() {
            // SAFETY: By the type invariants, both pages are locked, and `new` has replaced `old`.
            // Nobody uses `old` any more (safety requirement).
            unsafe { self.new.finish_adoption(self.old) };
        }
    }
}
