// SPDX-License-Identifier: GPL-2.0

//! The memory that pools take, with pages of 4, 16 and 64 KiB: less than in C.
#![cfg(not(loom))]

use zsmalloc_host::c_zsmalloc::{self, shapes, CPool};
use zsmalloc_host::density::{of_c, of_rust, Load, Memory};
use zsmalloc_host::slab_cache::SlabCache;
use zsmalloc_host::sys::page::PAGE_SIZE;

// As many bytes as 100,000 objects with pages of 4 KiB.
const LARGE: usize = 100_000 * 4096 / PAGE_SIZE;

// The made-up sizes of `scripts/bench`: all that compressed equally often, and 7 % of pages that did
// not get smaller.
fn mixed(page_size: usize) -> Vec<(usize, usize)> {
    let sizes = 32..page_size / 4096 * 3600;
    let incompressible = sizes.len() * 7;
    sizes
        .map(|size| (size, 93))
        .chain([(page_size, incompressible)])
        .collect()
}

// Returns the excess of both in each state: fresh, freed, five seconds later, compacted.
fn excess(objects: usize) -> [[f64; 4]; 2] {
    let load = Load::new(&mixed(PAGE_SIZE), objects, 1);
    let of = |states: Vec<Memory>| std::array::from_fn(|n| states[n].excess());
    [of_c(PAGE_SIZE, &load), of_rust(&load)].map(of)
}

#[test]
fn a_large_pool_has_half_the_excess_of_c() {
    let [c, rust] = excess(LARGE);
    for (state, most) in [(0, 0.52), (1, 0.85), (2, 0.1), (3, 0.6)] {
        let (c, rust) = (c[state], rust[state]);
        assert!(
            rust <= c * most,
            "state {state}: {rust} is more than {most} of {c}"
        );
    }
}

#[test]
fn a_small_pool_has_half_the_excess_of_c() {
    let [c, rust] = excess(1000);
    for (c, rust) in c.into_iter().zip(rust) {
        assert!(rust <= c / 2.0, "{rust} is more than half of {c}");
    }
}

// Zspages of `mm/zsmalloc.c` with chains of eight pages of 4 KiB, as its debugfs file says.
#[test]
fn c_has_these_classes() {
    let shapes = shapes(4096, c_zsmalloc::CHAIN_SIZE);
    assert_eq!(shapes.len(), 255);
    let of = |request| {
        let shape = shapes[c_zsmalloc::size_index(4096, request)];
        (shape.size, shape.pages, shape.objs)
    };
    assert_eq!(of(24), (32, 1, 128));
    assert_eq!(of(25), (48, 3, 256));
    assert_eq!(of(2000), (2048, 1, 2));
    assert_eq!(of(3624), (3632, 8, 9));
    // The first size with a page for itself.
    assert_eq!(of(3625), (4096, 1, 1));
    assert_eq!(of(4096), (4096, 1, 1));
    assert_eq!(CPool::new(4096, c_zsmalloc::CHAIN_SIZE).classes(), 119);
}

// What `make bench` measured in the kernel, of 100,000 objects: 3.5 % fresh, 126 % after 60 % were
// freed and 5.8 % after compaction.
#[test]
fn c_takes_what_was_measured() {
    let states = of_c(4096, &Load::new(&mixed(4096), 100_000, 1));
    for (state, measured) in [(0, 0.0352), (1, 1.259), (3, 0.0576)] {
        let excess = states[state].excess();
        assert!(
            (excess - measured).abs() < measured * 0.03,
            "{excess}, measured {measured}"
        );
    }
}

#[test]
fn a_slab_goes_with_its_last_object() {
    let mut cache = SlabCache::new(4096, 1024);
    (0..9).for_each(|name| cache.allocate(name));
    assert_eq!(cache.pages(), 3);
    for name in [1, 5, 6, 7] {
        cache.free(name);
    }
    assert_eq!(cache.pages(), 3);
    cache.free(4);
    assert_eq!(cache.pages(), 2);
    // Into the current slab, then into the other.
    (10..14).for_each(|name| cache.allocate(name));
    assert_eq!(cache.pages(), 2);
    cache.allocate(14);
    assert_eq!(cache.pages(), 3);
}
