// SPDX-License-Identifier: GPL-2.0

//! The per-CPU mapping area. A CPU can have one object mapped at a time.
//!
//! Each thread is a CPU. With [`on_cpu`] it can be several.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::ptr::{null, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::atomic::AtomicU64;
use super::page::{is_inside, ZsPage, PAGE_SIZE};
use super::raw_page::RawPage;
use super::sched::RcuRead;
use super::spinlock::LockClass;

/// The state of a CPU.
struct Area {
    // One page, between two canaries.
    buffer: Box<[Cell<u64>]>,
    page: Cell<Option<RawPage>>,
    // The current mapping. The entry is null if there is none.
    handle: Cell<u64>,
    entry: Cell<*const AtomicU64>,
    mode: Cell<u8>,
    bounced: Cell<bool>,
    // The preemption count: spinlocks and mappings.
    preempt: Cell<usize>,
    // The spinlock that is held or waited for.
    lock: Cell<Option<LockClass>>,
    // The number of locked entries, as lockdep counts them.
    entries: Cell<isize>,
    // The lock that was held when `lock` was tried.
    outer_lock: Cell<Option<LockClass>>,
}

const CANARY: u64 = 0xcccc_cccc_cccc_cccc;
const CANARY_WORDS: usize = 8;
const POISON: u64 = 0x5a5a_5a5a_5a5a_5a5a;

struct Cpus {
    // Boxed, as there are pointers to the areas.
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
        // Made from the slice, so that it may be used for all bytes, and from cells, so that it may
        // be written through.
        let first = NonNull::from(&*self.buffer).cast::<u64>();
        // SAFETY: The front canaries are inside the buffer.
        unsafe { first.add(CANARY_WORDS).cast() }
    }

    // Checks the canaries, and poisons the buffer so that no former contents can be used.
    fn wipe(&self) {
        let buffer = self.buffer().cast::<u64>();
        // SAFETY: The buffer has canaries on both sides of a page.
        unsafe {
            let (front, back) = (
                buffer.sub(CANARY_WORDS).as_ptr(),
                buffer.add(PAGE_SIZE / 8).as_ptr(),
            );
            for i in 0..CANARY_WORDS {
                let intact = front.add(i).read() == CANARY && back.add(i).read() == CANARY;
                check!(intact, "BUG: write past the end of a mapping");
            }
            if self.bounced.get() {
                for i in 0..PAGE_SIZE / 8 {
                    buffer.add(i).write(POISON);
                }
            }
        }
    }
}

// Returns the area of this CPU, which exists as long as the thread.
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
    // SAFETY: The area exists as long as the thread, and is only used through shared references.
    f(unsafe { this_cpu().as_ref() })
}

/// Calls `f` on another CPU of this thread. A test with one thread can thus leave an object mapped
/// and go on.
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

/// Discards what a failed test left on the CPUs of this thread.
pub(super) fn reset() {
    CPUS.with(|cpus| {
        let left = cpus.areas.take();
        let readers = left.iter().filter(|area| area.preempt.get() != 0).count();
        READERS.fetch_sub(readers, Ordering::SeqCst);
        cpus.now.set(0);
    });
}

/// Returns a number that identifies the thread.
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

// The number of CPUs of all machines that have preemption off.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// Returns whether no CPU is in an RCU read-side section.
pub(super) fn no_readers() -> bool {
    READERS.load(Ordering::SeqCst) == 0
}

/// Records that a lock is waited for. Panics if another one is held: only a trylock may nest.
pub(super) fn lock_taken(class: LockClass) {
    let held = with_area(|area| area.lock.replace(Some(class)));
    check!(
        held.is_none(),
        "BUG: possible deadlock: takes a {class:?} lock with a {held:?} lock held"
    );
}

/// Records that a trylock succeeded. An inner lock may be tried with an outer one held.
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
        "BUG: possible deadlock: tries a {class:?} lock with a {held:?} lock held"
    );
}

/// Adds to the number of entries that this CPU has locked.
pub(super) fn count_entries(change: isize) {
    let entries = with_area(|area| {
        area.entries.set(area.entries.get() + change);
        area.entries.get()
    });
    check!(entries >= 0, "BUG: bad unlock balance: no entry is locked");
}

/// Returns the number of entries that this CPU has locked.
pub fn entries_locked() -> isize {
    with_area(|area| area.entries.get())
}

/// Panics if this CPU holds a spinlock. `what` may take long, and others would wait for the lock.
pub(super) fn no_lock_held(what: &str) {
    let held = with_area(|area| area.lock.get());
    check!(held.is_none(), "BUG: {what} with a {held:?} lock held");
}

pub(super) fn lock_dropped() {
    with_area(|area| area.lock.set(area.outer_lock.take()));
}

/// Returns the preemption count: the spinlocks and mappings of this CPU. It must be zero to sleep.
pub fn preempt_depth() -> usize {
    with_area(|area| area.preempt.get())
}

/// The mapping area of this CPU, in use for one object.
///
/// Dropping it ends the mapping. [`CpuArea::keep`] leaves it to a later [`CpuArea::resume`].
///
/// # Invariants
///
/// `0` points to the area of this CPU, and nobody else uses that. Preemption is off since
/// [`CpuArea::enter`]. The entry in the area is null, or was found under RCU since then.
pub struct CpuArea(NonNull<Area>, PhantomData<*mut ()>);

impl CpuArea {
    fn area(&self) -> &Area {
        // SAFETY: By the type invariants `0` points to this CPU's area, which exists as long as the
        // thread.
        unsafe { self.0.as_ref() }
    }

    /// Begins a mapping on this CPU, which still needs an entry. Returns `None` if there is one.
    pub fn enter(handle: u64, mode: u8) -> Option<Self> {
        let pointer = this_cpu();
        // SAFETY: The area exists as long as the thread.
        let area = unsafe { pointer.as_ref() };
        // As in `helpers/cpu_area.c`, an area with an entry is in use.
        if !area.entry.get().is_null() {
            return None;
        }
        area.handle.set(handle);
        area.mode.set(mode);
        area.bounced.set(false);
        area.page.set(None);
        preempt_disable();
        // INVARIANT: This is the CPU's area, which was not in use. Preemption is off.
        Some(Self(pointer, PhantomData))
    }

    /// Returns the RCU read-side section that lasts as long as the mapping.
    pub fn rcu(&self) -> RcuRead<'_> {
        // SAFETY: By the type invariants preemption is off.
        unsafe { RcuRead::new() }
    }

    /// Sets the entry of the mapping to the one that `find` returns, and returns whether there is
    /// one.
    ///
    /// # Safety
    ///
    /// `table` must exist until the mapping ends.
    pub unsafe fn set_entry<T>(
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

    /// Leaves the area as it is, for [`CpuArea::resume`].
    pub fn keep(self) {
        core::mem::forget(self);
    }

    /// Returns the area that was kept on this CPU for `handle`, or `None` if there is none.
    ///
    /// # Safety
    ///
    /// Nobody may use the area: it must have been kept.
    pub unsafe fn resume(handle: u64) -> Option<Self> {
        let pointer = this_cpu();
        // SAFETY: The area exists as long as the thread.
        let area = unsafe { pointer.as_ref() };
        if area.entry.get().is_null() || area.handle.get() != handle {
            return None;
        }
        // INVARIANT: The area has an entry, so preemption is off since `enter`. It was kept (safety
        // requirement), so nobody else uses it.
        Some(Self(pointer, PhantomData))
    }

    /// Returns the entry given to [`CpuArea::set_entry`].
    pub fn entry(&self) -> Option<&AtomicU64> {
        // SAFETY: By the type invariants the entry is null, or found under RCU and valid.
        unsafe { self.area().entry.get().as_ref() }
    }

    /// Returns the mode given to [`CpuArea::enter`].
    pub fn mode(&self) -> u8 {
        self.area().mode.get()
    }

    /// Returns whether the mapping uses the buffer.
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
        check!(inside, "BUG: copies past the end of a page");
        // SAFETY: Both ranges are inside a page, as checked above. By the type invariants nobody
        // else uses the buffer.
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
        check!(inside, "BUG: copies past the end of a page");
        // SAFETY: Both ranges are inside a page, as checked above. By the type invariants nobody
        // else uses the buffer.
        unsafe {
            page.raw()
                .write_bytes(offset, self.area().buffer().add(at), len)
        };
        inside
    }

    /// Maps a page. Returns the address of the byte at `offset`.
    pub fn map_page(&self, page: ZsPage<'_>, offset: usize) -> NonNull<u8> {
        self.area().page.set(Some(page.raw()));
        page.map(offset)
    }

    /// Returns the address of the byte at `offset` of `page` if the next page of the chain follows
    /// it in memory, and otherwise `None`.
    pub fn map_neighbours(&self, page: ZsPage<'_>, offset: usize) -> Option<NonNull<u8>> {
        let bytes = page.map_neighbours(offset)?;
        self.area().page.set(Some(page.raw()));
        Some(bytes)
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
