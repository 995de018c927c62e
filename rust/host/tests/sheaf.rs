// SPDX-License-Identifier: GPL-2.0

//! The sheaf of a class: objects that were freed and are kept for the next `malloc`.
#![cfg(not(loom))]

use std::collections::HashSet;

use zsmalloc_host::engine::class::SizeClass;
use zsmalloc_host::engine::events::BadHandle;
use zsmalloc_host::engine::handle_entry::GENERATION_BITS;
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::machine::{self, boot, Config};
use zsmalloc_host::sys::mm;
use zsmalloc_host::sys::page::{PAGE_SHIFT, PAGE_SIZE};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::report::Report;

const SIZE: usize = 1000 * PAGE_SIZE / 4096;
// A sheaf holds an eighth of the slots, and 12 at most.
const KEPT: usize = 12;

fn pool() -> PinBox<Pool> {
    pin_box(Pool::new(c"pool", 8)).unwrap()
}

fn class(pool: &Pool) -> &SizeClass {
    pool.class(pool.lookup_class_index(SIZE)).unwrap()
}

fn fill(pool: &Pool, count: usize) -> Vec<Handle> {
    (0..count)
        .map(|_| pool.malloc(SIZE, Gfp::KERNEL).unwrap())
        .collect()
}

fn free(pool: &Pool, handles: &[Handle]) {
    for &handle in handles {
        pool.free(handle).unwrap();
    }
}

// Destroys a pool with objects.
fn end(pool: PinBox<Pool>) {
    drop(pool);
    let reports = machine::current().take_reports();
    let is_expected = |report: &Report| matches!(report, Report::GroupNotEmpty { .. });
    assert!(
        !reports.is_empty() && reports.iter().all(is_expected),
        "{reports:?}"
    );
    assert_eq!(machine::current().zs_pages(), 0);
}

fn index(handle: Handle) -> u32 {
    handle.in_object()
}

#[test]
fn malloc_takes_what_was_freed_last() {
    let _machine = boot(Config::default());
    let pool = pool();
    let handles = fill(&pool, 400);
    let places: Vec<_> = handles[..9].iter().map(|&h| pool.location(h)).collect();
    let (pages, inuse) = (pool.total_pages(), class(&pool).stats().objs_inuse);
    free(&pool, &handles[..9]);
    assert_eq!(class(&pool).in_sheaf(), 9);
    assert_eq!(class(&pool).stats().objs_inuse, inuse - 9);
    for n in (0..9).rev() {
        let new = pool.malloc(SIZE, Gfp::KERNEL).unwrap();
        assert_eq!(index(new), index(handles[n]));
        assert_ne!(new, handles[n], "a generation was not counted up");
        assert_eq!(pool.location(new), places[n]);
    }
    assert_eq!((class(&pool).in_sheaf(), pool.total_pages()), (0, pages));
    end(pool);
}

#[test]
fn a_handle_in_the_sheaf_is_refused() {
    let machine = boot(Config::default());
    let pool = pool();
    let handles = fill(&pool, 400);
    free(&pool, &handles[..1]);
    let freed = handles[0];
    assert_eq!(pool.location(freed), None);
    assert_eq!(pool.free(freed), Err(BadHandle::NotAllocated));
    assert!(pool.map(freed, MapMode::ReadOnly).is_none());
    assert_eq!(machine.take_reports().len(), 2);
    // Its next user has another handle, and the old one is stale.
    let new = pool.malloc(SIZE, Gfp::KERNEL).unwrap();
    assert_eq!(index(new), index(freed));
    assert_eq!(pool.free(freed), Err(BadHandle::Mismatch));
    assert_eq!(machine.take_reports().len(), 1);
    end(pool);
}

// No more than an eighth of the slots is kept. Nothing is, once the class has no object.
#[test]
fn a_sheaf_is_bounded() {
    for (count, full) in [(1, 0), (4, 0), (12, 1), (64, 8), (400, KEPT)] {
        let _machine = boot(Config::default());
        let pool = pool();
        let handles = fill(&pool, count);
        let mut most = 0;
        for (n, &handle) in handles.iter().enumerate() {
            let slots = class(&pool).stats().objs_allocated;
            pool.free(handle).unwrap();
            let kept = class(&pool).in_sheaf();
            assert!(kept <= KEPT.min(slots / 8), "{kept} of {slots} slots");
            assert!(n + 1 < count || kept == 0);
            most = most.max(kept);
        }
        assert_eq!(most, full, "{count} objects");
        assert_eq!(pool.total_pages(), 0);
    }
}

// A freed page has no object in the sheaf: those are in slots, which stay allocated.
#[test]
fn a_page_stays_while_an_object_of_it_is_kept() {
    let _machine = boot(Config::default());
    let pool = pool();
    let handles = fill(&pool, 400);
    let pages = pool.total_pages();
    // All objects of the first page and a half.
    free(&pool, &handles[..6]);
    assert_eq!((class(&pool).in_sheaf(), pool.total_pages()), (6, pages));
    let done = pool.compact();
    assert_eq!(class(&pool).in_sheaf(), 0);
    assert!(done.pages > 0 && pool.total_pages() == pages - done.pages);
    assert_eq!(pool.freeable_pages(), 0);
    // The sheaf is open again.
    free(&pool, &handles[100..103]);
    assert_eq!(class(&pool).in_sheaf(), 3);
    free(&pool, &handles[6..100]);
    free(&pool, &handles[103..]);
    assert_eq!(pool.total_pages(), 0);
}

// zram frees an object at once if its page exceeds `mem_limit`. Then the page goes, too.
#[test]
fn a_page_goes_with_the_object_that_it_was_added_for() {
    let _machine = boot(Config::default());
    let pool = pool();
    let mut handles = fill(&pool, 400);
    let mut added = 0;
    while added < 3 {
        let pages = pool.total_pages();
        let handle = pool.malloc(SIZE, Gfp::KERNEL).unwrap();
        if pool.total_pages() == pages {
            handles.push(handle);
            continue;
        }
        pool.free(handle).unwrap();
        assert_eq!(pool.total_pages(), pages, "the page stays");
        added += 1;
        // The next one fills the page.
        handles.push(pool.malloc(SIZE, Gfp::KERNEL).unwrap());
    }
    free(&pool, &handles);
    assert_eq!(pool.total_pages(), 0);
}

// Objects in the sheaf move along with their page.
#[test]
fn pages_with_kept_objects_migrate() {
    let _machine = boot(Config::default());
    let pool = pool();
    let handles = fill(&pool, 400);
    free(&pool, &handles[8..16]);
    let (mut migrated, before) = (0, class(&pool).in_sheaf());
    for page in mm::movable_pages() {
        migrated += usize::from(matches!(mm::migrate(page), Some(Ok(_))));
    }
    assert_eq!((migrated, before), (pool.total_pages(), 8));
    assert_eq!(class(&pool).in_sheaf(), 8);
    let mut places = HashSet::new();
    let again = fill(&pool, 8);
    assert_eq!(class(&pool).in_sheaf(), 0);
    for handle in handles[..8].iter().chain(&handles[16..]).chain(&again) {
        assert!(places.insert(pool.location(*handle).unwrap().address()));
    }
    let frames: HashSet<_> = mm::movable_pages().iter().map(|page| page.pfn()).collect();
    assert!(places
        .iter()
        .all(|at| frames.contains(&((at >> PAGE_SHIFT) as usize))));
    end(pool);
}

// After its last generation an entry is not used again at once, so its object is not kept.
#[test]
fn all_generations_of_an_entry() {
    let _machine = boot(Config::default());
    let pool = pool();
    let handles = fill(&pool, 100);
    let (mut handle, mut seen) = (handles[50], HashSet::new());
    let mut other_entry = 0;
    for _ in 0..(1 << GENERATION_BITS) + 10 {
        pool.free(handle).unwrap();
        let new = pool.malloc(SIZE, Gfp::KERNEL).unwrap();
        assert!(seen.insert(new), "{new:?} came twice");
        other_entry += usize::from(index(new) != index(handle));
        handle = new;
    }
    assert_eq!(other_entry, 1);
    end(pool);
}

#[test]
fn a_pool_is_destroyed_with_objects_in_sheaves() {
    let _machine = boot(Config::default());
    let pool = pool();
    let handles = fill(&pool, 100);
    free(&pool, &handles[..8]);
    assert_eq!(class(&pool).in_sheaf(), 8);
    end(pool);
}

// A class with less than eight slots has no sheaf. Each page is freed with its last object, also if
// another page of a slot on it is absent.
#[test]
fn pages_are_freed_with_their_last_object() {
    const ORDERS: [[usize; 5]; 4] = [
        [0, 1, 2, 3, 4],
        [4, 3, 2, 1, 0],
        [2, 1, 3, 0, 4],
        [1, 3, 0, 2, 4],
    ];
    let mut freed = 0;
    for size in [2500, 2700, 3000, 3500].map(|size| size * PAGE_SIZE / 4096) {
        for order in ORDERS {
            let _machine = boot(Config::default());
            let pool = pin_box(Pool::new(c"pool", 16)).unwrap();
            let handles: Vec<_> = (0..5)
                .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
                .collect();
            let (shape, stats) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
            assert!(shape.objs >= 5 && stats.objs_allocated < 8, "{size} bytes");
            let pages = |slot: usize| {
                let start = slot * shape.size as usize;
                start >> PAGE_SHIFT..=(start + shape.size as usize - 1) >> PAGE_SHIFT
            };
            for n in 0..order.len() {
                pool.free(handles[order[n]]).unwrap();
                let used: HashSet<_> = order[n + 1..].iter().flat_map(|&i| pages(i)).collect();
                assert_eq!(
                    pool.total_pages(),
                    used.len(),
                    "{size} bytes, {order:?}, {n}"
                );
                freed += 1;
            }
        }
    }
    assert_eq!(freed, 80);
}
