// SPDX-License-Identifier: GPL-2.0

//! The one mapping that a CPU can have at a time.
//!
//! Each thread is a CPU, or several: see [`on_cpu`].

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::ptr::{null, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::atomic::AtomicU64;
use super::page::{is_inside, ZsPage, PAGE_SIZE};
use super::raw_page::RawPage;
use super::sched::RcuRead;
use super::spinlock::LockClass;

/// What a CPU has.
struct Area {
    // Between two canaries.
    buffer: Box<[Cell<u64>]>,
    page: Cell<Option<RawPage>>,
    // Of what is mapped; the entry is null if nothing is.
    handle: Cell<u64>,
    entry: Cell<*const AtomicU64>,
    mode: Cell<u8>,
    bounced: Cell<bool>,
    // Spinlocks and mappings that are held.
    preempt: Cell<usize>,
    // The spinlock that is held, or waited for.
    lock: Cell<Option<LockClass>>,
    // HandleEntries that are locked, as lockdep counts them.
    entries: Cell<isize>,
    // What was held when that was tried.
    outer_lock: Cell<Option<LockClass>>,
}

const CANARY: u64 = 0xcccc_cccc_cccc_cccc;
const CANARY_WORDS: usize = 8;
const POISON: u64 = 0x5a5a_5a5a_5a5a_5a5a;

struct Cpus {
    // Boxed, as areas are pointed to.
    #[expect(clippy::vec_box)]
    areas: RefCell<Vec<Box<Area>>>,
    now: Cell<usize>,
}

impl Cpus {
    fn new() -> Self {
        Self {
            areas: RefCell::new(Vec::new()),
            now: Cell::new(0),
        }
    }
}

#[cfg(not(loom))]
thread_local! {
    static CPUS: Cpus = Cpus::new();
}
#[cfg(loom)]
loom::thread_local! {
    static CPUS: Cpus = Cpus::new();
}

impl Area {
    fn new() -> Box<Self> {
        let buffer = vec![Cell::new(CANARY); PAGE_SIZE / 8 + 2 * CANARY_WORDS];
        for cell in &buffer[CANARY_WORDS..][..PAGE_SIZE / 8] {
            cell.set(POISON);
        }
        Box::new(Self {
            buffer: buffer.into(),
            page: Cell::new(None),
            entry: Cell::new(null()),
            mode: Cell::new(0),
            handle: Cell::new(0),
            bounced: Cell::new(false),
            preempt: Cell::new(0),
            lock: Cell::new(None),
            entries: Cell::new(0),
            outer_lock: Cell::new(None),
        })
    }

    fn buffer(&self) -> NonNull<u8> {
        // Cells, so the bytes may be written through this. A pointer to one element would be good
        // for that alone.
        let first = NonNull::from(&*self.buffer).cast::<u64>();
        // SAFETY: The canaries in front are inside the buffer.
        unsafe { first.add(CANARY_WORDS).cast() }
    }

    // What is left of a mapping must not be read: not by the next one, not by its former user.
    fn wipe(&self) {
        let buffer = self.buffer().cast::<u64>();
        // SAFETY: The canaries and a page of bytes are inside the buffer.
        unsafe {
            let (front, back) = (
                buffer.sub(CANARY_WORDS).as_ptr(),
                buffer.add(PAGE_SIZE / 8).as_ptr(),
            );
            for i in 0..CANARY_WORDS {
                let intact = front.add(i).read() == CANARY && back.add(i).read() == CANARY;
                check!(intact, "BUG: a mapping was written beyond its end");
            }
            if self.bounced.get() {
                for i in 0..PAGE_SIZE / 8 {
                    buffer.add(i).write(POISON);
                }
            }
        }
    }
}

// This CPU's area, which exists as long as the thread.
fn this_cpu() -> NonNull<Area> {
    CPUS.with(|cpus| {
        let mut areas = cpus.areas.borrow_mut();
        while areas.len() <= cpus.now.get() {
            areas.push(Area::new());
        }
        NonNull::from(&*areas[cpus.now.get()])
    })
}

fn with_area<R>(f: impl FnOnce(&Area) -> R) -> R {
    // SAFETY: The thread, and so the area, exists.
    f(unsafe { this_cpu().as_ref() })
}

/// Calls `f` on another of this thread's CPUs.
///
/// So a test that has only one thread can leave an object mapped and go on doing other things.
pub fn on_cpu<R>(cpu: usize, f: impl FnOnce() -> R) -> R {
    struct Reset(usize);

    impl Drop for Reset {
        fn drop(&mut self) {
            CPUS.with(|cpus| cpus.now.set(self.0));
        }
    }

    let _reset = Reset(CPUS.with(|cpus| cpus.now.replace(cpu)));
    f()
}

/// Forgets what a test before left on this thread's CPUs when it failed.
pub(super) fn reset() {
    CPUS.with(|cpus| {
        let left = cpus.areas.take();
        let readers = left.iter().filter(|area| area.preempt.get() != 0).count();
        READERS.fetch_sub(readers, Ordering::SeqCst);
        cpus.now.set(0);
    });
}

/// A number that no other thread has.
pub fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|&number| number)
}

pub(super) fn preempt_disable() {
    with_area(|area| {
        if area.preempt.replace(area.preempt.get() + 1) == 0 {
            READERS.fetch_add(1, Ordering::SeqCst);
        }
    });
}

pub(super) fn preempt_enable() {
    with_area(|area| {
        let depth = area.preempt.get().checked_sub(1);
        let depth = depth.expect("BUG: preemption enabled too often");
        area.preempt.set(depth);
        if depth == 0 {
            READERS.fetch_sub(1, Ordering::SeqCst);
        }
    });
}

// CPUs, of all machines, on which preemption is off.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// Whether no CPU is in an RCU read-side section now.
pub(super) fn no_readers() -> bool {
    READERS.load(Ordering::SeqCst) == 0
}

/// Complains, as lockdep would, where locks nest: ours never do.
pub(super) fn lock_taken(class: LockClass) {
    let held = with_area(|area| area.lock.replace(Some(class)));
    check!(
        held.is_none(),
        "BUG: possible deadlock: takes a lock of {class:?} with one of {held:?} held"
    );
}

/// The same for a lock that was free when it was tried: one that is always last may be taken so.
pub(super) fn lock_tried(class: LockClass) {
    let held = with_area(|area| {
        area.outer_lock.set(area.lock.get());
        area.lock.replace(Some(class))
    });
    check!(
        matches!(
            (held, class),
            (None, _) | (Some(LockClass::Outer), LockClass::Inner)
        ),
        "BUG: possible deadlock: tries a lock of {class:?} with one of {held:?} held"
    );
}

/// Counts entries that this CPU has locked, or unlocks.
pub(super) fn count_entries(change: isize) {
    let entries = with_area(|area| {
        area.entries.set(area.entries.get() + change);
        area.entries.get()
    });
    check!(entries >= 0, "BUG: bad unlock balance: no entry is locked");
}

/// How many entries this CPU has locked.
pub fn entries_locked() -> isize {
    with_area(|area| area.entries.get())
}

/// Complains where others would wait for what can take long.
pub(super) fn no_lock_held(what: &str) {
    let held = with_area(|area| area.lock.get());
    check!(held.is_none(), "BUG: {what} with a lock of {held:?} held");
}

pub(super) fn lock_dropped() {
    with_area(|area| area.lock.set(area.outer_lock.take()));
}

/// How many spinlocks and mappings this CPU holds: while there are any it must not sleep.
pub fn preempt_depth() -> usize {
    with_area(|area| area.preempt.get())
}

/// The mapping of this CPU, of the object of a handle.
///
/// Dropping it ends the mapping; [`CpuArea::keep`] leaves it to [`CpuArea::resume`].
///
/// # Invariants
///
/// The pointer is to this CPU's area, which is in use by nobody else. Preemption is off from
/// [`CpuArea::enter`] on. The area's entry is null or was found in that time, under RCU.
pub struct CpuArea(NonNull<Area>, PhantomData<*mut ()>);

impl CpuArea {
    fn area(&self) -> &Area {
        // SAFETY: By the type invariants; the thread, and so the area, exists.
        unsafe { self.0.as_ref() }
    }

    /// Begins a mapping on this CPU; `None` if it has one. The mapping still needs its entry.
    pub fn enter(handle: u64, mode: u8) -> Option<Self> {
        let pointer = this_cpu();
        // SAFETY: The thread, and so the area, exists.
        let area = unsafe { pointer.as_ref() };
        // As `helpers/cpu_area.c` has it: an area with an entry is one in use.
        if !area.entry.get().is_null() {
            return None;
        }
        area.handle.set(handle);
        area.mode.set(mode);
        area.bounced.set(false);
        area.page.set(None);
        preempt_disable();
        // INVARIANT: This CPU's area, just marked as used.
        Some(Self(pointer, PhantomData))
    }

    /// The RCU read-side section that the mapping is.
    pub fn rcu(&self) -> RcuRead<'_> {
        // SAFETY: By the type invariants preemption is off.
        unsafe { RcuRead::new() }
    }

    /// Sets the entry of the mapping to the one that `find` returns.
    pub fn set_entry<T>(
        &self,
        table: &T,
        find: impl for<'r> FnOnce(&'r T, RcuRead<'r>) -> Option<&'r AtomicU64>,
    ) -> bool {
        let entry = find(table, self.rcu());
        if let Some(entry) = entry {
            // INVARIANT: `find` found the entry in a section that lasts as long as the mapping.
            self.area().entry.set(entry);
        }
        entry.is_some()
    }

    /// Leaves the mapping, for [`CpuArea::resume`].
    pub fn keep(self) {
        core::mem::forget(self);
    }

    /// Takes back the mapping of `handle` that was kept on this CPU; `None` if there is none.
    ///
    /// # Safety
    ///
    /// The area must have been kept.
    pub unsafe fn resume(handle: u64) -> Option<Self> {
        let pointer = this_cpu();
        // SAFETY: The thread, and so the area, exists.
        let area = unsafe { pointer.as_ref() };
        if area.entry.get().is_null() || area.handle.get() != handle {
            return None;
        }
        // INVARIANT: The area is in use, and by the caller's promise nobody else has it.
        Some(Self(pointer, PhantomData))
    }

    /// The entry given to [`CpuArea::set_entry`].
    pub fn entry(&self) -> Option<&AtomicU64> {
        // SAFETY: By the type invariants the entry is null or still valid.
        unsafe { self.area().entry.get().as_ref() }
    }

    /// The mode given to [`CpuArea::enter`].
    pub fn mode(&self) -> u8 {
        self.area().mode.get()
    }

    /// Whether the buffer is used.
    pub fn is_bounced(&self) -> bool {
        self.area().bounced.get()
    }

    /// Makes the mapping use the buffer of this CPU, one page, and returns that.
    pub fn bounce(&self) -> NonNull<u8> {
        self.area().bounced.set(true);
        self.area().buffer()
    }

    /// Copies `len` bytes of a page to byte `at` of the buffer. Returns false if either is shorter.
    pub fn copy_in(&self, at: usize, page: ZsPage<'_>, offset: usize, len: usize) -> bool {
        let inside = is_inside(at, len) && is_inside(offset, len);
        check!(inside, "BUG: copies beyond the buffer");
        // SAFETY: Inside the page and the buffer, which this CPU uses.
        unsafe {
            page.raw()
                .read_bytes(offset, self.area().buffer().add(at), len)
        };
        inside
    }

    /// Copies `len` bytes from byte `at` of the buffer to a page. Returns false if either is
    /// shorter.
    pub fn copy_out(&self, at: usize, page: ZsPage<'_>, offset: usize, len: usize) -> bool {
        let inside = is_inside(at, len) && is_inside(offset, len);
        check!(inside, "BUG: copies beyond the buffer");
        // SAFETY: Inside the page and the buffer, which this CPU uses.
        unsafe {
            page.raw()
                .write_bytes(offset, self.area().buffer().add(at), len)
        };
        inside
    }

    /// Maps a page. Returns the address of the byte at `offset`.
    pub fn map_page(&self, page: ZsPage<'_>, offset: usize) -> NonNull<u8> {
        check!(offset < PAGE_SIZE, "BUG: maps beyond the page");
        let page = page.raw();
        self.area().page.set(Some(page));
        page.address("maps").add_offset(offset)
    }

    /// Maps a page and the next of its chain, if they are neighbours in memory. Returns the address
    /// of the byte at `offset`.
    pub fn map_neighbours(&self, page: ZsPage<'_>, offset: usize) -> Option<NonNull<u8>> {
        let page = page.raw();
        // SAFETY: The page is zsmalloc's.
        let next = unsafe { page.next()? };
        if next.pfn() != page.pfn() + 1 {
            return None;
        }
        self.area().page.set(Some(page));
        next.address("maps");
        Some(page.address("maps").add_offset(offset))
    }
}

trait AddOffset {
    fn add_offset(self, offset: usize) -> Self;
}

impl AddOffset for NonNull<u8> {
    fn add_offset(self, offset: usize) -> Self {
        // SAFETY: In the machine's memory, which is in one piece; callers stay inside it.
        unsafe { self.add(offset) }
    }
}

impl Drop for CpuArea {
    fn drop(&mut self) {
        check!(
            self.0 == this_cpu(),
            "BUG: unmapped on another CPU than mapped"
        );
        let area = self.area();
        if !std::thread::panicking() {
            if let Some(page) = area.page.take() {
                page.address("has mapped");
            }
            area.wipe();
        }
        area.entry.set(null());
        preempt_enable();
    }
}
