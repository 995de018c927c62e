// SPDX-License-Identifier: GPL-2.0

//! The fake computer that the engine runs on. Only the host has this.
//!
//! Every test boots one with [`boot`]. A thread that a test starts has to [`Machine::enter`] it.
//! When it is shut down, all memory must have been freed.

use core::cell::{Cell, RefCell};
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::Layout;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::cpu_area;
use super::page::PAGE_SIZE;
use super::prelude::{Gfp, Result, ENOMEM};
use super::raw_page::Memory;
use super::report::Report;
use super::sched::might_sleep;
use super::work::Queued;
use crate::engine::geometry::zspage_size;
use crate::slab_cache::SlabCache;

/// Kinds of allocations, which [`Machine::fail_nth`] can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A page of a zspage.
    Page,
    /// A zspage.
    Slab,
    /// A node of the handle table.
    Table,
    /// A pool, a class, a name.
    Boxed,
}

/// The order in which pages are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Random. Neighbours in a chain are hardly ever contiguous in memory.
    Scattered,
    /// Ascending, until a page was freed.
    Packed,
}

/// The configuration of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Number of pages of memory.
    pub pages: usize,
    /// The order of pages.
    pub placement: Placement,
    /// Seed of everything random.
    pub seed: u64,
    /// Whether threads yield at random points.
    pub chaos: bool,
    /// The module parameter `compaction_proactiveness`.
    pub proactiveness: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pages: 4096,
            placement: Placement::Scattered,
            seed: 1,
            chaos: false,
            proactiveness: 0,
        }
    }
}

/// A pseudo-random number generator (xorshift).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates the generator with this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns the next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next_u64() >> 32) as usize) % end.max(1)
    }
}

#[derive(Default)]
struct Faults {
    // Number of allocations of each kind, including those that failed.
    seen: [usize; 4],
    // How many allocations of which kinds still succeed.
    pass: Option<(usize, Vec<Point>)>,
    // Whether all allocations fail after that, not only one.
    for_good: bool,
    failed: usize,
}

// A freed allocation, poisoned to catch writes.
struct Grave {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: The grave owns the memory.
unsafe impl Send for Grave {}

// An allocation that is freed after a grace period.
struct Retired {
    kind: Point,
    memory: NonNull<u8>,
    inner: Layout,
}

// SAFETY: Nothing finds the memory any more, so its owner may free it on any thread.
unsafe impl Send for Retired {}

/// A fake computer. See the module documentation.
pub struct Machine {
    memory: Memory,
    faults: Mutex<Faults>,
    log: Mutex<Vec<Report>>,
    // Each with the time when it is due.
    work: Mutex<VecDeque<(u64, Queued)>>,
    // Nanoseconds since the machine booted, and how many of them each look at the clock takes.
    clock: AtomicU64,
    tick: AtomicU64,
    proactiveness: AtomicUsize,
    graves: Mutex<VecDeque<Grave>>,
    retired: Mutex<Vec<Retired>>,
    slabs: AtomicUsize,
    slab_cache: Mutex<SlabCache>,
    tables: AtomicUsize,
    chaos: bool,
}

/// Keeps this thread on a machine until it is dropped.
pub struct Entered {
    before: Option<Arc<Machine>>,
    chaos_before: u64,
}

/// A machine that this thread booted. Dropping it shuts the machine down, and panics if anything
/// was not freed.
pub struct Booted {
    machine: Arc<Machine>,
    _entered: Entered,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Machine>>> = const { RefCell::new(None) };
    // State of the generator. Zero turns chaos off on this thread.
    static CHAOS: Cell<u64> = const { Cell::new(0) };
}

const FREED: u8 = 0x6b;
const REDZONE: u64 = 0xbbbb_bbbb_bbbb_bbbb;
const GRAVES: usize = 256;

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Use the state even if another test thread panicked.
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Boots a machine and puts this thread on it.
pub fn boot(config: Config) -> Booted {
    cpu_area::reset();
    let machine = Arc::new(Machine {
        memory: Memory::new(&config),
        faults: Mutex::default(),
        log: Mutex::default(),
        work: Mutex::default(),
        clock: AtomicU64::new(0),
        tick: AtomicU64::new(0),
        proactiveness: AtomicUsize::new(config.proactiveness),
        graves: Mutex::default(),
        retired: Mutex::default(),
        slabs: AtomicUsize::new(0),
        slab_cache: Mutex::new(SlabCache::new(PAGE_SIZE, zspage_size(PAGE_SIZE))),
        tables: AtomicUsize::new(0),
        chaos: config.chaos,
    });
    Booted {
        _entered: machine.enter(),
        machine,
    }
}

/// Returns the machine of this thread.
pub fn current() -> Arc<Machine> {
    CURRENT
        .with_borrow(Option::clone)
        .expect("this thread is on no machine: Machine::enter")
}

/// Yields to other threads now and then, if the machine is configured that way.
pub fn chaos() {
    let mut seed = CHAOS.get();
    if seed != 0 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        CHAOS.set(seed);
        if seed % 16 == 0 {
            std::thread::yield_now();
        }
    }
}

impl Machine {
    /// Puts this thread on the machine until the result is dropped.
    pub fn enter(self: &Arc<Self>) -> Entered {
        static THREADS: AtomicUsize = AtomicUsize::new(1);
        let chaos_before = CHAOS.get();
        if self.chaos {
            let number = THREADS.fetch_add(1, Ordering::Relaxed) as u64;
            CHAOS.set(Random::new(number).next_u64() | 1);
        }
        Entered {
            before: CURRENT.replace(Some(self.clone())),
            chaos_before,
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Returns the number of pages that are zsmalloc's (`NR_ZSPAGES`).
    pub fn zs_pages(&self) -> usize {
        self.memory.zs_pages()
    }

    /// Returns the number of allocated pages, zsmalloc's or not.
    pub fn used_pages(&self) -> usize {
        self.memory.used_pages()
    }

    /// Returns the number of zspages in the slab cache.
    pub fn slabs(&self) -> usize {
        self.slabs.load(Ordering::Relaxed)
    }

    /// Returns the number of pages that the slab cache takes.
    pub fn slab_pages(&self) -> usize {
        held(&self.slab_cache).pages()
    }

    /// Ignores a zspage that a test leaked on purpose.
    pub fn forget_slab(&self) {
        self.slabs.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of handle table nodes, 4 KiB each, without those waiting for a grace
    /// period.
    pub fn tables(&self) -> usize {
        let retired = held(&self.retired).len();
        self.tables.load(Ordering::Relaxed) - retired
    }

    /// Returns and clears the reports.
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut held(&self.log))
    }

    pub(super) fn log(&self, report: Report) {
        held(&self.log).push(report);
    }

    /// Lets `pass` allocations of the given kinds succeed, and fails the next one only.
    pub fn fail_nth(&self, pass: usize, kinds: &[Point]) {
        let mut faults = held(&self.faults);
        faults.pass = Some((pass, kinds.to_vec()));
        faults.for_good = false;
    }

    /// Fails every allocation of the given kinds until [`Machine::fail_none`].
    pub fn fail_all(&self, kinds: &[Point]) {
        let mut faults = held(&self.faults);
        faults.pass = Some((0, kinds.to_vec()));
        faults.for_good = true;
    }

    /// Cancels a pending failure. Returns whether there was one.
    pub fn fail_none(&self) -> bool {
        held(&self.faults).pass.take().is_some()
    }

    /// Returns the number of allocations of this kind, including those that failed.
    pub fn allocations(&self, kind: Point) -> usize {
        held(&self.faults).seen[kind as usize]
    }

    /// Returns the number of allocations that failed on demand.
    pub fn faults(&self) -> usize {
        held(&self.faults).failed
    }

    /// Counts an allocation. Returns [`ENOMEM`] if it has to fail.
    pub(super) fn allocation(&self, kind: Point, gfp: Gfp) -> Result {
        if gfp.may_sleep() {
            might_sleep("an allocation");
        }
        let mut faults = held(&self.faults);
        faults.seen[kind as usize] += 1;
        match &mut faults.pass {
            Some((0, kinds)) if kinds.contains(&kind) => {
                if !faults.for_good {
                    faults.pass = None;
                }
                faults.failed += 1;
                return Err(ENOMEM);
            }
            Some((pass, kinds)) if kinds.contains(&kind) => *pass -= 1,
            _ => {}
        }
        Ok(())
    }

    /// Runs all work that is due. Returns whether there was any. May wait for page locks.
    pub fn run_work(&self) -> bool {
        let mut any = false;
        loop {
            let now = self.clock_ns();
            let due = {
                let mut work = held(&self.work);
                let position = work.iter().position(|&(due, _)| due <= now);
                position.and_then(|position| work.remove(position))
            };
            let Some((_, queued)) = due else {
                return any;
            };
            queued.run();
            any = true;
        }
    }

    /// Lets time pass, and runs the work that becomes due meanwhile. Returns how often it ran.
    pub fn pass(&self, ms: u64) -> usize {
        let end = self.clock_ns() + ms * 1_000_000;
        let mut runs = 0;
        loop {
            let next = held(&self.work).iter().map(|&(due, _)| due).min();
            let Some(next) = next.filter(|&next| next <= end) else {
                self.clock.fetch_max(end, Ordering::Relaxed);
                return runs;
            };
            self.clock.fetch_max(next, Ordering::Relaxed);
            runs += usize::from(self.run_work());
        }
    }

    /// Returns the time since the machine booted in nanoseconds.
    pub fn clock_ns(&self) -> u64 {
        self.clock
            .fetch_add(self.tick.load(Ordering::Relaxed), Ordering::Relaxed)
    }

    /// Sets how long each look at the clock takes: what happens between two looks takes that long.
    pub fn set_tick(&self, ns: u64) {
        self.tick.store(ns, Ordering::Relaxed);
    }

    pub(super) fn proactiveness(&self) -> usize {
        self.proactiveness.load(Ordering::Relaxed)
    }

    /// Sets the module parameter `compaction_proactiveness`.
    pub fn set_proactiveness(&self, proactiveness: usize) {
        self.proactiveness.store(proactiveness, Ordering::Relaxed);
    }

    /// Returns whether work is scheduled.
    pub fn has_work(&self) -> bool {
        !held(&self.work).is_empty()
    }

    pub(super) fn queue_work(&self, work: Queued, ms: u32) {
        let due = self.clock_ns() + u64::from(ms) * 1_000_000;
        held(&self.work).push_back((due, work));
    }

    pub(super) fn take_work(&self, wanted: impl Fn(&Queued) -> bool) -> Option<Queued> {
        let mut work = held(&self.work);
        let position = work.iter().position(|(_, queued)| wanted(queued))?;
        work.remove(position).map(|(_, queued)| queued)
    }

    fn counter(&self, kind: Point) -> &AtomicUsize {
        match kind {
            Point::Slab => &self.slabs,
            Point::Table => &self.tables,
            Point::Page | Point::Boxed => unreachable!("not allocated from the heap"),
        }
    }

    // Adds a red zone on both sides, as wide as the alignment and at least eight bytes.
    fn layout(inner: Layout) -> (Layout, usize) {
        let front = inner.align().max(8);
        let size = (front + inner.size()).next_multiple_of(8) + 8;
        (Layout::from_size_align(size, front).unwrap(), front)
    }

    // SAFETY: `memory` must be an allocation of `layout(inner)`.
    unsafe fn redzones(memory: NonNull<u8>, inner: Layout) -> [NonNull<u64>; 2] {
        let (layout, front) = Self::layout(inner);
        // SAFETY: By the layout, both red zones are inside the allocation, and aligned.
        unsafe {
            [
                memory.add(front - 8).cast(),
                memory.add(layout.size() - 8).cast(),
            ]
        }
    }

    /// Allocates memory for a slab object or a table. Its contents are garbage.
    pub(super) fn allocate(&self, kind: Point, inner: Layout, gfp: Gfp) -> Result<NonNull<u8>> {
        check!(
            gfp == Gfp::from_raw(gfp.for_metadata(), -1),
            "BUG: metadata from high or movable memory"
        );
        self.allocation(kind, gfp)?;
        let (layout, front) = Self::layout(inner);
        // SAFETY: The layout is not empty, and contains the red zones.
        let memory = unsafe {
            let memory = NonNull::new(std::alloc::alloc(layout)).expect("the host has no memory");
            memory.write_bytes(0x5a, layout.size());
            for zone in Self::redzones(memory, inner) {
                zone.write(REDZONE);
            }
            memory.add(front)
        };
        self.counter(kind).fetch_add(1, Ordering::Relaxed);
        if kind == Point::Slab {
            held(&self.slab_cache).allocate(memory.as_ptr() as usize);
        }
        Ok(memory)
    }

    /// Frees memory from [`Machine::allocate`].
    ///
    /// # Safety
    ///
    /// `memory` must come from [`Machine::allocate`] with the same kind and layout. Nobody may use
    /// it any more.
    pub(super) unsafe fn free(&self, kind: Point, memory: NonNull<u8>, inner: Layout) {
        if kind == Point::Slab {
            held(&self.slab_cache).free(memory.as_ptr() as usize);
        }
        let (layout, front) = Self::layout(inner);
        // SAFETY: The memory comes from `allocate` with this layout (safety requirement), so this
        // is the allocation, and the red zones are inside it.
        let memory = unsafe {
            let memory = memory.sub(front);
            for zone in Self::redzones(memory, inner) {
                check!(
                    zone.read() == REDZONE,
                    "BUG: {kind:?}: red zone overwritten"
                );
            }
            memory.write_bytes(FREED, layout.size());
            memory
        };
        self.counter(kind).fetch_sub(1, Ordering::Relaxed);
        let mut graves = held(&self.graves);
        graves.push_back(Grave { memory, layout });
        if graves.len() > GRAVES {
            graves.pop_front();
        }
    }

    /// Frees memory from [`Machine::allocate`] once no CPU is in a read-side section.
    ///
    /// # Safety
    ///
    /// As for [`Machine::free`], except that readers that found the memory already may use it.
    pub(super) unsafe fn retire(&self, kind: Point, memory: NonNull<u8>, inner: Layout) {
        let mut retired = held(&self.retired);
        retired.push(Retired {
            kind,
            memory,
            inner,
        });
        if cpu_area::no_readers() {
            for Retired {
                kind,
                memory,
                inner,
            } in retired.drain(..)
            {
                // SAFETY: Nobody can have found the memory after it was retired, and no reader is
                // left.
                unsafe { self.free(kind, memory, inner) };
            }
        }
    }

    /// Allocates and leaks metadata, to test the checks.
    pub fn allocate_metadata(&self, gfp: Gfp) {
        let _ = self.allocate(Point::Slab, Layout::new::<u64>(), gfp);
    }

    /// Panics if anything was not freed.
    pub fn check_empty(&self) {
        assert_eq!(self.zs_pages(), 0, "BUG: pages are still zsmalloc's");
        assert_eq!(self.used_pages(), 0, "BUG: pages were not freed");
        assert_eq!(self.slabs(), 0, "BUG: zspages were not freed");
        assert_eq!(self.tables(), 0, "BUG: handle tables were not freed");
        check!(!self.has_work(), "BUG: work is left");
        assert_eq!(*held(&self.log), [], "BUG: reports that no test expected");
        self.memory.check_free_pages();
    }
}

impl Drop for Grave {
    fn drop(&mut self) {
        // SAFETY: The grave owns the memory, which has this layout.
        let clean = unsafe {
            let bytes = core::slice::from_raw_parts(self.memory.as_ptr(), self.layout.size());
            let clean = bytes.iter().all(|&byte| byte == FREED);
            std::alloc::dealloc(self.memory.as_ptr(), self.layout);
            clean
        };
        if !std::thread::panicking() {
            check!(clean, "BUG: metadata was written to after it was freed");
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
        CHAOS.set(self.chaos_before);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let retired = std::mem::take(&mut *held(&self.retired));
        for Retired {
            kind,
            memory,
            inner,
        } in retired
        {
            // SAFETY: No thread is on the machine any more, so no reader is left.
            unsafe { self.free(kind, memory, inner) };
        }
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.machine.check_empty();
        }
    }
}

impl Booted {
    /// Returns the machine, for other threads to enter.
    pub fn share(&self) -> Arc<Machine> {
        self.machine.clone()
    }
}

impl Deref for Booted {
    type Target = Arc<Machine>;

    fn deref(&self) -> &Arc<Machine> {
        &self.machine
    }
}
