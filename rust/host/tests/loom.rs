// SPDX-License-Identifier: GPL-2.0

//! All interleavings, and all that the memory model allows, of a few threads: the entry protocol
//! (`engine/handle_entry.rs`) by itself, and pools of a handful of objects.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom
//! ```
//!
//! With `ZS_BOUND=n`, or `ZS_BOUND=none`, all are explored with that bound instead of their own.
//!
//! Only the atomics that the protocols are made of are explored (`sys/atomic.rs`); of the bytes of
//! pages, those entries that a model names (`sys/watch.rs`). A model ends when there is nothing left
//! to explore; `Bound(n)` leaves out what takes more than `n` preemptions.
#![cfg(loom)]

use std::sync::Arc as StdArc;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

use zsmalloc_host::engine::events::BadHandle;
use zsmalloc_host::engine::handle_entry::{
    FreeLink, Generation, HandleEntry, ObjLocation, Refused,
};
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::atomic::{begin_execution, spin_loop, AtomicU64};
use zsmalloc_host::sys::machine::{boot, Booted, Config};
use zsmalloc_host::sys::mm::{self, IsolatedPage, LockedPage};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::raw_page::{touch, Access, RawPage};
use zsmalloc_host::sys::watch::watch;

/// Turns of waiting in one execution, of all threads, up to which it is explored.
const WAITS: usize = 4;

#[derive(Clone, Copy)]
enum Extent {
    Exhaustive,
    Bound(usize),
}
use Extent::{Bound, Exhaustive};

// Says on one line, for `scripts/test`, how much there was to explore.
fn explore(extent: Extent, model: impl Fn() + Send + Sync + 'static) {
    let bound = match (std::env::var("ZS_BOUND").as_deref(), extent) {
        (Ok("none"), _) | (Err(_), Exhaustive) => None,
        (Ok(bound), _) => Some(bound.parse().expect("ZS_BOUND is a number, or none")),
        (Err(_), Bound(bound)) => Some(bound),
    };
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = bound;
    let runs = StdArc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = runs.clone();
    let start = std::time::Instant::now();
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        begin_execution(WAITS);
        model();
    });
    println!(
        "explored {}: {} executions, {}, {:.1} s",
        std::thread::current().name().unwrap_or("?"),
        runs.load(std::sync::atomic::Ordering::Relaxed),
        bound.map_or("all".into(), |bound| format!("up to {bound} preemptions")),
        start.elapsed().as_secs_f64()
    );
}

fn location(n: usize) -> ObjLocation {
    ObjLocation::new(n, 0, false, false)
}

// Of the first object, and of the one that has its entry afterwards.
const FIRST: Generation = Generation::nth(1);
const SECOND: Generation = Generation::nth(2);

const LINK: FreeLink = FreeLink {
    next: 0,
    generation: SECOND,
};

/// One entry, and what is at the locations that it may name.
struct Object {
    entry: AtomicU64,
    bytes: [UnsafeCell<u64>; 2],
    // The class lock, as far as the protocol needs it.
    class: Mutex<()>,
}

impl Object {
    // Live, at location 0, and `7` there.
    fn new() -> Arc<Self> {
        let object = Self {
            entry: AtomicU64::new(0),
            bytes: [UnsafeCell::new(7), UnsafeCell::new(0)],
            class: Mutex::new(()),
        };
        object.entry().record_obj(location(0), FIRST);
        Arc::new(object)
    }

    fn entry(&self) -> HandleEntry<'_> {
        HandleEntry::new(&self.entry)
    }

    fn get(&self, location: ObjLocation) -> u64 {
        // SAFETY: `loom` checks that nobody writes.
        self.bytes[location.pfn()].with(|bytes| unsafe { *bytes })
    }

    fn set(&self, location: ObjLocation, value: u64) {
        // SAFETY: `loom` checks that nobody else is there.
        self.bytes[location.pfn()].with_mut(|bytes| unsafe { *bytes = value });
    }

    // `map` to read. What was there, if the object was.
    fn read(&self) -> Option<u64> {
        let location = self.entry().lock(FIRST).ok()?;
        let value = self.get(location);
        assert_eq!(self.entry().unlock(), location);
        Some(value)
    }

    // `map` to write. What was there, if the object was.
    fn write(&self, value: u64) -> Option<u64> {
        let location = self.entry().lock(FIRST).ok()?;
        let before = self.get(location);
        self.set(location, value);
        assert_eq!(self.entry().unlock(), location);
        Some(before)
    }

    // Compaction, or migration: tries once. The old location is somebody else's afterwards.
    fn relocate(&self) -> bool {
        let _class = self.class.lock().unwrap();
        let Some(from) = self.entry().location() else {
            return false;
        };
        if self.entry().try_lock_to_move(from).is_err() {
            return false;
        }
        assert_eq!(
            self.entry().held_location(),
            from,
            "a location changes only with the class lock held"
        );
        let to = location(1 - from.pfn());
        self.set(to, self.get(from));
        self.entry().moved_to(to);
        self.set(from, 666);
        true
    }

    // `free`: waits for a mover, but for nobody else. The location is somebody else's afterwards.
    fn free(&self) -> Result<(), Refused> {
        let location = loop {
            match self.entry().try_lock(FIRST) {
                Err(Refused::Moving) => spin_loop(),
                result => break result?,
            }
        };
        let _class = self.class.lock().unwrap();
        assert_eq!(self.entry().held_location(), location);
        self.entry().relink(LINK);
        self.set(location, 666);
        Ok(())
    }
}

// Whoever has the object finds it whole; nobody writes to what is read.
#[test]
fn entry_a_mapping_and_a_mover() {
    explore(Exhaustive, || {
        let object = Object::new();
        let writer = {
            let object = object.clone();
            thread::spawn(move || object.write(8))
        };
        let moved = object.relocate();
        assert_eq!(writer.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(8));
        // Nobody is left who could keep it from moving.
        assert!(object.relocate());
        let location = object.entry().location().unwrap();
        assert_eq!(location.pfn(), usize::from(!moved));
    });
}

// Two that map: a lock is a lock.
#[test]
fn entry_two_mappings() {
    explore(Exhaustive, || {
        let object = Object::new();
        let writer = {
            let object = object.clone();
            thread::spawn(move || object.write(8))
        };
        let before = [object.write(9), writer.join().unwrap()];
        let after = object.read();
        assert!(
            matches!(
                (before, after),
                ([Some(7), Some(9)], Some(8)) | ([Some(8), Some(7)], Some(9))
            ),
            "{before:?} {after:?}"
        );
    });
}

// Two that map and a mover: whoever has the object finds it whole, nobody writes to what is read.
#[test]
fn entry_two_mappings_and_a_mover() {
    explore(Bound(3), || {
        let object = Object::new();
        let reader = {
            let object = object.clone();
            thread::spawn(move || object.read())
        };
        let writer = {
            let object = object.clone();
            thread::spawn(move || object.write(8))
        };
        object.relocate();
        assert!(matches!(reader.join().unwrap(), Some(7 | 8)));
        assert_eq!(writer.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(8));
        // Nobody is left who could keep it from moving.
        assert!(object.relocate());
    });
}

// Two writers: a lock is a lock, and one sees what the other wrote, wherever it is by then.
#[test]
fn entry_two_writers_and_a_mover() {
    explore(Bound(3), || {
        let object = Object::new();
        let writers: Vec<_> = [8, 9]
            .map(|value| {
                let object = object.clone();
                thread::spawn(move || object.write(value))
            })
            .into();
        object.relocate();
        let before: Vec<_> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect();
        let after = object.read();
        assert!(
            matches!(
                (&before[..], after),
                ([Some(7), Some(8)], Some(9)) | ([Some(9), Some(7)], Some(8))
            ),
            "{before:?} {after:?}"
        );
    });
}

// Two movers (compaction and migration): the class lock keeps them apart, and each finds the
// object where the other left it.
#[test]
fn entry_two_movers_and_a_mapping() {
    explore(Bound(3), || {
        let object = Object::new();
        let mover = {
            let object = object.clone();
            thread::spawn(move || object.relocate())
        };
        let reader = {
            let object = object.clone();
            thread::spawn(move || object.read())
        };
        object.relocate();
        mover.join().unwrap();
        assert_eq!(reader.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(7));
    });
}

// `free` with somebody who should not be there any more, and a mover: either he is in time, and
// `free` is refused, or he finds nothing. PageBatch memory is never read.
#[test]
fn entry_free_a_late_mapping_and_a_mover() {
    explore(Bound(6), || {
        let object = Object::new();
        let reader = {
            let object = object.clone();
            thread::spawn(move || assert!(matches!(object.read(), None | Some(7))))
        };
        let mover = {
            let object = object.clone();
            thread::spawn(move || object.relocate())
        };
        let freed = object.free();
        assert!(matches!(freed, Ok(()) | Err(Refused::Busy)), "{freed:?}");
        reader.join().unwrap();
        mover.join().unwrap();
        if freed.is_err() {
            object.free().unwrap();
        }
        assert_eq!(object.free(), Err(Refused::Free));
        assert_eq!(object.read(), None);
    });
}

// The same object freed twice at once: one of them is refused.
#[test]
fn entry_two_frees() {
    explore(Exhaustive, || {
        let object = Object::new();
        let other = {
            let object = object.clone();
            thread::spawn(move || object.free())
        };
        let results = [object.free(), other.join().unwrap()];
        let refused = [Err(Refused::Free), Err(Refused::Busy)];
        assert!(results.contains(&Ok(())));
        assert!(results.iter().any(|result| refused.contains(result)));
    });
}

// An entry is freed and used again while somebody still uses the old handle: he gets the old object
// or nothing, and never keeps anybody from the new one.
#[test]
fn entry_reuse_and_a_stale_mapping() {
    explore(Exhaustive, || reuse(1));
}

// The same with two of them.
#[test]
fn entry_reuse_and_two_stale_mappings() {
    explore(Bound(3), || reuse(2));
}

fn reuse(stale: usize) {
    let object = Object::new();
    let stale: Vec<_> = (0..stale)
        .map(|_| {
            let object = object.clone();
            thread::spawn(move || assert!(matches!(object.read(), None | Some(7))))
        })
        .collect();
    if object.free().is_ok() {
        {
            let _class = object.class.lock().unwrap();
            object.set(location(1), 8);
            object.entry().record_obj(location(1), SECOND);
        }
        assert_eq!(object.entry().try_lock(SECOND), Ok(location(1)));
        assert_eq!(object.get(location(1)), 8);
        object.entry().unlock();
    }
    stale.into_iter().for_each(|stale| stale.join().unwrap());
}

// An entry is used again, and somebody guesses its handle before he can know it: he gets all of the
// new object, or nothing.
#[test]
fn entry_reuse_and_a_guess() {
    explore(Exhaustive, || {
        let object = Object::new();
        object.free().unwrap();
        let guess = {
            let object = object.clone();
            thread::spawn(move || {
                if let Ok(location) = object.entry().try_lock(SECOND) {
                    assert_eq!(object.get(location), 8);
                    object.entry().unlock();
                }
            })
        };
        object.set(location(1), 8);
        object.entry().record_obj(location(1), SECOND);
        guess.join().unwrap();
    });
}

// Free entries pass from one class to another while somebody tries a handle that was freed: he is
// refused, and does not disturb the chain.
#[test]
fn entry_relink_and_a_stale_mapping() {
    explore(Exhaustive, || {
        let object = Object::new();
        object.free().unwrap();
        let stale = {
            let object = object.clone();
            thread::spawn(move || assert_eq!(object.entry().lock(FIRST), Err(Refused::Free)))
        };
        let link = FreeLink {
            next: 5,
            generation: SECOND,
        };
        object.entry().relink(link);
        assert_eq!(object.entry().link(), Some(link));
        stale.join().unwrap();
        assert_eq!(object.entry().link(), Some(link));
    });
}

/// A pool that some threads use. What it takes to make one is not explored.
struct Shop {
    pool: StdArc<PinBox<Pool>>,
    machine: Booted,
}

/// Two objects of this size share a page.
const HALF: usize = 2040;
/// Their first and their last entries, and what is behind them.
const WATCHED: &[usize] = &[0, 2040, 2044, 2048, 4088, 4092];

impl Shop {
    fn open() -> Self {
        Self::open_watching(WATCHED)
    }

    fn open_watching(watched: &'static [usize]) -> Self {
        loom::stop_exploring();
        watch(watched);
        let machine = boot(Config {
            pages: 16,
            ..Config::default()
        });
        let pool = StdArc::new(pin_box(Pool::new(c"loom", 4)).unwrap());
        // What comes into being when it is first used has to do so before the threads do.
        pool.compact();
        Self { pool, machine }
    }

    fn begin(&self) {
        loom::explore();
    }

    // A thread that uses the pool.
    fn spawn<R: 'static>(&self, f: impl FnOnce(&Pool) -> R + 'static) -> thread::JoinHandle<R> {
        let pool = self.pool.clone();
        thread::spawn(move || f(&pool))
    }

    // Two zspages, of four pages once, with an object each on the first: 1, and 2.
    fn fragmented(&self) -> [Handle; 2] {
        let handles: Vec<_> = (0..16).map(|i| store(&self.pool, 1 + i / 8)).collect();
        for (_, &handle) in handles.iter().enumerate().filter(|(i, _)| i % 8 != 0) {
            self.pool.free(handle).unwrap();
        }
        assert_eq!(self.pool.total_pages(), 2);
        assert_eq!(mm::chains().len(), 2);
        [handles[0], handles[8]]
    }

    // Nothing is lost, and nothing is left.
    fn close(self, objects: &[(Handle, u64)]) {
        loom::stop_exploring();
        self.machine.run_work();
        self.pool.compact();
        for &(handle, value) in objects {
            assert_eq!(load(&self.pool, handle), Some(value));
        }
        assert_eq!(self.pool.freeable_pages(), 0);
        assert_eq!(self.pool.total_pages(), self.machine.zs_pages());
        for &(handle, _) in objects {
            self.pool.free(handle).unwrap();
        }
        self.machine.run_work();
        assert_eq!(self.pool.total_pages(), 0);
        assert_eq!(self.machine.take_reports(), []);
        let Ok(pool) = StdArc::try_unwrap(self.pool) else {
            panic!("a thread is left");
        };
        drop(pool);
    }
}

fn store(pool: &Pool, value: u64) -> Handle {
    store_of(pool, HALF, value)
}

fn store_of(pool: &Pool, size: usize, value: u64) -> Handle {
    let handle = pool.malloc(size, Gfp::ZRAM).unwrap();
    write(pool, handle, value);
    handle
}

fn write(pool: &Pool, handle: Handle, value: u64) {
    let mut mapping = pool.map(handle, MapMode::WriteOnly).unwrap();
    let bytes = mapping.bytes_mut().unwrap();
    touch(Access::Write, bytes);
    for entry in [bytes.len() - 8, 0] {
        bytes[entry..entry + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn load(pool: &Pool, handle: Handle) -> Option<u64> {
    let mapping = pool.map(handle, MapMode::ReadOnly)?;
    let bytes = mapping.bytes();
    touch(Access::Read, bytes);
    assert_eq!(bytes[..8], bytes[bytes.len() - 8..], "half of an object");
    Some(u64::from_le_bytes(bytes[..8].try_into().unwrap()))
}

// Compaction, while objects are written: one of the two moves.
#[test]
fn pool_compact_and_map() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let [a, b] = shop.fragmented();
        shop.begin();
        let writer = shop.spawn(move |pool| {
            write(pool, a, 3);
            write(pool, b, 4);
        });
        shop.pool.compact();
        writer.join().unwrap();
        shop.close(&[(a, 3), (b, 4)]);
    });
}

// Compaction, while two write the same objects: its lock is one for each of them.
#[test]
fn pool_compact_and_two_maps() {
    explore(Bound(2), || {
        let shop = Shop::open();
        let [a, b] = shop.fragmented();
        shop.begin();
        let writers = [3, 4].map(|value| {
            shop.spawn(move |pool| {
                write(pool, a, value);
                write(pool, b, value);
            })
        });
        shop.pool.compact();
        for writer in writers {
            writer.join().unwrap();
        }
        let values = [a, b].map(|handle| load(&shop.pool, handle).unwrap());
        assert!(
            values.iter().all(|value| [3, 4].contains(value)),
            "{values:?}"
        );
        shop.close(&[(a, values[0]), (b, values[1])]);
    });
}

// Compaction, while objects are freed: that of the destination first, and that of the source.
#[test]
fn pool_compact_and_free() {
    explore(Exhaustive, || compact_and_free(|objects| objects));
}

// The same the other way round: the object that moves is free or not, and its location old or new.
#[test]
fn pool_compact_and_free_what_moves() {
    explore(Exhaustive, || compact_and_free(|[a, b]| [b, a]));
}

fn compact_and_free(order: impl Fn([Handle; 2]) -> [Handle; 2]) {
    let shop = Shop::open();
    let [first, second] = order(shop.fragmented());
    shop.begin();
    let other = shop.spawn(move |pool| {
        pool.free(first).unwrap();
        pool.free(second).unwrap();
    });
    shop.pool.compact();
    other.join().unwrap();
    shop.close(&[]);
}

// Compaction, while objects of the class are allocated, into a zspage that is isolated or not.
#[test]
fn pool_compact_and_malloc() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let [a, b] = shop.fragmented();
        shop.begin();
        let other = shop.spawn(move |pool| [3, 4].map(|value| store(pool, value)));
        shop.pool.compact();
        let [c, d] = other.join().unwrap();
        shop.close(&[(a, 1), (b, 2), (c, 3), (d, 4)]);
    });
}

// Two compactors: one of them does it all.
#[test]
fn pool_two_compactions() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let [a, b] = shop.fragmented();
        shop.begin();
        let other = shop.spawn(|pool| pool.compact());
        let mine = shop.pool.compact();
        let theirs = other.join().unwrap();
        assert_eq!(
            (mine.pages + theirs.pages, mine.objects + theirs.objects),
            (1, 1)
        );
        shop.close(&[(a, 1), (b, 2)]);
    });
}

fn any_page() -> RawPage {
    mm::movable_pages()[0]
}

// The kernel moves a page while both objects on it are written.
#[test]
fn pool_migrate_and_map() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let (a, b) = (store(&shop.pool, 1), store(&shop.pool, 2));
        shop.begin();
        let writer = shop.spawn(move |pool| {
            write(pool, a, 3);
            write(pool, b, 4);
        });
        let result = mm::migrate(any_page()).unwrap();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        writer.join().unwrap();
        shop.close(&[(a, 3), (b, 4)]);
    });
}

// The kernel moves a page while what is on it is freed: the zspage is freed at once, or later, or
// the page is gone before it can be moved; or the page stays, as an object is just then being freed.
#[test]
fn pool_migrate_and_free() {
    explore(Bound(3), || {
        let shop = Shop::open();
        let (a, b) = (store(&shop.pool, 1), store(&shop.pool, 2));
        let page = any_page();
        shop.begin();
        let other = shop.spawn(move |pool| {
            pool.free(a).unwrap();
            pool.free(b).unwrap();
        });
        if let Some(result) = mm::migrate(page) {
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        other.join().unwrap();
        shop.close(&[]);
    });
}

// The kernel moves a page while objects are allocated on it.
#[test]
fn pool_migrate_and_malloc() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let a = store(&shop.pool, 1);
        shop.begin();
        let other = shop.spawn(move |pool| store(pool, 2));
        let result = mm::migrate(any_page()).unwrap();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        let b = other.join().unwrap();
        shop.close(&[(a, 1), (b, 2)]);
    });
}

/// Four objects of this size share three pages: the second begins on the first and ends on the
/// second.
const ACROSS: usize = 3064;
/// First and last entries, what is behind the objects, and what the pages begin and end with.
const WATCHED_ACROSS: &[usize] = &[0, 2040, 2044, 3064, 3068, 3072, 4092];

// The kernel moves the second page, then the first, of an object that spans both, while that is
// written: it is copied page by page, along a chain that changes.
#[test]
fn pool_migrate_and_map_across() {
    explore(Bound(2), || {
        let shop = Shop::open_watching(WATCHED_ACROSS);
        let [a, b] = [1, 2].map(|value| store_of(&shop.pool, ACROSS, value));
        let pages = mm::movable_pages();
        assert_eq!(pages.len(), 2);
        shop.begin();
        let writer = shop.spawn(move |pool| {
            write(pool, b, 3);
            assert_eq!(load(pool, b), Some(3));
        });
        for page in pages.into_iter().rev() {
            let result = mm::migrate(page).unwrap();
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        writer.join().unwrap();
        shop.close(&[(a, 1), (b, 3)]);
    });
}

// The object that spans two pages is freed while the kernel moves the second, which nobody else
// needs: it goes at once, or, if the kernel has it locked, later; the zspage stays.
#[test]
fn pool_migrate_and_free_across() {
    explore(Bound(2), || {
        let shop = Shop::open_watching(WATCHED_ACROSS);
        let [a, b] = [1, 2].map(|value| store_of(&shop.pool, ACROSS, value));
        let page = mm::movable_pages()[1];
        shop.begin();
        let other = shop.spawn(move |pool| pool.free(b).unwrap());
        if let Some(result) = mm::migrate(page) {
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        other.join().unwrap();
        shop.close(&[(a, 1)]);
    });
}

// The kernel moves pages while the pool is compacted.
#[test]
fn pool_migrate_and_compact() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let [a, b] = shop.fragmented();
        let page = any_page();
        shop.begin();
        let other = shop.spawn(|pool| pool.compact());
        if let Some(result) = mm::migrate(page) {
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        other.join().unwrap();
        shop.close(&[(a, 1), (b, 2)]);
    });
}

// Deferred free: the last objects go while the kernel has the page locked; a worker waits for it;
// somebody allocates meanwhile, perhaps from the very zspage.
#[test]
fn pool_deferred_free() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let a = store(&shop.pool, 1);
        let locked = LockedPage::try_new(any_page()).unwrap();
        shop.pool.free(a).unwrap();
        assert!(shop.machine.has_work());
        shop.begin();
        let machine = shop.machine.share();
        let worker = thread::spawn(move || machine.run_work());
        let other = shop.spawn(|pool| store(pool, 2));
        drop(locked);
        worker.join().unwrap();
        let b = other.join().unwrap();
        shop.close(&[(b, 2)]);
    });
}

// The same, and the kernel wants to move the page that is to be freed.
#[test]
fn pool_deferred_free_and_migrate() {
    explore(Bound(3), || {
        let shop = Shop::open();
        let a = store(&shop.pool, 1);
        let isolated = IsolatedPage::try_new(any_page()).unwrap();
        shop.begin();
        let other = {
            let machine = shop.machine.share();
            shop.spawn(move |pool| {
                pool.free(a).unwrap();
                machine.run_work();
            })
        };
        let result = isolated.migrate();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        other.join().unwrap();
        shop.close(&[]);
    });
}

// A pool is destroyed while the kernel moves its last page.
#[test]
fn pool_destroy_and_migrate() {
    explore(Bound(2), || {
        let shop = Shop::open();
        let a = store(&shop.pool, 1);
        let page = any_page();
        shop.begin();
        let kernel = thread::spawn(move || {
            mm::migrate(page);
        });
        shop.pool.free(a).unwrap();
        let Ok(pool) = StdArc::try_unwrap(shop.pool) else {
            unreachable!()
        };
        drop(pool);
        kernel.join().unwrap();
        assert_eq!(shop.machine.take_reports(), []);
    });
}

// Two that free one object: one of them is refused, and says so.
#[test]
fn pool_free_twice() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let (a, b) = (store(&shop.pool, 1), store(&shop.pool, 2));
        shop.begin();
        let other = shop.spawn(move |pool| pool.free(a));
        let results = [shop.pool.free(a), other.join().unwrap()];
        assert!(results.contains(&Ok(())), "{results:?}");
        assert!(
            results
                .iter()
                .any(|result| matches!(result, Err(BadHandle::NotAllocated | BadHandle::Mismatch))),
            "{results:?}"
        );
        assert_eq!(shop.machine.take_reports().len(), 1);
        shop.close(&[(b, 2)]);
    });
}

// A handle is used after it was freed, while its entry gets a new object: the stale one is
// refused, and the new one is as if nothing had been.
#[test]
fn pool_stale_handle() {
    explore(Bound(3), || {
        let shop = Shop::open();
        let (a, b) = (store(&shop.pool, 1), store(&shop.pool, 2));
        shop.pool.free(a).unwrap();
        shop.begin();
        let other = shop.spawn(move |pool| {
            assert!(pool.map(a, MapMode::ReadOnly).is_none());
            assert!(pool.free(a).is_err());
        });
        let c = store(&shop.pool, 3);
        write(&shop.pool, c, 4);
        shop.pool.free(c).unwrap();
        let c = store(&shop.pool, 5);
        other.join().unwrap();
        assert_eq!(shop.machine.take_reports().len(), 2);
        shop.close(&[(b, 2), (c, 5)]);
    });
}

// Two that allocate from an empty class, and so both grow it and the handle table.
#[test]
fn pool_two_mallocs() {
    explore(Bound(3), || {
        let shop = Shop::open();
        shop.begin();
        let other = shop.spawn(|pool| store(pool, 1));
        let b = store(&shop.pool, 2);
        let a = other.join().unwrap();
        assert_ne!(a, b);
        shop.close(&[(a, 1), (b, 2)]);
    });
}

// One frees the last object of a zspage while another allocates from it.
#[test]
fn pool_free_and_malloc() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let a = store(&shop.pool, 1);
        shop.begin();
        let other = shop.spawn(|pool| store(pool, 2));
        shop.pool.free(a).unwrap();
        let b = other.join().unwrap();
        shop.close(&[(b, 2)]);
    });
}

// Two objects of one page are freed at once: the page goes once.
#[test]
fn pool_two_frees() {
    explore(Exhaustive, || {
        let shop = Shop::open();
        let (a, b) = (store(&shop.pool, 1), store(&shop.pool, 2));
        shop.begin();
        let other = shop.spawn(move |pool| pool.free(a).unwrap());
        shop.pool.free(b).unwrap();
        other.join().unwrap();
        assert_eq!(shop.machine.zs_pages(), 0);
        shop.close(&[]);
    });
}
