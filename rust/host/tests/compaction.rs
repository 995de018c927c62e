// SPDX-License-Identifier: GPL-2.0

//! How much compaction frees, and how many objects it moves for that: all that can be freed, and
//! hardly more than the fewest.
//!
//! The fewest: what is left of `u` objects in zspages of `n` are `u / n` full zspages and a run of
//! pages of one more. Of the full ones all objects stay, so the fullest will be these; of the one
//! more, those that are on the run; every other object moves.
#![cfg(not(loom))]

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::model::fewest_moves;
use zsmalloc_host::sys::machine::{boot, Config, Random};
use zsmalloc_host::sys::prelude::*;

// Which objects go, by number of 4,000.
fn patterns() -> [(&'static str, fn(usize, &mut Random) -> bool); 7] {
    [
        ("a half at random", |_, random| random.below(2) == 0),
        ("a quarter at random", |_, random| random.below(4) == 0),
        ("three quarters at random", |_, random| random.below(4) != 0),
        ("every second", |i, _| i % 2 == 0),
        ("all but every seventh", |i, _| i % 7 != 0),
        ("more and more", |i, random| random.below(4000) < i),
        ("most of the younger", |i, random| {
            i >= 1300 && random.below(10) != 0
        }),
    ]
}

// Objects of each size in a pool of its own, in `zspages` zspages: compacts, and compares what that
// moved with the fewest, of which it may be so many times as many.
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
            fewest += fewest_moves().0;
            let (before, freeable) = (pool.total_pages(), pool.freeable_pages());
            let done = pool.compact();
            assert_eq!(
                done.pages, freeable,
                "{size} bytes, {pattern}, chains of {chain}"
            );
            assert_eq!(pool.total_pages(), before - freeable);
            assert_eq!(pool.freeable_pages(), 0);
            moved += done.objects;
            // Nothing is left to do.
            assert_eq!(pool.compact(), Default::default());
            for (_, handle) in kept {
                pool.free(handle).unwrap();
            }
        }
        let ratio = moved as f64 / fewest.max(1) as f64;
        println!("chains of {chain}, {pattern}: moved {moved}, fewest {fewest}, {ratio:.3}");
        assert!(
            ratio <= most,
            "too many: chains of {chain}, {pattern}: moved {moved}, fewest {fewest}"
        );
    }
}

#[test]
fn all_is_freed_and_hardly_more_than_needed_is_moved() {
    for chain in [4, 8, 16] {
        let sizes = [56, 200, 504, 1000, 1352, 2000, 2700, 3200];
        compact_each(chain, sizes.into_iter(), 40, 1.01);
    }
}

// Where the last zspage of a class is much of it. With nine there are more to choose from than are
// looked at.
#[test]
fn nor_in_a_small_pool() {
    for (chain, zspages) in [(4, 7), (8, 3), (16, 2), (16, 5), (16, 9)] {
        compact_each(chain, (40..3900).step_by(53), zspages, 1.01);
    }
}
