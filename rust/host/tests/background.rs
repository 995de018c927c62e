// SPDX-License-Identifier: GPL-2.0

//! Compaction in the background, with a clock that the tests turn.
#![cfg(not(loom))]

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use zsmalloc_host::engine::background::{LOOK_MS, RUN_NS, SHARE};
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::sys::buffer::Destination;
use zsmalloc_host::sys::machine::{boot, Booted, Config, Random};
use zsmalloc_host::sys::page::PAGE_SIZE;
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::sched;

// Of the module parameter, where a test does not say otherwise.
const PROACTIVENESS: usize = 50;
// The watermarks that follow from it, in tenths of a percent.
const HIGH: usize = 50;

struct Filled {
    handles: Vec<Handle>,
    random: Random,
    pool: PinBox<Pool>,
    machine: Booted,
}

impl Deref for Filled {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        for handle in self.handles.drain(..) {
            self.pool.free(handle).unwrap();
        }
    }
}

fn size(random: &mut Random) -> usize {
    [100, 500, 1000, 1500, 2700][random.below(5)] * PAGE_SIZE / 4096
}

// A pool with 10,000 objects of five sizes.
fn fill(proactiveness: usize) -> Filled {
    let machine = boot(Config {
        pages: 8192,
        proactiveness,
        ..Config::default()
    });
    let pool = pin_box(Pool::new(c"background", 16)).unwrap();
    let mut filled = Filled {
        handles: Vec::new(),
        random: Random::new(1),
        pool,
        machine,
    };
    filled.allocate(10_000);
    filled
}

impl Filled {
    fn allocate(&mut self, count: usize) {
        for _ in 0..count {
            let size = size(&mut self.random);
            self.handles
                .push(self.pool.malloc(size, Gfp::KERNEL).unwrap());
        }
    }

    fn free_at_random(&mut self, count: usize) {
        for _ in 0..count {
            let index = self.random.below(self.handles.len());
            let handle = self.handles.swap_remove(index);
            self.pool.free(handle).unwrap();
        }
    }

    fn begin_read(&self, handle: Handle) {
        let mut buffer = [0u8; 100];
        // SAFETY: The buffer has this many bytes, and outlives the copy.
        let copy = unsafe { Destination::new(NonNull::from(&mut buffer).cast(), 100) };
        assert!(self.obj_read_begin(handle, 100, Some(copy)).is_some());
    }

    fn end_read(&self, handle: Handle) {
        // SAFETY: Tests call this once after `begin_read`, and nobody uses the bytes.
        unsafe { self.obj_read_end(handle, "zs_obj_read_end") };
    }

    fn runs(&self) -> usize {
        self.events().background_runs.load(Relaxed)
    }

    fn deferred(&self) -> usize {
        self.events().background_deferred.load(Relaxed)
    }

    // The pages that could be freed, in tenths of a percent of all.
    fn tenths(&self) -> usize {
        self.freeable_pages() * 1000 / self.total_pages()
    }

    fn pass(&self, ms: u32) -> usize {
        self.machine.pass(ms.into())
    }
}

#[test]
fn freed_memory_comes_back_within_five_seconds() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    let (before, freeable) = (pool.total_pages(), pool.freeable_pages());
    assert!(pool.tenths() > 100, "{freeable} of {before} pages");
    pool.pass(5000);
    assert!(
        pool.tenths() <= HIGH / 2,
        "{} did not come back",
        pool.tenths()
    );
    let freed = pool.events().pages_compacted_background.load(Relaxed);
    assert_eq!(freed, before - pool.total_pages());
    assert_eq!(freed, pool.events().pages_compacted());
    assert!(pool.runs() > 0 && pool.events().objects_moved.load(Relaxed) > 0);
    assert!(pool.machine.has_work() || pool.pass(10_000) == 0);
    println!("{freed} of {before} pages in {} runs", pool.runs());
}

#[test]
fn an_idle_pool_has_no_timer() {
    let mut pool = fill(PROACTIVENESS);
    assert!(!pool.machine.has_work(), "armed without a free");
    pool.free_at_random(6000);
    assert!(pool.machine.has_work());
    pool.pass(60_000);
    assert!(!pool.machine.has_work());
    assert!(pool.runs() > 0);
}

#[test]
fn nothing_runs_at_proactiveness_zero() {
    let mut pool = fill(0);
    pool.free_at_random(3000);
    assert!(!pool.machine.has_work());
    assert!(pool.tenths() > HIGH);
    // Raised, it acts from the next free on. Lowered again, it stops.
    pool.machine.set_proactiveness(PROACTIVENESS);
    pool.free_at_random(200);
    assert!(pool.machine.has_work());
    pool.machine.set_proactiveness(0);
    pool.pass(60_000);
    assert!(!pool.machine.has_work());
    assert_eq!(pool.runs(), 0);
    assert_eq!(pool.events().pages_compacted(), 0);
}

#[test]
fn more_proactive_leaves_less() {
    let left = [10, 50, 90, 100].map(|proactiveness| {
        let mut pool = fill(proactiveness);
        pool.free_at_random(6000);
        pool.pass(20_000);
        assert!(pool.runs() > 0, "{proactiveness}");
        pool.tenths()
    });
    println!("left, in tenths of a percent: {left:?}");
    for (proactiveness, left) in [10, 50, 90, 100].into_iter().zip(left) {
        assert!(left <= 100 - proactiveness, "{proactiveness}: {left}");
    }
    assert_eq!(left[3], 0);
}

// However little that is: the default of the module is 80.
#[test]
fn more_than_the_upper_watermark_comes_back() {
    for proactiveness in [50, 80, 95, 100] {
        let high = 100 - proactiveness;
        let mut pool = fill(proactiveness);
        pool.pass(5000);
        while pool.tenths() <= high {
            pool.free_at_random(1);
        }
        // Enough that sheaves are flushed.
        pool.free_at_random(100);
        let before = pool.tenths();
        pool.pass(20_000);
        println!(
            "{proactiveness}: from {before} tenths of a percent to {}",
            pool.tenths()
        );
        assert!(
            pool.tenths() <= high,
            "{} at {proactiveness}",
            pool.tenths()
        );
        assert!(
            pool.runs() > 0 && !pool.machine.has_work(),
            "{proactiveness}"
        );
    }
}

#[test]
fn a_pool_that_grows_is_left_alone() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    for step in 1..=8 {
        pool.allocate(pool.handles.len() / 20);
        pool.pass(LOOK_MS);
        assert_eq!(
            pool.runs(),
            0,
            "step {step}, {} objects",
            pool.handles.len()
        );
    }
    assert!(pool.deferred() >= 6, "{}", pool.deferred());
    // It no longer grows.
    pool.pass(5000);
    assert!(pool.runs() > 0);
}

#[test]
fn a_pool_that_is_being_emptied_is_left_alone() {
    let mut pool = fill(PROACTIVENESS);
    while pool.handles.len() > 500 {
        pool.free_at_random(pool.handles.len() / 10);
        pool.pass(LOOK_MS);
        assert_eq!(pool.runs(), 0, "{} objects", pool.handles.len());
    }
    assert!(pool.deferred() > 10, "{}", pool.deferred());
}

#[test]
fn what_is_used_again_soon_costs_nothing() {
    let mut pool = fill(PROACTIVENESS);
    for _ in 0..20 {
        pool.free_at_random(2000);
        assert!(pool.machine.has_work());
        pool.allocate(2000);
        pool.pass(LOOK_MS);
    }
    assert_eq!(pool.runs(), 0);
}

#[test]
fn little_is_left_alone() {
    let mut pool = fill(PROACTIVENESS);
    // As much as the watermark allows, and a look of which nothing follows.
    while pool.tenths() < HIGH - 10 {
        pool.free_at_random(10);
    }
    pool.pass(10_000);
    assert_eq!((pool.runs(), pool.machine.has_work()), (0, false));
    pool.free_at_random(1500);
    assert!(pool.tenths() > HIGH);
    pool.pass(10_000);
    assert!(pool.runs() > 0);
}

#[test]
fn it_uses_a_tenth_of_a_cpu_at_most() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    // Each batch of pages takes a millisecond and a half.
    pool.machine.set_tick(1_500_000);
    while pool.runs() == 0 {
        pool.pass(10);
    }
    let begin = pool.machine.clock_ns();
    pool.pass(180);
    let took = (pool.machine.clock_ns() - begin) / 1000;
    let used = pool.events().background_us.load(Relaxed) as u64;
    assert!(pool.runs() >= 5, "only {} runs", pool.runs());
    println!("{used} of {took} us in {} runs", pool.runs());
    // The run that ended last has not paid for its time yet.
    let most = took / SHARE + 2 * RUN_NS / 1000;
    assert!(used > 0 && used <= most, "{used} of {took} us");
    let longest = used / pool.runs() as u64;
    assert!(longest <= 2 * RUN_NS / 1000, "{longest} us for a run");
}

#[test]
fn it_gives_up_on_what_is_being_read() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    let handles = pool.handles.clone();
    handles.iter().for_each(|&handle| pool.begin_read(handle));
    pool.pass(60_000);
    assert!(!pool.machine.has_work(), "it tries again and again");
    let (runs, busy) = (pool.runs(), pool.events().objects_busy.load(Relaxed));
    assert!(runs > 0 && busy > 0, "{runs} runs, {busy} busy");
    assert_eq!(pool.events().objects_moved.load(Relaxed), 0);
    handles.iter().for_each(|&handle| pool.end_read(handle));
    // The next frees arm it again.
    pool.free_at_random(200);
    pool.pass(5000);
    assert!(pool.tenths() <= HIGH / 2, "{}", pool.tenths());
}

#[test]
fn it_gives_up_on_a_slow_machine_as_well() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    pool.handles
        .iter()
        .for_each(|&handle| pool.begin_read(handle));
    // A run ends after one class, whose objects cannot move.
    pool.machine.set_tick(3_000_000);
    pool.pass(600_000);
    assert!(!pool.machine.has_work(), "it tries again and again");
    println!("{} runs", pool.runs());
    assert!(pool.runs() >= 5, "{} runs", pool.runs());
    pool.handles
        .iter()
        .for_each(|&handle| pool.end_read(handle));
}

// Objects that are freed while a run finds nothing to move, after it has been at their class.
#[test]
fn objects_freed_during_a_fruitless_run_are_seen() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    let mut victims: Vec<_> = (0..2000)
        .map(|_| pool.malloc(1100, Gfp::KERNEL).unwrap())
        .collect();
    let mut random = Random::new(2);
    for i in 0..victims.len() {
        victims.swap(i, random.below(2000));
    }
    let all: Vec<_> = pool.handles.iter().chain(&victims).copied().collect();
    all.iter().for_each(|&handle| pool.begin_read(handle));
    // How often it waits for readers. One more run frees nothing.
    let mut waits = 0usize;
    sched::with_hook(&mut || waits += 1, || pool.pass(2 * LOOK_MS + LOOK_MS / 2));
    assert!(pool.runs() > 0 && !pool.machine.has_work());
    // Arm it again, and free the others when it has waited almost as often as it did in a run.
    let mut free = |count: usize| {
        for handle in victims.drain(..count) {
            pool.end_read(handle);
            pool.free(handle).unwrap();
        }
    };
    free(300);
    assert!(pool.machine.has_work());
    let before = pool.runs();
    let mut left = waits / before * 9 / 10;
    let mut hook = || {
        left = left.saturating_sub(1);
        if left == 1 {
            free(700);
        }
    };
    sched::with_hook(&mut hook, || pool.pass(2 * LOOK_MS + LOOK_MS / 2));
    assert_eq!((pool.runs(), victims.len()), (before + 1, 1000));
    let rest = pool.handles.iter().chain(&victims);
    rest.for_each(|&handle| pool.end_read(handle));
    // Nobody frees an object any more.
    pool.pass(5000);
    println!(
        "{} runs, {} tenths of a percent left",
        pool.runs(),
        pool.tenths()
    );
    assert!(pool.tenths() <= HIGH / 2, "{} stay", pool.tenths());
    pool.handles.append(&mut victims);
}

#[test]
fn a_user_waits_for_the_background() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    let in_run = AtomicUsize::new(0);
    let filled = &pool;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = filled.machine.enter();
            let mut stay = || {
                in_run.store(1, Relaxed);
                std::thread::sleep(std::time::Duration::from_micros(200));
            };
            sched::with_hook(&mut stay, || filled.pass(2 * LOOK_MS));
        });
        while in_run.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        // The shrinker does not wait.
        let _ = filled.shrink();
        filled.compact();
        assert_eq!(filled.freeable_pages(), 0, "the compaction did nothing");
    });
    assert!(pool.events().pages_compacted_background.load(Relaxed) > 0);
}

#[test]
fn objects_freed_during_the_last_look_are_seen() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(1000);
    pool.pass(5000);
    pool.allocate(1000);
    pool.pass(5000);
    // Armed, with nothing to do.
    pool.free_at_random(1200);
    pool.allocate(1200);
    assert!(pool.machine.has_work() && pool.tenths() < HIGH);
    // All others free after the look has read the counters of their class, when a `free` need not
    // arm the work, as it is armed.
    let mut victims: Vec<_> = pool.handles.drain(3000..).collect();
    let loads = AtomicUsize::new(0);
    let filled = &pool;
    sched::with_load_hook(
        &mut || {
            // Two counters of each class.
            if loads.fetch_add(1, Relaxed) == 2 * filled.classes().count() {
                for handle in victims.drain(..) {
                    filled.free(handle).unwrap();
                }
            }
        },
        || filled.machine.pass(LOOK_MS.into()),
    );
    assert!(victims.is_empty(), "{} loads", loads.load(Relaxed));
    assert!(pool.tenths() > HIGH, "{}", pool.tenths());
    pool.pass(10_000);
    assert!(pool.tenths() <= HIGH / 2, "{} were not seen", pool.tenths());
}

#[test]
fn a_pool_is_destroyed_while_armed() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(6000);
    assert!(pool.machine.has_work());
    // Dropping the pool cancels the work. The machine panics if any is left.
}

// Frees, allocations and compaction by hand, while another thread lets the time pass.
#[test]
fn it_runs_beside_everything_else() {
    let mut pool = fill(PROACTIVENESS);
    pool.free_at_random(4000);
    let mut victims: Vec<_> = pool.handles.drain(2000..).collect();
    let done = AtomicUsize::new(0);
    let filled = &pool;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = filled.machine.enter();
            while done.load(Relaxed) == 0 {
                filled.machine.pass(50);
            }
        });
        let mut random = Random::new(7);
        let mut mine = Vec::new();
        for round in 0..40 {
            for _ in 0..50 {
                mine.push(filled.malloc(size(&mut random), Gfp::KERNEL).unwrap());
                let index = random.below(victims.len());
                filled.free(victims.swap_remove(index)).unwrap();
            }
            while mine.len() > 20 {
                let index = random.below(mine.len());
                filled.free(mine.swap_remove(index)).unwrap();
            }
            if round % 10 == 9 {
                filled.compact();
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        for handle in mine.into_iter().chain(victims) {
            filled.free(handle).unwrap();
        }
        done.store(1, Relaxed);
    });
    println!("{} runs", pool.runs());
    assert!(pool.runs() > 0);
}
