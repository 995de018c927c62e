// SPDX-License-Identifier: GPL-2.0

//! Pages of zspages, and what `struct page` says about them.
//!
//! ===============  =====================================================
//! `private`        the zspage
//! `index`          the next page, behind the last the first; of a huge zspage, the handle
//! `page_type`      `PGTY_zsmalloc`; the lower 24 bits are the page's place in the chain
//! `mapping`        the movable operations
//! ===============  =====================================================
//!
//! C headers: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h),
//! [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h)

use core::ptr::{null_mut, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use super::prelude::Gfp;
use crate::bindings;

/// Bytes of a page.
pub const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;
/// Bits for an offset in a page.
pub const PAGE_SHIFT: usize = kernel::page::PAGE_SHIFT;
/// Bits for a page frame number. `helpers/page.c` uses no page whose number has more.
pub const PFN_BITS: u32 = 48 - PAGE_SHIFT as u32;

/// Names a page. Having one says nothing about who may use the page; hence the unsafe functions.
///
/// # Invariants
///
/// Points to a `struct page` of the kernel's memory map. It stays for as long as somebody has the
/// page: memory hot-remove takes a part of the map away only when all of its pages are free.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZsPage(NonNull<kernel::bindings::page>);

impl ZsPage {
    /// Allocates a page, marks it as zsmalloc's, counts it and locks it. Context: as `gfp` says.
    pub fn alloc(gfp: Gfp) -> Option<Self> {
        // SAFETY: Any flags may be asked for.
        let raw = unsafe { bindings::zs_helper_page_alloc(gfp.for_pages()) };
        // INVARIANT: The page allocator returns pages of the memory map.
        NonNull::new(raw).map(Self)
    }

    /// Takes a page from C.
    ///
    /// # Safety
    ///
    /// `raw` must point to a `struct page` of the memory map.
    pub unsafe fn from_raw(raw: *mut kernel::bindings::page) -> Option<Self> {
        // INVARIANT: The caller's promise.
        NonNull::new(raw).map(Self)
    }

    /// The page of this frame number.
    ///
    /// # Safety
    ///
    /// The number must be that of a page in the memory map, as [`ZsPage::pfn`] returned it.
    #[inline]
    pub unsafe fn from_pfn(pfn: usize) -> Self {
        // INVARIANT: The caller's promise.
        // SAFETY: As above; the memory map is not at address zero.
        unsafe { Self(NonNull::new_unchecked(bindings::zs_helper_pfn_to_page(pfn))) }
    }

    /// The page's frame number.
    #[inline]
    pub fn pfn(self) -> usize {
        // SAFETY: By the type invariants.
        unsafe { bindings::zs_helper_page_to_pfn(self.0.as_ptr()) }
    }

    /// The page at `position` of the chain, a ring, that this one is in, if there is one.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::next`], for every page of the chain.
    #[inline]
    pub unsafe fn find(self, position: u32) -> Option<Self> {
        // SAFETY: The pages are ours, by the caller's promise.
        let raw = unsafe { bindings::zs_helper_page_find(self.0.as_ptr(), position) };
        // INVARIANT: As in `next`.
        NonNull::new(raw).map(Self)
    }

    /// Makes the page the one at `position` of `owner`, with no next one.
    ///
    /// # Safety
    ///
    /// The caller must own the page.
    pub unsafe fn attach(self, owner: NonNull<()>, position: u32) {
        // SAFETY: The caller owns the page.
        unsafe {
            bindings::zs_helper_page_attach(self.0.as_ptr(), owner.as_ptr().cast(), position)
        };
    }

    /// The owner given to [`ZsPage::attach`].
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and must not stop doing so meanwhile.
    #[inline]
    pub unsafe fn owner(self) -> Option<NonNull<()>> {
        // SAFETY: The page is ours, by the caller's promise.
        NonNull::new(unsafe { bindings::zs_helper_page_owner(self.0.as_ptr()) }.cast())
    }

    /// The place in the chain.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::owner`].
    pub unsafe fn position(self) -> u32 {
        // SAFETY: The page is ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_position(self.0.as_ptr()) }
    }

    /// The next page of the chain; of a huge zspage, none.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::owner`]; nobody may change the chain at this place.
    #[inline]
    pub unsafe fn next(self) -> Option<Self> {
        // SAFETY: The page is ours, by the caller's promise.
        let raw = unsafe { bindings::zs_helper_page_next(self.0.as_ptr()) };
        // INVARIANT: The link is null or was written by `set_next`.
        NonNull::new(raw).map(Self)
    }

    /// Links `next`, or nothing, behind this page.
    ///
    /// # Safety
    ///
    /// Both must belong to one zspage, which is not huge; nobody else may use the chain at this
    /// place.
    pub unsafe fn set_next(self, next: Option<Self>) {
        let next = next.map_or(null_mut(), Self::as_ptr);
        // SAFETY: The pages are ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_set_next(self.0.as_ptr(), next) };
    }

    /// The handle that is kept outside a huge object.
    ///
    /// # Safety
    ///
    /// The page must be that of a huge zspage, as for [`ZsPage::owner`].
    pub unsafe fn huge_handle(self) -> u32 {
        // SAFETY: The page is ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_huge_handle(self.0.as_ptr()) }
    }

    /// Sets what [`ZsPage::huge_handle`] returns.
    ///
    /// # Safety
    ///
    /// As for it, and nobody else may use it.
    pub unsafe fn set_huge_handle(self, handle: u32) {
        // SAFETY: The page is ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_set_huge_handle(self.0.as_ptr(), handle) };
    }

    /// Takes over the link, or the huge handle, of `old`.
    ///
    /// # Safety
    ///
    /// Both pages must be the caller's to change.
    pub unsafe fn take_link(self, old: Self) {
        // SAFETY: The pages are the caller's.
        unsafe { bindings::zs_helper_page_take_link(self.0.as_ptr(), old.0.as_ptr()) };
    }

    /// Lets the kernel migrate the page.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and the caller must have it locked.
    pub unsafe fn make_movable(self) {
        // SAFETY: The page is ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_make_movable(self.0.as_ptr()) };
    }

    /// Locks the page if nobody else has it locked.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::owner`].
    pub unsafe fn try_lock(self) -> bool {
        // SAFETY: The page is ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_trylock(self.0.as_ptr()) }
    }

    /// Unlocks the page.
    ///
    /// # Safety
    ///
    /// The caller must have it locked.
    pub unsafe fn unlock(self) {
        // SAFETY: The caller has it locked.
        unsafe { bindings::zs_helper_page_unlock(self.0.as_ptr()) };
    }

    /// Waits until the page is not locked. May sleep.
    ///
    /// # Safety
    ///
    /// The caller must own a reference.
    pub unsafe fn wait_unlocked(self) {
        // SAFETY: The caller owns a reference.
        unsafe { bindings::zs_helper_page_wait_unlocked(self.0.as_ptr()) };
    }

    /// Takes a reference.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::owner`].
    pub unsafe fn get(self) {
        // SAFETY: The page is ours, by the caller's promise.
        unsafe { bindings::zs_helper_page_get(self.0.as_ptr()) };
    }

    /// Drops a reference.
    ///
    /// # Safety
    ///
    /// The caller must own one.
    pub unsafe fn put(self) {
        // SAFETY: The caller owns a reference.
        unsafe { bindings::zs_helper_page_put(self.0.as_ptr()) };
    }

    /// Unlocks and frees a page that was never made movable.
    ///
    /// # Safety
    ///
    /// The caller must own the page, as it was allocated, and have it locked.
    pub unsafe fn discard(self) {
        // SAFETY: The caller owns the page.
        unsafe { bindings::zs_helper_page_discard(self.0.as_ptr()) };
    }

    /// Takes the page out of zsmalloc, unlocks it and frees it.
    ///
    /// # Safety
    ///
    /// The caller must own the page and have it locked.
    pub unsafe fn release(self) {
        // SAFETY: The caller owns the page and has it locked.
        unsafe { bindings::zs_helper_page_release(self.0.as_ptr()) };
    }

    /// Marks the target of a migration as zsmalloc's.
    ///
    /// # Safety
    ///
    /// The page must be the fresh, locked target of a migration.
    pub unsafe fn adopt(self) {
        // SAFETY: The caller's promise.
        unsafe { bindings::zs_helper_page_adopt(self.0.as_ptr()) };
    }

    /// Ends a migration: this page is movable, counted and held, `old` is none of it.
    ///
    /// # Safety
    ///
    /// Both pages must be locked, this one in the chain in the place of `old`.
    pub unsafe fn finish_adoption(self, old: Self) {
        // SAFETY: The caller's promise.
        unsafe { bindings::zs_helper_page_finish_adoption(self.0.as_ptr(), old.0.as_ptr()) };
    }

    /// Copies `len` bytes out of the page.
    ///
    /// # Safety
    ///
    /// The page must be ours, the range inside it, and `to` have room.
    pub unsafe fn read_bytes(self, offset: usize, to: NonNull<u8>, len: usize) {
        // SAFETY: The caller's promise.
        unsafe { bindings::zs_helper_page_read(self.0.as_ptr(), offset, to.as_ptr().cast(), len) };
    }

    /// Copies `len` bytes into the page.
    ///
    /// # Safety
    ///
    /// As for [`ZsPage::read_bytes`], and nobody else may use these bytes.
    pub unsafe fn write_bytes(self, offset: usize, from: NonNull<u8>, len: usize) {
        // SAFETY: The caller's promise.
        unsafe {
            bindings::zs_helper_page_write(self.0.as_ptr(), offset, from.as_ptr().cast(), len)
        };
    }

    /// Copies `len` bytes of this page to another.
    ///
    /// # Safety
    ///
    /// Both pages must be ours, the ranges inside them and apart, and used by nobody else.
    pub unsafe fn copy_to(self, offset: usize, to: Self, to_offset: usize, len: usize) {
        // SAFETY: The caller's promise.
        unsafe {
            bindings::zs_helper_page_copy(to.0.as_ptr(), to_offset, self.0.as_ptr(), offset, len)
        };
    }

    /// Copies the whole page.
    ///
    /// # Safety
    ///
    /// Both pages must be the caller's, and used by nobody else.
    pub unsafe fn copy_page_to(self, to: Self) {
        // SAFETY: The caller's promise.
        unsafe { bindings::zs_helper_page_copy_all(to.0.as_ptr(), self.0.as_ptr()) };
    }

    pub(super) fn as_ptr(self) -> *mut kernel::bindings::page {
        self.0.as_ptr()
    }
}

/// Reads four bytes at a physical address.
///
/// # Safety
///
/// The address must be in a page of ours, and a multiple of four.
#[inline]
pub unsafe fn read_u32_at(address: u64) -> u32 {
    // SAFETY: The caller's promise.
    unsafe { bindings::zs_helper_read_u32_at(address) }
}

/// Writes four bytes at a physical address.
///
/// # Safety
///
/// As for [`read_u32_at`], and nobody else may use these bytes.
#[inline]
pub unsafe fn write_u32_at(address: u64, value: u32) {
    // SAFETY: The caller's promise.
    unsafe { bindings::zs_helper_write_u32_at(address, value) };
}

/// A place that names a page, or none.
pub struct PageCell(AtomicPtr<kernel::bindings::page>);

impl PageCell {
    /// Names none.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    /// The page that it names.
    pub fn get(&self) -> Option<ZsPage> {
        // INVARIANT: It is null or was written by `set`.
        NonNull::new(self.0.load(Ordering::Relaxed)).map(ZsPage)
    }

    /// Names another page, or none.
    pub fn set(&self, page: Option<ZsPage>) {
        self.0
            .store(page.map_or(null_mut(), ZsPage::as_ptr), Ordering::Relaxed);
    }
}

impl Default for PageCell {
    fn default() -> Self {
        Self::new()
    }
}
