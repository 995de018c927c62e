// SPDX-License-Identifier: GPL-2.0

//! What pools of the engine, with the pages of this build, and of C zsmalloc take for the same objects.

use super::c_zsmalloc::{self, CPool};
use super::engine::geometry::DEFAULT_CHAIN_LIMIT;
use super::engine::handle_table::Handle;
use super::engine::pool::Pool;
use super::sys::machine::{boot, Config, Random};
use super::sys::page::PAGE_SIZE;
use super::sys::prelude::*;

/// Of ten objects, how many are freed.
const FREED: usize = 6;

/// What a pool takes at one time.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// When.
    pub state: &'static str,
    /// Bytes of the objects.
    pub stored: usize,
    /// Bytes of pages with objects.
    pub pages: usize,
    /// Bytes of handles, of zspages and their slabs.
    pub metadata: usize,
}

impl Memory {
    /// Returns how much more than the objects this is, in parts of them.
    pub fn excess(&self) -> f64 {
        (self.pages + self.metadata) as f64 / self.stored as f64 - 1.0
    }
}

/// A sequence of sizes, and which of the objects are freed.
pub struct Load {
    sizes: Vec<usize>,
    freed: Vec<usize>,
}

impl Load {
    /// Draws `count` sizes from a histogram of `(size, count)`, and which are freed.
    pub fn new(histogram: &[(usize, usize)], count: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut total = 0;
        let ends: Vec<usize> = histogram
            .iter()
            .map(|&(_, count)| {
                total += count;
                total
            })
            .collect();
        let sizes = (0..count)
            .map(|_| {
                let at = random.below(total);
                histogram[ends.partition_point(|&end| end <= at)].0
            })
            .collect();
        // In random order, as in the kernel's bench.
        let mut freed: Vec<usize> = (0..count).collect();
        for n in (1..count).rev() {
            freed.swap(n, random.below(n + 1));
        }
        freed.truncate(count / 10 * FREED);
        Self { sizes, freed }
    }

    fn stored(&self) -> usize {
        self.sizes.iter().sum()
    }

    fn left(&self) -> usize {
        let freed: usize = self.freed.iter().map(|&n| self.sizes[n]).sum();
        self.stored() - freed
    }
}

/// Fills a pool of C zsmalloc, frees, and compacts.
pub fn of_c(page_size: usize, load: &Load) -> Vec<Memory> {
    let mut pool = CPool::new(page_size, c_zsmalloc::CHAIN_SIZE);
    let memory = |pool: &CPool, state, stored| Memory {
        state,
        stored,
        pages: pool.total_pages() * page_size,
        metadata: pool.metadata_pages() * page_size,
    };
    let handles: Vec<usize> = load.sizes.iter().map(|&size| pool.malloc(size)).collect();
    let mut states = vec![memory(&pool, "fresh", load.stored())];
    for &n in &load.freed {
        pool.free(handles[n]);
    }
    states.push(memory(&pool, "freed", load.left()));
    // C has no background.
    states.push(memory(&pool, "later", load.left()));
    pool.compact();
    states.push(memory(&pool, "compacted", load.left()));
    states
}

/// Fills a pool of the engine, frees, lets five seconds pass, and compacts.
pub fn of_rust(load: &Load) -> Vec<Memory> {
    let machine = boot(Config {
        // A fresh pool takes less than half more than its objects and a page for each class.
        pages: load.stored() / PAGE_SIZE * 3 / 2 + 1024,
        ..Config::default()
    });
    let pool = pin_box(Pool::new(c"density", DEFAULT_CHAIN_LIMIT)).expect("memory");
    let memory = |state, stored| Memory {
        state,
        stored,
        pages: pool.total_pages() * PAGE_SIZE,
        metadata: pool.handle_pages() * 4096 + machine.slab_pages() * PAGE_SIZE,
    };
    let mut handles: Vec<Option<Handle>> = load
        .sizes
        .iter()
        .map(|&size| pool.malloc(size, Gfp::KERNEL).ok())
        .collect();
    let mut states = vec![memory("fresh", load.stored())];
    machine.set_proactiveness(80);
    for &n in &load.freed {
        let handle = handles[n].take().expect("memory");
        pool.free(handle).expect("an object");
    }
    states.push(memory("freed", load.left()));
    machine.pass(5000);
    states.push(memory("later", load.left()));
    pool.compact();
    states.push(memory("compacted", load.left()));
    for handle in handles.into_iter().flatten() {
        pool.free(handle).expect("an object");
    }
    machine.set_proactiveness(0);
    machine.run_work();
    states
}
