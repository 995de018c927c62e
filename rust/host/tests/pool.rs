// SPDX-License-Identifier: GPL-2.0

//! The interface of `Pool`.
#![cfg(not(loom))]

use std::collections::HashSet;

use zsmalloc_host::engine::class::ClassStats;
use zsmalloc_host::engine::events::BadHandle;
use zsmalloc_host::engine::fullness::Group;
use zsmalloc_host::engine::geometry::{Geometry, HANDLE_SIZE, MAX_CHAIN_LIMIT, MIN_CHAIN_LIMIT};
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::isolated::NewZspage;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::engine::zspage::Zspage;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::atomic::{limit_spins, Ordering::Relaxed};
use zsmalloc_host::sys::cpu_area::{on_cpu, preempt_depth};
use zsmalloc_host::sys::machine::{boot, Booted, Config, Placement, Point, Random};
use zsmalloc_host::sys::mm::{self, LockedPage, Migrated};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::raw_page::{RawPage, PAGE_SIZE};
use zsmalloc_host::sys::report::Report;
use zsmalloc_host::sys::sched;

fn pool(chain: usize) -> PinBox<Pool> {
    pin_box(Pool::new(c"pool", chain)).unwrap()
}

// Scales a size that is meant for pages of 4 KiB to the pages of this build.
const fn scaled(size: usize) -> usize {
    size * PAGE_SIZE / 4096
}

fn pattern(number: usize, len: usize) -> Vec<u8> {
    let mut random = Random::new(number as u64);
    (0..len).map(|_| random.next_u64() as u8).collect()
}

fn store(pool: &Pool, size: usize, number: usize) -> Handle {
    let handle = pool.malloc(size, Gfp::ZRAM).unwrap();
    let mut mapping = pool.map(handle, MapMode::WriteOnly).unwrap();
    let bytes = &mut mapping.bytes_mut().unwrap()[..size];
    bytes.copy_from_slice(&pattern(number, size));
    handle
}

fn check(pool: &Pool, handle: Handle, size: usize, number: usize) {
    let mapping = pool
        .map(handle, MapMode::ReadOnly)
        .unwrap_or_else(|| panic!("object {number} of {size} bytes is not mapped"));
    let same = mapping.bytes()[..size] == pattern(number, size);
    assert!(same, "object {number} of {size} bytes");
}

fn reported(machine: &Booted, handle: usize, count: usize) {
    let reports = machine.take_reports();
    assert_eq!(reports.len(), count, "{reports:?}");
    for report in reports {
        let Report::BadHandle {
            pool,
            handle: bad,
            reason,
            ..
        } = report
        else {
            panic!("unexpected report {report:?}");
        };
        assert_eq!((pool.as_str(), bad), ("pool", handle));
        assert!(!reason.is_empty());
    }
}

#[test]
fn wrong_sizes_are_errors() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    assert_eq!(pool.malloc(0, Gfp::KERNEL), Err(EINVAL));
    assert_eq!(pool.malloc(PAGE_SIZE + 1, Gfp::KERNEL), Err(ENOSPC));
    assert_eq!(pool.malloc(usize::MAX, Gfp::KERNEL), Err(ENOSPC));
    assert_eq!(pool.total_pages(), 0);
}

#[test]
fn a_new_pool_takes_no_pages() {
    let machine = boot(Config::default());
    let pool = pool(8);
    assert_eq!((pool.total_pages(), machine.zs_pages()), (0, 0));
    assert_eq!((pool.handle_pages(), machine.tables()), (0, 0));
    assert_eq!(pool.name(), c"pool");
    assert_eq!(pool.compact(), Default::default());
    assert_eq!(pool.freeable_pages(), 0);
}

// Stores objects of every size, with short and long chains, migrates every page, and compacts.
#[test]
fn every_size_is_stored_and_comes_back() {
    for placement in [Placement::Scattered, Placement::Packed] {
        for chain in [MIN_CHAIN_LIMIT, 8, MAX_CHAIN_LIMIT] {
            let machine = boot(Config {
                pages: 8192,
                placement,
                ..Config::default()
            });
            let pool = pool(chain);
            let objects: Vec<(usize, Handle)> = (1..=PAGE_SIZE)
                .step_by((PAGE_SIZE / 4096).pow(2))
                .map(|size| (size, store(&pool, size, size)))
                .collect();
            let check_all = || {
                for &(size, handle) in &objects {
                    check(&pool, handle, size, size);
                }
            };
            check_all();
            for page in mm::movable_pages() {
                assert!(matches!(mm::migrate(page), Some(Ok(Migrated::To(_)))));
            }
            check_all();
            // Free every third object.
            for &(_, handle) in objects.iter().step_by(3) {
                pool.free(handle).unwrap();
            }
            let freeable = pool.freeable_pages();
            assert_eq!(pool.compact().pages, freeable);
            for (_, &(size, handle)) in objects.iter().enumerate().filter(|(i, _)| i % 3 != 0) {
                check(&pool, handle, size, size);
                pool.free(handle).unwrap();
            }
            assert_eq!((pool.total_pages(), machine.zs_pages()), (0, 0));
        }
    }
}

#[test]
fn objects_of_a_class_do_not_overlap() {
    let _machine = boot(Config::default());
    for size in [1, 24, 100, 1000, 1353, 2040, 2500, 3000, 3256] {
        let pool = pool(16);
        let handles: Vec<Handle> = (0..200).map(|i| store(&pool, size, i)).collect();
        for (i, &handle) in handles.iter().enumerate() {
            check(&pool, handle, size, i);
        }
        for handle in handles {
            pool.free(handle).unwrap();
        }
    }
}

// Fills a zspage of each class, so that objects are at every offset.
#[test]
fn every_slot_of_each_class() {
    for placement in [Placement::Scattered, Placement::Packed] {
        for chain in [MIN_CHAIN_LIMIT, 8, MAX_CHAIN_LIMIT] {
            let _machine = boot(Config {
                placement,
                ..Config::default()
            });
            let pool = pool(chain);
            for class in pool.classes() {
                let shape = *class.shape();
                let handle_size = if shape.is_huge() { 0 } else { HANDLE_SIZE };
                let size = shape.size as usize - handle_size;
                let handles: Vec<Handle> = (0..usize::from(shape.objs))
                    .map(|i| store(&pool, size, i))
                    .collect();
                assert_eq!(pool.total_pages(), usize::from(shape.pages), "{shape:?}");
                for (i, &handle) in handles.iter().enumerate() {
                    check(&pool, handle, size, i);
                }
                for handle in handles {
                    pool.free(handle).unwrap();
                }
                assert_eq!(pool.total_pages(), 0);
            }
        }
    }
}

#[test]
fn a_mapping_is_aligned_and_large_enough() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    for size in 1..=PAGE_SIZE {
        let handle = pool.malloc(size, Gfp::KERNEL).unwrap();
        let mapping = pool.map(handle, MapMode::ReadOnly).unwrap();
        assert!(mapping.len() >= size && mapping.len() % 4 == 0 && !mapping.is_empty());
        assert_eq!(mapping.bytes().as_ptr() as usize % 8, 0);
        let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
        let handle_size = if shape.is_huge() { 0 } else { HANDLE_SIZE };
        assert_eq!(mapping.len(), shape.size as usize - handle_size);
        assert_eq!(size >= pool.huge_class_size(), shape.is_huge());
        drop(mapping);
        pool.free(handle).unwrap();
    }
}

#[test]
fn a_handle_is_freed_once() {
    let machine = boot(Config::default());
    let pool = pool(8);
    for size in [50, 3000, 4096] {
        let handle = store(&pool, size, 1);
        let neighbour = store(&pool, size, 2);
        pool.free(handle).unwrap();
        assert_eq!(pool.free(handle), Err(BadHandle::NotAllocated));
        reported(&machine, handle.into_raw(), 1);
        // Another object has its entry now, with another generation.
        let next = store(&pool, size, 3);
        assert_ne!(next, handle);
        assert_eq!(pool.free(handle), Err(BadHandle::Mismatch));
        assert!(pool.map(handle, MapMode::ReadOnly).is_none());
        assert!(pool.map(handle, MapMode::ReadWrite).is_none());
        reported(&machine, handle.into_raw(), 3);
        check(&pool, neighbour, size, 2);
        check(&pool, next, size, 3);
        pool.free(neighbour).unwrap();
        pool.free(next).unwrap();
    }
}

#[test]
fn an_object_that_is_mapped_cannot_be_freed() {
    let machine = boot(Config::default());
    let pool = pool(8);
    for mode in [MapMode::ReadOnly, MapMode::ReadWrite, MapMode::WriteOnly] {
        let handle = store(&pool, 100, 1);
        let mapping = pool.map(handle, mode).unwrap();
        assert_eq!(pool.free(handle), Err(BadHandle::Mapped));
        reported(&machine, handle.into_raw(), 1);
        // Its slot is not allocated again.
        let other = on_cpu(1, || store(&pool, 100, 2));
        drop(mapping);
        check(&pool, handle, 100, 1);
        check(&pool, other, 100, 2);
        pool.free(handle).unwrap();
        pool.free(other).unwrap();
    }
}

#[test]
fn one_mapping_at_a_time_on_a_cpu() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let (a, b) = (store(&pool, 100, 1), store(&pool, 3000, 2));
    let mapping = pool.map(a, MapMode::ReadOnly).unwrap();
    assert!(pool.map(b, MapMode::ReadOnly).is_none());
    assert!(pool.map(a, MapMode::ReadOnly).is_none());
    let reports = machine.take_reports();
    assert_eq!(reports.len(), 2);
    // The first mapping is not affected.
    assert_eq!(mapping.bytes()[..100], pattern(1, 100));
    drop(mapping);
    check(&pool, b, 3000, 2);
    pool.free(a).unwrap();
    pool.free(b).unwrap();
}

#[test]
fn invalid_handles_are_refused() {
    let machine = boot(Config::default());
    let pool = pool(8);
    for size in [100, 3000, 4096] {
        // One of these has index 0 in the handle table.
        let handles: Vec<Handle> = (0..20).map(|i| store(&pool, size, i)).collect();
        let numbers = (0..64).flat_map(|bit| [0usize, 1 << bit, -1isize as usize - (1 << bit)]);
        for raw in numbers.chain((1..4096).map(|error: isize| -error as usize)) {
            for mode in [MapMode::ReadOnly, MapMode::ReadWrite, MapMode::WriteOnly] {
                assert!(pool.map(Handle::from_raw(raw), mode).is_none(), "{raw:#x}");
                assert_eq!(preempt_depth(), 0, "{raw:#x}");
            }
            assert!(pool.free(Handle::from_raw(raw)).is_err(), "{raw:#x}");
            reported(&machine, raw, 4);
        }
        for (i, &handle) in handles.iter().enumerate() {
            check(&pool, handle, size, i);
            pool.free(handle).unwrap();
        }
    }
}

#[test]
fn unmap_needs_a_mapping_on_this_cpu() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let (a, b) = (store(&pool, 3000, 1), store(&pool, 3000, 2));
    // SAFETY: Nothing is mapped.
    unsafe { pool.unmap_object(a) };
    reported(&machine, a.into_raw(), 1);
    pool.map_object(a, MapMode::ReadWrite).unwrap();
    // SAFETY: The bytes of `a` are not used.
    unsafe {
        pool.unmap_object(b);
        reported(&machine, b.into_raw(), 1);
        // On another CPU it is not mapped.
        on_cpu(1, || pool.unmap_object(a));
        reported(&machine, a.into_raw(), 1);
        // The object is still mapped.
        assert_eq!(pool.free(a), Err(BadHandle::Mapped));
        reported(&machine, a.into_raw(), 1);
        pool.unmap_object(a);
        pool.unmap_object(a);
        reported(&machine, a.into_raw(), 1);
    }
    pool.free(a).unwrap();
    pool.free(b).unwrap();
}

#[test]
fn an_object_is_unmapped_from_its_pool() {
    let machine = boot(Config::default());
    let (a, b) = (pool(16), pool(4));
    // A full zspage, so that some objects span pages. The other pool has an object that could be
    // hit.
    let size = scaled(3700);
    let handles: Vec<Handle> = (0..16).map(|i| store(&a, size, i)).collect();
    let other = store(&b, 100, 1);
    let mut refused = 0;
    for (i, &handle) in handles.iter().enumerate() {
        let bytes = a.map_object(handle, MapMode::ReadWrite).unwrap();
        // SAFETY: The bytes are used only while they are mapped.
        unsafe {
            b.unmap_object(handle);
            if machine.take_reports().is_empty() {
                // The object was on one page, so unmapping had only to unlock the entry.
                continue;
            }
            refused += 1;
            bytes.as_ptr().copy_from(pattern(i, size).as_ptr(), size);
            a.unmap_object(handle);
        }
    }
    assert!(refused > 0, "no mapping was bounced");
    for (i, &handle) in handles.iter().enumerate() {
        check(&a, handle, size, i);
        a.free(handle).unwrap();
    }
    check(&b, other, 100, 1);
    b.free(other).unwrap();
}

#[test]
fn a_write_only_mapping_is_written_back() {
    let _machine = boot(Config::default());
    let pool = pool(16);
    // Some of these span pages.
    let handles: Vec<Handle> = (0..20).map(|i| store(&pool, 3000, i)).collect();
    for (i, &handle) in handles.iter().enumerate() {
        let bytes = pool.map_object(handle, MapMode::WriteOnly).unwrap();
        let content = pattern(100 + i, 3000);
        // SAFETY: The mapping has 3000 bytes until `unmap_object`.
        unsafe {
            bytes.as_ptr().copy_from(content.as_ptr(), 3000);
            pool.unmap_object(handle);
        }
    }
    for (i, &handle) in handles.iter().enumerate() {
        check(&pool, handle, 3000, 100 + i);
        pool.free(handle).unwrap();
    }
}

#[test]
fn a_second_compactor_is_refused_and_stays_refused() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    let mut handles: Vec<Handle> = (0..3000).map(|i| store(&pool, 200, i)).collect();
    let mut i = 0;
    handles.retain(|&handle| {
        i += 1;
        if i % 3 != 0 {
            pool.free(handle).unwrap();
        }
        i % 3 == 0
    });
    let mut turns = 0;
    let done = sched::with_hook(
        &mut || {
            turns += 1;
            // Twice, as a refused compaction must not end the running one.
            for _ in 0..2 {
                assert_eq!(pool.compact(), Default::default(), "in turn {turns}");
            }
        },
        || pool.compact(),
    );
    assert!(turns > 10 && done.pages > 0 && done.objects > 0, "{done:?}");
    assert_eq!(pool.events().pages_compacted(), done.pages);
    assert_eq!(pool.events().objects_moved.load(Relaxed), done.objects);
    for handle in handles {
        pool.free(handle).unwrap();
    }
}

// The estimate takes no lock, so counters may change while it reads them.
#[test]
fn freeable_pages_are_at_most_all_pages() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    let mut handles: Vec<Handle> = (100..4000)
        .step_by(100)
        .map(|size| pool.malloc(size, Gfp::KERNEL).unwrap())
        .collect();
    let classes = handles.len();
    let freeable = sched::with_load_hook(
        &mut || handles.push(pool.malloc(4096, Gfp::KERNEL).unwrap()),
        || pool.freeable_pages(),
    );
    let reads = handles.len() - classes;
    assert!(reads > 10, "read only {reads} counters");
    let total = pool.total_pages();
    assert!(freeable <= total, "{freeable} pages");
    let freeable = sched::with_load_hook(
        &mut || {
            handles
                .pop()
                .map_or((), |handle| pool.free(handle).unwrap())
        },
        || pool.freeable_pages(),
    );
    assert!(freeable <= total, "{freeable} pages");
    for handle in handles {
        pool.free(handle).unwrap();
    }
}

#[test]
fn a_mapped_object_is_not_moved() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    let handles: Vec<Handle> = (0..1000).map(|i| store(&pool, 500, i)).collect();
    let (kept, freed): (Vec<_>, Vec<_>) = handles.iter().enumerate().partition(|(i, _)| i % 4 == 0);
    for (_, &handle) in freed {
        pool.free(handle).unwrap();
    }
    let (number, &held) = kept[kept.len() / 2];
    let bytes = on_cpu(1, || pool.map_object(held, MapMode::ReadOnly).unwrap());
    let done = pool.compact();
    assert!(done.objects > 0, "compaction moved nothing at all");
    for page in mm::movable_pages() {
        let _ = mm::migrate(page).unwrap();
    }
    assert!(pool.events().migrations_refused.load(Relaxed) > 0);
    // SAFETY: The object is mapped.
    let now = unsafe { std::slice::from_raw_parts(bytes.as_ptr(), 500) };
    assert_eq!(now, pattern(number, 500), "mapped bytes moved");
    // SAFETY: The bytes are not used any more.
    on_cpu(1, || unsafe { pool.unmap_object(held) });
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0, "freeable pages are left");
    for (i, &handle) in kept {
        check(&pool, handle, 500, i);
        pool.free(handle).unwrap();
    }
}

#[test]
fn pages_before_a_mapped_object_are_freed() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    let size = scaled(600);
    let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
    let (objs, pages) = (usize::from(shape.objs), usize::from(shape.pages));
    assert!(pages >= 4);
    // Leave every second object of one full zspage, and few of another.
    let handles: Vec<Handle> = (0..2 * objs).map(|i| store(&pool, size, i)).collect();
    let is_kept = |i: usize| i % 2 == 0 && i < objs || i % 8 == 0 || i == 2 * objs - 1;
    for i in (0..2 * objs).filter(|&i| !is_kept(i)) {
        pool.free(handles[i]).unwrap();
    }
    // The last object of the source is mapped and stays. The others move.
    let last = handles[2 * objs - 1];
    on_cpu(1, || pool.map_object(last, MapMode::ReadOnly).unwrap());
    let done = pool.compact();
    let of_the_source = (objs..2 * objs - 1).filter(|i| i % 8 == 0).count();
    let others = (0..2 * objs - 1).filter(|&i| is_kept(i)).count();
    // Each at most once.
    assert!((of_the_source..=others).contains(&done.objects));
    // The source keeps the pages of the mapped object, the destination those of its objects.
    let needed = (others * shape.size as usize).div_ceil(PAGE_SIZE);
    assert!(
        pool.total_pages() <= needed + 2,
        "{} pages",
        pool.total_pages()
    );
    // SAFETY: The bytes are not used any more.
    on_cpu(1, || unsafe { pool.unmap_object(last) });
    for i in (0..2 * objs).filter(|&i| is_kept(i)) {
        check(&pool, handles[i], size, i);
        pool.free(handles[i]).unwrap();
    }
}

#[test]
fn a_zspage_whose_page_is_locked_is_freed_later() {
    for size in [100, 1353, 3000, 4096] {
        let machine = boot(Config::default());
        let pool = pool(8);
        let handle = store(&pool, size, 1);
        let before = machine.zs_pages();
        let locked = LockedPage::try_new(mm::movable_pages()[0]).unwrap();
        pool.free(handle).unwrap();
        assert!(machine.has_work() && machine.zs_pages() > 0 && before > 0);
        let (_, stats) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
        let empty = stats.zspages[Group::EMPTY.number()];
        assert_eq!(empty, 1, "empty zspages");
        drop(locked);
        assert!(machine.run_work());
        assert_eq!((machine.zs_pages(), pool.total_pages()), (0, 0));
        assert_eq!(pool.events().deferred_frees.load(Relaxed), 1);
    }
}

// Allocates and frees an object while its page is locked, so the page stays.
fn free_while_locked(pool: &Pool) -> LockedPage {
    let handle = store(pool, 3000, 1);
    let locked = LockedPage::try_new(mm::movable_pages()[0]).unwrap();
    pool.free(handle).unwrap();
    locked
}

// Runs `f` on another thread. It must not end, nor free the page, before the page is unlocked.
fn waits_for<R: Send>(machine: &Booted, locked: LockedPage, f: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let worker = scope.spawn(f);
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!worker.is_finished() && machine.zs_pages() > 0);
        drop(locked);
        worker.join().unwrap()
    })
}

#[test]
fn deferred_free_waits_for_the_page_lock() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let locked = free_while_locked(&pool);
    let shared = machine.share();
    let worked = waits_for(&machine, locked, || {
        let _entered = shared.enter();
        shared.run_work()
    });
    assert!(worked);
    assert_eq!(machine.zs_pages(), 0);
}

#[test]
fn an_empty_zspage_is_reused_before_it_is_freed() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let locked = free_while_locked(&pool);
    let pages = machine.zs_pages();
    let handle = store(&pool, 3000, 2);
    assert_eq!(machine.zs_pages(), pages, "a page was allocated");
    drop(locked);
    machine.run_work();
    check(&pool, handle, 3000, 2);
    pool.free(handle).unwrap();
    assert_eq!(machine.zs_pages(), 0);
}

#[test]
fn compaction_frees_a_page_that_was_locked() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let handles: Vec<Handle> = (0..12).map(|i| store(&pool, 1353, i)).collect();
    // Lock all pages while all objects but one are freed.
    let locked: Vec<LockedPage> = mm::movable_pages()
        .into_iter()
        .filter_map(LockedPage::try_new)
        .collect();
    for &handle in &handles[1..] {
        pool.free(handle).unwrap();
    }
    drop(locked);
    machine.run_work();
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0, "of {} pages", pool.total_pages());
    check(&pool, handles[0], 1353, 0);
    pool.free(handles[0]).unwrap();
}

#[test]
fn a_source_whose_pages_are_locked_is_freed_later() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let size = scaled(200);
    let handles: Vec<Handle> = (0..600).map(|i| store(&pool, size, i)).collect();
    let (kept, gone): (Vec<_>, Vec<_>) = handles.iter().enumerate().partition(|(i, _)| i % 3 == 0);
    for (_, &handle) in gone {
        pool.free(handle).unwrap();
    }
    let freeable = pool.freeable_pages();
    let locked: Vec<LockedPage> = mm::movable_pages()
        .into_iter()
        .filter_map(LockedPage::try_new)
        .collect();
    let total = pool.total_pages();
    assert_eq!((locked.len(), pool.compact().pages), (total, 0));
    assert!(pool.events().objects_moved.load(Relaxed) > 0);
    drop(locked);
    // The sources are empty, so only the work can free them.
    assert!(machine.run_work());
    assert!(freeable > 0 && pool.total_pages() < total);
    pool.compact();
    assert_eq!(pool.total_pages(), total - freeable);
    for (i, &handle) in kept {
        check(&pool, handle, size, i);
        pool.free(handle).unwrap();
    }
}

// Overwrites the index after an object. Returns the page that it is on.
fn overwrite_index(victim: Handle) -> RawPage {
    mm::chains()
        .iter()
        .flat_map(|chain| chain.pages.values().copied().collect::<Vec<_>>())
        .find(|page| {
            (4..PAGE_SIZE).step_by(8).any(|offset| {
                // SAFETY: The page is in a zspage, and no other thread runs.
                unsafe {
                    let found = page.read_u32(offset) == victim.in_object();
                    if found {
                        page.write_u32(offset, 0x4141_4141);
                    }
                    found
                }
            })
        })
        .unwrap()
}

// A class with less than eight slots keeps nothing: the object is refused at once.
#[test]
fn an_overwritten_index_is_detected_at_once() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let size = scaled(1000);
    let handles: Vec<Handle> = (0..4).map(|i| store(&pool, size, i)).collect();
    let victim = handles[2];
    overwrite_index(victim);
    assert_eq!(pool.free(victim), Err(BadHandle::Mismatch));
    reported(&machine, victim.into_raw(), 1);
    check(&pool, victim, size, 2);
    for handle in handles.into_iter().filter(|&handle| handle != victim) {
        pool.free(handle).unwrap();
    }
    drop(pool);
    assert!(matches!(
        machine.take_reports()[..],
        [Report::GroupNotEmpty { .. }]
    ));
}

// Writing past the end of an object overwrites its index.
#[test]
fn an_overwritten_index_is_detected() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let size = scaled(500);
    let handles: Vec<Handle> = (0..60).map(|i| store(&pool, size, i)).collect();
    for &handle in handles.iter().skip(1).step_by(2) {
        pool.free(handle).unwrap();
    }
    let victim = handles[20];
    let page = overwrite_index(victim);
    // The object is in the sheaf now. The page cannot be migrated any more.
    assert_eq!(pool.free(victim), Ok(()));
    assert_eq!(mm::migrate(page), Some(Err(EINVAL)));
    assert_eq!(machine.take_reports(), []);
    // Compaction flushes the sheaf, and then skips the object.
    pool.compact();
    reported(&machine, victim.into_raw(), 1);
    // The object was not freed, and is not affected.
    check(&pool, victim, size, 20);
    for (i, &handle) in handles.iter().enumerate().step_by(2) {
        if handle != victim {
            check(&pool, handle, size, i);
            pool.free(handle).unwrap();
        }
    }
    drop(pool);
    let reports = machine.take_reports();
    assert!(
        matches!(reports[..], [Report::GroupNotEmpty { .. }]),
        "{reports:?}"
    );
}

// The index after an object may be overwritten at any time, also during a migration.
#[test]
fn an_index_overwritten_while_its_page_moves() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let (victim, other) = (store(&pool, 500, 1), store(&pool, 3000, 2));
    let page = mm::chains()
        .iter()
        .flat_map(|chain| chain.pages.values().copied().collect::<Vec<_>>())
        .find(|&page| index_of(page, victim).is_some())
        .unwrap();
    let offset = index_of(page, victim).unwrap();
    let mut reads = 0;
    let migrated = sched::with_load_hook(
        &mut || {
            // Called right after the index was read.
            reads += 1;
            // SAFETY: The page is in a zspage, and no other thread runs.
            unsafe { page.write_u32(offset, other.in_object()) };
        },
        || mm::migrate(page),
    );
    assert!(reads > 0, "the index was not read");
    assert!(
        matches!(migrated, Some(Ok(Migrated::To(_)))),
        "{migrated:?}"
    );
    // Neither object is lost or locked. If one were, nothing would end the wait.
    limit_spins(1000);
    check(&pool, victim, 500, 1);
    check(&pool, other, 3000, 2);
    pool.free(other).unwrap();
    assert_eq!(pool.free(victim), Err(BadHandle::Mismatch));
    reported(&machine, victim.into_raw(), 1);
    drop(pool);
    machine.take_reports();
}

// Returns the offset on this page of the index of a handle.
fn index_of(page: RawPage, handle: Handle) -> Option<usize> {
    // SAFETY: The page is in a zspage, and no other thread runs.
    (4..PAGE_SIZE)
        .step_by(8)
        .find(|&offset| unsafe { page.read_u32(offset) } == handle.in_object())
}

// Returns the pages that the handle table may have for `live` objects: a leaf per 512 entries. Each
// class may keep a sixteenth of its objects and 16 entries.
fn most_handle_pages(pool: &Pool, live: usize) -> usize {
    let leaves = (live + live / 8 + 16 * pool.classes().count()).div_ceil(512);
    leaves + leaves.div_ceil(512)
}

// Returns one size for each of `count` classes.
fn sizes_of_classes(pool: &Pool, count: usize) -> Vec<usize> {
    let mut classes = HashSet::new();
    (20..PAGE_SIZE)
        .filter(|&size| classes.insert(pool.lookup_class_index(size)))
        .take(count)
        .collect()
}

#[test]
fn one_class_after_another_needs_no_more_handles() {
    let _machine = boot(Config {
        pages: 16384,
        ..Config::default()
    });
    let pool = pool(16);
    let count = 20_000;
    let (mut live, mut stay) = (0, Vec::new());
    for size in sizes_of_classes(&pool, 6) {
        let handles: Vec<Handle> = (0..count)
            .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
            .collect();
        live += count;
        let (pages, most) = (pool.handle_pages(), most_handle_pages(&pool, live));
        assert!(pages <= most, "{pages} pages with {size} bytes, not {most}");
        // Keep a few objects, so that the class is not empty.
        for (i, handle) in handles.into_iter().enumerate() {
            if i % 40 == 0 {
                stay.push(handle);
            } else {
                pool.free(handle).unwrap();
            }
        }
        live = stay.len();
    }
    for handle in stay {
        pool.free(handle).unwrap();
    }
}

#[test]
fn classes_that_shrank_and_were_compacted_keep_few_handles() {
    let _machine = boot(Config {
        pages: 32768,
        ..Config::default()
    });
    let pool = pool(16);
    let (count, mut kept) = (4000, Vec::new());
    let sizes = sizes_of_classes(&pool, 25);
    for (n, &size) in sizes.iter().enumerate() {
        let handles: Vec<Handle> = (0..count)
            .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
            .collect();
        for (i, handle) in handles.into_iter().enumerate() {
            if i % 16 == 0 {
                kept.push(handle);
            } else {
                pool.free(handle).unwrap();
            }
        }
        pool.compact();
        let live = count + n * count / 16;
        let (pages, most) = (pool.handle_pages(), most_handle_pages(&pool, live));
        assert!(
            pages <= most,
            "{pages} pages after {} classes, not {most}",
            n + 1
        );
    }
    assert_eq!(kept.len(), sizes.len() * count / 16);
    for handle in kept {
        pool.free(handle).unwrap();
    }
}

// If the table cannot grow, malloc takes the free entries of other classes.
#[test]
fn free_handles_of_other_classes_are_reclaimed() {
    let machine = boot(Config {
        pages: 16384,
        ..Config::default()
    });
    let pool = pool(16);
    let sizes = sizes_of_classes(&pool, 101);
    // Leave free entries in a hundred classes.
    let handles: Vec<Handle> = sizes[1..]
        .iter()
        .flat_map(|&size| [size; 40])
        .map(|size| pool.malloc(size, Gfp::KERNEL).unwrap())
        .collect();
    let (gone, stay): (Vec<_>, Vec<_>) = handles.iter().enumerate().partition(|(i, _)| i % 40 != 0);
    for (_, &handle) in gone {
        pool.free(handle).unwrap();
    }
    machine.fail_all(&[Point::Table]);
    let entries = pool.handle_pages().saturating_sub(1) * 512;
    let more: Vec<Handle> =
        std::iter::from_fn(|| pool.malloc(sizes[0], Gfp::KERNEL).ok()).collect();
    assert_eq!(more.len() + stay.len(), entries, "free entries are left");
    assert_eq!(pool.malloc(sizes[0], Gfp::KERNEL), Err(ENOMEM));
    machine.fail_none();
    for handle in more
        .into_iter()
        .chain(stay.into_iter().map(|(_, &handle)| handle))
    {
        pool.free(handle).unwrap();
    }
}

#[test]
fn an_empty_pool_has_a_small_table() {
    let machine = boot(Config {
        pages: 16384,
        ..Config::default()
    });
    let pool = pool(16);
    let mut stale = Vec::new();
    for round in 0..4 {
        // The last round needs a second middle node.
        let count: usize = if round == 3 { 270_000 } else { 3000 << round };
        let handles: Vec<Handle> = (0..count)
            .map(|_| pool.malloc(24, Gfp::KERNEL).unwrap())
            .collect();
        let leaves = count.div_ceil(512);
        assert!(pool.handle_pages() > leaves, "round {round}");
        for &handle in &handles {
            pool.free(handle).unwrap();
        }
        machine.run_work();
        assert_eq!(pool.handle_pages(), 2, "the table was not trimmed");
        assert_eq!(machine.tables(), 2);
        // Handles of freed objects are stale.
        for &handle in handles.iter().step_by(613) {
            assert_eq!(pool.free(handle), Err(BadHandle::NotAllocated));
            stale.push(handle);
        }
        reported_any(&machine, stale.len());
        stale.clear();
    }
    // The table still works.
    let handles: Vec<Handle> = (0..2000).map(|i| store(&pool, 100, i)).collect();
    assert_eq!(handles.iter().collect::<HashSet<_>>().len(), 2000);
    for (i, &handle) in handles.iter().enumerate() {
        check(&pool, handle, 100, i);
        pool.free(handle).unwrap();
    }
}

fn reported_any(machine: &Booted, count: usize) {
    assert_eq!(machine.take_reports().len(), count);
}

#[test]
fn a_pool_with_objects_is_destroyed() {
    let machine = boot(Config::default());
    let pool = pool(8);
    for size in [10, 10, 500, 3000, 4096] {
        store(&pool, size, 1);
    }
    let classes = 4;
    drop(pool);
    let reports = machine.take_reports();
    assert_eq!(reports.len(), classes, "{reports:?}");
    for report in &reports {
        assert!(matches!(report, Report::GroupNotEmpty { .. }), "{report:?}");
    }
    assert_eq!(machine.zs_pages(), 0);
}

#[test]
fn a_pool_is_destroyed_while_work_is_scheduled() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let locked = free_while_locked(&pool);
    drop(locked);
    assert!(machine.has_work());
    drop(pool);
    assert!(!machine.has_work());
    assert_eq!(machine.take_reports(), []);
}

// An empty zspage whose page is locked is no object that is left.
#[test]
fn destroying_a_pool_waits_for_a_locked_page() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let locked = free_while_locked(&pool);
    let shared = machine.share();
    waits_for(&machine, locked, || {
        let _entered = shared.enter();
        drop(pool);
    });
    assert_eq!(machine.take_reports(), [], "something was left");
    assert_eq!(machine.zs_pages(), 0);
}

#[test]
fn pools_do_not_know_each_others_handles() {
    let machine = boot(Config::default());
    let (a, b) = (pool(8), pool(8));
    let handle = store(&a, 3000, 1);
    assert_eq!(b.free(handle), Err(BadHandle::NotAllocated));
    assert!(b.map(handle, MapMode::ReadOnly).is_none());
    reported(&machine, handle.into_raw(), 2);
    check(&a, handle, 3000, 1);
    a.free(handle).unwrap();
}

#[test]
fn a_zspage_that_is_dropped_is_reported() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let handle = pool.malloc(3000, Gfp::KERNEL).unwrap();
    let class = pool.class(pool.lookup_class_index(3000)).unwrap();
    pool.free(handle).unwrap();
    assert_eq!(machine.slabs(), 0);
    drop(NewZspage::alloc(class, Gfp::KERNEL).unwrap());
    assert_eq!(machine.slabs(), 0, "a new one is freed");
    drop(NewZspage::alloc(class, Gfp::KERNEL).unwrap().isolate());
    assert_eq!(machine.take_reports(), [Report::ForgottenZspage]);
    assert_eq!(machine.slabs(), 1, "the zspage is leaked");
    machine.forget_slab();
}

#[test]
fn malloc_does_not_sleep_in_atomic_context() {
    let _machine = boot(Config::default());
    let pool = pool(8);
    let held = store(&pool, 100, 1);
    let mapping = pool.map(held, MapMode::ReadOnly).unwrap();
    let handles: Vec<Handle> = [50, 1000, 3000, 4096]
        .map(|size| pool.malloc(size, Gfp::ZSWAP).unwrap())
        .into();
    for handle in handles {
        pool.free(handle).unwrap();
    }
    drop(mapping);
    pool.free(held).unwrap();
}

// Runs a scenario repeatedly and fails its first allocation, its second, and so on. Returns how
// many could fail.
fn fail_each(kinds: &[Point], scenario: impl Fn(&Booted) -> Result) -> usize {
    for pass in 0.. {
        let machine = boot(Config::default());
        machine.fail_nth(pass, kinds);
        let result = scenario(&machine);
        let came = !machine.fail_none();
        assert_eq!(
            result.is_err(),
            came,
            "failure {pass} of {kinds:?}: {result:?}"
        );
        assert_eq!(result.err().unwrap_or(ENOMEM), ENOMEM);
        // Dropping `machine` checks that nothing is leaked.
        if !came {
            return pass;
        }
    }
    unreachable!()
}

#[test]
fn pool_creation_survives_any_failure() {
    for chain in [4, 8, 16] {
        let points = fail_each(&[Point::Boxed], |_| {
            pin_box(Pool::new(c"pool", chain)).map(drop)
        });
        // The pool, its name, and what classes share.
        assert_eq!(points, 3);
    }
}

#[test]
fn a_class_is_created_with_its_first_object() {
    let machine = boot(Config::default());
    let pool = pool(8);
    let index = pool.lookup_class_index(1353);
    let shape = Geometry::new(PAGE_SIZE, 8).shape(index).unwrap();
    let unused = Some((shape, ClassStats::default()));
    assert_eq!(
        (pool.classes().count(), pool.class_stats(index)),
        (0, unused)
    );
    let empty = pool.metadata_bytes();
    machine.fail_nth(0, &[Point::Boxed]);
    assert_eq!(pool.malloc(1353, Gfp::ZRAM), Err(ENOMEM));
    assert!(!machine.fail_none());
    assert_eq!(
        (pool.classes().count(), pool.class_stats(index)),
        (0, unused)
    );
    assert_eq!((pool.metadata_bytes(), pool.total_pages()), (empty, 0));
    let handles = [0, 1, 2].map(|n| store(&pool, 1353, n));
    let (class, inuse) = (pool.class(index).unwrap(), pool.objects());
    assert_eq!(
        (pool.classes().count(), *class.shape(), inuse),
        (1, shape, 3)
    );
    for handle in handles {
        pool.free(handle).unwrap();
    }
}

#[test]
fn malloc_survives_any_failure() {
    let kinds = [Point::Page, Point::Slab, Point::Table];
    for kinds in [&kinds[..], &[Point::Page], &[Point::Slab], &[Point::Table]] {
        let points = fail_each(kinds, |machine| {
            let pool = pool(8);
            let mut handles = Vec::new();
            let mut result = Ok(());
            for i in 0..300 {
                let size = [40, 300, 1353, 3000, 4000][i % 5];
                let before = (pool.total_pages(), machine.slabs());
                match pool.malloc(size, Gfp::KERNEL) {
                    Ok(handle) => handles.push(handle),
                    Err(error) => {
                        assert_eq!((pool.total_pages(), machine.slabs()), before);
                        result = Err(error);
                        // The pool still works.
                        handles.push(store(&pool, size, i));
                    }
                }
            }
            let distinct: HashSet<&Handle> = handles.iter().collect();
            assert_eq!(distinct.len(), handles.len());
            handles
                .iter()
                .for_each(|&handle| pool.free(handle).unwrap());
            assert_eq!((pool.total_pages(), machine.slabs()), (0, 0));
            result
        });
        assert!(points > 1, "{points} allocations of {kinds:?}");
    }
}

#[test]
fn compaction_survives_any_failure() {
    let (mut failures, size) = (0, scaled(1353));
    for (seed, pass) in (0..40).flat_map(|seed| (0..3).map(move |pass| (seed, pass))) {
        let machine = boot(Config::default());
        let pool = pool(16);
        let mut handles: Vec<(usize, Handle)> =
            (0..400).map(|i| (i, store(&pool, size, i))).collect();
        let mut random = Random::new(seed);
        for _ in 0..300 {
            let (_, handle) = handles.swap_remove(random.below(handles.len()));
            pool.free(handle).unwrap();
        }
        machine.fail_nth(pass, &[Point::Page, Point::Slab, Point::Table]);
        pool.compact();
        failures += usize::from(!machine.fail_none());
        for &(i, handle) in &handles {
            check(&pool, handle, size, i);
        }
        pool.compact();
        assert_eq!(pool.freeable_pages(), 0);
        for (i, handle) in handles {
            check(&pool, handle, size, i);
            pool.free(handle).unwrap();
        }
    }
    println!("{failures} allocations failed");
    assert!(failures > 10, "{failures} allocations failed");
}

#[test]
fn compaction_ends_without_memory() {
    let (mut failures, mut moved) = (0, 0);
    for (size, seed) in (0..40).flat_map(|i| (1..20).map(move |seed| (scaled(120 + i * 93), seed)))
    {
        let machine = boot(Config::default());
        let pool = pool(16);
        let mut handles: Vec<(usize, Handle)> =
            (0..200).map(|i| (i, store(&pool, size, i))).collect();
        let mut random = Random::new(seed);
        for _ in 0..random.below(handles.len()) {
            let (_, handle) = handles.swap_remove(random.below(handles.len()));
            pool.free(handle).unwrap();
        }
        machine.fail_all(&[Point::Page]);
        // This is far more than moving each object from each zspage to each fuller one.
        let mut steps = 0;
        let mut step = || {
            steps += 1;
            assert!(
                steps < 20_000,
                "{size} bytes, seed {seed}: compaction does not end"
            );
        };
        moved += sched::with_hook(&mut step, || pool.compact()).objects;
        failures += machine.faults();
        machine.fail_none();
        pool.compact();
        assert_eq!(pool.freeable_pages(), 0);
        for (i, handle) in handles {
            check(&pool, handle, size, i);
            pool.free(handle).unwrap();
        }
    }
    assert!(failures > 0, "compaction allocated no page");
    assert!(moved > 0, "compaction moved nothing");
}

// A page can be freed, but none can be allocated, so objects must move into existing free slots.
#[test]
fn a_zspage_is_packed_without_memory() {
    let mut tried = 0;
    for size in (100..1300).step_by(29).map(scaled) {
        let machine = boot(Config::default());
        let pool = pool(16);
        let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
        let (slot, objs) = (shape.size as usize, usize::from(shape.objs));
        if shape.pages < 6 {
            continue;
        }
        tried += 1;
        let handles: Vec<Handle> = (0..objs).map(|i| store(&pool, size, i)).collect();
        // Keep all objects on page 0, and the first one on pages 3 and 5.
        let is_kept = |i: usize| {
            let (first, last) = (i * slot / PAGE_SIZE, ((i + 1) * slot - 1) / PAGE_SIZE);
            let is_first = i * slot - first * PAGE_SIZE < slot;
            first == last && (first == 0 || [3, 5].contains(&first) && is_first)
        };
        for i in (0..objs).filter(|&i| !is_kept(i)) {
            pool.free(handles[i]).unwrap();
        }
        machine.fail_all(&[Point::Page]);
        let freeable = pool.freeable_pages();
        assert!(freeable > 0);
        assert_eq!(pool.compact().pages, freeable, "{size} bytes");
        machine.fail_none();
        for i in (0..objs).filter(|&i| is_kept(i)) {
            check(&pool, handles[i], size, i);
            pool.free(handles[i]).unwrap();
        }
    }
    assert!(tried > 10, "{tried} sizes");
}

#[test]
fn malloc_fails_without_memory_and_recovers() {
    let machine = boot(Config {
        pages: 64,
        ..Config::default()
    });
    let pool = pool(8);
    let mut handles = Vec::new();
    let error = loop {
        match pool.malloc(3000, Gfp::KERNEL) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!(error, ENOMEM);
    assert!(
        handles.len() >= 64 * PAGE_SIZE / 3300,
        "{} objects",
        handles.len()
    );
    pool.free(handles.pop().unwrap()).unwrap();
    handles.push(pool.malloc(3000, Gfp::KERNEL).unwrap());
    for handle in handles {
        pool.free(handle).unwrap();
    }
    assert_eq!(machine.zs_pages(), 0);
}

#[test]
fn zspages_are_small() {
    // Each zspage needs this in addition to its pages. The bitmap is 16 or 32 bytes of it.
    assert!(
        std::mem::size_of::<Zspage>() <= 72,
        "{}",
        std::mem::size_of::<Zspage>()
    );
}

// The last free entries are given back when the pool is destroyed, which is when the table can be
// trimmed. That is left to the work, which must not outlive the pool.
#[test]
fn work_scheduled_by_destruction_is_cancelled() {
    let machine = boot(Config::default());
    let pool = pool(16);
    let handles: Vec<Handle> = (0..1000).map(|i| store(&pool, 100, i)).collect();
    // A class without an object keeps the entries that it took before its zspage failed.
    machine.fail_nth(0, &[Point::Slab]);
    assert_eq!(pool.malloc(2000, Gfp::KERNEL), Err(ENOMEM));
    for handle in handles {
        pool.free(handle).unwrap();
    }
    assert!(!machine.has_work(), "all entries were given back before");
    drop(pool);
}
