// SPDX-License-Identifier: GPL-2.0

//! Pages of zspages, in the machine's memory, and a memory map beside it.
//!
//! What a page is used for when it is not ours is a panic: each function checks that the page is
//! zsmalloc's. PageBatch pages are poisoned and handed out again as late as possible.

use core::ptr::{null_mut, NonNull};
use std::alloc::Layout;
use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicBool as StdBool, AtomicPtr, AtomicU32, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::sync::{Mutex, MutexGuard};

use super::atomic::{spin_loop, AtomicBool, RefCount};
use super::cpu_area::{no_lock_held, thread_number};
use super::machine::{self, Config, Placement, Point, Random};
use super::prelude::Gfp;
use super::sched::might_sleep;

/// Bytes of a page.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// Bits for an offset in a page.
pub const PAGE_SHIFT: usize = 12;
/// Bits for a page frame number.
pub const PFN_BITS: u32 = 48 - PAGE_SHIFT as u32;

const POISON: u8 = 0xaa;

/// What is known of a page (`struct page`).
pub(super) struct Frame {
    address: usize,
    // Not free.
    used: StdBool,
    refs: RefCount,
    lock: AtomicBool,
    // The thread that has the page locked.
    locker: AtomicUsize,
    // `page_type`.
    ours: StdBool,
    position: AtomicU32,
    // `PG_movable`, and its being isolated.
    movable: AtomicBool,
    isolated: StdBool,
    // `private`.
    owner: AtomicPtr<()>,
    // `index`: the next frame's address, or a huge handle with the lowest bit set.
    link: AtomicUsize,
    #[cfg(loom)]
    watched: super::watch::Watched,
}

// Address and pages of the memory of machines that are gone.
static LEFT_BEHIND: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// All pages of a machine.
pub(super) struct Memory {
    bytes: NonNull<u8>,
    frames: Box<[Frame]>,
    free: Mutex<VecDeque<usize>>,
    poisoned: Box<[StdBool]>,
    zs_pages: AtomicUsize,
}

// SAFETY: The bytes are only used through pages, whose owners see to it who does what.
unsafe impl Send for Memory {}
// SAFETY: As above.
unsafe impl Sync for Memory {}

impl Memory {
    fn layout(pages: usize) -> Layout {
        Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).unwrap()
    }

    // What another machine left behind, or new. As with real memory, anything may be in there.
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

    // The page that an address is in.
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

    // SAFETY: The page must be free, or the caller's.
    unsafe fn contents(&self, index: usize) -> &mut [u8] {
        // SAFETY: Inside the memory; nobody else uses it, by the caller's promise.
        unsafe {
            core::slice::from_raw_parts_mut(self.bytes.as_ptr().add(index * PAGE_SIZE), PAGE_SIZE)
        }
    }

    fn check_poison(&self, index: usize) {
        if self.poisoned[index].load(Relaxed) {
            // SAFETY: The page is free.
            let clean = unsafe { self.contents(index) }.iter().all(|&b| b == POISON);
            check!(clean, "BUG: page {index} was written to after it was freed");
        }
    }

    /// Complains if a free page was written to.
    pub(super) fn check_free_pages(&self) {
        for &index in self.free().iter() {
            self.check_poison(index);
        }
    }

    /// Any page, as the page allocator returns it: with one reference, and nobody's yet.
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
        // SAFETY: The page is nobody's any more.
        unsafe { self.contents(index) }.fill(POISON);
        self.poisoned[index].store(true, Relaxed);
        self.free().push_back(index);
    }

    /// The pages that are zsmalloc's and can be moved.
    pub(super) fn movable(&self) -> Vec<RawPage> {
        (0..self.frames.len())
            .filter(|&i| self.frames[i].movable.load(Relaxed))
            .map(|i| self.page(i))
            .collect()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Kept: zeroing so much takes longer than most tests.
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
            movable: AtomicBool::new(false),
            isolated: StdBool::new(false),
            owner: AtomicPtr::new(null_mut()),
            link: AtomicUsize::new(0),
            #[cfg(loom)]
            watched: Default::default(),
        };
        // Atomics of `loom` come into being when they are first used: here, before any thread.
        frame.check_free();
        frame.refs.load(Relaxed);
        frame
    }

    // "Bad page state".
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
        self.ours.store(false, Relaxed);
    }
}

/// What is done with bytes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They are read.
    Read,
    /// They are written.
    Write,
}

/// Says that a test uses bytes that are mapped: under `loom` races with that are found.
pub fn touch(access: Access, bytes: &[u8]) {
    #[cfg(loom)]
    {
        let machine = machine::current();
        let (start, end) = (
            bytes.as_ptr() as usize,
            bytes.as_ptr() as usize + bytes.len(),
        );
        // Bytes that are copied are in no page.
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

/// Names a page. Having one says nothing about who may use the page; hence the unsafe functions.
///
/// # Invariants
///
/// Points to a frame of the machine's memory map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawPage(NonNull<Frame>);

// SAFETY: Frames are atomic, and exist as long as the machine.
unsafe impl Send for RawPage {}
// SAFETY: As above.
unsafe impl Sync for RawPage {}

impl core::fmt::Debug for RawPage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "page {:#x}", self.pfn())
    }
}

impl RawPage {
    pub(super) fn frame(&self) -> &Frame {
        // SAFETY: By the type invariants; the machine exists as long as anybody is on it.
        unsafe { self.0.as_ref() }
    }

    // The frame of a page that is zsmalloc's.
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

    /// The address of the page's bytes. It has to be zsmalloc's.
    pub(super) fn address(&self, what: &str) -> NonNull<u8> {
        let address = self.ours(what).address;
        let memory = machine::current();
        // SAFETY: The page is inside the memory.
        unsafe {
            let bytes = memory.memory().bytes;
            bytes.add(address - bytes.as_ptr() as usize)
        }
    }

    // SAFETY: Callers use the bytes as `access` says.
    fn range(&self, what: &str, access: Access, offset: usize, len: usize) -> NonNull<u8> {
        check!(
            offset <= PAGE_SIZE && len <= PAGE_SIZE - offset,
            "BUG: {what} bytes {offset}+{len} of a page"
        );
        #[cfg(loom)]
        self.frame().watched.touch(access, offset, len);
        #[cfg(not(loom))]
        let _ = access;
        // SAFETY: Inside the page.
        unsafe { self.address(what).add(offset) }
    }

    /// Allocates a page, marks it as zsmalloc's, counts it and locks it. Context: as `gfp` says.
    pub fn alloc(gfp: Gfp) -> Option<Self> {
        let machine = machine::current();
        machine
            .allocation(Point::Page, Gfp::from_raw(gfp.for_pages()))
            .ok()?;
        machine.memory().allocate()?.lock_and_begin()
    }

    fn lock_and_begin(self) -> Option<Self> {
        if !self.lock_frame() {
            // SAFETY: The reference of the allocation.
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

    /// The page of this frame number.
    ///
    /// # Safety
    ///
    /// The number must be that of a page in the memory map, as [`RawPage::pfn`] returned it.
    pub unsafe fn from_pfn(pfn: usize) -> Self {
        let machine = machine::current();
        let memory = machine.memory();
        memory.page(memory.index(pfn << PAGE_SHIFT))
    }

    /// The page's frame number.
    pub fn pfn(self) -> usize {
        self.frame().address >> PAGE_SHIFT
    }

    /// Makes the page the one at `position` of `owner`, with no next one.
    ///
    /// # Safety
    ///
    /// The caller must own the page.
    pub unsafe fn attach(self, owner: NonNull<()>, position: u32) {
        let frame = self.ours("attaches");
        frame.owner.store(owner.as_ptr(), Relaxed);
        frame.link.store(0, Relaxed);
        frame.position.store(position, Relaxed);
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

    /// The owner given to [`RawPage::attach`].
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and must not stop doing so meanwhile.
    pub unsafe fn owner(self) -> Option<NonNull<()>> {
        NonNull::new(self.ours("asks for the owner of").owner.load(Relaxed))
    }

    /// The place in the chain.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`].
    pub unsafe fn position(self) -> u32 {
        self.ours("asks for the position of").position.load(Relaxed)
    }

    /// The page at `position` of the chain, a ring, that this one is in, if there is one.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::next`], for every page of the chain.
    pub unsafe fn find(self, position: u32) -> Option<Self> {
        let mut at = self;
        for _ in 0..=u16::BITS {
            // SAFETY: The caller's promise.
            unsafe {
                if at.position() == position {
                    return Some(at);
                }
                at = at.next().filter(|&next| next != self)?;
            }
        }
        panic!("BUG: a chain that is not a ring");
    }

    /// The next page of the chain; of a huge zspage, none.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::owner`]; nobody may change the chain at this place.
    pub unsafe fn next(self) -> Option<Self> {
        let link = self.ours("follows").link.load(Relaxed);
        if link & 1 != 0 {
            return None;
        }
        // INVARIANT: The link is null or was written by `set_next`.
        NonNull::new(link as *mut Frame).map(Self)
    }

    /// Links `next`, or nothing, behind this page.
    ///
    /// # Safety
    ///
    /// Both must belong to one zspage, which is not huge; nobody else may use the chain at this
    /// place.
    pub unsafe fn set_next(self, next: Option<Self>) {
        let next = next.map_or(0, |next| {
            next.ours("links");
            next.0.as_ptr() as usize
        });
        self.ours("links").link.store(next, Relaxed);
    }

    /// The handle that is kept outside a huge object.
    ///
    /// # Safety
    ///
    /// The page must be that of a huge zspage, as for [`RawPage::owner`].
    pub unsafe fn huge_handle(self) -> u32 {
        (self.ours("reads the handle of").link.load(Relaxed) >> 1) as u32
    }

    /// Sets what [`RawPage::huge_handle`] returns.
    ///
    /// # Safety
    ///
    /// As for it, and nobody else may use it.
    pub unsafe fn set_huge_handle(self, handle: u32) {
        self.ours("writes the handle of")
            .link
            .store((handle as usize) << 1 | 1, Relaxed);
    }

    /// Takes over the link, or the huge handle, of `old`.
    ///
    /// # Safety
    ///
    /// Both pages must be the caller's to change.
    pub unsafe fn take_link(self, old: Self) {
        let link = old.ours("takes the link of").link.load(Relaxed);
        self.ours("links").link.store(link, Relaxed);
    }

    /// Lets the kernel migrate the page.
    ///
    /// # Safety
    ///
    /// The page must belong to a zspage, and the caller must have it locked.
    pub unsafe fn make_movable(self) {
        let frame = self.ours("makes movable");
        check!(
            frame.lock.load(Relaxed),
            "BUG: makes movable {self:?}, which is not locked"
        );
        frame.movable.store(true, Release);
    }

    /// Locks the page if nobody else has it locked.
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
    /// The caller must have it locked.
    pub unsafe fn unlock(self) {
        let frame = self.frame();
        frame.locker.store(0, Relaxed);
        check!(
            frame.lock.swap(false, Release),
            "BUG: unlocks {self:?}, which is not locked"
        );
    }

    /// Waits until the page is not locked. May sleep.
    ///
    /// # Safety
    ///
    /// The caller must own a reference.
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
                // A test that failed is unwinding, and would do so for ever.
                std::process::abort();
            }
            spin_loop();
        }
    }

    /// Takes a reference.
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

    /// Drops a reference.
    ///
    /// # Safety
    ///
    /// The caller must own one.
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

    /// Unlocks and frees a page that was never made movable.
    ///
    /// # Safety
    ///
    /// The caller must own the page, from [`RawPage::alloc`], and have it locked.
    pub unsafe fn discard(self) {
        let frame = self.ours("discards");
        check!(!frame.movable.load(Relaxed), "BUG: discards a movable page");
        machine::current().memory().zs_pages.fetch_sub(1, Relaxed);
        frame.reset();
        // SAFETY: The caller has the page locked and owns the reference.
        unsafe {
            self.unlock();
            self.put();
        }
    }

    /// Takes the page out of zsmalloc, unlocks it and frees it.
    ///
    /// # Safety
    ///
    /// The caller must own the page and have it locked.
    pub unsafe fn release(self) {
        let frame = self.ours("releases");
        check!(frame.lock.load(Relaxed), "BUG: releases an unlocked page");
        no_lock_held("gives a page back");
        frame.movable.store(false, Relaxed);
        frame.reset();
        machine::current().memory().zs_pages.fetch_sub(1, Relaxed);
        // SAFETY: The caller has the page locked and owns the reference.
        unsafe {
            self.unlock();
            self.put();
        }
    }

    /// Marks the target of a migration as zsmalloc's.
    ///
    /// # Safety
    ///
    /// The page must be the fresh, locked target of a migration.
    pub unsafe fn adopt(self) {
        let frame = self.frame();
        check!(frame.lock.load(Relaxed), "BUG: adopts an unlocked page");
        check!(
            !frame.ours.swap(true, Relaxed),
            "BUG: adopts a page that is zsmalloc's"
        );
    }

    /// Ends a migration: this page is movable, counted and held, `old` is none of it.
    ///
    /// # Safety
    ///
    /// Both pages must be locked, this one in the chain in the place of `old`.
    pub unsafe fn finish_adoption(self, old: Self) {
        let (new_frame, old_frame) = (self.ours("adopts"), old.ours("gives up"));
        check!(
            new_frame.lock.load(Relaxed) && old_frame.lock.load(Relaxed),
            "BUG: ends a migration without the page locks"
        );
        new_frame.movable.store(true, Release);
        // SAFETY: The page is zsmalloc's.
        unsafe { self.get() };
        old_frame.movable.store(false, Relaxed);
        old_frame.reset();
        // SAFETY: This is the reference that the zspage had.
        unsafe { old.put() };
    }

    /// Reads four bytes.
    ///
    /// # Safety
    ///
    /// The page must be ours; `offset` a multiple of four below [`PAGE_SIZE`].
    pub unsafe fn read_u32(self, offset: usize) -> u32 {
        check!(offset % 4 == 0, "BUG: reads across words");
        let word = self
            .range("reads", Access::Read, offset, 4)
            .cast::<u32>()
            .as_ptr();
        // SAFETY: Inside the page and aligned.
        unsafe { AtomicU32::from_ptr(word) }.load(Relaxed)
    }

    /// Writes four bytes.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::read_u32`], and nobody else may use these bytes.
    pub unsafe fn write_u32(self, offset: usize, value: u32) {
        check!(offset % 4 == 0, "BUG: writes across words");
        let word = self
            .range("writes", Access::Write, offset, 4)
            .cast::<u32>()
            .as_ptr();
        // SAFETY: Inside the page and aligned.
        unsafe { AtomicU32::from_ptr(word) }.store(value, Relaxed);
    }

    /// Copies `len` bytes out of the page.
    ///
    /// # Safety
    ///
    /// The page must be ours, the range inside it, and `to` have room.
    pub unsafe fn read_bytes(self, offset: usize, to: NonNull<u8>, len: usize) {
        // SAFETY: Inside the page; the rest is the caller's promise.
        unsafe {
            self.range("reads", Access::Read, offset, len)
                .copy_to_nonoverlapping(to, len)
        };
    }

    /// Copies `len` bytes into the page.
    ///
    /// # Safety
    ///
    /// As for [`RawPage::read_bytes`], and nobody else may use these bytes.
    pub unsafe fn write_bytes(self, offset: usize, from: NonNull<u8>, len: usize) {
        // SAFETY: Inside the page; the rest is the caller's promise.
        unsafe {
            self.range("writes", Access::Write, offset, len)
                .copy_from_nonoverlapping(from, len)
        };
    }

    /// Copies `len` bytes of this page to another.
    ///
    /// # Safety
    ///
    /// Both pages must be ours, the ranges inside them and apart, and used by nobody else.
    pub unsafe fn copy_to(self, offset: usize, to: Self, to_offset: usize, len: usize) {
        let from = self.range("copies from", Access::Read, offset, len);
        let target = to.range("copies to", Access::Write, to_offset, len);
        check!(
            self != to || offset.abs_diff(to_offset) >= len,
            "BUG: copies to where it copies from"
        );
        // SAFETY: Inside the pages and apart.
        unsafe { from.copy_to_nonoverlapping(target, len) };
    }

    /// Copies the whole page.
    ///
    /// # Safety
    ///
    /// Both pages must be the caller's, and used by nobody else.
    pub unsafe fn copy_page_to(self, to: Self) {
        // SAFETY: The caller's promise.
        unsafe { self.copy_to(0, to, 0, PAGE_SIZE) };
    }
}

// What the rest of the kernel does with pages: see `super::mm`.
impl RawPage {
    /// Locks any page, whoever it belongs to.
    pub(super) fn lock_frame(self) -> bool {
        machine::chaos();
        let frame = self.frame();
        let locked = !frame.lock.swap(true, Acquire);
        if locked {
            frame.locker.store(thread_number(), Relaxed);
        }
        locked
    }

    /// Takes a reference, if the page is not free.
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

/// Reads four bytes at a physical address.
///
/// # Safety
///
/// The address must be in a page of ours, and a multiple of four.
pub unsafe fn read_u32_at(address: u64) -> u32 {
    // SAFETY: The caller's promise.
    let value = unsafe {
        RawPage::from_pfn(address as usize / PAGE_SIZE).read_u32(address as usize % PAGE_SIZE)
    };
    // What is there may be overwritten as soon as it was read.
    #[cfg(not(loom))]
    super::sched::after_load();
    value
}

/// Writes four bytes at a physical address.
///
/// # Safety
///
/// As for [`read_u32_at`], and nobody else may use these bytes.
pub unsafe fn write_u32_at(address: u64, value: u32) {
    // SAFETY: The caller's promise.
    unsafe {
        RawPage::from_pfn(address as usize / PAGE_SIZE)
            .write_u32(address as usize % PAGE_SIZE, value)
    };
}
