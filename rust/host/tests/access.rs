// SPDX-License-Identifier: GPL-2.0

//! Reading and writing of objects without mapping them: what is lent, copied and refused.
#![cfg(not(loom))]

use core::ptr::NonNull;

use zsmalloc_host::engine::events::BadHandle;
use zsmalloc_host::engine::geometry::HANDLE_SIZE;
use zsmalloc_host::engine::handle_entry::MAX_READERS;
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::sys::atomic::Ordering::Relaxed;
use zsmalloc_host::sys::buffer::{Destination, Source};
use zsmalloc_host::sys::cpu_area::{on_cpu, preempt_depth};
use zsmalloc_host::sys::machine::{boot, Booted, Config, Placement};
use zsmalloc_host::sys::mm;
use zsmalloc_host::sys::page::PAGE_SIZE;
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::report::Report;
use zsmalloc_host::sys::scatterlist::ScatterList;

fn pool() -> PinBox<Pool> {
    pin_box(Pool::new(c"pool", 8)).unwrap()
}

fn pattern(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (number * 31 + i * 7) as u8).collect()
}

fn store(pool: &Pool, size: usize, number: usize) -> Handle {
    let handle = pool.malloc(size, Gfp::ZRAM).unwrap();
    assert!(write(pool, handle, &pattern(number, size)));
    handle
}

fn write(pool: &Pool, handle: Handle, bytes: &[u8]) -> bool {
    // SAFETY: The memory is valid, and nobody writes it.
    pool.obj_write(handle, unsafe {
        Source::new(NonNull::from(bytes).cast(), bytes.len())
    })
}

fn begin(pool: &Pool, handle: Handle, len: usize, copy: Option<&mut [u8]>) -> Option<NonNull<u8>> {
    // SAFETY: The memory is valid, and only the pool uses it.
    let copy =
        copy.map(|copy| unsafe { Destination::new(NonNull::from(&mut *copy).cast(), copy.len()) });
    pool.obj_read_begin(handle, len, copy)
}

fn end(pool: &Pool, handle: Handle) {
    // SAFETY: The bytes are not used any more. Where a test ends a read that was not begun, nobody
    // else reads the object.
    unsafe { pool.obj_read_end(handle, "zs_obj_read_end") };
}

fn bytes<'a>(start: NonNull<u8>, len: usize) -> &'a [u8] {
    // SAFETY: Callers pass bytes that are being read.
    unsafe { std::slice::from_raw_parts(start.as_ptr(), len) }
}

// Reads an object, and compares it.
fn check(pool: &Pool, handle: Handle, expected: &[u8]) {
    let mut copy = vec![0; expected.len()];
    let start = begin(pool, handle, expected.len(), Some(&mut copy)).unwrap();
    assert!(bytes(start, expected.len()) == expected);
    end(pool, handle);
}

// Expects one report, with a handle and the call that it was passed to.
fn reported(machine: &Booted, wanted: Handle, called: &str) {
    let reports = machine.take_reports();
    let [Report::BadHandle {
        pool, handle, call, ..
    }] = &reports[..]
    else {
        panic!("{reports:?}");
    };
    assert_eq!(
        (pool.as_str(), *handle, call.as_str()),
        ("pool", wanted.into_raw(), called)
    );
}

// Returns how often objects of all sizes were lent in a page, lent across two pages, and copied.
fn lent_and_copied(placement: Placement) -> [usize; 3] {
    let _machine = boot(Config {
        pages: 20_000,
        placement,
        ..Config::default()
    });
    let pool = pool();
    let mut counts = [0; 3];
    let sizes = (1..=PAGE_SIZE).step_by(61).chain([4088, 4089, 4092, 4096]);
    for size in sizes {
        let handles: Vec<_> = (0..24).map(|i| store(&pool, size, i)).collect();
        for (i, &handle) in handles.iter().enumerate() {
            let expected = pattern(i, size);
            let mut copy = vec![0; size];
            let buffer = NonNull::from(&mut copy[..]).cast();
            let start = begin(&pool, handle, size, Some(&mut copy)).unwrap();
            assert!(bytes(start, size) == expected);
            let list = ScatterList::new();
            assert!(pool.obj_read_sg_begin(handle, size, &list));
            let entries = list.entries();
            let joined: Vec<u8> = entries
                .iter()
                .flat_map(|&(start, len)| bytes(start, len))
                .copied()
                .collect();
            assert!(joined == expected);
            // What is copied is in two parts, and nothing else.
            assert_eq!(entries.len(), 1 + usize::from(start == buffer));
            let offset = entries[0].0.as_ptr() as usize % PAGE_SIZE;
            counts[match () {
                () if start == buffer => 2,
                () if offset + size > PAGE_SIZE => 1,
                () => 0,
            }] += 1;
            if size == PAGE_SIZE {
                assert_eq!((offset, entries.len()), (0, 1));
            }
            end(&pool, handle);
            end(&pool, handle);
            check(&pool, handle, &expected);
            pool.free(handle).unwrap();
        }
    }
    counts
}

#[test]
fn only_a_torn_object_is_copied() {
    let [lent, across, copied] = lent_and_copied(Placement::Scattered);
    println!("{lent} lent, {across} of them across pages, {copied} copied");
    assert!(lent > 500 && copied > 200, "{lent} {copied}");
    let [lent, across, copied] = lent_and_copied(Placement::Packed);
    println!("neighbours: {lent} lent, {across} across pages, {copied} copied");
    assert!(lent > 500 && across > 200, "{lent} {across}");
}

#[test]
fn a_wrong_length_is_refused() {
    let machine = boot(Config::default());
    let pool = pool();
    for size in [40, 3000, 4096] {
        let handle = store(&pool, size, 1);
        let (shape, _) = pool.class_stats(pool.lookup_class_index(size)).unwrap();
        let most = shape.size as usize - if shape.is_huge() { 0 } else { HANDLE_SIZE };
        let mut copy = vec![0; most + 1];
        for len in [0, most + 1, PAGE_SIZE + 1, usize::MAX] {
            let from = vec![0xff; len.min(PAGE_SIZE + 1)];
            let buffer = NonNull::from(&mut copy[..]).cast();
            // SAFETY: The pool refuses the length, so it uses none of the memory.
            let buffer = Some(unsafe { Destination::new(buffer, len) });
            assert_eq!(pool.obj_read_begin(handle, len, buffer), None);
            reported(&machine, handle, "zs_obj_read_begin");
            assert!(!pool.obj_read_sg_begin(handle, len, &ScatterList::new()));
            reported(&machine, handle, "zs_obj_read_sg_begin");
            assert!(!write(&pool, handle, &from));
            reported(&machine, handle, "zs_obj_write");
        }
        check(&pool, handle, &pattern(1, size));
        pool.free(handle).unwrap();
    }
}

#[test]
fn a_torn_object_needs_a_buffer() {
    let machine = boot(Config::default());
    let pool = pool();
    let size = 3000 * PAGE_SIZE / 4096;
    let handles: Vec<_> = (0..8).map(|i| store(&pool, size, i)).collect();
    let mut torn = 0;
    for (i, &handle) in handles.iter().enumerate() {
        let mut short = vec![0; size - 1];
        for copy in [None, Some(&mut short[..])] {
            match begin(&pool, handle, size, copy) {
                Some(start) => {
                    assert!(bytes(start, size) == pattern(i, size));
                    end(&pool, handle);
                }
                None => {
                    reported(&machine, handle, "zs_obj_read_begin");
                    torn += 1;
                }
            }
        }
        // Nobody is left as a reader.
        pool.free(handle).unwrap();
    }
    assert!(torn >= 2, "no object was torn");
    assert_eq!(torn % 2, 0, "a buffer that is too short was used");
}

#[test]
fn a_read_that_was_not_begun_cannot_end() {
    let machine = boot(Config::default());
    let pool = pool();
    let (a, b) = (store(&pool, 100, 1), store(&pool, 100, 2));
    end(&pool, a);
    reported(&machine, a, "zs_obj_read_end");
    begin(&pool, a, 100, None).unwrap();
    end(&pool, b);
    reported(&machine, b, "zs_obj_read_end");
    end(&pool, a);
    end(&pool, a);
    reported(&machine, a, "zs_obj_read_end");
    pool.free(a).unwrap();
    end(&pool, a);
    reported(&machine, a, "zs_obj_read_end");
    let none = Handle::from_raw(0x1230);
    end(&pool, none);
    reported(&machine, none, "zs_obj_read_end");
    check(&pool, b, &pattern(2, 100));
    pool.free(b).unwrap();
}

#[test]
fn what_is_read_is_neither_freed_nor_moved() {
    let machine = boot(Config::default());
    let pool = pool();
    let handles: Vec<_> = (0..1000).map(|i| store(&pool, 500, i)).collect();
    let (kept, freed): (Vec<_>, Vec<_>) = handles.iter().enumerate().partition(|(i, _)| i % 4 == 0);
    for (_, &handle) in freed {
        pool.free(handle).unwrap();
    }
    // One object of each eighth is read, so that sources and destinations have some.
    let reads: Vec<_> = kept
        .iter()
        .step_by(8)
        .map(|&(i, &handle)| {
            let mut copy = vec![0; 500];
            let start = begin(&pool, handle, 500, Some(&mut copy)).unwrap();
            assert_eq!(preempt_depth(), 0, "a reader may sleep");
            (i, handle, start, copy)
        })
        .collect();
    let done = pool.compact();
    assert!(done.objects > 0, "compaction moved nothing at all");
    assert!(pool.events().objects_busy.load(Relaxed) > 0);
    let mut refused = 0;
    for page in mm::movable_pages() {
        refused += usize::from(mm::migrate(page).unwrap().is_err());
    }
    assert!(refused > 0, "all pages were migrated");
    for (i, handle, start, copy) in &reads {
        assert_eq!(pool.free(*handle), Err(BadHandle::Mapped));
        reported(&machine, *handle, "zs_free");
        assert!(bytes(*start, 500) == pattern(*i, 500), "bytes moved");
        assert!(copy[..] == pattern(*i, 500)[..] || *start != NonNull::from(&copy[..]).cast());
        end(&pool, *handle);
    }
    pool.compact();
    assert_eq!(pool.freeable_pages(), 0, "compaction did not come back");
    for (i, &handle) in kept {
        check(&pool, handle, &pattern(i, 500));
        pool.free(handle).unwrap();
    }
}

#[test]
fn readers_share_objects_and_cpus() {
    let _machine = boot(Config::default());
    let pool = pool();
    let handles: Vec<_> = (0..8).map(|i| store(&pool, 3000, i)).collect();
    // All on this CPU, and each twice.
    let mut reads = Vec::new();
    for turn in 0..2 {
        for (i, &handle) in handles.iter().enumerate() {
            let mut copy = vec![0; 3000];
            let start = begin(&pool, handle, 3000, Some(&mut copy)).unwrap();
            reads.push((turn, i, start, copy));
        }
    }
    for (_, i, start, _) in &reads {
        assert!(bytes(*start, 3000) == pattern(*i, 3000));
    }
    // They may end on another CPU.
    for (_, i, _, _) in reads {
        on_cpu(1, || end(&pool, handles[i]));
    }
    for handle in handles {
        pool.free(handle).unwrap();
    }
}

#[test]
fn a_reader_too_many_waits_for_one() {
    let machine = boot(Config::default());
    let pool = pool();
    let handle = store(&pool, 100, 1);
    for _ in 0..MAX_READERS {
        begin(&pool, handle, 100, None).unwrap();
    }
    std::thread::scope(|scope| {
        let machine = machine.share();
        let pool = &pool;
        let waiter = scope.spawn(move || {
            let _entered = machine.enter();
            check(pool, handle, &pattern(1, 100));
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiter.is_finished(), "there was room for another reader");
        end(pool, handle);
        waiter.join().unwrap();
    });
    for _ in 1..MAX_READERS {
        end(&pool, handle);
    }
    pool.free(handle).unwrap();
    assert_eq!(machine.take_reports(), []);
}

#[test]
fn a_write_leaves_the_rest() {
    let _machine = boot(Config::default());
    let pool = pool();
    let mut across = 0;
    for size in [40, 100, 3000, 3700, 4096].map(|size| size * PAGE_SIZE / 4096) {
        let handles: Vec<_> = (0..9).map(|i| store(&pool, size, i)).collect();
        for (i, &handle) in handles.iter().enumerate() {
            let mut expected = pattern(i, size);
            for len in [1, 7, size / 2, size - 1, size] {
                let new = pattern(i + len, len);
                assert!(write(&pool, handle, &new));
                expected[..len].copy_from_slice(&new);
                check(&pool, handle, &expected);
            }
            let list = ScatterList::new();
            assert!(pool.obj_read_sg_begin(handle, size, &list));
            across += list.entries().len() - 1;
            end(&pool, handle);
        }
        for (i, &handle) in handles.iter().enumerate() {
            // A write to one has not changed another, nor a handle.
            check(&pool, handle, &pattern(i + size, size));
            pool.free(handle).unwrap();
        }
    }
    assert!(across > 0, "no object spanned pages");
}
