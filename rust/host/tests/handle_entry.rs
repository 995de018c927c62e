// SPDX-License-Identifier: GPL-2.0

//! The entry of a handle: its encoding, and each transition in `engine/handle_entry.rs`, on a
//! single thread. `loom.rs` tests threads.
#![cfg(not(loom))]

use std::collections::HashSet;

use zsmalloc_host::engine::geometry::{Geometry, MAX_CHAIN_LIMIT};
use zsmalloc_host::engine::handle_entry::{
    FreeLink, Generation, HandleEntry, ObjLocation, Refused, GENERATION_BITS, MAX_READERS,
};
use zsmalloc_host::sys::atomic::{AtomicU64, Ordering::Relaxed};
use zsmalloc_host::sys::page::{PAGE_SIZE, PFN_BITS};

const MAX_PFN: usize = (1 << PFN_BITS) - 1;

// Returns values that reveal a field that is too narrow or overlaps another.
fn extremes(max: usize) -> impl Iterator<Item = usize> {
    (0..usize::BITS)
        .map(|bit| 1 << bit)
        .flat_map(|n: usize| [n.wrapping_sub(1), n])
        .chain([max])
        .filter(move |&n| n <= max)
}

fn generation() -> Generation {
    Generation::nth(5)
}

fn live(location: ObjLocation) -> AtomicU64 {
    let memory = AtomicU64::new(0);
    HandleEntry::new(&memory).record_obj(location, generation());
    memory
}

fn at(pfn: usize) -> ObjLocation {
    ObjLocation::new(pfn, 8, false, false)
}

fn link() -> FreeLink {
    FreeLink {
        // Has none of the bits of the state.
        next: 0x89ab_cde8,
        generation: generation(),
    }
}

#[test]
fn locations_are_packed_and_unpacked() {
    for pfn in extremes(MAX_PFN) {
        for offset in extremes(PAGE_SIZE - 8).filter(|offset| offset % 8 == 0) {
            for n in extremes((1 << GENERATION_BITS) - 1) {
                // What spans pages does not begin one, and what is huge does.
                for (spans, huge) in [(false, false), (offset != 0, offset == 0)] {
                    let generation = Generation::nth(n as u32);
                    let location = ObjLocation::new(pfn, offset, spans, huge);
                    assert_eq!((location.pfn(), location.offset()), (pfn, offset));
                    assert_eq!((location.spans(), location.is_huge()), (spans, huge));
                    let memory = AtomicU64::new(0);
                    let entry = HandleEntry::new(&memory);
                    entry.record_obj(location, generation);
                    assert_eq!(entry.location(), Some(location), "the entry is live");
                    if spans || huge {
                        assert!(entry.try_read_lock_plain(generation).is_err());
                    } else {
                        assert_eq!(entry.try_read_lock_plain(generation), Ok(location));
                        assert_eq!(entry.held_location(), location);
                        assert_eq!(entry.read_unlock(generation), Ok(()));
                    }
                    for _ in 0..MAX_READERS {
                        assert_eq!(entry.read_lock(generation), Ok(location));
                        assert_eq!(entry.held_location(), location);
                    }
                    assert_eq!(entry.read_lock(generation), Err(Refused::Full));
                    for _ in 0..MAX_READERS {
                        assert_eq!(entry.read_unlock(generation), Ok(()));
                        assert_eq!(entry.location(), Some(location));
                    }
                    assert!(entry.read_unlock(generation).is_err());
                    assert_eq!(entry.try_lock(generation), Ok(location));
                    assert_eq!(
                        (entry.held_location(), entry.location()),
                        (location, Some(location))
                    );
                }
            }
        }
    }
}

#[test]
fn different_objects_have_different_locations() {
    // Every shape of the largest zspages, every page, every object that begins on it.
    for shape in Geometry::new(PAGE_SIZE, MAX_CHAIN_LIMIT).classes() {
        let mut locations = HashSet::new();
        for index in 0..usize::from(shape.objs) {
            let start = index * shape.size as usize;
            let (page, offset) = (start / PAGE_SIZE, start % PAGE_SIZE);
            let spans = offset + shape.size as usize > PAGE_SIZE;
            let location = ObjLocation::new(page, offset, spans, shape.is_huge());
            let memory = live(location);
            let bits = memory.load(Relaxed);
            assert!(locations.insert(bits), "{location:?}");
        }
    }
}

#[test]
fn links_are_packed_and_unpacked() {
    for next in extremes(u32::MAX as usize) {
        for generation in extremes((1 << GENERATION_BITS) - 1) {
            let link = FreeLink {
                next: next as u32,
                generation: Generation::nth(generation as u32),
            };
            let memory = AtomicU64::new(0);
            let entry = HandleEntry::new(&memory);
            entry.relink(link);
            assert_eq!(entry.link(), Some(link));
            assert_eq!(entry.location(), None);
        }
    }
}

#[test]
fn generations_rise_and_skip_zero() {
    let first = generation();
    let (mut at, mut seen) = (first, HashSet::new());
    for n in 0..(1 << GENERATION_BITS) - 1 {
        assert_ne!(at.bits(), 0);
        assert!(seen.insert(at), "generation {n} came twice");
        at = at.next().unwrap_or(Generation::FIRST);
    }
    assert_eq!(at, first, "the generations do not start again");
}

#[test]
fn a_free_entry_cannot_be_locked() {
    let memory = AtomicU64::new(0);
    let entry = HandleEntry::new(&memory);
    entry.relink(link());
    assert_eq!(entry.read_lock(generation()), Err(Refused::Free));
    assert_eq!(entry.read_unlock(generation()), Err(Refused::Free));
    assert_eq!(entry.try_lock(generation()), Err(Refused::Free));
    assert_eq!(entry.try_lock_to_move(at(1)), Err(Refused::Moved));
    assert_eq!(entry.link(), Some(link()), "the entry changed");
    entry.record_obj(at(1), generation());
    assert_eq!((entry.location(), entry.link()), (Some(at(1)), None));
}

#[test]
fn only_bits_of_the_generation_are_compared() {
    let memory = AtomicU64::new(0);
    let entry = HandleEntry::new(&memory);
    let others = [0, 1, 2, 47, 62, 63];
    for bits in others.map(|bit| 1 << bit).into_iter().chain([3 << 62 | 7]) {
        let generation = Generation::of(generation().bits() | bits);
        entry.relink(link());
        assert_eq!(entry.try_lock(generation), Err(Refused::Free), "{bits:#x}");
        entry.record_obj(at(1), generation);
        assert_eq!(entry.read_lock(generation), Ok(at(1)), "{bits:#x}");
        assert_eq!(entry.read_unlock(generation), Ok(()), "{bits:#x}");
        assert_eq!(entry.try_lock(generation), Ok(at(1)));
        assert_eq!(entry.try_lock(generation), Err(Refused::Busy), "{bits:#x}");
        entry.unlock();
        assert_eq!(entry.try_lock_to_move(at(1)), Ok(()));
        assert_eq!(
            entry.try_lock(generation),
            Err(Refused::Moving),
            "{bits:#x}"
        );
    }
}

#[test]
fn readers_share_an_entry() {
    let memory = live(at(7));
    let entry = HandleEntry::new(&memory);
    let before = memory.load(Relaxed);
    for readers in 1..=MAX_READERS {
        assert_eq!(entry.read_lock(generation()), Ok(at(7)));
        let refused = entry.try_lock(generation());
        assert_eq!(refused, Err(Refused::Busy), "{readers} readers");
        assert_eq!(entry.try_lock_to_move(at(7)), Err(Refused::Busy));
        assert_eq!((entry.location(), entry.link()), (Some(at(7)), None));
    }
    for left in (0..MAX_READERS).rev() {
        assert_eq!(entry.read_unlock(generation()), Ok(()));
        let free = entry.try_lock(generation()).is_ok();
        assert_eq!(free, left == 0, "{left} readers");
    }
    entry.unlock();
    assert_eq!(memory.load(Relaxed), before);
    assert_eq!(entry.read_unlock(generation()), Err(Refused::Busy));
    assert_eq!(memory.load(Relaxed), before, "a reader too few");
}

#[test]
fn only_a_reader_can_end() {
    let memory = live(at(7));
    let entry = HandleEntry::new(&memory);
    assert_eq!(entry.try_lock(generation()), Ok(at(7)));
    assert_eq!(entry.read_unlock(generation()), Err(Refused::Busy));
    entry.unlock();
    assert_eq!(entry.try_lock_to_move(at(7)), Ok(()));
    assert_eq!(entry.read_unlock(generation()), Err(Refused::Moving));
    entry.moved_to(at(8));
    assert_eq!(entry.read_lock(generation()), Ok(at(8)));
    assert!(entry.read_unlock_held());
    assert!(!entry.read_unlock_held(), "a reader too few");
    assert_eq!(entry.read_lock(generation()), Ok(at(8)));
    let stale = Generation::nth(6);
    assert_eq!(entry.read_unlock(stale), Err(Refused::Stale));
    assert_eq!(entry.read_unlock(generation()), Ok(()));
}

#[test]
fn a_locked_entry_waits_for_unlock() {
    let memory = live(at(7));
    let entry = HandleEntry::new(&memory);
    assert_eq!(entry.try_lock(generation()), Ok(at(7)));
    assert!(entry.try_read_lock_plain(generation()).is_err());
    assert_eq!(entry.try_lock(generation()), Err(Refused::Busy));
    assert_eq!(entry.try_lock_to_move(at(7)), Err(Refused::Busy));
    assert_eq!(
        (entry.held_location(), entry.location()),
        (at(7), Some(at(7)))
    );
    assert_eq!(entry.link(), None);
    assert_eq!(entry.unlock(), at(7));
    assert_eq!(entry.try_lock(generation()), Ok(at(7)));
}

#[test]
fn a_move_marks_the_entry() {
    let memory = live(at(7));
    let entry = HandleEntry::new(&memory);
    assert_eq!(entry.try_lock_to_move(at(7)), Ok(()));
    assert_eq!(entry.try_lock(generation()), Err(Refused::Moving));
    assert_eq!(entry.try_lock_to_move(at(7)), Err(Refused::Busy));
    assert_eq!(entry.location(), Some(at(7)));
    entry.moved_to(at(8));
    assert_eq!(entry.location(), Some(at(8)));
    assert_eq!(
        entry.read_lock(generation()),
        Ok(at(8)),
        "the generation is the same"
    );
}

#[test]
fn only_a_live_entry_can_be_moved() {
    let memory = live(at(7));
    let entry = HandleEntry::new(&memory);
    let elsewhere = [
        at(8),
        ObjLocation::new(7, 16, false, false),
        ObjLocation::new(7, 8, true, false),
        ObjLocation::new(7, 8, false, true),
    ];
    for location in elsewhere {
        assert_eq!(entry.try_lock_to_move(location), Err(Refused::Moved));
        assert_eq!(entry.location(), Some(at(7)));
    }
}

#[test]
fn a_stale_handle_locks_nothing() {
    let memory = live(at(7));
    let entry = HandleEntry::new(&memory);
    let before = memory.load(Relaxed);
    // Flip each bit that is compared.
    let first = Generation::FIRST.bits().trailing_zeros();
    for bit in first..first + GENERATION_BITS {
        let stale = Generation::of(generation().bits() ^ 1 << bit);
        assert_eq!(entry.read_lock(stale), Err(Refused::Stale), "bit {bit}");
        assert_eq!(entry.try_lock(stale), Err(Refused::Stale));
        assert_eq!(memory.load(Relaxed), before);
    }
}
