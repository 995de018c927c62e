// SPDX-License-Identifier: GPL-2.0

//! Pages of zspages, in the machine's memory, and the fake memory map.
//!
//! Using a page that is not zsmalloc's panics. Freed pages are poisoned, and reused as late as
//! possible.

use core::ptr::{null_mut, NonNull};
use std::alloc::Layout;
use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicBool as StdBool, AtomicPtr, AtomicU16, AtomicU32, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Mutex, MutexGuard};

use super::atomic::{spin_loop, AtomicBool, RefCount};
use super::cpu_area::{no_lock_held, thread_number};
use super::machine::{self, Config, Placement, Point, Random};
use super::prelude::Gfp;
use super::sched::might_sleep;

/// Bytes in a page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// Number of bits of an offset in a page.
pub const PAGE_SHIFT: usize = if cfg!(zs_pages = "64k") {
    16
} else if cfg!(zs_pages = "16k") {
    14
} else {
    12
};
/// Number of bits of a page frame number.
pub const PFN_BITS: u32 = 48 - PAGE_SHIFT as u32;

const POISON: u8 = 0xaa;

/// The fake `struct page`.
pub(super) struct Frame {
    address: usize,
    // Allocated.
    used: StdBool,
    refs: RefCount,
    lock: AtomicBool,
    // The thread that has locked the page.
    locker: AtomicUsize,
    // `page_type`.
    ours: StdBool,
    position: AtomicU32,
    class: AtomicU16,
    // `PG_movable` and `PG_isolated`.
    movable: AtomicBool,
    isolated: StdBool,
    // `private`.
    owner: AtomicPtr<()>,
    // `index`: the address of the next frame, or a huge handle with the lowest bit set.
    link: AtomicUsize,
    #[cfg(loom)]
    watched: super::watch::Watched,
}

// Address and number of pages of the memory of former machines.
static LEFT_BEHIND: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// All pages of a machine.
pub(super) struct Memory {
    bytes: NonNull<u8>,
    frames: Box<[Frame]>,
    free: Mutex<VecDeque<usize>>,
    poisoned: Box<[StdBool]>,
    zs_pages: AtomicUsize,
}

// SAFETY: The bytes are only accessed through `RawPage`, whose callers guarantee exclusion.
unsafe impl Send for Memory {}
// SAFETY: The frames are atomic, and so is the free list. For the bytes see `Send`.
unsafe impl Sync for Memory {}

impl Memory {
    fn layout(pages: usize) -> Layout {
        Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap()
    }

    // Reuses the memory of a former machine. Like real memory, it may contain anything.
    fn bytes(pages: usize) -> NonNull<u8> {
        let mut left = LEFT_BEHIND
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(index) = left.iter().position(|&(_, size)| size == pages) {
            return NonNull::new(left.swap_remove(index).0 as *mut u8).unwrap();
        }
        // SAFETY: The layout is not empty.
        let bytes = unsafe { std::alloc::alloc_zeroed(Self::layout(pages)) };
        NonNull::new(bytes).expect("the host has no memory")
    }

    pub(super) fn new(config: &Config) -> Self {
        check!(config.pages > 0, "a machine without memory");
        let bytes = Self::bytes(config.pages);
        let mut free: Vec<usize> = (0..config.pages).collect();
        if config.placement == Placement::Scattered {
            let mut random = Random::new(config.seed);
            for i in (1..free.len()).rev() {
                free.swap(i, random.below(i + 1));
            }
        }
        Self {
            bytes,
            frames: (0..config.pages)
                .map(|i| Frame::new(bytes.as_ptr() as usize + i * PAGE_SIZE))
                .collect(),
            free: Mutex::new(free.into()),
            poisoned: (0..config.pages).map(|_| StdBool::new(false)).collect(),
            zs_pages: AtomicUsize::new(0),
        }
    }

    fn free(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.free
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn zs_pages(&self) -> usize {
        self.zs_pages.load(Relaxed)
    }

    pub(super) fn used_pages(&self) -> usize {
        self.frames.iter().filter(|f| f.used.load(Relaxed)).count()
    }

    // Returns the index of the page that contains an address.
    fn find(&self, address: usize) -> Option<usize> {
        let index = address.wrapping_sub(self.bytes.as_ptr() as usize) >> PAGE_SHIFT;
        (index < self.frames.len()).then_some(index)
    }

    fn index(&self, address: usize) -> usize {
        self.find(address)
            .unwrap_or_else(|| panic!("BUG: no page of this machine: {address:#x}"))
    }

    fn page(&self, index: usize) -> RawPage {
        RawPage(NonNull::from(&self.frames[index]))
    }

    // SAFETY: The page must be free, or owned by the caller.
    unsafe fn contents(&self, index: usize) -> &mut [u8] {
        // SAFETY: The page is inside the memory. It is free or the caller's (requirement), so
        // nobody else uses the bytes.
        unsafe {
            core::slice::from_raw_parts_mut(self.bytes.as_ptr().add(index * PAGE_SIZE), PAGE_SIZE)
        }
    }

    fn check_poison(&self, index: usize) {
        if self.poisoned[index].load(Relaxed) {
            // SAFETY: The page is on the free list or was just taken off it.
            let clean = unsafe { self.contents(index) }.iter().all(|&b| b == POISON);
            check!(clean, "BUG: page {index} was written to after it was freed");
        }
    }

    /// Panics if a free page was written to.
    pub(super) fn check_free_pages(&self) {
        for &index in self.free().iter() {
            self.check_poison(index);
        }
    }

    /// Allocates a page that belongs to nobody, with one reference.
    pub(super) fn allocate(&self) -> Option<RawPage> {
        let index = self.free().pop_front()?;
        self.check_poison(index);
        let frame = &self.frames[index];
        check!(!frame.used.swap(true, Relaxed), "BUG: page allocated twice");
        frame.refs.store(1, Relaxed);
        #[cfg(loom)]
        frame.watched.begin();
        Some(self.page(index))
    }

    fn release(&self, frame: &Frame) {
        let index = self.index(frame.address);
        frame.check_free();
        check!(frame.used.swap(false, Relaxed), "BUG: page freed twice");
        // SAFETY: The last reference was dropped, so nobody else uses the page.
        unsafe { self.contents(index) }.fill(POISON);
        self.poisoned[index].store(true, Relaxed);
        self.free().push_back(index);
    }

    /// Returns the movable pages.
    pub(super) fn movable(&self) -> Vec<RawPage> {
        (0..self.frames.len())
            .filter(|&i| self.frames[i].movable.load(Relaxed))
            .map(|i| self.page(i))
            .collect()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Keep the memory. Zeroing a new one takes longer than most tests.
        LEFT_BEHIND
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .push((self.bytes.as_ptr() as usize, self.frames.len()));
    }
}

impl Frame {
    fn new(address: usize) -> Self {
        let frame = Self {
            address,
            used: StdBool::new(false),
            refs: RefCount::new(0),
            lock: AtomicBool::new(false),
            locker: AtomicUsize::new(0),
            ours: StdBool::new(false),
            position: AtomicU32::new(0),
            class: AtomicU16::new(0),
            movable: AtomicBool::new(false),
            isolated: StdBool::new(false),
            owner: AtomicPtr::new(null_mut()),
            link: AtomicUsize::new(0),
            #[cfg(loom)]
            watched: Default::default(),
        };
        // `loom` creates an atomic on first use. Do that here, before a model starts threads.
        frame.check_free();
        frame.refs.load(Relaxed);
        frame
    }

    // Panics as the kernel does for a "Bad page state".
    fn check_free(&self) {
        let flags = [
            ("locked", self.lock.load(Relaxed)),
            ("of type zsmalloc", self.ours.load(Relaxed)),
            ("movable", self.movable.load(Relaxed)),
            ("isolated", self.isolated.load(Relaxed)),
            ("owned", !self.owner.load(Relaxed).is_null()),
            ("linked", self.link.load(Relaxed) != 0),
        ];
        for (what, set) in flags {
            check!(!set, "BUG: bad page state: freed while {what}");
        }
    }

    fn reset(&self) {
        self.owner.store(null_mut(), Relaxed);
        self.link.store(0, Relaxed);
        self.position.store(0, Relaxed);
        self.class.store(0, Relaxed);
        self.ours.store(false, Relaxed);
    }
}

/// A kind of access to bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads.
    Read,
    /// Writes.
    Write,
}

/// Announces an access of a test to mapped bytes, so that `loom` finds races.
pub fn touch(access: Access, bytes: &[u8]) {
    #[cfg(loom)]
    {
        let machine = machine::current();
        let (start, end) = (
            bytes.as_ptr() as usize,
            bytes.as_ptr() as usize + bytes.len(),
        );
        // The bounce buffer is in no page.
        if let Some(index) = machine.memory().find(start) {
            for index in index..=machine.memory().index(end - 1) {
                let frame = &machine.memory().frames[index];
                let from = start.max(frame.address) - frame.address;
                let to = (end - frame.address).min(PAGE_SIZE);
                frame.watched.touch(access, from, to - from);
            }
        }
    }
    #[cfg(not(loom))]
    let _ = (access, bytes);
}

/// A pointer to a page. It gives no right to use the page; hence the unsafe functions.
///
/// # Invariants
///
/// `0` points to a frame in the memory map of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawPage(NonNull<Frame>);

// SAFETY: Frames are atomic, and exist as long as the machine.
unsafe impl Send for RawPage {}
// SAFETY: Frames are atomic, and exist as long as the machine.
unsafe impl Sync for RawPage {}

impl core::fmt::Debug for RawPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "page {:#x}", self.pfn())
    }
}

impl RawPage {
    pub(super) fn frame(&self) -> &Frame {
        // SAFETY: By the type invariants this is a frame of the machine, which exists as long as a
        // thread is on it.
        unsafe { self.0.as_ref() }
    }

    // Returns the frame of a page that must be zsmalloc's.
    fn ours(&self, what: &str) -> &Frame {
        let frame = self.frame();
        check!(
            frame.used.load(Relaxed),
            "BUG: use after free: {what} {self:?}"
        );
        check!(
            frame.ours.load(Relaxed),
            "BUG: {what} {self:?}, which is not zsmalloc's"
        );
        frame
    }

    /// Returns the address of the page's bytes. The page must be zsmalloc's.
    pub(super) fn address(&self, what: &str) -> NonNull<u8> {
        let address = self.ours(what).address;
        let memory = machine::current();
        // SAFETY: The frame's address is inside the memory.
        unsafe {
            let bytes = memory.memory().bytes;
            bytes.add(address - bytes.as_ptr() as usize)
        }
    }

    // Checks and announces an access, and returns the address of its first byte.
    fn range(&self, what: &str, access: Access, offset: usize, len: usize) -> NonNull<u8> {
        check!(
            offset <= PAGE_SIZE && len <= PAGE_SIZE - offset,
            "BUG: {what} bytes {offset}+{len} of a page"
        );
        #[cfg(loom)]
        self.frame().watched.touch(access, offset, len);
        #[cfg(not(loom))]
        let _ = access;
        // SAFETY: The range is inside the page, as checked above.
        unsafe { self.address(what).add(offset) }
    }

    /// Allocates a page. It is locked, marked as zsmalloc's and counted. Context: depends on `gfp`.
    pub fn alloc(gfp: Gfp) -> Option<Self> {
        let machine = machine::current();
        machine
            .allocation(Point::Page, Gfp::from_raw(gfp.for_pages(), -1))
            .ok()?;
        machine.memory().allocate()?.lock_and_begin()
    }

    fn lock_and_begin(self) -> Option<Self> {
        if !self.lock_frame() {
            // SAFETY: This is the reference from the allocation, and nobody else has the page.
            unsafe { self.put() };
            return None;
        }
        Some(self.begin())
    }

    fn begin(self) -> Self {
        self.frame().ours.store(true, Relaxed);
        machine::current().memory().zs_pages.fetch_add(1, Relaxed);
        self
    }

    /// Returns the page with frame number `pfn`.
    ///
    /// # Safety
    ///
    /// [`RawPage::pfn`] must have returned `pfn`, for a page that is still allocated.
    pub unsafe fn from_pfn(pfn: usize) -> Self {
        let machine = machine::current();
        let memory = machine.memory();
        memory.page(memory.index(pfn << PAGE_SHIFT))
    }

    /// Returns the page frame number.
    pub fn pfn(self) -> usize {
        self.frame().address >> PAGE_SHIFT
    }

    /// Sets the owner, the position and the class of the page. It has no next page.
    ///
    /// # Safety
    ///
    /// The caller must own the page.
    pub unsafe fn attach(self, owner: NonNull<()>, position: u32, class: u16) {
        let frame = self.ours("attaches");
        frame.owner.store(owner.as_ptr(), Relaxed);
        frame.link.store(0, Relaxed);
        frame.position.store(position, Relaxed);
        frame.class.store(class, Relaxed);
    }

    /// Takes the owner from the page.
    ///
    /// # Safety
    ///
    /// The caller must have the page locked, and it must be in no zspage any more.
    pub unsafe fn detach(self) {
        let frame = self.ours("detaches");
        check!(frame.lock.load(Relaxed), "BUG: detaches an unlocked page");
        frame.owner.store(null_mut(), Relaxed);
    }

    /// Returns the owner given to [`RawPage::attach`].
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and stay in it during the call.
    pub unsafe fn owner(self) -> Option<NonNull<()>> {
        NonNull::new(self.ours("asks for the owner of").owner.load(Relaxed))
    }

    /// Returns the position of the page in its zspage.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn position(self) -> u32 {
        self.ours("asks for the position of").position.load(Relaxed)
    }

    /// Returns the class given to [`RawPage::attach`].
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn class(self) -> u16 {
        self.ours("asks for the class of").class.load(Relaxed)
    }

    /// Returns the page at `position` in the chain of this page, or `None` if there is none.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::next`], for every page in the chain.
    pub unsafe fn find(self, position: u32) -> Option<Self> {
        let mut at = self;
        for _ in 0..=u16::BITS {
            // SAFETY: All pages of the chain belong to a zspage, which does not change
            // (requirements).
            unsafe {
                if at.position() == position {
                    return Some(at);
                }
                at = at.next().filter(|&next| next != self)?;
            }
        }
        panic!("BUG: a chain that is not a ring");
    }

    /// Returns the next page in the chain, or `None` in a huge zspage.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`]. The link of this page must not change during the call.
    pub unsafe fn next(self) -> Option<Self> {
        let link = self.ours("follows").link.load(Relaxed);
        if link & 1 != 0 {
            return None;
        }
        // INVARIANT: The link is null or was written by `set_next`.
        NonNull::new(link as *mut Frame).map(Self)
    }

    /// Sets the next page in the chain.
    ///
    /// # Safety
    ///
    /// Both pages must belong to one zspage, not a huge one. Nobody else may use this page's link.
    pub unsafe fn set_next(self, next: Option<Self>) {
        let next = next.map_or(0, |next| {
            next.ours("links");
            next.0.as_ptr() as usize
        });
        self.ours("links").link.store(next, Relaxed);
    }

    /// Returns the handle of a huge object, which is stored in the frame.
    ///
    /// # Safety
    ///
    /// The page must belong to a huge zspage, and stay in it during the call.
    pub unsafe fn huge_handle(self) -> u32 {
        (self.ours("reads the handle of").link.load(Relaxed) >> 1) as u32
    }

    /// Sets the handle of a huge object.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::huge_handle`]. Nobody else may use the handle.
    pub unsafe fn set_huge_handle(self, handle: u32) {
        self.ours("writes the handle of")
            .link
            .store((handle as usize) << 1 | 1, Relaxed);
    }

    /// Copies the link or the huge handle of `old`.
    ///
    /// # Safety
    ///
    /// The caller must have both pages locked, and hold the class lock of `old`.
    pub unsafe fn take_link(self, old: Self) {
        let link = old.ours("takes the link of").link.load(Relaxed);
        self.ours("links").link.store(link, Relaxed);
    }

    /// Makes the page movable: [`super::mm`] may migrate it from now on.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage. The caller must have it locked.
    pub unsafe fn make_movable(self) {
        let frame = self.ours("makes movable");
        check!(
            frame.lock.load(Relaxed),
            "BUG: makes movable {self:?}, which is not locked"
        );
        frame.movable.store(true, Release);
    }

    /// Locks the page unless it is locked. Returns whether it did.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn try_lock(self) -> bool {
        self.ours("locks");
        self.lock_frame()
    }

    /// Unlocks the page.
    ///
    /// # Safety
    ///
    /// The caller must have the page locked.
    pub unsafe fn unlock(self) {
        let frame = self.frame();
        frame.locker.store(0, Relaxed);
        check!(
            frame.lock.swap(false, Release),
            "BUG: unlocks {self:?}, which is not locked"
        );
    }

    /// Waits until the page is unlocked. May sleep.
    ///
    /// # Safety
    ///
    /// The caller must have a reference to the page.
    pub unsafe fn wait_unlocked(self) {
        might_sleep("wait_on_page_locked()");
        let frame = self.frame();
        check!(frame.refs.load(Relaxed) > 0, "BUG: waits for a free page");
        while frame.lock.load(Acquire) {
            #[cfg(not(loom))]
            if frame.locker.load(Relaxed) == thread_number() {
                check!(
                    false,
                    "BUG: waits for {self:?}, which this thread has locked"
                );
                // The failed test is unwinding, and this loop would never end.
                std::process::abort();
            }
            spin_loop();
        }
    }

    /// Takes a reference to the page.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn get(self) {
        check!(
            self.try_get(),
            "BUG: takes a reference to {self:?}, which is free"
        );
    }

    /// Drops a reference to the page.
    ///
    /// # Safety
    ///
    /// The caller must have a reference to the page, and not use it any more.
    pub unsafe fn put(self) {
        let frame = self.frame();
        let mut now = frame.refs.load(Relaxed);
        loop {
            check!(now > 0, "BUG: drops a reference to {self:?}, which is free");
            match frame
                .refs
                .compare_exchange_weak(now, now.wrapping_sub(1), AcqRel, Relaxed)
            {
                Ok(_) => break,
                Err(newer) => now = newer,
            }
        }
        if now == 1 {
            machine::current().memory().release(frame);
        }
    }

    /// Unlocks and frees a page that was never movable.
    ///
    /// # Safety
    ///
    /// The caller must own the page, have it locked, and not use it any more.
    pub unsafe fn discard(self) {
        let frame = self.ours("discards");
        check!(!frame.movable.load(Relaxed), "BUG: discards a movable page");
        machine::current().memory().zs_pages.fetch_sub(1, Relaxed);
        frame.reset();
        // SAFETY: The caller has the page locked and owns it (safety requirements).
        unsafe {
            self.unlock();
            self.put();
        }
    }

    /// Unlocks and frees movable pages: this one and all that it leads to by [`RawPage::next`].
    ///
    /// # Safety
    ///
    /// The caller must own the pages, have them locked, and not use them any more. The last one must
    /// have no next page.
    pub unsafe fn release_all(self) {
        let mut at = Some(self);
        while let Some(page) = at {
            // SAFETY: The caller owns the pages and has them locked (safety requirements).
            unsafe {
                at = page.next();
                page.release();
            }
        }
    }

    // SAFETY: The caller must own the page, have it locked, and not use it any more.
    unsafe fn release(self) {
        let frame = self.ours("releases");
        check!(frame.lock.load(Relaxed), "BUG: releases an unlocked page");
        no_lock_held("gives a page back");
        frame.movable.store(false, Relaxed);
        frame.reset();
        machine::current().memory().zs_pages.fetch_sub(1, Relaxed);
        // SAFETY: The caller has the page locked and owns it (safety requirements).
        unsafe {
            self.unlock();
            self.put();
        }
    }

    /// Marks the target page of a migration as zsmalloc's.
    ///
    /// # Safety
    ///
    /// The page must be the newly allocated, locked target of a migration.
    pub unsafe fn adopt(self) {
        let frame = self.frame();
        check!(frame.lock.load(Relaxed), "BUG: adopts an unlocked page");
        check!(
            !frame.ours.swap(true, Relaxed),
            "BUG: adopts a page that is zsmalloc's"
        );
        frame.movable.store(true, Release);
        // SAFETY: The page is the target of a migration (safety requirement), so it is allocated.
        unsafe { self.get() };
    }

    /// Finishes a migration: releases `old`, which this page has replaced.
    ///
    /// # Safety
    ///
    /// Both pages must be locked. This page must have replaced `old` in the chain.
    pub unsafe fn finish_adoption(self, old: Self) {
        let (new_frame, old_frame) = (self.ours("adopts"), old.ours("gives up"));
        check!(
            new_frame.lock.load(Relaxed) && old_frame.lock.load(Relaxed),
            "BUG: ends a migration without the page locks"
        );
        old_frame.movable.store(false, Relaxed);
        old_frame.reset();
        // SAFETY: This is the reference of the zspage, which `old` has left (safety requirement).
        unsafe { old.put() };
    }

    /// Reads four bytes.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage. `offset` must be a multiple of four below [`PAGE_SIZE`].
    pub unsafe fn read_u32(self, offset: usize) -> u32 {
        check!(offset % 4 == 0, "BUG: reads across words");
        let word = self
            .range("reads", Access::Read, offset, 4)
            .cast::<u32>()
            .as_ptr();
        // SAFETY: The word is inside the page and aligned, as checked above.
        unsafe { AtomicU32::from_ptr(word) }.load(Relaxed)
    }

    /// Writes four bytes.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::read_u32`]. Nobody else may use these bytes.
    pub unsafe fn write_u32(self, offset: usize, value: u32) {
        check!(offset % 4 == 0, "BUG: writes across words");
        let word = self
            .range("writes", Access::Write, offset, 4)
            .cast::<u32>()
            .as_ptr();
        // SAFETY: The word is inside the page and aligned, as checked above.
        unsafe { AtomicU32::from_ptr(word) }.store(value, Relaxed);
    }

    /// Copies `len` bytes from the page to `to`.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage and contain the range. `to` must be valid for `len` bytes.
    pub unsafe fn read_bytes(self, offset: usize, to: NonNull<u8>, len: usize) {
        // SAFETY: `range` checked that the range is inside the page. `to` is valid for `len` bytes
        // (safety requirement), and outside the page.
        unsafe {
            self.range("reads", Access::Read, offset, len)
                .copy_to_nonoverlapping(to, len)
        };
    }

    /// Copies `len` bytes from `from` to the page.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::read_bytes`]. Nobody else may use these bytes of the page.
    pub unsafe fn write_bytes(self, offset: usize, from: NonNull<u8>, len: usize) {
        // SAFETY: `range` checked that the range is inside the page. `from` is valid for `len`
        // bytes, and nobody else uses the range (safety requirements).
        unsafe {
            self.range("writes", Access::Write, offset, len)
                .copy_from_nonoverlapping(from, len)
        };
    }

    /// Returns the address of the byte at `offset`.
    pub fn map(self, offset: usize) -> NonNull<u8> {
        check!(offset < PAGE_SIZE, "BUG: maps past the end of a page");
        // SAFETY: The memory of the machine is one allocation, and the offset is inside the page.
        unsafe { self.address("maps").add(offset) }
    }

    /// Returns the address of the byte at `offset` if the next page of the chain follows this one in
    /// memory, and otherwise `None`.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn map_neighbours(self, offset: usize) -> Option<NonNull<u8>> {
        // SAFETY: The page belongs to a zspage (safety requirement).
        let next = unsafe { self.next()? };
        if next.pfn() != self.pfn() + 1 {
            return None;
        }
        next.address("maps");
        Some(self.map(offset))
    }

    /// Copies `len` bytes of this page to another, or to another place in this one.
    ///
    /// # Safety
    ///
    /// Both pages must belong to zspages. The ranges must be inside them and must not overlap.
    /// Nobody else may use them.
    pub unsafe fn copy_to(self, offset: usize, to: Self, to_offset: usize, len: usize) {
        let from = self.range("copies from", Access::Read, offset, len);
        let target = to.range("copies to", Access::Write, to_offset, len);
        check!(
            self != to || offset.abs_diff(to_offset) >= len,
            "BUG: copies to where it copies from"
        );
        // SAFETY: Both ranges are inside the pages and do not overlap, as checked above. Nobody
        // else uses them (safety requirement).
        unsafe { from.copy_to_nonoverlapping(target, len) };
    }

    /// Copies the whole page.
    ///
    /// # Safety
    ///
    /// The caller must have both pages locked. Nobody else may use their contents.
    pub unsafe fn copy_page_to(self, to: Self) {
        // SAFETY: Nobody else uses the contents of the pages (safety requirement).
        unsafe { self.copy_to(0, to, 0, PAGE_SIZE) };
    }
}

// What the rest of the kernel does with pages. See `super::mm`.
impl RawPage {
    /// Locks any page. Returns false if it is locked.
    pub(super) fn lock_frame(self) -> bool {
        machine::chaos();
        let frame = self.frame();
        let locked = !frame.lock.swap(true, Acquire);
        if locked {
            frame.locker.store(thread_number(), Relaxed);
        }
        locked
    }

    /// Takes a reference unless the page is free. Returns whether it did.
    pub(super) fn try_get(self) -> bool {
        let refs = &self.frame().refs;
        let mut now = refs.load(Relaxed);
        while now > 0 {
            match refs.compare_exchange_weak(now, now + 1, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(newer) => now = newer,
            }
        }
        false
    }

    pub(super) fn is_movable(self) -> bool {
        self.frame().movable.load(Acquire)
    }

    pub(super) fn is_locked(self) -> bool {
        self.frame().lock.load(Relaxed)
    }

    pub(super) fn set_isolated(self, isolated: bool) {
        let before = self.frame().isolated.swap(isolated, Relaxed);
        check!(before != isolated, "BUG: isolated twice, or put back twice");
    }

    pub(super) fn is_isolated(self) -> bool {
        self.frame().isolated.load(Relaxed)
    }
}

/// Returns the kernel address of a physical address, which must be inside a page.
pub fn map_address(address: u64) -> NonNull<u8> {
    let (pfn, offset) = (address as usize / PAGE_SIZE, address as usize % PAGE_SIZE);
    // SAFETY: Callers have the address from an object, so it is in a page of a zspage.
    unsafe { RawPage::from_pfn(pfn) }.map(offset)
}

/// Reads four bytes at a physical address.
///
/// # Safety
///
/// The address must be in a page of a zspage, and a multiple of four.
pub unsafe fn read_u32_at(address: u64) -> u32 {
    // SAFETY: The address is in a page of a zspage, and aligned (safety requirements).
    let value = unsafe {
        RawPage::from_pfn(address as usize / PAGE_SIZE).read_u32(address as usize % PAGE_SIZE)
    };
    // A test may overwrite the bytes here, as others could.
    #[cfg(not(loom))]
    super::sched::after_load();
    value
}

/// Writes four bytes at a physical address.
///
/// # Safety
///
/// As for [`read_u32_at`]. Nobody else may use these bytes.
pub unsafe fn write_u32_at(address: u64, value: u32) {
    // SAFETY: The address is in a page of a zspage, and aligned. Nobody else uses these bytes
    // (safety requirements).
    unsafe {
        RawPage::from_pfn(address as usize / PAGE_SIZE)
            .write_u32(address as usize % PAGE_SIZE, value)
    };
}
