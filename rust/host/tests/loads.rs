// SPDX-License-Identifier: GPL-2.0

//! Loads that nobody has, or that somebody chooses to hurt: nothing degrades beyond what design.rst
//! states.
//!
//! `ZS_LOAD=500 cargo test --release --test loads` lets the two tests that count rounds go on for
//! 500 times as many: a million and a half pools, and a billion allocations.
#![cfg(not(loom))]

use zsmalloc_host::engine::geometry::{class_delta, zspage_size, MAX_CLASSES};
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::machine::{boot, Booted, Config};
use zsmalloc_host::sys::page::PAGE_SIZE;
use zsmalloc_host::sys::prelude::*;

fn machine() -> Booted {
    boot(Config {
        pages: 16384,
        ..Config::default()
    })
}

fn pool() -> PinBox<Pool> {
    pin_box(Pool::new(c"loads", 16)).unwrap()
}

// How many times the usual number of rounds.
fn load() -> usize {
    match std::env::var("ZS_LOAD") {
        Ok(times) => times.parse().expect("ZS_LOAD is not a number"),
        Err(_) => 1,
    }
}

fn fill(pool: &Pool, sizes: impl Iterator<Item = usize>) -> Vec<Handle> {
    sizes
        .map(|size| pool.malloc(size, Gfp::KERNEL).unwrap())
        .collect()
}

// Metadata of the objects, without what an empty pool has.
fn metadata(pool: &Pool, empty: usize) -> usize {
    pool.metadata_bytes() - empty
}

#[test]
fn incompressible_pages() {
    let _machine = machine();
    let pool = pool();
    let empty = pool.metadata_bytes();
    let handles = fill(&pool, std::iter::repeat_n(PAGE_SIZE, 8000));
    // A page for each, an entry of eight bytes, and a zspage.
    assert_eq!(pool.total_pages(), 8000);
    let metadata = metadata(&pool, empty);
    println!("{metadata} bytes of metadata for 8000 pages");
    let each = 8 + zspage_size(PAGE_SIZE);
    assert!(metadata <= 8000 * each + 2 * 4096, "{metadata} bytes");
    assert_eq!(pool.compact().objects, 0);
    for handle in handles {
        pool.free(handle).unwrap();
    }
    assert_eq!((pool.total_pages(), pool.freeable_pages()), (0, 0));
}

#[test]
fn nothing_but_the_smallest() {
    let _machine = machine();
    let pool = pool();
    let empty = pool.metadata_bytes();
    let count = 200_000;
    let handles = fill(&pool, std::iter::repeat_n(1, count));
    let smallest = pool.class_stats(pool.lookup_class_index(1)).unwrap().0.size as usize;
    // Each takes a slot of the smallest class and an entry.
    let bytes = pool.total_pages() * PAGE_SIZE;
    let metadata = metadata(&pool, empty);
    println!("{count} objects in {bytes} bytes, {metadata} of metadata");
    assert!(bytes <= count * smallest * 101 / 100, "{bytes} bytes");
    assert!(metadata <= count * 9, "{metadata} bytes of metadata");
    for handle in handles.iter().step_by(2) {
        pool.free(*handle).unwrap();
    }
    pool.compact();
    let bytes = pool.total_pages() * PAGE_SIZE;
    assert!(bytes <= count / 2 * smallest * 101 / 100, "{bytes} bytes");
    for handle in handles.iter().skip(1).step_by(2) {
        pool.free(*handle).unwrap();
    }
}

#[test]
fn one_object_of_each_class() {
    let _machine = machine();
    let pool = pool();
    let handles = fill(&pool, (1..=PAGE_SIZE).step_by(class_delta(PAGE_SIZE)));
    let shapes = (0..MAX_CLASSES).filter_map(|index| pool.class_stats(index));
    let classes = shapes.count();
    let used = pool.classes().filter(|class| class.pages() != 0).count();
    println!("{used} of {classes} classes, {} pages", pool.total_pages());
    assert!(used > classes - 5, "{used} of {classes} classes");
    // Classes that stand for several sizes have more than one object.
    assert!(handles.len() <= 2 * used && pool.total_pages() <= handles.len());
    assert_eq!(pool.compact().pages, 0);
    for handle in handles {
        pool.free(handle).unwrap();
    }
    assert_eq!(pool.total_pages(), 0);
}

#[test]
fn pools_come_and_go() {
    let machine = machine();
    let pools = 3000 * load();
    for n in 0..pools {
        let pool = pool();
        let handle = pool.malloc(1 + n % PAGE_SIZE, Gfp::KERNEL).unwrap();
        pool.free(handle).unwrap();
        drop(pool);
        assert_eq!(
            (machine.used_pages(), machine.slabs(), machine.tables()),
            (0, 0, 0)
        );
    }
    println!("{pools} pools");
}

// A handle stays valid however often others come and go, and the table does not grow.
#[test]
fn handles_outlive_generations() {
    let _machine = machine();
    let pool = pool();
    let sizes = [100, 1000, 4096];
    let kept = sizes.map(|size| {
        let handle = pool.malloc(size, Gfp::KERNEL).unwrap();
        let mut mapping = pool.map(handle, MapMode::WriteOnly).unwrap();
        mapping.bytes_mut().unwrap()[..8].copy_from_slice(&(size as u64).to_ne_bytes());
        drop(mapping);
        handle
    });
    let mut seen = std::collections::HashSet::new();
    let rounds = 2_000_000 * load();
    for n in 0..rounds {
        let size = sizes[n % 3];
        let handle = pool.malloc(size, Gfp::KERNEL).unwrap();
        assert!(!kept.contains(&handle));
        if n % (997 * load()) == 0 {
            seen.insert(handle);
        }
        pool.free(handle).unwrap();
    }
    // Entries are used 16,383 times each.
    assert!(seen.len() > 1900, "{} different handles", seen.len());
    println!(
        "{rounds} allocations, {} pages of the handle table",
        pool.handle_pages()
    );
    assert!(pool.handle_pages() <= 3, "{} pages", pool.handle_pages());
    for (size, handle) in sizes.into_iter().zip(kept) {
        let mapping = pool.map(handle, MapMode::ReadOnly).unwrap();
        assert_eq!(mapping.bytes()[..8], (size as u64).to_ne_bytes());
        drop(mapping);
        pool.free(handle).unwrap();
    }
}
