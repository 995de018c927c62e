// SPDX-License-Identifier: GPL-2.0

//! Explores all interleavings, and all results that the memory model allows, of a few threads.
//! Tests the entry protocol (`engine/handle_entry.rs`) alone, and pools with a few objects.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom
//! ```
//!
//! `ZS_BOUND=n` or `ZS_BOUND=none` replaces the preemption bound of every model.
//!
//! Only the atomics of the protocols are explored (`sys/atomic.rs`), and only the words of a page
//! that a model names (`sys/watch.rs`). `Bound(n)` omits executions with more than `n` preemptions.
#![cfg(loom)]

use core::ptr::NonNull;
use std::sync::Arc as StdArc;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

use zsmalloc_host::engine::events::BadHandle;
use zsmalloc_host::engine::geometry::HANDLE_SIZE;
use zsmalloc_host::engine::handle_entry::{
    FreeLink, Generation, HandleEntry, ObjLocation, Refused, MAX_READERS,
};
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::atomic::{begin_execution, model_pointers, spin_loop, AtomicU64};
use zsmalloc_host::sys::boxed::ZeroBox;
use zsmalloc_host::sys::buffer::{Destination, Source};
use zsmalloc_host::sys::machine::{boot, Booted, Config};
use zsmalloc_host::sys::mm::{self, IsolatedPage, LockedPage};
use zsmalloc_host::sys::once_box::OnceBox;
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::raw_page::{touch, Access, RawPage};
use zsmalloc_host::sys::rcu_box::RcuBox;
use zsmalloc_host::sys::sched::NoPreemption;
use zsmalloc_host::sys::watch::watch;

/// Turns of waiting of all threads, after which the rest of an execution is not explored.
const WAITS: usize = 4;

#[derive(Clone, Copy)]
enum Extent {
    Exhaustive,
    Bound(usize),
}
use Extent::{Bound, Exhaustive};

// Explores a model. Prints a line with the number of executions, which `scripts/test` reads.
fn explore(extent: Extent, model: impl Fn() + Send + Sync + 'static) {
    let bound = match (std::env::var("ZS_BOUND").as_deref(), extent) {
        (Ok("none"), _) | (Err(_), Exhaustive) => None,
        (Ok(bound), _) => Some(bound.parse().expect("ZS_BOUND must be a number or none")),
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

// The generations of the first object, and of the next one with its entry.
const FIRST: Generation = Generation::nth(1);
const SECOND: Generation = Generation::nth(2);

const LINK: FreeLink = FreeLink {
    next: 0,
    generation: SECOND,
};

/// An entry, and the contents of the two locations that it may have.
struct Object {
    entry: AtomicU64,
    bytes: [UnsafeCell<u64>; 2],
    // Stands for the class lock.
    class: Mutex<()>,
}

// Starts a thread that uses the object.
fn spawn<R: 'static>(
    object: &Arc<Object>,
    f: impl FnOnce(&Object) -> R + 'static,
) -> thread::JoinHandle<R> {
    let object = object.clone();
    thread::spawn(move || f(&object))
}

impl Object {
    // Creates an entry at location 0, which contains 7.
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
        // SAFETY: `loom` checks that nobody writes concurrently.
        self.bytes[location.pfn()].with(|bytes| unsafe { *bytes })
    }

    fn set(&self, location: ObjLocation, value: u64) {
        // SAFETY: `loom` checks that nobody reads or writes concurrently.
        self.bytes[location.pfn()].with_mut(|bytes| unsafe { *bytes = value });
    }

    // Reads like `map`. Returns the contents, or `None` without the object.
    fn read(&self) -> Option<u64> {
        let location = self.entry().read_lock(FIRST).ok()?;
        let value = self.get(location);
        assert_eq!(self.entry().held_location(), location);
        self.entry().read_unlock(FIRST).unwrap();
        Some(value)
    }

    // Writes like `map`, with nobody else using the contents. Returns the former contents, or `None`
    // without the object.
    fn write(&self, value: u64) -> Option<u64> {
        let location = self.entry().read_lock(FIRST).ok()?;
        let before = self.get(location);
        self.set(location, value);
        assert_eq!(self.entry().held_location(), location);
        self.entry().read_unlock(FIRST).unwrap();
        Some(before)
    }

    // Reads like `map`, and ends like `unmap` does on the CPU that mapped.
    fn read_held(&self) -> Option<u64> {
        let location = self.entry().read_lock(FIRST).ok()?;
        let value = self.get(location);
        assert!(self.entry().read_unlock_held());
        Some(value)
    }

    // Frees the object to the sheaf of the class.
    fn free_to_sheaf(&self) {
        self.entry().try_lock(FIRST).unwrap();
        let _class = self.class.lock().unwrap();
        self.entry().to_sheaf();
    }

    // Tries once to move the object, like compaction and migration, and reuses the old location.
    fn relocate(&self) -> bool {
        let _class = self.class.lock().unwrap();
        let in_sheaf = self.entry().in_sheaf().map(|(location, _)| location);
        let Some(from) = self.entry().location().or(in_sheaf) else {
            return false;
        };
        if self.entry().try_lock_to_move(from).is_err() {
            return false;
        }
        assert_eq!(
            self.entry().held_location(),
            from,
            "the location changed without the class lock"
        );
        let to = location(1 - from.pfn());
        self.set(to, self.get(from));
        self.entry().moved_to(to);
        self.set(from, 666);
        true
    }

    // Frees the object, waiting for a move but not for a mapping, and reuses its location.
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

// A mapping sees the whole object. Moving does not write while the object is mapped.
#[test]
fn entry_a_mapping_and_a_mover() {
    explore(Exhaustive, || {
        let object = Object::new();
        let writer = spawn(&object, |object| object.write(8));
        let moved = object.relocate();
        assert_eq!(writer.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(8));
        // No mapping is left that could prevent the move.
        assert!(object.relocate());
        let location = object.entry().location().unwrap();
        assert_eq!(location.pfn(), usize::from(!moved));
    });
}

// Two readers share the object. A move waits for neither, and excludes both.
#[test]
fn entry_two_readers_and_a_mover() {
    explore(Bound(4), || {
        let object = Object::new();
        let readers: Vec<_> = (0..2)
            .map(|_| spawn(&object, |object| object.read()))
            .collect();
        object.relocate();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), Some(7));
        }
        assert_eq!(object.read(), Some(7));
        // No reader is left that could prevent the move.
        assert!(object.relocate());
    });
}

// A reader and a writer of an object that is moved. One reads what is there, the other's bytes stay.
// They do not touch the same bytes: that would be up to the caller.
#[test]
fn entry_a_reader_and_two_movers() {
    explore(Bound(3), || {
        let object = Object::new();
        let mover = spawn(&object, |object| object.relocate());
        let reader = spawn(&object, |object| {
            let location = object.entry().read_lock(FIRST).unwrap();
            // A second read begins and ends within the first.
            assert_eq!(object.read(), Some(7));
            assert_eq!(object.entry().held_location(), location);
            assert_eq!(object.get(location), 7);
            object.entry().read_unlock(FIRST).unwrap();
        });
        object.relocate();
        mover.join().unwrap();
        reader.join().unwrap();
        assert_eq!(object.read(), Some(7));
        assert!(object.relocate());
    });
}

// As many readers as fit, and one too many, which is told so. None of them is lost.
#[test]
fn entry_full_of_readers() {
    explore(Exhaustive, || {
        let object = Object::new();
        for _ in 0..MAX_READERS - 1 {
            object.entry().read_lock(FIRST).unwrap();
        }
        let other = spawn(&object, |object| match object.entry().read_lock(FIRST) {
            Ok(location) => {
                assert_eq!(object.get(location), 7);
                object.entry().read_unlock(FIRST).unwrap();
                true
            }
            Err(why) => {
                assert_eq!(why, Refused::Full);
                false
            }
        });
        let ours = match object.entry().read_lock(FIRST) {
            Ok(_) => true,
            Err(why) => {
                assert_eq!(why, Refused::Full);
                false
            }
        };
        assert!(!object.relocate(), "moved while it is read");
        let theirs = other.join().unwrap();
        assert!(ours || theirs, "both were refused");
        for _ in 0..MAX_READERS - 1 + usize::from(ours) {
            object.entry().read_unlock(FIRST).unwrap();
        }
        object.free().unwrap();
    });
}

// A reader ends on two threads. One of them is refused, and the other readers are not affected.
#[test]
fn entry_one_end_too_many() {
    explore(Exhaustive, || {
        let object = Object::new();
        object.entry().read_lock(FIRST).unwrap();
        let other = spawn(&object, |object| object.entry().read_unlock(FIRST).is_ok());
        let ours = object.entry().read_unlock(FIRST).is_ok();
        assert!(ours != other.join().unwrap());
        object.free().unwrap();
    });
}

// The class lock serialises compaction and migration. Each finds the object where the other moved
// it.
#[test]
fn entry_two_movers_and_a_mapping() {
    explore(Bound(3), || {
        let object = Object::new();
        let mover = spawn(&object, |object| object.relocate());
        let reader = spawn(&object, |object| object.read());
        object.relocate();
        mover.join().unwrap();
        assert_eq!(reader.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(7));
    });
}

// Frees an object while another thread maps or moves it. Either the mapping wins and `free` is
// refused, or the mapping fails. Freed memory is never read.
#[test]
fn entry_free_a_late_mapping_and_a_mover() {
    explore(Bound(6), || {
        let object = Object::new();
        let reader = spawn(&object, |object| {
            assert!(matches!(object.read(), None | Some(7)))
        });
        let mover = spawn(&object, |object| object.relocate());
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

// Frees an object on two threads. One of them is refused.
#[test]
fn entry_two_frees() {
    explore(Exhaustive, || {
        let object = Object::new();
        let other = spawn(&object, |object| object.free());
        let results = [object.free(), other.join().unwrap()];
        let refused = [Err(Refused::Free), Err(Refused::Busy)];
        assert!(results.contains(&Ok(())));
        assert!(results.iter().any(|result| refused.contains(result)));
    });
}

// Frees an entry and reuses it while a stale handle is used. The stale handle maps the old object
// or nothing, and never locks the new one.
#[test]
fn entry_reuse_and_a_stale_mapping() {
    explore(Exhaustive, || reuse(1));
}

// The same with two stale handles.
#[test]
fn entry_reuse_and_two_stale_mappings() {
    explore(Bound(3), || reuse(2));
}

fn reuse(stale: usize) {
    let object = Object::new();
    let stale: Vec<_> = (0..stale)
        .map(|_| {
            spawn(&object, |object| {
                assert!(matches!(object.read(), None | Some(7)))
            })
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

// Reuses an entry while another thread guesses its next handle. The guess finds all of the new
// object, or nothing.
#[test]
fn entry_reuse_and_a_guess() {
    explore(Exhaustive, || {
        let object = Object::new();
        object.free().unwrap();
        let guess = spawn(&object, |object| {
            if let Ok(location) = object.entry().try_read_lock_plain(SECOND) {
                assert_eq!(object.get(location), 8);
                object.entry().read_unlock(SECOND).unwrap();
            }
        });
        object.set(location(1), 8);
        object.entry().record_obj(location(1), SECOND);
        guess.join().unwrap();
    });
}

// Moves free entries between classes while another thread uses a stale handle. That is refused and
// does not change the chain.
#[test]
fn entry_relink_and_a_stale_mapping() {
    explore(Exhaustive, || {
        let object = Object::new();
        object.free().unwrap();
        let stale = spawn(&object, |object| {
            assert_eq!(object.entry().read_lock(FIRST), Err(Refused::Free))
        });
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

// A reader that ends without looking at the entry again is before a move, too.
#[test]
fn entry_a_held_reader_and_a_mover() {
    explore(Exhaustive, || {
        let object = Object::new();
        let reader = spawn(&object, |object| object.read_held());
        object.relocate();
        assert_eq!(reader.join().unwrap(), Some(7));
        assert!(object.relocate());
    });
}

// Locks an entry to free its object, and does not, as `free` of a handle that is not the one after
// the object. A reader then finds what the last writer wrote.
#[test]
fn entry_a_writer_and_a_refused_free() {
    explore(Exhaustive, || {
        let object = Object::new();
        let writer = spawn(&object, |object| object.write(8));
        let refused = spawn(&object, |object| {
            if object.entry().try_lock(FIRST).is_ok() {
                object.entry().unlock();
            }
        });
        if let Ok(location) = object.entry().try_lock(FIRST) {
            assert!(matches!(object.get(location), 7 | 8));
            object.entry().unlock();
        }
        assert_eq!(writer.join().unwrap(), Some(7));
        refused.join().unwrap();
        assert_eq!(object.read(), Some(8));
    });
}

// An object in the sheaf is moved, and then allocated again or, as it is found to be corrupt, made
// live with its old handle. Whoever has that handle finds all of it, or nothing.
fn sheaf_and_a_handle(leave: impl Fn(HandleEntry<'_>) -> Generation) {
    let object = Object::new();
    object.free_to_sheaf();
    let mover = spawn(&object, |object| object.relocate());
    let (handle, reader) = (leave_generation(&leave), object.clone());
    let reader = thread::spawn(move || {
        if let Ok(location) = reader.entry().try_read_lock_plain(handle) {
            assert_eq!(reader.get(location), 7);
            reader.entry().read_unlock(handle).unwrap();
        }
    });
    {
        let _class = object.class.lock().unwrap();
        assert_eq!(leave(object.entry()), handle);
    }
    mover.join().unwrap();
    reader.join().unwrap();
}

// Returns the generation of an entry of generation `FIRST` that left the sheaf.
fn leave_generation(leave: &impl Fn(HandleEntry<'_>) -> Generation) -> Generation {
    let memory = AtomicU64::new(0);
    let entry = HandleEntry::new(&memory);
    entry.record_obj(location(0), FIRST);
    entry.try_lock(FIRST).unwrap();
    entry.to_sheaf();
    leave(entry)
}

#[test]
fn entry_reuse_from_the_sheaf_and_a_guess() {
    explore(Exhaustive, || {
        sheaf_and_a_handle(|entry| entry.reuse().unwrap());
    });
}

#[test]
fn entry_restored_from_the_sheaf_and_its_handle() {
    explore(Exhaustive, || {
        sheaf_and_a_handle(|entry| {
            entry.restore();
            FIRST
        });
    });
}

// Finds a leaf of a table while it is added. All of it is initialised.
#[test]
fn table_grows_under_a_reader() {
    explore(Exhaustive, || {
        let _machine = boot(Config::default());
        model_pointers();
        let slot = Arc::new(RcuBox::<[AtomicU64; 1]>::empty());
        // Create what `loom` creates on first use before the thread starts.
        assert!(slot.get(NoPreemption::new().rcu()).is_none());
        let reader = {
            let slot = slot.clone();
            thread::spawn(move || {
                let no_preemption = NoPreemption::new();
                if let Some(leaf) = slot.get(no_preemption.rcu()) {
                    assert_eq!(HandleEntry::new(&leaf[0]).link(), Some(LINK));
                }
            })
        };
        let leaf = ZeroBox::<[AtomicU64; 1]>::new(Gfp::KERNEL).unwrap();
        HandleEntry::new(&leaf[0]).relink(LINK);
        slot.set(leaf);
        reader.join().unwrap();
        drop(slot);
    });
}

/// A value whose accesses `loom` orders.
struct Value(UnsafeCell<u64>);

// SAFETY: `loom` checks that nobody reads while it is written.
unsafe impl Sync for Value {}

// Sets the box, unless another thread was faster. Returns the value that is in it.
fn set_once(slot: &OnceBox<Value>, value: u64) -> u64 {
    let set = slot.get().unwrap_or_else(|| {
        let new = Box::pin(Value(UnsafeCell::new(0)));
        // SAFETY: Nobody else has it yet.
        new.0.with_mut(|new| unsafe { *new = value });
        slot.get_or_set(new)
    });
    // SAFETY: `loom` checks that nobody writes concurrently.
    set.0.with(|value| unsafe { *value })
}

// Two threads create a class, or one finds that of the other. Both get the same, all of it.
#[test]
fn class_created_by_two_threads() {
    explore(Exhaustive, || {
        model_pointers();
        let slot = Arc::new(OnceBox::empty());
        // Create what `loom` creates on first use before the thread starts.
        assert!(slot.get().is_none());
        let other = {
            let slot = slot.clone();
            thread::spawn(move || set_once(&slot, 1))
        };
        let value = set_once(&slot, 2);
        assert!(value == 1 || value == 2);
        assert_eq!(other.join().unwrap(), value, "two classes");
        assert_eq!(set_once(&slot, 3), value);
        drop(slot);
    });
}

/// A pool that several threads use. Its creation is not explored.
struct Fixture {
    pool: StdArc<PinBox<Pool>>,
    machine: Booted,
}

/// Two objects of this size share a page.
const HALF: usize = 2040;
/// The first and last words of two such objects, and their indices.
const WATCHED: &[usize] = &[0, 2040, 2044, 2048, 4088, 4092];

impl Fixture {
    fn new() -> Self {
        Self::watching(WATCHED)
    }

    fn watching(watched: &'static [usize]) -> Self {
        loom::stop_exploring();
        watch(watched);
        let machine = boot(Config {
            pages: 16,
            ..Config::default()
        });
        let pool = StdArc::new(pin_box(Pool::new(c"loom", 4)).unwrap());
        // Create what `loom` creates on first use before the threads start.
        pool.compact();
        Self { pool, machine }
    }

    fn start(&self) {
        loom::explore();
    }

    // Starts a thread that uses the pool.
    fn spawn<R: 'static>(&self, f: impl FnOnce(&Pool) -> R + 'static) -> thread::JoinHandle<R> {
        let pool = self.pool.clone();
        thread::spawn(move || f(&pool))
    }

    // Creates two zspages with one object each, on their first page. The contents are 1 and 2.
    // Compaction moves the second: see `compaction_moves_the_second`.
    fn fragmented(&self) -> [Handle; 2] {
        let handles: Vec<_> = (0..16).map(|i| store(&self.pool, 2 - i / 8)).collect();
        // In an order that leaves no object in the sheaf: it is full after nine, and with half of the
        // slots left after another five.
        for n in [2, 3, 4, 5, 10, 11, 12, 13, 1, 6, 7, 14, 15, 9] {
            self.pool.free(handles[n]).unwrap();
        }
        assert_eq!(self.pool.total_pages(), 2);
        assert_eq!(mm::chains().len(), 2);
        [handles[8], handles[0]]
    }

    // Checks that the objects are intact and that nothing is leaked.
    fn finish(self, objects: &[(Handle, u64)]) {
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
            panic!("a thread still uses the pool");
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
    for offset in [bytes.len() - 8, 0] {
        bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
}

fn load(pool: &Pool, handle: Handle) -> Option<u64> {
    let mapping = pool.map(handle, MapMode::ReadOnly)?;
    let bytes = mapping.bytes();
    touch(Access::Read, bytes);
    assert_eq!(bytes[..8], bytes[bytes.len() - 8..], "torn object");
    Some(u64::from_le_bytes(bytes[..8].try_into().unwrap()))
}

// Compacts while another thread writes the objects. One of the two moves.
#[test]
fn pool_compact_and_map() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        let writer = fixture.spawn(move |pool| {
            write(pool, a, 3);
            write(pool, b, 4);
        });
        fixture.pool.compact();
        writer.join().unwrap();
        fixture.finish(&[(a, 3), (b, 4)]);
    });
}

// Compacts while two threads write the objects.
#[test]
fn pool_compact_and_two_maps() {
    explore(Bound(2), || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        // Two who write one object exclude each other, or its contents are undefined.
        let writers = [(a, 3), (b, 4)].map(|(handle, value)| {
            fixture.spawn(move |pool| {
                write(pool, handle, value);
                assert_eq!(load(pool, handle), Some(value));
            })
        });
        fixture.pool.compact();
        for writer in writers {
            writer.join().unwrap();
        }
        fixture.finish(&[(a, 3), (b, 4)]);
    });
}

// The models above and below rely on this.
#[test]
fn compaction_moves_the_second() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        let locations = || [a, b].map(|handle| fixture.pool.location(handle));
        let before = locations();
        fixture.start();
        fixture.pool.compact();
        let after = locations();
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

// Compacts while another thread frees the objects, the one in the destination first.
#[test]
fn pool_compact_and_free() {
    explore(Exhaustive, || compact_and_free(|objects| objects));
}

// Compacts while another thread frees the objects, the one that moves first.
#[test]
fn pool_compact_and_free_what_moves() {
    explore(Exhaustive, || compact_and_free(|[a, b]| [b, a]));
}

fn compact_and_free(order: impl Fn([Handle; 2]) -> [Handle; 2]) {
    let fixture = Fixture::new();
    let [first, second] = order(fixture.fragmented());
    fixture.start();
    let other = fixture.spawn(move |pool| {
        pool.free(first).unwrap();
        pool.free(second).unwrap();
    });
    fixture.pool.compact();
    other.join().unwrap();
    fixture.finish(&[]);
}

// Compacts while another thread allocates from the class, perhaps from an isolated zspage.
#[test]
fn pool_compact_and_malloc() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        let other = fixture.spawn(move |pool| [3, 4].map(|value| store(pool, value)));
        fixture.pool.compact();
        let [c, d] = other.join().unwrap();
        fixture.finish(&[(a, 1), (b, 2), (c, 3), (d, 4)]);
    });
}

// Compacts on two threads. One of them is refused, or finds nothing to do.
#[test]
fn pool_two_compactions() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        let other = fixture.spawn(|pool| pool.compact());
        let mine = fixture.pool.compact();
        let theirs = other.join().unwrap();
        assert_eq!(
            (mine.pages + theirs.pages, mine.objects + theirs.objects),
            (1, 1)
        );
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

fn any_page() -> RawPage {
    mm::movable_pages()[0]
}

// Migrates a page while another thread writes its objects.
#[test]
fn pool_migrate_and_map() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        fixture.start();
        let writer = fixture.spawn(move |pool| {
            write(pool, a, 3);
            write(pool, b, 4);
        });
        let result = mm::migrate(any_page()).unwrap();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        writer.join().unwrap();
        fixture.finish(&[(a, 3), (b, 4)]);
    });
}

// Migrates a page while another thread frees its objects. Either may come first, and the zspage may
// be freed by the worker.
#[test]
fn pool_migrate_and_free() {
    explore(Bound(3), || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        let page = any_page();
        fixture.start();
        let other = fixture.spawn(move |pool| {
            pool.free(a).unwrap();
            pool.free(b).unwrap();
        });
        if let Some(result) = mm::migrate(page) {
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        other.join().unwrap();
        fixture.finish(&[]);
    });
}

// Migrates a page while another thread allocates on it.
#[test]
fn pool_migrate_and_malloc() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let a = store(&fixture.pool, 1);
        fixture.start();
        let other = fixture.spawn(move |pool| store(pool, 2));
        let result = mm::migrate(any_page()).unwrap();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        let b = other.join().unwrap();
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

// Migrates a page while another thread reuses an object on it, which is in the sheaf.
#[test]
fn pool_migrate_and_reuse() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        fixture.pool.free(a).unwrap();
        fixture.start();
        let other = fixture.spawn(|pool| store(pool, 3));
        let result = mm::migrate(any_page()).unwrap();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        let c = other.join().unwrap();
        assert_eq!(c.in_object(), a.in_object(), "the object was not reused");
        fixture.finish(&[(b, 2), (c, 3)]);
    });
}

// Compacts while another thread frees an object to the sheaf and reuses it. The compaction may flush
// it in between.
#[test]
fn pool_compact_and_reuse() {
    explore(Bound(3), || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        let other = fixture.spawn(move |pool| {
            pool.free(b).unwrap();
            store(pool, 3)
        });
        fixture.pool.compact();
        let c = other.join().unwrap();
        fixture.finish(&[(a, 1), (c, 3)]);
    });
}

/// The size of which four objects share three pages. The second spans the first and the second
/// page.
const ACROSS: usize = 3064;
/// First and last words of objects and pages, and the indices.
const WATCHED_ACROSS: &[usize] = &[0, 2040, 2044, 3064, 3068, 3072, 4092];

// Migrates both pages of an object while another thread maps it, which copies it along the chain.
#[test]
fn pool_migrate_and_map_across() {
    explore(Bound(2), || {
        let fixture = Fixture::watching(WATCHED_ACROSS);
        let [a, b] = [1, 2].map(|value| store_of(&fixture.pool, ACROSS, value));
        let pages = mm::movable_pages();
        assert_eq!(pages.len(), 2);
        fixture.start();
        let writer = fixture.spawn(move |pool| {
            write(pool, b, 3);
            assert_eq!(load(pool, b), Some(3));
        });
        for page in pages.into_iter().rev() {
            let result = mm::migrate(page).unwrap();
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        writer.join().unwrap();
        fixture.finish(&[(a, 1), (b, 3)]);
    });
}

// Migrates the second page of an object while another thread frees it. No other object needs the
// page, so it is freed now, or by the worker if it is locked. The zspage stays.
#[test]
fn pool_migrate_and_free_across() {
    explore(Bound(2), || {
        let fixture = Fixture::watching(WATCHED_ACROSS);
        let [a, b] = [1, 2].map(|value| store_of(&fixture.pool, ACROSS, value));
        let page = mm::movable_pages()[1];
        fixture.start();
        let other = fixture.spawn(move |pool| pool.free(b).unwrap());
        if let Some(result) = mm::migrate(page) {
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        other.join().unwrap();
        fixture.finish(&[(a, 1)]);
    });
}

// Migrates a page while another thread compacts.
#[test]
fn pool_migrate_and_compact() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        let page = any_page();
        fixture.start();
        let other = fixture.spawn(|pool| pool.compact());
        if let Some(result) = mm::migrate(page) {
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        other.join().unwrap();
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

// Reads an object without mapping it, twice at once. Returns the contents, or `None` without the
// object. What is read is neither moved nor freed meanwhile.
fn read_twice(pool: &Pool, size: usize, handle: Handle) -> Option<u64> {
    // All that `write` writes.
    let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
    let size = shape.size as usize - HANDLE_SIZE;
    let mut copies = [vec![0; size], vec![0; size]];
    let mut begin = |n: usize| {
        let copy = NonNull::from(&mut copies[n][..]).cast();
        // SAFETY: The memory is valid, and only the pool uses it.
        pool.obj_read_begin(handle, size, Some(unsafe { Destination::new(copy, size) }))
    };
    let starts = [begin(0)?, begin(1).expect("the first reader keeps it")];
    let values = starts.map(|start| {
        // SAFETY: The bytes are being read.
        let bytes = unsafe { core::slice::from_raw_parts(start.as_ptr(), size) };
        touch(Access::Read, bytes);
        assert_eq!(bytes[..8], bytes[size - 8..], "torn object");
        u64::from_le_bytes(bytes[..8].try_into().unwrap())
    });
    assert_eq!(values[0], values[1]);
    for _ in starts {
        // SAFETY: The bytes are not used any more.
        unsafe { pool.obj_read_end(handle, "zs_obj_read_end") };
    }
    Some(values[0])
}

// Compacts while another thread reads the object that moves.
#[test]
fn pool_compact_and_read() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        let reader = fixture.spawn(move |pool| read_twice(pool, HALF, b));
        fixture.pool.compact();
        assert_eq!(reader.join().unwrap(), Some(2));
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

// Migrates the pages of an object that another thread reads.
#[test]
fn pool_migrate_and_read_across() {
    explore(Exhaustive, || {
        let fixture = Fixture::watching(WATCHED_ACROSS);
        let [a, b] = [1, 2].map(|value| store_of(&fixture.pool, ACROSS, value));
        let pages = mm::movable_pages();
        fixture.start();
        let reader = fixture.spawn(move |pool| read_twice(pool, ACROSS, b));
        for page in pages.into_iter().rev() {
            let result = mm::migrate(page).unwrap();
            assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        }
        assert_eq!(reader.join().unwrap(), Some(2));
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

// Frees an object while another thread reads it. Either is refused, with a report.
#[test]
fn pool_free_and_read() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        fixture.start();
        let reader = fixture.spawn(move |pool| read_twice(pool, HALF, a));
        let freed = fixture.pool.free(a);
        let read = reader.join().unwrap();
        match (&freed, read) {
            (Ok(()), Some(1)) => assert_eq!(fixture.machine.take_reports(), []),
            (Ok(()), None) | (Err(BadHandle::Mapped), Some(1)) => {
                assert_eq!(fixture.machine.take_reports().len(), 1);
            }
            _ => panic!("{freed:?} {read:?}"),
        }
        if freed.is_err() {
            fixture.pool.free(a).unwrap();
        }
        fixture.finish(&[(b, 2)]);
    });
}

// Writes an object while another thread compacts. Nothing that was written is lost.
#[test]
fn pool_compact_and_write() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let [a, b] = fixture.fragmented();
        fixture.start();
        let writer = fixture.spawn(move |pool| {
            let mut bytes = [0; HALF + HANDLE_SIZE];
            let len = bytes.len();
            bytes[..8].copy_from_slice(&3u64.to_le_bytes());
            bytes[len - 8..].copy_from_slice(&3u64.to_le_bytes());
            let from = NonNull::from(&bytes[..]).cast();
            // SAFETY: The memory is valid, and nobody writes it.
            assert!(pool.obj_write(b, unsafe { Source::new(from, len) }));
        });
        fixture.pool.compact();
        writer.join().unwrap();
        fixture.finish(&[(a, 1), (b, 3)]);
    });
}

// Defers a free as the page is locked. The worker waits for it while another thread allocates,
// perhaps from the same zspage.
#[test]
fn pool_deferred_free() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let a = store(&fixture.pool, 1);
        let locked = LockedPage::try_new(any_page()).unwrap();
        fixture.pool.free(a).unwrap();
        assert!(fixture.machine.has_work());
        fixture.start();
        let machine = fixture.machine.share();
        let worker = thread::spawn(move || machine.run_work());
        let other = fixture.spawn(|pool| store(pool, 2));
        drop(locked);
        worker.join().unwrap();
        let b = other.join().unwrap();
        fixture.finish(&[(b, 2)]);
    });
}

// Migrates an isolated page while another thread frees its objects and the zspage.
#[test]
fn pool_deferred_free_and_migrate() {
    explore(Bound(3), || {
        let fixture = Fixture::new();
        let a = store(&fixture.pool, 1);
        let isolated = IsolatedPage::try_new(any_page()).unwrap();
        fixture.start();
        let other = {
            let machine = fixture.machine.share();
            fixture.spawn(move |pool| {
                pool.free(a).unwrap();
                machine.run_work();
            })
        };
        let result = isolated.migrate();
        assert!(matches!(result, Ok(_) | Err(EBUSY)), "{result:?}");
        other.join().unwrap();
        fixture.finish(&[]);
    });
}

// Destroys a pool while its last page is migrated.
#[test]
fn pool_destroy_and_migrate() {
    explore(Bound(2), || {
        let fixture = Fixture::new();
        let a = store(&fixture.pool, 1);
        let page = any_page();
        fixture.start();
        let kernel = thread::spawn(move || {
            mm::migrate(page);
        });
        fixture.pool.free(a).unwrap();
        let Ok(pool) = StdArc::try_unwrap(fixture.pool) else {
            unreachable!()
        };
        drop(pool);
        kernel.join().unwrap();
        assert_eq!(fixture.machine.take_reports(), []);
    });
}

// Frees an object on two threads. One of them is refused, with a report.
#[test]
fn pool_free_twice() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        fixture.start();
        let other = fixture.spawn(move |pool| pool.free(a));
        let results = [fixture.pool.free(a), other.join().unwrap()];
        assert!(results.contains(&Ok(())), "{results:?}");
        assert!(
            results
                .iter()
                .any(|result| matches!(result, Err(BadHandle::NotAllocated | BadHandle::Mismatch))),
            "{results:?}"
        );
        assert_eq!(fixture.machine.take_reports().len(), 1);
        fixture.finish(&[(b, 2)]);
    });
}

// Uses a stale handle while its entry is reused. The stale handle is refused, and the new object is
// not affected.
#[test]
fn pool_stale_handle() {
    explore(Bound(3), || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        fixture.pool.free(a).unwrap();
        fixture.start();
        let other = fixture.spawn(move |pool| {
            assert!(pool.map(a, MapMode::ReadOnly).is_none());
            assert!(pool.free(a).is_err());
        });
        let c = store(&fixture.pool, 3);
        write(&fixture.pool, c, 4);
        fixture.pool.free(c).unwrap();
        let c = store(&fixture.pool, 5);
        other.join().unwrap();
        assert_eq!(fixture.machine.take_reports().len(), 2);
        fixture.finish(&[(b, 2), (c, 5)]);
    });
}

// Allocates on two threads from an empty class, so both grow the class and the handle table.
#[test]
fn pool_two_mallocs() {
    explore(Bound(3), || {
        let fixture = Fixture::new();
        fixture.start();
        let other = fixture.spawn(|pool| store(pool, 1));
        let b = store(&fixture.pool, 2);
        let a = other.join().unwrap();
        assert_ne!(a, b);
        fixture.finish(&[(a, 1), (b, 2)]);
    });
}

// Frees the last object of a zspage while another thread allocates from it.
#[test]
fn pool_free_and_malloc() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let a = store(&fixture.pool, 1);
        fixture.start();
        let other = fixture.spawn(|pool| store(pool, 2));
        fixture.pool.free(a).unwrap();
        let b = other.join().unwrap();
        fixture.finish(&[(b, 2)]);
    });
}

// Frees the two objects of a page on two threads. The page is freed once.
#[test]
fn pool_two_frees() {
    explore(Exhaustive, || {
        let fixture = Fixture::new();
        let (a, b) = (store(&fixture.pool, 1), store(&fixture.pool, 2));
        fixture.start();
        let other = fixture.spawn(move |pool| pool.free(a).unwrap());
        fixture.pool.free(b).unwrap();
        other.join().unwrap();
        assert_eq!(fixture.machine.zs_pages(), 0);
        fixture.finish(&[]);
    });
}
