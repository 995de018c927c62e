// SPDX-License-Identifier: GPL-2.0

//! A model of the allocator: a list of objects and their bytes. Property tests and the fuzzer apply
//! the same operations to the model and to a pool. After each operation they compare every object,
//! every counter and every report.
//!
//! Everything runs on one thread. Concurrency is simulated: objects stay mapped on other CPUs
//! ([`Op::Hold`]), pages stay locked or isolated for a while, and the operations that follow an
//! [`Op::CompactAmid`] run where compaction drops the class lock.

use core::cell::RefCell;
use core::ptr::NonNull;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::events::BadHandle;
use crate::engine::fullness::{Group, Grouping, NR_GROUPS};
use crate::engine::geometry::{ClassShape, Geometry, HANDLE_SIZE, MAX_CLASSES};
use crate::engine::handle_entry::MAX_READERS;
use crate::engine::handle_table::Handle;
use crate::engine::map::MapMode;
use crate::engine::pool::Pool;
use crate::engine::zspage::Zspage;
use crate::fewest_moves::fewest_moves;
use crate::mapping::{Map, Mapping};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::buffer::{Destination, Source};
use crate::sys::cpu_area::{on_cpu, preempt_depth};
use crate::sys::machine::{boot, Booted, Config, Placement, Point, Random};
use crate::sys::mm::{self, Chain, IsolatedPage, LockedPage, Migrated};
use crate::sys::page::{ZsPage, PAGE_SHIFT, PAGE_SIZE};
use crate::sys::prelude::*;
use crate::sys::raw_page::RawPage;
use crate::sys::report::Report;
use crate::sys::scatterlist::ScatterList;
use crate::sys::sched;

/// CPUs on which objects can stay mapped, besides the one that runs the test.
const OTHER_CPUS: usize = 3;

/// Turns that a wait may take. No other thread could end it.
#[cfg(not(loom))]
const SPINS: usize = 100_000;

/// The kind of pool, and how it ends.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The chain limit.
    pub chain: usize,
    /// Whether pages of a chain tend to be physically contiguous.
    pub packed: bool,
    /// Sizes that [`Op::Malloc`] chooses from.
    pub sizes: Vec<usize>,
    /// Whether the pool is destroyed with its objects in it.
    pub destroy_full: bool,
}

/// An operation. Numbers choose among the existing objects, pages or CPUs, modulo their count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Allocates one of the sizes of the [`Setup`], and writes the object.
    Malloc(usize),
    /// Allocates this many bytes, and writes the object.
    MallocBytes(usize),
    /// Allocates one of the sizes. One of the memory allocations needed for that fails.
    MallocFailing(usize, usize),
    /// Frees an object.
    Free(usize),
    /// Frees an object that was freed before.
    FreeAgain(usize),
    /// Frees, maps and unmaps a number that is not a handle.
    Bogus(u64),
    /// Maps an object read-only and compares its bytes.
    Read(usize),
    /// Maps an object and changes a part of it.
    Update(usize, u64),
    /// Maps an object write-only and writes all of it.
    Overwrite(usize, u64),
    /// Writes the beginning of an object without mapping it.
    Write(usize, u64),
    /// Begins to read the beginning of an object, with a buffer or by a scatterlist.
    ReadBegin(usize, bool),
    /// Compares what is being read, and ends the read.
    ReadEnd(usize),
    /// Maps an object on another CPU, and leaves it mapped.
    Hold(usize, usize, bool),
    /// Unmaps the object that [`Op::Hold`] left mapped.
    LetGo(usize),
    /// Maps an object while this CPU has another one mapped.
    Nest(usize, usize),
    /// Compacts the pool.
    Compact,
    /// Compacts the pool. This many of the following operations run during the compaction.
    CompactAmid(usize),
    /// Migrates a page.
    Migrate(usize),
    /// Migrates all pages.
    MigrateAll,
    /// Locks a page until [`Op::UnlockPages`].
    LockPage(usize),
    /// Unlocks all pages.
    UnlockPages,
    /// Isolates a page until [`Op::EndIsolation`].
    Isolate(usize),
    /// Migrates an isolated page, or puts it back.
    EndIsolation(usize, bool),
    /// Runs the scheduled work.
    Work,
}

struct Object {
    handle: Handle,
    class: usize,
    // All bytes that a mapping shows, not only the requested ones. They must not change, either.
    bytes: Vec<u8>,
    // Mapped on another CPU; true if for writing.
    held: Option<bool>,
    // The number of readers.
    readers: usize,
}

// A read that was begun. Other operations follow before it ends.
struct Reading {
    handle: Handle,
    len: usize,
    // Where the bytes are. A buffer is in `_copy`.
    parts: Vec<(NonNull<u8>, usize)>,
    _copy: Box<[u8]>,
}

impl Reading {
    fn bytes(&self) -> Vec<u8> {
        self.parts
            .iter()
            // SAFETY: The bytes are lent until the read ends, and nobody writes them.
            .flat_map(|&(start, len)| unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
            .copied()
            .collect()
    }
}

#[derive(Default)]
struct State {
    objects: Vec<Object>,
    stale: Vec<Handle>,
    // What each CPU has mapped.
    held: [Option<(Handle, bool)>; OTHER_CPUS],
    reads: Vec<Reading>,
    // How many reads were lent, copied, and given in two parts.
    reads_done: [usize; 3],
    locked: Vec<LockedPage>,
    isolated: Vec<IsolatedPage>,
    // Seed of the contents written last. No two writes have the same contents.
    contents: u64,
    expected: Vec<(usize, &'static [BadHandle])>,
    reasons: Vec<(BadHandle, String)>,
}

/// The event counters of a pool after a run, by name.
pub type Happened = BTreeMap<&'static str, usize>;

/// A pool and its model.
pub struct Model {
    setup: Setup,
    geometry: Geometry,
    // `Drop` leaks both after a failed comparison. Otherwise `finish` drops them, in this order.
    state: Option<RefCell<State>>,
    pool: Option<PinBox<Pool>>,
    machine: Booted,
}

const NAME: &core::ffi::CStr = c"model";

/// The reasons for which a number that is not a handle may be refused.
const NO_HANDLE: &[BadHandle] = &[BadHandle::NotAllocated, BadHandle::Mismatch];

fn contents(number: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(number);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(random.next_u64().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn pick(number: usize, len: usize) -> Option<usize> {
    number.checked_rem(len)
}

// Returns the index of the entry that a number would name.
fn entry_index(raw: usize) -> usize {
    (raw as u32 >> 3) as usize
}

impl Model {
    /// Creates an empty pool and its model.
    pub fn new(setup: Setup) -> Self {
        let machine = boot(Config {
            pages: 2048,
            placement: if setup.packed {
                Placement::Packed
            } else {
                Placement::Scattered
            },
            proactiveness: 100,
            ..Config::default()
        });
        let pool = pin_box(Pool::new(NAME, setup.chain)).unwrap();
        Self {
            geometry: Geometry::new(PAGE_SIZE, setup.chain),
            setup,
            state: Some(RefCell::default()),
            pool: Some(pool),
            machine,
        }
    }

    /// Runs all operations, compares after each, and destroys the pool. Returns what happened.
    pub fn run(setup: Setup, ops: &[Op]) -> Happened {
        let model = Self::new(setup);
        let mut ops = ops.iter();
        while let Some(op) = ops.next() {
            match *op {
                Op::CompactAmid(count) => {
                    let count = count.min(ops.len());
                    let (amid, rest) = ops.as_slice().split_at(count);
                    model.compact_amid(amid);
                    ops = rest.iter();
                }
                ref op => {
                    model.apply(op);
                    model.compare(false);
                }
            }
        }
        let happened = model.happened();
        model.finish();
        happened
    }

    fn happened(&self) -> Happened {
        let events = self.pool().events();
        let reads = self.state().borrow().reads_done;
        Happened::from([
            ("background runs", events.background_runs.load(Relaxed)),
            ("deferred frees", events.deferred_frees.load(Relaxed)),
            (
                "migrations refused",
                events.migrations_refused.load(Relaxed),
            ),
            ("objects busy", events.objects_busy.load(Relaxed)),
            ("objects moved", events.objects_moved.load(Relaxed)),
            ("pages compacted", events.pages_compacted()),
            ("pages migrated", events.pages_migrated.load(Relaxed)),
            ("reads lent", reads[0]),
            ("reads copied", reads[1]),
            ("reads in two parts", reads[2]),
        ])
    }

    /// Returns the pool.
    pub fn pool(&self) -> &Pool {
        self.pool.as_ref().unwrap()
    }

    /// Returns the machine of the pool.
    pub fn machine(&self) -> &Booted {
        &self.machine
    }

    /// Returns the number of objects.
    pub fn len(&self) -> usize {
        self.state().borrow().objects.len()
    }

    /// Returns whether there are no objects.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn state(&self) -> &RefCell<State> {
        self.state.as_ref().unwrap()
    }

    fn class_of(&self, size: usize) -> ClassShape {
        let index = self.geometry.class_index(size);
        self.geometry
            .classes()
            .find(|shape| usize::from(shape.index) == index)
            .expect("every size has a class")
    }

    // Expects a report about `raw`, for one of the reasons `why`.
    fn expect_report(&self, raw: usize, why: &'static [BadHandle]) {
        self.state().borrow_mut().expected.push((raw, why));
    }

    // Expects one report for each refusal, and the same text for the same reason.
    fn compare_reports(&self) {
        let state = &mut *self.state().borrow_mut();
        let reports = self.machine.take_reports();
        assert_eq!(reports.len(), state.expected.len(), "{reports:?}");
        for (report, (raw, whys)) in reports.iter().zip(state.expected.drain(..)) {
            let Report::BadHandle {
                pool,
                handle,
                reason,
                ..
            } = report
            else {
                panic!("unexpected report {report:?}");
            };
            assert_eq!((pool.as_str(), *handle), (NAME.to_str().unwrap(), raw));
            let known = state.reasons.iter().find(|(_, text)| text == reason);
            match known {
                Some((why, _)) => assert!(whys.contains(why), "{raw:#x}: {reason}"),
                None if whys.len() == 1 => state.reasons.push((whys[0], reason.clone())),
                None => assert!(!reason.is_empty()),
            }
        }
    }

    /// Applies an operation to the pool and to the model.
    pub fn apply(&self, op: &Op) {
        #[cfg(not(loom))]
        crate::sys::atomic::limit_spins(SPINS);
        match *op {
            Op::Malloc(which) => {
                let size = self.setup.sizes[which % self.setup.sizes.len()];
                self.malloc(size, Gfp::KERNEL);
            }
            Op::MallocBytes(size) => {
                self.malloc(size, Gfp::ZSWAP);
            }
            Op::MallocFailing(which, pass) => self.malloc_failing(which, pass),
            Op::Free(which) => self.free(which),
            Op::FreeAgain(which) => {
                let handle = {
                    let state = self.state().borrow();
                    pick(which, state.stale.len()).map(|which| state.stale[which])
                };
                if let Some(handle) = handle {
                    self.bogus(handle.into_raw());
                }
            }
            Op::Bogus(number) => self.bogus_near(number),
            Op::Read(which) => self.read(which),
            Op::Update(which, number) => self.write(which, number, MapMode::ReadWrite),
            Op::Overwrite(which, number) => self.write(which, number, MapMode::WriteOnly),
            Op::Write(which, number) => self.obj_write(which, number),
            Op::ReadBegin(which, list) => self.read_begin(which, list),
            Op::ReadEnd(which) => self.read_end(which),
            Op::Hold(cpu, which, write) => self.hold(cpu, which, write),
            Op::LetGo(cpu) => self.let_go(cpu % OTHER_CPUS),
            Op::Nest(a, b) => self.nest(a, b),
            // Within another one it is an ordinary compaction.
            Op::CompactAmid(_) | Op::Compact => self.compact(),
            Op::Migrate(which) => {
                let pages = mm::movable_pages();
                if let Some(which) = pick(which, pages.len()) {
                    self.migrate(pages[which]);
                }
            }
            Op::MigrateAll => mm::movable_pages()
                .into_iter()
                .for_each(|page| self.migrate(page)),
            Op::LockPage(which) => {
                let pages = mm::movable_pages();
                if let Some(which) = pick(which, pages.len()) {
                    let mut state = self.state().borrow_mut();
                    state.locked.extend(LockedPage::try_new(pages[which]));
                }
            }
            Op::UnlockPages => self.state().borrow_mut().locked.clear(),
            Op::Isolate(which) => {
                let pages = mm::movable_pages();
                if let Some(which) = pick(which, pages.len()) {
                    let mut state = self.state().borrow_mut();
                    state.isolated.extend(IsolatedPage::try_new(pages[which]));
                }
            }
            Op::EndIsolation(which, migrate) => self.end_isolation(which, migrate),
            Op::Work => {
                self.let_work_run();
                assert!(!self.machine.has_work());
            }
        }
    }

    fn let_work_run(&self) {
        // The work waits for page locks.
        self.state().borrow_mut().locked.clear();
        // Time enough to compact all that is freeable in the background.
        self.machine.pass(20_000);
    }

    /// Allocates and writes an object. Returns false if there was no memory.
    pub fn malloc(&self, size: usize, gfp: Gfp) -> bool {
        let handle = match self.pool().malloc(size, gfp) {
            Ok(handle) => handle,
            Err(error) => {
                let expected = match size {
                    0 => EINVAL,
                    _ if size > PAGE_SIZE => ENOSPC,
                    _ => ENOMEM,
                };
                assert_eq!(error, expected, "malloc of {size} bytes");
                return false;
            }
        };
        assert!((1..=PAGE_SIZE).contains(&size), "malloc of {size} bytes");
        let raw = handle.into_raw();
        assert!(raw != 0 && raw < -4095isize as usize, "handle {raw:#x}");
        let shape = self.class_of(size);
        let number = {
            let mut state = self.state().borrow_mut();
            assert!(
                state.objects.iter().all(|object| object.handle != handle),
                "handle {handle:?} was given out twice"
            );
            state.contents += 1;
            state.contents
        };
        let mut mapping = self.pool().map(handle, MapMode::WriteOnly).unwrap();
        let handle_size = if shape.is_huge() { 0 } else { HANDLE_SIZE };
        assert_eq!(mapping.len(), shape.size as usize - handle_size);
        assert!(mapping.len() >= size);
        let bytes = contents(number, mapping.len());
        mapping.bytes_mut().unwrap().copy_from_slice(&bytes);
        drop(mapping);
        self.state().borrow_mut().objects.push(Object {
            handle,
            class: shape.index.into(),
            bytes,
            held: None,
            readers: 0,
        });
        true
    }

    fn malloc_failing(&self, which: usize, pass: usize) {
        let before = self.counters();
        let kinds = [Point::Page, Point::Slab, Point::Table, Point::Boxed];
        self.machine.fail_nth(pass % 3, &kinds);
        let size = self.setup.sizes[which % self.setup.sizes.len()];
        let done = self.malloc(size, Gfp::KERNEL);
        let came = !self.machine.fail_none();
        let possible = (1..=PAGE_SIZE).contains(&size);
        assert_eq!(
            done,
            possible && !came,
            "malloc fails only without memory or with an invalid size"
        );
        if !done {
            assert_eq!(
                self.counters(),
                before,
                "an allocation that fails changes nothing"
            );
        }
    }

    fn free(&self, which: usize) {
        let (handle, is_free) = {
            let state = self.state().borrow();
            let Some(which) = pick(which, state.objects.len()) else {
                return;
            };
            let object = &state.objects[which];
            (object.handle, object.held.is_none() && object.readers == 0)
        };
        let result = self.pool().free(handle);
        if is_free {
            assert_eq!(result, Ok(()));
            let mut state = self.state().borrow_mut();
            state.objects.retain(|object| object.handle != handle);
            state.stale.push(handle);
            if state.stale.len() > 64 {
                state.stale.remove(0);
            }
        } else {
            assert_eq!(result, Err(BadHandle::Mapped));
            self.expect_report(handle.into_raw(), &[BadHandle::Mapped]);
        }
    }

    // Tries a number near a handle in use, near a stale one, or any number.
    fn bogus_near(&self, number: u64) {
        let raw = {
            let state = self.state().borrow();
            let near = pick(
                number as usize >> 16,
                state.objects.len() + state.stale.len(),
            );
            let near = near.map_or(0, |which| match state.objects.get(which) {
                Some(object) => object.handle.into_raw(),
                None => state.stale[which - state.objects.len()].into_raw(),
            });
            match number % 8 {
                0 => number as usize >> 8,
                1 => (-1 - (number >> 8 & 0xfff) as isize) as usize,
                2 => 0,
                3 => near.wrapping_add(8),
                4 => near ^ ((number >> 8) as usize & 7),
                _ => near ^ 1 << (number >> 8 & 63),
            }
        };
        self.bogus(raw);
    }

    // Does everything that can be done with a number that is not a handle of this pool.
    fn bogus(&self, raw: usize) {
        {
            let state = self.state().borrow();
            let is_one = |object: &Object| object.handle.into_raw() == raw;
            // With the entry of a mapped object the call would wait for the mapping.
            let waits = |held: &Option<(Handle, bool)>| {
                held.is_some_and(|(handle, _)| entry_index(handle.into_raw()) == entry_index(raw))
            };
            if state.objects.iter().any(is_one) || state.held.iter().any(waits) {
                return;
            }
        }
        let handle = Handle::from_raw(raw);
        let pool = self.pool();
        let why = pool.free(handle).expect_err("not a handle");
        assert!(NO_HANDLE.contains(&why), "{raw:#x}: {why:?}");
        self.expect_report(raw, NO_HANDLE);
        for mode in [MapMode::ReadOnly, MapMode::ReadWrite, MapMode::WriteOnly] {
            assert!(pool.map(handle, mode).is_none(), "{raw:#x} was mapped");
            self.expect_report(raw, NO_HANDLE);
        }
        assert_eq!(preempt_depth(), 0, "{raw:#x} left preemption off");
        // SAFETY: Nothing is mapped on this CPU.
        unsafe { pool.unmap_object(handle) };
        self.expect_report(raw, &[BadHandle::NotMapped]);
        assert_eq!(pool.obj_read_begin(handle, 1, None), None);
        self.expect_report(raw, NO_HANDLE);
        assert!(!pool.obj_read_sg_begin(handle, 1, &ScatterList::new()));
        self.expect_report(raw, NO_HANDLE);
        // SAFETY: The memory is valid, and nobody else uses it.
        let source = unsafe { Source::new(NonNull::from(&[0u8; 8]).cast(), 8) };
        assert!(!pool.obj_write(handle, source));
        self.expect_report(raw, NO_HANDLE);
        // SAFETY: The handle is of no object, so nobody loses a reader.
        unsafe { pool.obj_read_end(handle, "zs_obj_read_end") };
        self.expect_report(raw, &[BadHandle::NotRead]);
    }

    // Writes the beginning of an object that nobody reads.
    fn obj_write(&self, which: usize, number: u64) {
        let state = &mut *self.state().borrow_mut();
        let Some(which) = pick(which, state.objects.len()) else {
            return;
        };
        let object = &mut state.objects[which];
        if object.held.is_some() || object.readers != 0 {
            return;
        }
        state.contents += 1;
        let len = 1 + number as usize % object.bytes.len();
        let bytes = contents(number ^ state.contents << 32, len);
        // SAFETY: The memory is valid, and nobody else uses it. No more of it is read, as the pool
        // refuses another length than this one.
        let source = |len| unsafe { Source::new(NonNull::from(&bytes[..]).cast(), len) };
        assert!(self.pool().obj_write(object.handle, source(len)));
        object.bytes[..len].copy_from_slice(&bytes);
        for wrong in [0, object.bytes.len() + 1] {
            assert!(!self.pool().obj_write(object.handle, source(wrong)));
            let raw = object.handle.into_raw();
            state.expected.push((raw, &[BadHandle::Length]));
        }
    }

    fn read_begin(&self, which: usize, list: bool) {
        let state = &mut *self.state().borrow_mut();
        let Some(which) = pick(which, state.objects.len()) else {
            return;
        };
        let object = &mut state.objects[which];
        // A reader too many would wait. Mappings are readers, too.
        let readers = object.readers + usize::from(object.held.is_some());
        if object.held == Some(true) || readers == MAX_READERS {
            return;
        }
        // Longer with larger pages, as it would seldom go on on the next page otherwise.
        let len = 1 + state.contents as usize * 7 * (PAGE_SIZE / 4096) % object.bytes.len();
        let mut copy = vec![0; len].into_boxed_slice();
        let start = NonNull::from(&mut copy[..]).cast();
        let pool = self.pool();
        let parts = if list {
            let list = ScatterList::new();
            assert!(pool.obj_read_sg_begin(object.handle, len, &list));
            list.entries()
        } else {
            // SAFETY: The memory is valid, and only the pool uses it now.
            let buffer = Some(unsafe { Destination::new(start, len) });
            let bytes = pool.obj_read_begin(object.handle, len, buffer).unwrap();
            vec![(bytes, len)]
        };
        let kind = match (list, parts.len(), parts[0].0 == start) {
            (true, 2, _) => 2,
            (false, 1, true) => 1,
            _ => 0,
        };
        state.reads_done[kind] += 1;
        assert_eq!(preempt_depth(), 0, "a reader may sleep");
        object.readers += 1;
        state.reads.push(Reading {
            handle: object.handle,
            len,
            parts,
            _copy: copy,
        });
    }

    fn read_end(&self, which: usize) {
        let state = &mut *self.state().borrow_mut();
        let Some(which) = pick(which, state.reads.len()) else {
            return;
        };
        let reading = state.reads.swap_remove(which);
        let mut objects = state.objects.iter_mut();
        let object = objects.find(|object| object.handle == reading.handle);
        let object = object.expect("an object that is being read was freed");
        assert_eq!(reading.bytes(), object.bytes[..reading.len], "a read");
        object.readers -= 1;
        // SAFETY: This ends the read, whose bytes are not used any more.
        unsafe { self.pool().obj_read_end(object.handle, "zs_obj_read_end") };
    }

    // Returns an object that can be mapped now. An object that another CPU has mapped would block.
    fn mappable(&self, which: usize) -> Option<Handle> {
        let state = self.state().borrow();
        let object = &state.objects[pick(which, state.objects.len())?];
        // Those who map it may write.
        (object.held.is_none() && object.readers == 0).then_some(object.handle)
    }

    fn read(&self, which: usize) {
        let Some(handle) = self.mappable(which) else {
            return;
        };
        let mut mapping = self.pool().map(handle, MapMode::ReadOnly).unwrap();
        self.compare_mapping(handle, &mapping);
        assert_eq!(mapping.bytes_mut(), None, "read-only is read-only");
        assert_eq!(mapping.bytes().as_ptr() as usize % 8, 0);
    }

    fn compare_mapping(&self, handle: Handle, mapping: &Mapping<'_>) {
        let state = self.state().borrow();
        let object = state.objects.iter().find(|object| object.handle == handle);
        compare_bytes(mapping.bytes(), &object.unwrap().bytes, handle);
    }

    fn write(&self, which: usize, number: u64, mode: MapMode) {
        let Some(handle) = self.mappable(which) else {
            return;
        };
        let mut mapping = self.pool().map(handle, mode).unwrap();
        if mode == MapMode::ReadWrite {
            self.compare_mapping(handle, &mapping);
        }
        let mut state = self.state().borrow_mut();
        state.contents += 1;
        let number = number ^ state.contents << 32;
        let object = state
            .objects
            .iter_mut()
            .find(|object| object.handle == handle)
            .unwrap();
        let len = mapping.len();
        let (start, end) = if mode == MapMode::WriteOnly {
            (0, len)
        } else {
            let mut random = Random::new(number);
            let (a, b) = (random.below(len + 1), random.below(len + 1));
            (a.min(b), a.max(b))
        };
        object.bytes[start..end].copy_from_slice(&contents(number, end - start));
        let bytes = mapping.bytes_mut().unwrap();
        bytes[start..end].copy_from_slice(&object.bytes[start..end]);
    }

    fn hold(&self, cpu: usize, which: usize, write: bool) {
        let cpu = cpu % OTHER_CPUS;
        if self.state().borrow().held[cpu].is_some() {
            self.let_go(cpu);
        }
        let Some(handle) = self.mappable(which) else {
            return;
        };
        let mode = if write {
            MapMode::ReadWrite
        } else {
            MapMode::ReadOnly
        };
        on_cpu(cpu + 1, || {
            let mapping = self.pool().map(handle, mode).unwrap();
            self.compare_mapping(handle, &mapping);
            // Stays mapped until `let_go` calls `unmap_object`, as in C.
            std::mem::forget(mapping);
        });
        let mut state = self.state().borrow_mut();
        state.held[cpu] = Some((handle, write));
        let mut objects = state.objects.iter_mut();
        let object = objects.find(|object| object.handle == handle).unwrap();
        object.held = Some(write);
    }

    fn let_go(&self, cpu: usize) {
        let Some((handle, _)) = self.state().borrow_mut().held[cpu].take() else {
            return;
        };
        // SAFETY: Only `hold` used the bytes, and it forgot the mapping.
        on_cpu(cpu + 1, || unsafe { self.pool().unmap_object(handle) });
        let mut state = self.state().borrow_mut();
        let mut objects = state.objects.iter_mut();
        let object = objects.find(|object| object.handle == handle).unwrap();
        object.held = None;
    }

    fn nest(&self, a: usize, b: usize) {
        let (Some(a), Some(b)) = (self.mappable(a), self.mappable(b)) else {
            return;
        };
        let mapping = self.pool().map(a, MapMode::ReadOnly).unwrap();
        let nested = self.pool().map(b, MapMode::ReadOnly);
        assert!(nested.is_none());
        self.expect_report(b.into_raw(), &[BadHandle::Nested]);
        self.compare_mapping(a, &mapping);
    }

    fn compact(&self) {
        let (fewest, slack) = fewest_moves(self.pool());
        self.compact_counting(&mut || (), fewest + slack);
    }

    fn compact_counting(&self, amid: &mut dyn FnMut(), most: usize) {
        let pool = self.pool();
        let events = pool.events();
        let before = (events.pages_compacted(), events.objects_moved.load(Relaxed));
        let pages = pool.total_pages();
        let quiet = self.is_quiet();
        let done = sched::with_hook(amid, || pool.compact());
        assert_eq!(
            (events.pages_compacted(), events.objects_moved.load(Relaxed)),
            (before.0 + done.pages, before.1 + done.objects)
        );
        assert!(
            done.objects <= most,
            "{} objects moved where {most} would be many",
            done.objects
        );
        if !quiet || most == usize::MAX {
            // A page may have been added for objects one of which turned out to be immovable.
            return;
        }
        assert_eq!(pool.total_pages(), pages - done.pages, "pages freed");
        if self.is_quiet() {
            for class in pool.classes() {
                assert_eq!(class.stats().freeable, 0, "class {:?}", class.shape());
            }
        }
    }

    fn compact_amid(&self, amid: &[Op]) {
        let mut amid = amid.iter();
        // The number of calls depends on the compaction. Do nothing in every second one.
        let mut turn = 0;
        let mut hook = || {
            turn += 1;
            if turn % 2 == 0 {
                if let Some(op) = amid.next() {
                    match op {
                        // The pool is being compacted already.
                        Op::Compact | Op::CompactAmid(_) => {
                            assert_eq!(self.pool().compact(), Default::default());
                        }
                        // The background waits for that.
                        Op::Work => self.let_work_run(),
                        op => self.apply(op),
                    }
                    self.compare(true);
                }
            }
        };
        self.compact_counting(&mut hook, usize::MAX);
        self.compare(false);
        for op in amid {
            self.apply(op);
            self.compare(false);
        }
    }

    // Returns whether nothing keeps compaction from moving objects and freeing pages.
    fn is_quiet(&self) -> bool {
        let state = self.state().borrow();
        state.held.iter().all(Option::is_none)
            && state.reads.is_empty()
            && state.locked.is_empty()
            && !self.machine.has_work()
    }

    // Returns whether an object that is read, or mapped on another CPU, touches the page.
    fn is_pinned(&self, page: RawPage) -> bool {
        let state = self.state().borrow();
        let held: Vec<u32> = state
            .held
            .iter()
            .flatten()
            .map(|&(handle, _)| handle)
            .chain(state.reads.iter().map(|reading| reading.handle))
            .map(Handle::in_object)
            .collect();
        let chains = mm::chains();
        let chain = chains
            .iter()
            .find(|chain| chain.pages.values().any(|&other| other == page));
        chain.is_some_and(|chain| {
            let zspage = owner(chain);
            let shape = *zspage.class().shape();
            used_slots(self.pool(), chain).any(|(index, handle)| {
                let start = index * shape.size as usize;
                let last = start + shape.size as usize - 1;
                let touches = |&position: &usize| chain.pages.get(&position) == Some(&page);
                (start >> PAGE_SHIFT..=last >> PAGE_SHIFT).any(|position| touches(&position))
                    && held.contains(&handle)
            })
        })
    }

    fn migrate(&self, page: RawPage) {
        if mm::is_locked(page) {
            return;
        }
        if let Some(isolated) = IsolatedPage::try_new(page) {
            self.migrate_isolated(page, isolated);
        }
    }

    fn migrate_isolated(&self, page: RawPage, isolated: IsolatedPage) {
        let movable = mm::movable_pages().contains(&page);
        let pinned = movable && self.is_pinned(page);
        let events = self.pool().events();
        let before = (
            events.pages_migrated.load(Relaxed),
            events.migrations_refused.load(Relaxed),
        );
        let result = isolated.migrate();
        let (migrated, refused) = match (movable, pinned) {
            (false, _) => {
                assert_eq!(result, Ok(Migrated::Released));
                (0, 0)
            }
            (true, true) => {
                assert_eq!(result, Err(EBUSY));
                (0, 1)
            }
            (true, false) => {
                assert!(
                    matches!(result, Ok(Migrated::To(new)) if new != page),
                    "{result:?}"
                );
                (1, 0)
            }
        };
        assert_eq!(
            (
                events.pages_migrated.load(Relaxed),
                events.migrations_refused.load(Relaxed)
            ),
            (before.0 + migrated, before.1 + refused)
        );
    }

    fn end_isolation(&self, which: usize, migrate: bool) {
        let isolated = {
            let mut state = self.state().borrow_mut();
            let Some(which) = pick(which, state.isolated.len()) else {
                return;
            };
            // Putting back and migrating wait for the page lock.
            if mm::is_locked(state.isolated[which].page()) {
                return;
            }
            state.isolated.swap_remove(which)
        };
        if migrate {
            self.migrate_isolated(isolated.page(), isolated);
        }
    }

    // Returns the counters that a failed `malloc` must not change.
    fn counters(&self) -> (usize, usize, usize, Vec<(usize, usize, usize)>) {
        // A class that does not exist counts as an empty one.
        let stats = (0..MAX_CLASSES).filter_map(|index| self.pool().class_stats(index));
        let classes =
            stats.map(|(_, stats)| (stats.objs_allocated, stats.objs_inuse, stats.freeable));
        (
            self.pool().total_pages(),
            self.machine.zs_pages(),
            self.machine.slabs(),
            classes.collect(),
        )
    }

    /// Compares everything. During a compaction some zspages are isolated, and on no list.
    pub fn compare(&self, compacting: bool) {
        self.compare_reports();
        let pool = self.pool();
        assert_eq!(pool.total_pages(), self.machine.zs_pages(), "pages");
        assert_eq!(pool.handle_pages(), self.machine.tables(), "handle tables");
        let chains = mm::chains();
        let mut found: HashMap<u32, ()> = HashMap::new();
        let mut lists: BTreeMap<usize, [usize; NR_GROUPS]> = BTreeMap::new();
        let mut totals: BTreeMap<usize, (usize, usize, usize)> = BTreeMap::new();
        let mut sheaves: BTreeMap<usize, usize> = BTreeMap::new();
        let mut isolated = 0;
        let state = self.state().borrow();
        let by_handle: HashMap<u32, &Object> = state
            .objects
            .iter()
            .map(|object| (object.handle.in_object(), object))
            .collect();
        for chain in &chains {
            let zspage = owner(chain);
            let shape = *zspage.class().shape();
            let class = usize::from(shape.index);
            assert!(chain.pages.len() <= shape.pages.into());
            assert_eq!(zspage.page_count(), chain.pages.len());
            let group = Grouping::new(shape.objs).group(zspage.inuse());
            match zspage.group() {
                Some(listed) => {
                    assert_eq!(listed, group, "the list of a zspage of class {class}");
                    lists.entry(class).or_default()[group.number()] += 1;
                }
                None => isolated += 1,
            }
            let mut inuse = 0;
            for (index, handle) in used_slots(pool, chain) {
                inuse += 1;
                let object = by_handle.get(&handle).unwrap_or_else(|| {
                    panic!("object {index} of a zspage of class {class} has no owner: {handle:#x}")
                });
                assert_eq!(object.class, class);
                assert_eq!(found.insert(handle, ()), None, "an object is in two slots");
                if object.held != Some(true) {
                    let handle_size = if shape.is_huge() { 0 } else { HANDLE_SIZE };
                    let mut bytes = vec![0; shape.size as usize - handle_size];
                    assert!(chain.read(index * shape.size as usize, &mut bytes));
                    compare_bytes(&bytes, &object.bytes, object.handle);
                }
            }
            let in_sheaf = zspage.inuse() - inuse;
            *sheaves.entry(class).or_default() += in_sheaf as usize;
            let total = totals.entry(class).or_default();
            total.0 += inuse as usize;
            total.1 += zspage.inuse() as usize + zspage.free_slots();
            total.2 += chain.pages.len();
        }
        assert_eq!(found.len(), state.objects.len(), "objects");
        if compacting {
            // A source, a destination, and the last zspage.
            assert!(isolated <= 3, "{isolated} zspages are isolated");
        } else {
            assert_eq!(isolated, 0, "a zspage is on no list");
            assert_eq!(self.machine.slabs(), chains.len(), "zspages without pages");
        }
        for class in pool.classes() {
            let shape = class.shape();
            let index = usize::from(shape.index);
            let stats = class.stats();
            assert_eq!(
                stats.zspages,
                lists.get(&index).copied().unwrap_or_default(),
                "lists of {shape:?}"
            );
            assert_eq!(
                (stats.objs_inuse, stats.objs_allocated, stats.pages),
                totals.get(&index).copied().unwrap_or_default(),
                "objects in use, allocated, and pages of {shape:?}"
            );
            // What is in a slot, but has no owner, is in the sheaf of the class.
            let in_sheaf = class.in_sheaf();
            assert_eq!(
                in_sheaf,
                sheaves.get(&index).copied().unwrap_or(0),
                "{shape:?}"
            );
            let most = if stats.objs_inuse == 0 { 0 } else { 12 };
            assert!(
                in_sheaf <= most,
                "{in_sheaf} objects in the sheaf of {shape:?}"
            );
            // At the least, pages that no object needs once compacted can be freed.
            let objs = usize::from(shape.objs);
            let rest = stats.objs_inuse % objs * shape.size as usize;
            let needed = stats.objs_inuse / objs * usize::from(shape.pages);
            let needed = needed + rest.div_ceil(PAGE_SIZE);
            assert_eq!(stats.freeable, stats.pages - needed, "{shape:?}");
            if stats.zspages[0] > 0 {
                assert!(
                    self.machine.has_work(),
                    "no work is scheduled to free the empty zspages of {shape:?}"
                );
            }
        }
    }

    /// Isolates every zspage and puts it back, which checks the lists.
    fn walk_lists(&self) {
        for class in self.pool().classes() {
            let guard = class.lock();
            for group in (0..NR_GROUPS).filter_map(Group::new) {
                let mut zspages = Vec::new();
                while let Some(isolated) = guard.isolate_first(group) {
                    zspages.push(isolated);
                }
                zspages
                    .into_iter()
                    .for_each(|isolated| guard.putback_zspage(isolated));
            }
        }
    }

    /// Ends all mappings, locks and isolations, and destroys the pool.
    pub fn finish(mut self) {
        (0..OTHER_CPUS).for_each(|cpu| self.let_go(cpu));
        while !self.state().borrow().reads.is_empty() {
            self.read_end(0);
        }
        self.state().borrow_mut().locked.clear();
        self.state().borrow_mut().isolated.clear();
        self.machine.run_work();
        self.compare(false);
        self.compact();
        self.compare(false);
        self.walk_lists();
        self.compare(false);
        (0..self.len()).for_each(|which| self.read(which));
        let mut expected = Vec::new();
        if self.setup.destroy_full {
            // Empty zspages are freed, and what is in a sheaf is in no group.
            let mut groups: BTreeSet<(u16, usize)> = BTreeSet::new();
            for chain in mm::chains() {
                let shape = *owner(&chain).class().shape();
                let inuse = used_slots(self.pool(), &chain).count() as u32;
                let group = Grouping::new(shape.objs).group(inuse).number();
                if group != Group::EMPTY.number() {
                    groups.insert((shape.index, group));
                }
            }
            for class in self.pool().classes() {
                let ClassShape { size, index, .. } = *class.shape();
                let of_class = groups.range((index, 0)..(index + 1, 0));
                expected.extend(of_class.map(|&(_, group)| Report::GroupNotEmpty { size, group }));
            }
        } else {
            while !self.is_empty() {
                self.free(self.len() / 2);
            }
            self.compare(false);
            self.machine.run_work();
            assert_eq!(self.pool().total_pages(), 0, "an empty pool has no pages");
        }
        drop(self.state.take());
        drop(self.pool.take());
        assert_eq!(self.machine.take_reports(), expected);
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A comparison failed, so the state of the pool is unknown.
            std::mem::forget(self.state.take());
            std::mem::forget(self.pool.take());
        }
    }
}

pub(crate) fn owner(chain: &Chain) -> &Zspage {
    let page = chain.pages.values().next().unwrap();
    // SAFETY: The page is in a zspage. No other thread could take it out.
    Zspage::of(unsafe { ZsPage::from_raw(*page) }).unwrap()
}

/// Returns the slots of a zspage that have an object, and the indices of the handles. Leaves out
/// objects that were freed and are in the sheaf of the class: they have no location.
pub(crate) fn used_slots<'a>(
    pool: &'a Pool,
    chain: &'a Chain,
) -> impl Iterator<Item = (usize, u32)> + 'a {
    let zspage = owner(chain);
    let shape = *zspage.class().shape();
    (0..usize::from(shape.objs))
        .filter(move |&index| zspage.is_used(index))
        .map(move |index| (index, handle_of(chain, &shape, index)))
        .filter(|&(_, handle)| {
            pool.location(Handle::from_raw((handle as usize) << 3))
                .is_some()
        })
}

// Returns the index stored after an object.
fn handle_of(chain: &Chain, shape: &ClassShape, index: usize) -> u32 {
    if shape.is_huge() {
        return chain.huge_handle();
    }
    let mut handle = [0; HANDLE_SIZE];
    assert!(chain.read((index + 1) * shape.size as usize - HANDLE_SIZE, &mut handle));
    u32::from_ne_bytes(handle)
}

fn compare_bytes(ours: &[u8], model: &[u8], handle: Handle) {
    if ours != model {
        let at = ours.iter().zip(model).position(|(a, b)| a != b);
        panic!(
            "{handle:?}: {} bytes, should be {}; byte {at:?} differs",
            ours.len(),
            model.len()
        );
    }
}
