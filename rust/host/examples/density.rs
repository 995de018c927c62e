// SPDX-License-Identifier: GPL-2.0

//! What the engine and C zsmalloc take for objects of the sizes of a histogram, with pages of the size
//! of this build. `scripts/bench/page_sizes.py` runs it.
//!
//! ```text
//! density OBJECTS <HISTOGRAM
//! ```
//!
//! The histogram has a line "SIZE COUNT" for each size. The output has a line for each allocator and
//! state of the pool.

use std::io::Read;

use zsmalloc_host::density::{of_c, of_rust, Load};
use zsmalloc_host::sys::page::PAGE_SIZE;

const SEED: u64 = 1;

fn main() {
    let objects = std::env::args().nth(1).and_then(|word| word.parse().ok());
    let objects: usize = objects.expect("usage: density OBJECTS <HISTOGRAM");
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .expect("a histogram on stdin");
    let histogram: Vec<(usize, usize)> = text
        .lines()
        .map(|line| {
            let (size, count) = line.split_once(' ').expect("SIZE COUNT");
            (
                size.parse().expect("a size"),
                count.parse().expect("a count"),
            )
        })
        .collect();
    let load = Load::new(&histogram, objects, SEED);
    for (allocator, states) in [("c", of_c(PAGE_SIZE, &load)), ("rust", of_rust(&load))] {
        for of in states {
            println!(
                "allocator={allocator} state={} page_size={PAGE_SIZE} stored={} pages={} metadata={}",
                of.state, of.stored, of.pages, of.metadata
            );
        }
    }
}
