// SPDX-License-Identifier: GPL-2.0

//! Pointers to pages, and the use of `struct page` for pages of zspages.
//!
//! Only [`super::page`] and [`super::chain`] use this. Their types say who may use a page.
//!
//! ===============  =====================================================
//! `private`        the chain, which is in the zspage
//! `index`          the next page, a ring; in a huge zspage, the handle
//! `page_type`      `PGTY_zsmalloc`, the index of the class, and the position
//! `mapping`        the movable operations
//! ===============  =====================================================
//!
//! C headers: [`include/linux/mm_types.h`](srctree/include/linux/mm_types.h),
//! [`include/linux/page-flags.h`](srctree/include/linux/page-flags.h)

use core::ptr::{null_mut, NonNull};

use super::prelude::Gfp;
use crate::bindings;

/// Bytes in a page.
pub const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;
/// Number of bits of an offset in a page.
pub const PAGE_SHIFT: usize = kernel::page::PAGE_SHIFT;
/// Number of bits of a page frame number. `helpers/page.c` rejects pages above that.
pub const PFN_BITS: u32 = bindings::ZS_ADDRESS_BITS - PAGE_SHIFT as u32;

/// A pointer to a page. It gives no right to use the page; hence the unsafe functions.
///
/// # Invariants
///
/// `0` points to a `struct page` in the memory map. That stays while the page is allocated: memory
/// hot-remove frees a part of the map only after all its pages were freed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawPage(NonNull<kernel::bindings::page>);

impl RawPage {
    /// Allocates a page. It is locked, marked as zsmalloc's and counted. Context: depends on `gfp`.
    pub fn alloc(gfp: Gfp) -> Option<Self> {
        // SAFETY: The helper takes any flags.
        let raw = unsafe { bindings::zs_helper_page_alloc(gfp.for_pages(), gfp.nid()) };
        // INVARIANT: The page allocator returns pages in the memory map.
        NonNull::new(raw).map(Self)
    }

    /// Wraps a page from C.
    ///
    /// # Safety
    ///
    /// `raw` must be null, or point to a `struct page` in the memory map.
    pub unsafe fn from_raw(raw: *mut kernel::bindings::page) -> Option<Self> {
        // INVARIANT: The pointer is to a page in the memory map (safety requirement).
        NonNull::new(raw).map(Self)
    }

    /// Returns the page with frame number `pfn`.
    ///
    /// # Safety
    ///
    /// [`RawPage::pfn`] must have returned `pfn`, for a page that is still allocated.
    #[inline]
    pub unsafe fn from_pfn(pfn: usize) -> Self {
        // INVARIANT: The page with this number is allocated (safety requirement), so it is in the
        // memory map.
        // SAFETY: `pfn` is valid (safety requirement). The memory map is not at address zero.
        unsafe { Self(NonNull::new_unchecked(bindings::zs_helper_pfn_to_page(pfn))) }
    }

    /// Returns the page frame number.
    #[inline]
    pub fn pfn(self) -> usize {
        // SAFETY: By the type invariants `0` points to a `struct page` in the memory map.
        unsafe { bindings::zs_helper_page_to_pfn(self.0.as_ptr()) }
    }

    /// Returns the page at `position` in the chain of this page, or `None` if there is none.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::next`], for every page in the chain.
    #[inline]
    pub unsafe fn find(self, position: u32) -> Option<Self> {
        // SAFETY: All pages of the chain belong to a zspage, and it does not change (requirements).
        let raw = unsafe { bindings::zs_helper_page_find(self.0.as_ptr(), position) };
        // INVARIANT: The helper returns null or a page that `set_next` linked into the chain.
        NonNull::new(raw).map(Self)
    }

    /// Sets the owner, the position and the class of the page. It has no next page.
    ///
    /// # Safety
    ///
    /// The caller must own the page.
    pub unsafe fn attach(self, owner: NonNull<()>, position: u32, class: u16) {
        // SAFETY: The caller owns the page (safety requirement).
        unsafe {
            let owner = owner.as_ptr().cast();
            bindings::zs_helper_page_attach(self.0.as_ptr(), owner, position, class.into())
        };
    }

    /// Takes the owner from the page.
    ///
    /// # Safety
    ///
    /// The caller must have the page locked, and it must be in no zspage any more.
    pub unsafe fn detach(self) {
        // SAFETY: The page is locked and in no zspage (safety requirement).
        unsafe { bindings::zs_helper_page_detach(self.0.as_ptr()) };
    }

    /// Returns the owner given to [`RawPage::attach`].
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and stay in it during the call.
    #[inline]
    pub unsafe fn owner(self) -> Option<NonNull<()>> {
        // SAFETY: The page belongs to a zspage (safety requirement).
        NonNull::new(unsafe { bindings::zs_helper_page_owner(self.0.as_ptr()) }.cast())
    }

    /// Returns the position of the page in its zspage.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn position(self) -> u32 {
        // SAFETY: The page belongs to a zspage (safety requirement of `owner`).
        unsafe { bindings::zs_helper_page_position(self.0.as_ptr()) }
    }

    /// Returns the class given to [`RawPage::attach`].
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    #[inline]
    pub unsafe fn class(self) -> u16 {
        // SAFETY: The page belongs to a zspage (safety requirement of `owner`). The helper returns
        // 16 bits.
        unsafe { bindings::zs_helper_page_class(self.0.as_ptr()) as u16 }
    }

    /// Returns the next page in the chain, or `None` in a huge zspage.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`]. The link of this page must not change during the call.
    #[inline]
    pub unsafe fn next(self) -> Option<Self> {
        // SAFETY: The page belongs to a zspage (safety requirement).
        let raw = unsafe { bindings::zs_helper_page_next(self.0.as_ptr()) };
        // INVARIANT: The link is null or was written by `set_next`.
        NonNull::new(raw).map(Self)
    }

    /// Sets the next page in the chain.
    ///
    /// # Safety
    ///
    /// Both pages must belong to one zspage, not a huge one. Nobody else may use this page's link.
    pub unsafe fn set_next(self, next: Option<Self>) {
        let next = next.map_or(null_mut(), Self::as_ptr);
        // SAFETY: The pages belong to a zspage. Nobody else uses the link (requirements).
        unsafe { bindings::zs_helper_page_set_next(self.0.as_ptr(), next) };
    }

    /// Returns the handle of a huge object, which is stored in `struct page`.
    ///
    /// # Safety
    ///
    /// The page must belong to a huge zspage, and stay in it during the call.
    pub unsafe fn huge_handle(self) -> u32 {
        // SAFETY: The page belongs to a huge zspage (safety requirement).
        unsafe { bindings::zs_helper_page_huge_handle(self.0.as_ptr()) }
    }

    /// Sets the handle of a huge object.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::huge_handle`]. Nobody else may use the handle.
    pub unsafe fn set_huge_handle(self, handle: u32) {
        // SAFETY: The page is of a huge zspage. Nobody else uses the handle (requirements).
        unsafe { bindings::zs_helper_page_set_huge_handle(self.0.as_ptr(), handle) };
    }

    /// Copies the link or the huge handle of `old`.
    ///
    /// # Safety
    ///
    /// The caller must have both pages locked, and hold the class lock of `old`.
    pub unsafe fn take_link(self, old: Self) {
        // SAFETY: The locks keep everybody else from either field (safety requirement).
        unsafe { bindings::zs_helper_page_take_link(self.0.as_ptr(), old.0.as_ptr()) };
    }

    /// Makes the page movable: the kernel may migrate it from now on.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage. The caller must have it locked.
    pub unsafe fn make_movable(self) {
        // SAFETY: The page belongs to a zspage and is locked (safety requirements).
        unsafe { bindings::zs_helper_page_make_movable(self.0.as_ptr()) };
    }

    /// Locks the page unless it is locked. Returns whether it did.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn try_lock(self) -> bool {
        // SAFETY: The page belongs to a zspage (safety requirement of `owner`), so it is allocated.
        unsafe { bindings::zs_helper_page_trylock(self.0.as_ptr()) }
    }

    /// Unlocks the page.
    ///
    /// # Safety
    ///
    /// The caller must have the page locked.
    pub unsafe fn unlock(self) {
        // SAFETY: The caller has the page locked (safety requirement).
        unsafe { bindings::zs_helper_page_unlock(self.0.as_ptr()) };
    }

    /// Waits until the page is unlocked. May sleep.
    ///
    /// # Safety
    ///
    /// The caller must have a reference to the page.
    pub unsafe fn wait_unlocked(self) {
        // SAFETY: The caller has a reference (safety requirement).
        unsafe { bindings::zs_helper_page_wait_unlocked(self.0.as_ptr()) };
    }

    /// Takes a reference to the page.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn get(self) {
        // SAFETY: The page belongs to a zspage (safety requirement of `owner`), so it is allocated.
        unsafe { bindings::zs_helper_page_get(self.0.as_ptr()) };
    }

    /// Drops a reference to the page.
    ///
    /// # Safety
    ///
    /// The caller must have a reference to the page, and not use it any more.
    pub unsafe fn put(self) {
        // SAFETY: The caller has a reference (safety requirement).
        unsafe { bindings::zs_helper_page_put(self.0.as_ptr()) };
    }

    /// Unlocks and frees a page that was never movable.
    ///
    /// # Safety
    ///
    /// The caller must own the page, have it locked, and not use it any more.
    pub unsafe fn discard(self) {
        // SAFETY: The caller owns the page and has it locked (safety requirements).
        unsafe { bindings::zs_helper_page_discard(self.0.as_ptr()) };
    }

    /// Unlocks and frees movable pages: this one and all that it leads to by [`RawPage::next`].
    ///
    /// # Safety
    ///
    /// The caller must own the pages, have them locked, and not use them any more. The last one must
    /// have no next page.
    pub unsafe fn release_all(self) {
        // SAFETY: The caller owns the pages and has them locked. They end (safety requirements).
        unsafe { bindings::zs_helper_pages_release(self.0.as_ptr()) };
    }

    /// Marks the target page of a migration as zsmalloc's, makes it movable and takes a reference.
    ///
    /// # Safety
    ///
    /// The page must be the newly allocated, locked target of a migration.
    pub unsafe fn adopt(self) {
        // SAFETY: The page is the locked target of a migration (safety requirement).
        unsafe { bindings::zs_helper_page_adopt(self.0.as_ptr()) };
    }

    /// Finishes a migration: counts this page instead of `old`, and releases `old`.
    ///
    /// # Safety
    ///
    /// Both pages must be locked. This page must have replaced `old` in the chain.
    pub unsafe fn finish_adoption(self, old: Self) {
        // SAFETY: Both pages are locked, and `old` is in no chain (safety requirements).
        unsafe { bindings::zs_helper_page_finish_adoption(self.0.as_ptr(), old.0.as_ptr()) };
    }

    /// Copies `len` bytes from the page to `to`, which may be aligned in any way.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage and contain the range. `to` must be valid for `len` bytes.
    pub unsafe fn read_bytes(self, offset: usize, to: NonNull<u8>, len: usize) {
        // SAFETY: Both ranges are valid for `len` bytes (safety requirements).
        unsafe { bindings::zs_helper_page_read(self.0.as_ptr(), offset, to.as_ptr().cast(), len) };
    }

    /// Copies `len` bytes from `from`, which may be aligned in any way, to the page.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::read_bytes`]. Nobody else may use these bytes of the page.
    pub unsafe fn write_bytes(self, offset: usize, from: NonNull<u8>, len: usize) {
        // SAFETY: Both ranges are valid, and nobody else uses the destination (requirements).
        unsafe {
            bindings::zs_helper_page_write(self.0.as_ptr(), offset, from.as_ptr().cast(), len)
        };
    }

    /// Returns the address of the byte at `offset`.
    #[inline]
    pub fn map(self, offset: usize) -> NonNull<u8> {
        // SAFETY: By the type invariants, `0` points to a `struct page` in the memory map. Only an
        // address is computed, which is not zero.
        unsafe {
            NonNull::new_unchecked(bindings::zs_helper_page_map(self.0.as_ptr(), offset).cast())
        }
    }

    /// Returns the address of the byte at `offset` if the next page of the chain follows this one in
    /// memory, and otherwise `None`.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn map_neighbours(self, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: The page belongs to a zspage (safety requirement). The helper follows its link
        // only if that leads to the next `struct page`.
        let raw = unsafe { bindings::zs_helper_page_neighbours(self.0.as_ptr(), offset) };
        NonNull::new(raw.cast())
    }

    /// Copies `len` bytes of this page to another, or to another place in this one.
    ///
    /// # Safety
    ///
    /// Both pages must belong to zspages. The ranges must be inside them and must not overlap.
    /// Nobody else may use them.
    pub unsafe fn copy_to(self, offset: usize, to: Self, to_offset: usize, len: usize) {
        // SAFETY: Both ranges are valid, separate, and not used elsewhere (requirements).
        unsafe {
            bindings::zs_helper_page_copy(to.0.as_ptr(), to_offset, self.0.as_ptr(), offset, len)
        };
    }

    /// Copies the whole page.
    ///
    /// # Safety
    ///
    /// The caller must have both pages locked. Nobody else may use their contents.
    pub unsafe fn copy_page_to(self, to: Self) {
        // SAFETY: Both pages are locked, and nobody else uses their contents (safety requirements).
        unsafe { bindings::zs_helper_page_copy_all(to.0.as_ptr(), self.0.as_ptr()) };
    }

    pub(super) fn as_ptr(self) -> *mut kernel::bindings::page {
        self.0.as_ptr()
    }
}

/// Returns the kernel address of a physical address, which must be inside a page.
#[inline]
pub fn map_address(address: u64) -> NonNull<u8> {
    // SAFETY: The helper only computes an address, which is not zero.
    unsafe { NonNull::new_unchecked(bindings::zs_helper_map_address(address).cast()) }
}

/// Reads four bytes at a physical address.
///
/// # Safety
///
/// The address must be in a page of a zspage, and a multiple of four.
#[inline]
pub unsafe fn read_u32_at(address: u64) -> u32 {
    // SAFETY: The address is valid and aligned (safety requirements).
    unsafe { bindings::zs_helper_read_u32_at(address) }
}

/// Writes four bytes at a physical address.
///
/// # Safety
///
/// As for [`read_u32_at`]. Nobody else may use these bytes.
#[inline]
pub unsafe fn write_u32_at(address: u64, value: u32) {
    // SAFETY: The address is valid and aligned, and nobody else uses it (requirements).
    unsafe { bindings::zs_helper_write_u32_at(address, value) };
}
