// SPDX-License-Identifier: GPL-2.0

//! What made the compaction of March 2023 put a zspage back twice, done to this one: in the middle
//! of a compaction, with the class lock let go, somebody fills, empties, frees and refills what it
//! works on. Documentation/list-corruption.rst has the story. That a second put-back does not
//! compile is in `compile_fail/put_twice.rs` and `put_twice_after_unlock.rs`.
#![cfg(not(loom))]

use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::machine::{boot, Config};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::sched;

const ZSPAGES: usize = 6;
// Of the class that is compacted, few and many in a zspage; of another one.
const SIZES: [usize; 3] = [3200, 1000, 100];
const OTHER_SIZE: usize = 600;

struct Stage<'a> {
    pool: &'a Pool,
    size: usize,
    objects: Vec<Handle>,
}

impl<'a> Stage<'a> {
    // Zspages of which a part is in use, so that there is something to compact.
    fn new(pool: &'a Pool, size: usize) -> Self {
        let index = pool.lookup_class_index(size);
        let per_zspage = usize::from(pool.class_stats(index).unwrap().0.objs);
        let mut stage = Self {
            pool,
            size,
            objects: Vec::new(),
        };
        for _ in 0..ZSPAGES * per_zspage {
            stage.store(size);
        }
        let mut number = 0;
        let all = core::mem::take(&mut stage.objects);
        for handle in all {
            let zspage = number / per_zspage;
            // Two of five stay, of the first one four of five.
            if number % 5 < if zspage == 0 { 4 } else { 2 } {
                stage.objects.push(handle);
            } else {
                stage.pool.free(handle).unwrap();
            }
            number += 1;
        }
        stage
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

    // --- what the other one does, as the scenes of scripts/list-corruption ---

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

type Act = for<'a> fn(&mut Stage<'a>);

// Compacts, and lets `act` happen in the window of that number. Whether there was one.
fn play(size: usize, window: usize, act: Act) -> bool {
    let machine = boot(Config {
        pages: 256,
        ..Config::default()
    });
    let pool = pin_box(Pool::new(c"race", 8)).unwrap();
    let mut stage = Stage::new(&pool, size);
    assert!(pool.freeable_pages() > 0);
    let mut seen = 0;
    sched::with_hook(
        &mut || {
            if seen == window {
                act(&mut stage);
            }
            seen += 1;
        },
        || pool.compact(),
    );
    stage.check();
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0);
    stage.check();
    stage.empty();
    assert_eq!((pool.total_pages(), machine.zs_pages()), (0, 0));
    assert!(machine.take_reports().is_empty());
    seen > window
}

#[test]
fn a_compaction_is_not_confused_by_what_happens_while_it_lets_go() {
    let acts: [(&str, Act); 5] = [
        ("fill", |stage| stage.fill()),
        ("empty", |stage| stage.empty()),
        ("empty_and_reuse", |stage| stage.empty_and_reuse()),
        ("empty_and_refill", |stage| stage.empty_and_refill()),
        ("compact", |stage| stage.compact()),
    ];
    let mut total = 0;
    for size in SIZES {
        for (name, act) in acts {
            let windows = (0..).take_while(|&window| play(size, window, act)).count();
            assert!(windows > 1, "{name}, {size} bytes");
            total += windows;
        }
    }
    println!("{total} windows");
}
