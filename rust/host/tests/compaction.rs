// SPDX-License-Identifier: GPL-2.0

//! How much compaction frees, and how many objects it moves for that: all that can be freed, and
//! hardly more than the fewest.
//!
//! The fewest: of `Z` zspages of `n` objects, with `u` in use altogether, `Z - ceil(u / n)` are
//! not needed. Whichever these are, all their objects have to move, so it is the emptiest ones that
//! cost least. Then the last zspage may have to move its own to its front, to free pages of it.
#![cfg(not(loom))]

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::model::fewest_moves;
use zsmalloc_host::sys::machine::{boot, Config, Random};
use zsmalloc_host::sys::prelude::*;

// Which objects go, by number.
fn patterns() -> [(&'static str, fn(usize, &mut Random) -> bool); 6] {
    [
        ("a half at random", |_, random| random.below(2) == 0),
        ("a quarter at random", |_, random| random.below(4) == 0),
        ("three quarters at random", |_, random| random.below(4) != 0),
        ("every second", |i, _| i % 2 == 0),
        ("all but every seventh", |i, _| i % 7 != 0),
        ("more and more", |i, random| random.below(4000) < i),
    ]
}

#[test]
fn all_is_freed_and_hardly_more_than_needed_is_moved() {
    const OBJECTS: usize = 4000;
    let mut worst = 0f64;
    for chain in [4, 8, 16] {
        for (pattern, goes) in patterns() {
            let (mut moved, mut fewest, mut own) = (0, 0, 0);
            for size in [56, 200, 504, 1000, 1352, 2000, 2700, 3200] {
                let _machine = boot(Config {
                    pages: 8192,
                    ..Config::default()
                });
                let pool = pin_box(Pool::new(c"compaction", chain)).unwrap();
                let mut random = Random::new(size as u64);
                let count = OBJECTS.min(800 * 4096 / size);
                let handles: Vec<Handle> = (0..count)
                    .map(|_| pool.malloc(size, Gfp::KERNEL).unwrap())
                    .collect();
                let (gone, kept): (Vec<_>, Vec<_>) = handles
                    .into_iter()
                    .enumerate()
                    .partition(|&(i, _)| goes(i * OBJECTS / count, &mut random));
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
                let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
                own += usize::from(shape.objs);
                // Nothing is left to do.
                assert_eq!(pool.compact(), Default::default());
                for (_, handle) in kept {
                    pool.free(handle).unwrap();
                }
            }
            let ratio = moved as f64 / fewest.max(1) as f64;
            println!("chains of {chain}, {pattern}: moved {moved}, fewest {fewest}, {ratio:.3}");
            worst = worst.max((moved.saturating_sub(own)) as f64 / fewest.max(1) as f64);
            assert!(
                moved as f64 <= fewest as f64 * 1.01 + own as f64,
                "chains of {chain}, {pattern}: moved {moved}, fewest {fewest}"
            );
        }
    }
    println!("at most {worst:.3} of the fewest, but for the last zspage of each class");
}
