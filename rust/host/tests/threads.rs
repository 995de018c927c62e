// SPDX-License-Identifier: GPL-2.0

//! Stress test with real threads. Some allocate, map and free while others compact, migrate, lock
//! pages and run deferred work. Each object ends with a checksum.
//!
//! `ZS_SEED=<number>` changes the run, `ZS_ROUNDS=<number>` its length.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::machine::{boot, Config, Machine, Placement, Random};
use zsmalloc_host::sys::mm::{self, IsolatedPage, LockedPage};
use zsmalloc_host::sys::page::PAGE_SIZE;
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::sched;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[derive(Clone, Copy)]
struct Object {
    handle: Handle,
    size: usize,
}

fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |sum, chunk| {
        let mut entry = [0; 8];
        entry[..chunk.len()].copy_from_slice(chunk);
        (sum.rotate_left(5) ^ u64::from_le_bytes(entry)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

// Fills with random bytes, followed by their checksum.
fn fill(bytes: &mut [u8], random: &mut Random) {
    let (data, sum) = bytes.split_at_mut(bytes.len() - 8);
    let first = random.next_u64();
    for (i, chunk) in data.chunks_mut(8).enumerate() {
        let entry = first.wrapping_add(i as u64).to_le_bytes();
        chunk.copy_from_slice(&entry[..chunk.len()]);
    }
    sum.copy_from_slice(&checksum(data).to_le_bytes());
}

fn verify(bytes: &[u8], what: &str) {
    let (data, sum) = bytes.split_at(bytes.len() - 8);
    assert_eq!(checksum(data).to_le_bytes(), sum, "{what}: checksum");
}

#[derive(Default)]
struct Counts {
    moved: AtomicUsize,
    migrated: AtomicUsize,
    refused: AtomicUsize,
}

// Allocates, maps and frees objects. Returns how many it stored.
fn worker(
    pool: &Pool,
    shared: &Mutex<Vec<Object>>,
    stop: &AtomicBool,
    seed: u64,
    rounds: usize,
) -> usize {
    let mut stored = 0;
    let mut random = Random::new(seed);
    let mut mine: Vec<Object> = Vec::new();
    for round in 0..rounds {
        if stop.load(Relaxed) {
            break;
        }
        // Grows and shrinks in turns, so that there is something to compact.
        let growing = round / 250 % 2 == 0;
        match random.below(10) {
            0..=3 => {
                let allocate = if growing { 3 } else { 1 };
                for _ in 0..allocate {
                    let size = 8 + [24, 120, 700, 1345, 3000, PAGE_SIZE - 8][random.below(6)];
                    let gfp = if random.below(2) == 0 {
                        Gfp::ZRAM
                    } else {
                        Gfp::ZSWAP
                    };
                    let Ok(handle) = pool.malloc(size, gfp) else {
                        continue;
                    };
                    let mut mapping = pool.map(handle, MapMode::WriteOnly).unwrap();
                    fill(&mut mapping.bytes_mut().unwrap()[..size], &mut random);
                    drop(mapping);
                    mine.push(Object { handle, size });
                    stored += 1;
                }
            }
            4..=5 if !mine.is_empty() => {
                let frees = if growing { 1 } else { 4 };
                for _ in 0..frees.min(mine.len()) {
                    let object = mine.swap_remove(random.below(mine.len()));
                    pool.free(object.handle).unwrap();
                }
            }
            6 if !mine.is_empty() => {
                let Object { handle, size } = mine[random.below(mine.len())];
                let mut mapping = pool.map(handle, MapMode::ReadWrite).unwrap();
                verify(&mapping.bytes()[..size], "before a change");
                std::thread::yield_now();
                fill(&mut mapping.bytes_mut().unwrap()[..size], &mut random);
            }
            7 if !mine.is_empty() => {
                let Object { handle, size } = mine[random.below(mine.len())];
                let mapping = pool.map(handle, MapMode::ReadOnly).unwrap();
                verify(&mapping.bytes()[..size], "read");
                std::thread::yield_now();
                verify(&mapping.bytes()[..size], "read again");
            }
            8 if !mine.is_empty() => {
                // Another thread may take the object.
                let object = mine.swap_remove(random.below(mine.len()));
                shared.lock().unwrap().push(object);
            }
            _ => {
                let object = {
                    let mut shared = shared.lock().unwrap();
                    let len = shared.len();
                    (len > 0).then(|| shared.swap_remove(random.below(len)))
                };
                mine.extend(object);
            }
        }
    }
    shared.lock().unwrap().extend(mine);
    stored
}

// Plays the kernel: migrates pages, and keeps some locked or isolated for a while.
fn kernel(stop: &AtomicBool, counts: &Counts, seed: u64) {
    let mut random = Random::new(seed);
    while !stop.load(Relaxed) {
        let pages = mm::movable_pages();
        if pages.is_empty() {
            std::thread::yield_now();
            continue;
        }
        let isolated: Vec<IsolatedPage> = (0..random.below(8))
            .filter_map(|_| IsolatedPage::try_new(pages[random.below(pages.len())]))
            .collect();
        let locked = LockedPage::try_new(pages[random.below(pages.len())]);
        std::thread::yield_now();
        drop(locked);
        for page in isolated {
            if random.below(4) == 0 {
                continue;
            }
            match page.migrate() {
                Ok(_) => counts.migrated.fetch_add(1, Relaxed),
                Err(EBUSY | ENOMEM) => counts.refused.fetch_add(1, Relaxed),
                Err(error) => panic!("migration: {error:?}"),
            };
        }
    }
}

fn compactor(pool: &Pool, stop: &AtomicBool, counts: &Counts) {
    while !stop.load(Relaxed) {
        // Reschedules after each object, or only if the lock is contended.
        let done = if counts.moved.load(Relaxed) % 2 == 0 {
            sched::with_hook(&mut std::thread::yield_now, || pool.compact())
        } else {
            pool.compact()
        };
        counts.moved.fetch_add(done.objects, Relaxed);
        std::thread::yield_now();
    }
}

// Starts a thread on the machine. If it panics, all threads stop, so that none waits for it.
fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    machine: Arc<Machine>,
    stop: &'scope AtomicBool,
    f: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    struct StopAll<'a>(&'a AtomicBool);

    impl Drop for StopAll<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                self.0.store(true, Relaxed);
            }
        }
    }

    scope.spawn(move || {
        let _entered = machine.enter();
        let _stop_all = StopAll(stop);
        f()
    })
}

// Waits for the workers, then stops all threads. Returns how many objects the workers stored. A
// scope does not see panics of joined threads, so this passes them on.
fn finish(workers: Vec<ScopedJoinHandle<'_, usize>>, stop: &AtomicBool) -> usize {
    let ended: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
    stop.store(true, Relaxed);
    ended
        .into_iter()
        .map(|stored| stored.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        .sum()
}

fn stress(placement: Placement, chain: usize) {
    let seed = number("ZS_SEED", 1);
    let rounds = number("ZS_ROUNDS", 4000) as usize;
    println!("ZS_SEED={seed} ZS_ROUNDS={rounds}");
    let machine = boot(Config {
        pages: 8192,
        placement,
        seed,
        chaos: true,
        proactiveness: 100,
    });
    let pool = pin_box(Pool::new(c"threads", chain)).unwrap();
    let (pool_ref, stop) = (&*pool, &AtomicBool::new(false));
    let (shared, counts) = (&Mutex::new(Vec::new()), &Counts::default());
    let stored = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|i| {
                start(scope, machine.share(), stop, move || {
                    worker(pool_ref, shared, stop, seed * 1000 + i, rounds)
                })
            })
            .collect();
        start(scope, machine.share(), stop, move || {
            kernel(stop, counts, seed)
        });
        start(scope, machine.share(), stop, move || {
            compactor(pool_ref, stop, counts)
        });
        let shared_machine = machine.share();
        start(scope, machine.share(), stop, move || {
            while !stop.load(Relaxed) {
                shared_machine.pass(100);
                std::thread::yield_now();
            }
        });
        finish(workers, stop)
    });
    machine.run_work();
    let objects = std::mem::take(&mut *shared.lock().unwrap());
    for &Object { handle, size } in &objects {
        verify(
            &pool.map(handle, MapMode::ReadOnly).unwrap().bytes()[..size],
            "at the end",
        );
    }
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0);
    for &Object { handle, size } in &objects {
        verify(
            &pool.map(handle, MapMode::ReadOnly).unwrap().bytes()[..size],
            "compacted",
        );
        pool.free(handle).unwrap();
    }
    machine.run_work();
    assert_eq!(
        (pool.total_pages(), machine.zs_pages(), machine.slabs()),
        (0, 0, 0)
    );
    println!(
        "{stored} objects stored, {} left, {} moved, {} pages migrated, {} not migrated, \
         {} frees deferred, {} runs in the background, {} deferred",
        objects.len(),
        counts.moved.load(Relaxed),
        counts.migrated.load(Relaxed),
        counts.refused.load(Relaxed),
        pool.events().deferred_frees.load(Relaxed),
        pool.events().background_runs.load(Relaxed),
        pool.events().background_deferred.load(Relaxed),
    );
    assert!(stored > rounds, "only {stored} objects were stored");
    assert!(counts.moved.load(Relaxed) > 0 && counts.migrated.load(Relaxed) > 0);
}

#[test]
fn everything_at_once_with_scattered_pages() {
    stress(Placement::Scattered, 8);
}

#[test]
fn everything_at_once_with_neighbouring_pages() {
    stress(Placement::Packed, 16);
}

#[test]
fn pools_come_and_go() {
    let machine = boot(Config {
        chaos: true,
        ..Config::default()
    });
    let (stop, counts) = (&AtomicBool::new(false), &Counts::default());
    let stored = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|seed| {
                start(scope, machine.share(), stop, move || {
                    let mut random = Random::new(seed);
                    let mut stored = 0;
                    for _ in 0..30 {
                        let pool = pin_box(Pool::new(c"brief", 4 + random.below(13))).unwrap();
                        let shared = Mutex::new(Vec::new());
                        stored += worker(&pool, &shared, stop, random.next_u64(), 40);
                        pool.compact();
                        for Object { handle, .. } in shared.into_inner().unwrap() {
                            pool.free(handle).unwrap();
                        }
                    }
                    stored
                })
            })
            .collect();
        // Migration works on the pages of all pools.
        start(scope, machine.share(), stop, move || {
            kernel(stop, counts, 9)
        });
        finish(workers, stop)
    });
    let (migrated, refused) = (counts.migrated.load(Relaxed), counts.refused.load(Relaxed));
    println!("{stored} objects stored, {migrated} pages migrated, {refused} not migrated");
    assert!(stored > 90, "only {stored} objects were stored in 90 pools");
    assert!(migrated > 0, "no page was migrated");
}
