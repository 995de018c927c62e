// SPDX-License-Identifier: GPL-2.0

//! Reproduces what made the compaction of March 2023 put a zspage back twice. While a compaction
//! has dropped the class lock, the test fills, empties, frees and reuses the zspages it works on.
//! Documentation/list-corruption.rst explains the bug. `compile_fail/put_twice.rs` and
//! `put_twice_after_unlock.rs` show that a second putback does not compile.
#![cfg(not(loom))]

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::machine::{boot, Config};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::sched;

const ZSPAGES: usize = 6;
// Classes to compact, with few and with many objects in a zspage.
const SIZES: [usize; 3] = [3200, 1000, 100];
const OTHER_SIZE: usize = 600;

struct Case<'a> {
    pool: &'a Pool,
    size: usize,
    objects: Vec<Handle>,
}

impl<'a> Case<'a> {
    // Creates partly filled zspages, so that there is something to compact.
    fn new(pool: &'a Pool, size: usize) -> Self {
        let index = pool.lookup_class_index(size);
        let per_zspage = usize::from(pool.class_stats(index).unwrap().0.objs);
        let mut case = Self {
            pool,
            size,
            objects: Vec::new(),
        };
        for _ in 0..ZSPAGES * per_zspage {
            case.store(size);
        }
        let mut number = 0;
        let all = core::mem::take(&mut case.objects);
        for handle in all {
            let zspage = number / per_zspage;
            // Keep two objects of five, and four of five in the first zspage.
            if number % 5 < if zspage == 0 { 4 } else { 2 } {
                case.objects.push(handle);
            } else {
                case.pool.free(handle).unwrap();
            }
            number += 1;
        }
        case
    }

    fn store(&mut self, size: usize) {
        let handle = self.pool.malloc(size, Gfp::ZRAM).unwrap();
        let mut mapping = self.pool.map(handle, MapMode::WriteOnly).unwrap();
        let bytes = &mut mapping.bytes_mut().unwrap()[..8];
        bytes.copy_from_slice(&(handle.into_raw()).to_le_bytes());
        drop(mapping);
        self.objects.push(handle);
    }

    fn check(&self) {
        for &handle in &self.objects {
            let mapping = self.pool.map(handle, MapMode::ReadOnly).unwrap();
            assert_eq!(
                mapping.bytes()[..8],
                (handle.into_raw()).to_le_bytes(),
                "object {handle:?}"
            );
        }
    }

    // What the other CPU does. `scripts/list-corruption` has the same cases.

    fn fill(&mut self) {
        for _ in 0..self.objects.len() {
            self.store(self.size);
        }
    }

    fn empty(&mut self) {
        for handle in self.objects.drain(..) {
            self.pool.free(handle).unwrap();
        }
    }

    fn empty_and_reuse(&mut self) {
        self.empty();
        for _ in 0..40 {
            self.store(OTHER_SIZE);
        }
    }

    fn empty_and_refill(&mut self) {
        self.empty();
        self.fill();
        for _ in 0..40 {
            self.store(self.size);
        }
    }

    fn compact(&mut self) {
        self.pool.compact();
    }
}

type Act = for<'a> fn(&mut Case<'a>);

// Compacts, and calls `act` when the compaction drops the lock for the `window`th time. Returns
// false if it does not drop the lock that often.
fn run_case(size: usize, window: usize, act: Act) -> bool {
    let machine = boot(Config {
        pages: 256,
        ..Config::default()
    });
    let pool = pin_box(Pool::new(c"race", 8)).unwrap();
    let mut case = Case::new(&pool, size);
    assert!(pool.freeable_pages() > 0);
    let mut seen = 0;
    sched::with_hook(
        &mut || {
            if seen == window {
                act(&mut case);
            }
            seen += 1;
        },
        || pool.compact(),
    );
    case.check();
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0);
    case.check();
    case.empty();
    assert_eq!((pool.total_pages(), machine.zs_pages()), (0, 0));
    assert!(machine.take_reports().is_empty());
    seen > window
}

#[test]
fn compaction_survives_changes_while_unlocked() {
    let acts: [(&str, Act); 5] = [
        ("fill", |case| case.fill()),
        ("empty", |case| case.empty()),
        ("empty_and_reuse", |case| case.empty_and_reuse()),
        ("empty_and_refill", |case| case.empty_and_refill()),
        ("compact", |case| case.compact()),
    ];
    let mut total = 0;
    for size in SIZES {
        for (name, act) in acts {
            let windows = (0..)
                .take_while(|&window| run_case(size, window, act))
                .count();
            assert!(windows > 1, "{name}, {size} bytes");
            total += windows;
        }
    }
    println!("{total} windows");
}
