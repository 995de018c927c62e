// SPDX-License-Identifier: GPL-2.0

//! What compaction frees, and how many objects it moves: it frees all that can be freed, and moves
//! few more objects than necessary.
//!
//! The lower bound: `u` objects in zspages of `n` end up in `u / n` full zspages, and on a run of
//! pages of one more. The fullest zspages become the full ones, and keep all objects. The last one
//! keeps those on the run. All others move.
#![cfg(not(loom))]

use std::ptr::NonNull;

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::fewest_moves::fewest_moves;
use zsmalloc_host::sys::buffer::Destination;
use zsmalloc_host::sys::machine::{boot, Config, Random};
use zsmalloc_host::sys::page::PAGE_SIZE;
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::sched;

// Seeds for which pages became free faster than b158556 had room for.
const OVERFLOWING: [u64; 1] = [7009];

// Patterns that choose which of 4,000 objects are freed.
fn patterns() -> [(&'static str, fn(usize, &mut Random) -> bool); 7] {
    [
        ("half at random", |_, random| random.below(2) == 0),
        ("a quarter at random", |_, random| random.below(4) == 0),
        ("three quarters at random", |_, random| random.below(4) != 0),
        ("every second", |i, _| i % 2 == 0),
        ("all but every seventh", |i, _| i % 7 != 0),
        ("more towards the end", |i, random| random.below(4000) < i),
        ("most of the later ones", |i, random| {
            i >= 1300 && random.below(10) != 0
        }),
    ]
}

// Compacts objects of each size, in a pool of their own with `zspages` zspages. The objects moved
// may be at most `most` times the lower bound.
fn compact_each(
    chain: usize,
    sizes: impl Iterator<Item = usize> + Clone,
    zspages: usize,
    most: f64,
) {
    for (pattern, goes) in patterns() {
        let (mut moved, mut fewest) = (0, 0);
        for size in sizes.clone() {
            let _machine = boot(Config {
                pages: 8192,
                ..Config::default()
            });
            let pool = pin_box(Pool::new(c"compaction", chain)).unwrap();
            let mut random = Random::new(size as u64);
            let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
            let count = zspages * usize::from(shape.objs);
            let handles: Vec<Handle> = (0..count)
                .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
                .collect();
            let (gone, kept): (Vec<_>, Vec<_>) = handles
                .into_iter()
                .enumerate()
                .partition(|&(i, _)| goes(i * 4000 / count, &mut random));
            for (_, handle) in gone {
                pool.free(handle).unwrap();
            }
            fewest += fewest_moves(&pool).0;
            let (before, freeable) = (pool.total_pages(), pool.freeable_pages());
            let done = pool.compact();
            assert_eq!(
                done.pages, freeable,
                "{size} bytes, {pattern}, chains of {chain}"
            );
            assert_eq!(pool.total_pages(), before - freeable);
            assert_eq!(pool.freeable_pages(), 0);
            moved += done.objects;
            // A second compaction finds nothing to do.
            assert_eq!(pool.compact(), Default::default());
            for (_, handle) in kept {
                pool.free(handle).unwrap();
            }
        }
        assert!(
            fewest > 0 && moved > 0,
            "chains of {chain}, {pattern}: no objects moved"
        );
        let ratio = moved as f64 / fewest as f64;
        println!("chains of {chain}, {pattern}: moved {moved}, fewest {fewest}, {ratio:.3}");
        assert!(
            ratio <= most,
            "too many moves: chains of {chain}, {pattern}: moved {moved}, fewest {fewest}"
        );
    }
}

#[test]
fn frees_everything_and_moves_little() {
    for chain in [4, 8, 16] {
        let sizes = [56, 200, 504, 1000, 1352, 2000, 2700, 3200];
        compact_each(chain, sizes.into_iter(), 40, 1.07);
    }
}

// In a small pool the last zspage matters more: its objects move to the front, even if most of them
// are at the back.
#[test]
fn moves_little_in_a_small_pool() {
    for (chain, zspages) in [(4, 7), (8, 3), (16, 2), (16, 5), (16, 9)] {
        compact_each(chain, (40..3900).step_by(53), zspages, 1.3);
    }
}

// Frees hundreds of objects, and allocates some, whenever compaction drops the class lock. Whole
// chains of pages become free at once. Compaction must not free them with the lock held, which the
// machine checks.
fn compact_among_others(seed: u64) -> (usize, usize) {
    let _machine = boot(Config {
        pages: 8192,
        ..Config::default()
    });
    let mut random = Random::new(seed);
    let pool = pin_box(Pool::new(c"compaction", 16)).unwrap();
    // With large objects, of which few are freed, the class keeps the pages until it is compacted.
    let size = 700 + random.below(3200);
    let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
    let count = (10 + random.below(50)) * usize::from(shape.objs);
    let mut handles: Vec<Handle> = (0..count)
        .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
        .collect();
    let (of, mut others) = (2 + random.below(30), 0);
    handles.retain(|&handle| {
        let goes = random.below(of) == 0;
        if goes {
            pool.free(handle).unwrap();
        }
        !goes
    });
    let most = 1 + random.below(40);
    let done = sched::with_hook(
        &mut || {
            for _ in 0..random.below(most) {
                others += 1;
                if random.below(3) == 0 {
                    handles.push(pool.malloc(size, Gfp::KERNEL).unwrap());
                    continue;
                }
                // Free neighbours, like a process that exits.
                let start = random.below(handles.len());
                let end = (start + random.below(24)).min(handles.len());
                for handle in handles.drain(start..end) {
                    pool.free(handle).unwrap();
                }
            }
        },
        || pool.compact(),
    );
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0, "seed {seed}");
    for handle in handles {
        pool.free(handle).unwrap();
    }
    (done.pages, others)
}

#[test]
fn concurrent_free_and_malloc() {
    let first = std::env::var("ZS_FIRST_SEED").map_or(0, |seed| seed.parse().unwrap());
    let seeds = std::env::var("ZS_SEEDS").map_or(400, |seeds| seeds.parse().unwrap());
    let (mut pages, mut others) = (0, 0);
    for seed in (first..first + seeds).chain(OVERFLOWING) {
        let done = compact_among_others(seed);
        pages += done.0;
        others += done.1;
    }
    println!("{pages} pages freed, {others} concurrent operations");
    assert!(pages > 100 && others > 10_000);
}

// Compaction drops the class lock for an object that is being read. Each time, others free a whole
// zspage: the source, the destination, or another.
#[test]
fn others_free_whole_zspages_meanwhile() {
    let _machine = boot(Config {
        pages: 8192,
        ..Config::default()
    });
    let pool = pin_box(Pool::new(c"compaction", 16)).unwrap();
    let shape_of = |size| pool.class_stats(pool.lookup_class_index(size)).unwrap().0;
    let size = (2200..4000)
        .map(|size| size * PAGE_SIZE / 4096)
        .find(|&size| shape_of(size).pages == 16 && shape_of(size).objs < 32)
        .unwrap();
    let objs = usize::from(shape_of(size).objs);
    let zspages = 40;
    let mut handles: Vec<Vec<Handle>> = (0..zspages)
        .map(|_| {
            (0..objs)
                .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
                .collect()
        })
        .collect();
    // The emptiest is the source. The fullest of these is the first destination.
    for (n, zspage) in handles.iter_mut().enumerate().take(10) {
        let left = if n == 0 { 1 } else { objs - n };
        zspage
            .drain(left..)
            .for_each(|handle| pool.free(handle).unwrap());
    }
    let reader = handles[0][0];
    let mut copy = vec![0; size];
    // SAFETY: The memory is valid, and only the pool uses it.
    let to = unsafe { Destination::new(NonNull::from(&mut copy[..]).cast(), size) };
    pool.obj_read_begin(reader, size, Some(to)).unwrap();
    // The number of pages each time the lock is dropped.
    let mut pages = Vec::new();
    sched::with_hook(
        &mut || {
            pages.push(pool.total_pages());
            if let Some(zspage) = handles.get_mut(pages.len()).filter(|_| pages.len() < 30) {
                zspage
                    .drain(..)
                    .for_each(|handle| pool.free(handle).unwrap());
            }
        },
        || pool.compact(),
    );
    println!("pages at each drop of the lock: {pages:?}");
    assert!(
        pages.len() >= 30,
        "the lock was dropped {} times",
        pages.len()
    );
    assert!(pages[29] <= pages[0] - 29 * 15, "pages were not freed");
    // SAFETY: The bytes are not used any more.
    unsafe { pool.obj_read_end(reader, "zs_obj_read_end") };
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0);
    handles
        .into_iter()
        .flatten()
        .for_each(|handle| pool.free(handle).unwrap());
    assert_eq!(pool.total_pages(), 0);
}
