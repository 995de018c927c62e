// SPDX-License-Identifier: GPL-2.0

//! The word behind a handle: packing, and each transition of the table in `engine/word.rs`, in a
//! single thread. What threads make of it is for `loom.rs`.
#![cfg(not(loom))]

use zsmalloc_host::engine::geometry::{Geometry, MAX_CHAIN_LIMIT, MAX_CLASSES};
use zsmalloc_host::engine::word::{FreeLink, ObjWord, Place, Refused, GENERATION_BITS};
use zsmalloc_host::sys::atomic::{AtomicU64, Ordering::Relaxed};
use zsmalloc_host::sys::page::{PAGE_SIZE, PFN_BITS};

const MAX_PFN: usize = (1 << PFN_BITS) - 1;

// Values at which a field that is too narrow, or at the wrong place, shows.
fn extremes(max: usize) -> impl Iterator<Item = usize> {
    (0..usize::BITS)
        .map(|bit| 1 << bit)
        .flat_map(|n: usize| [n.wrapping_sub(1), n])
        .chain([max])
        .filter(move |&n| n <= max)
}

fn live(place: Place) -> AtomicU64 {
    let memory = AtomicU64::new(0);
    ObjWord::new(&memory).publish(place);
    memory
}

fn at(pfn: usize) -> Place {
    Place::new(pfn, 8, 3, false, false)
}

fn link() -> FreeLink {
    FreeLink {
        next: 0x89ab_cdef,
        generation: 5,
    }
}

#[test]
fn places_are_packed_and_unpacked() {
    for pfn in extremes(MAX_PFN) {
        for offset in extremes(PAGE_SIZE - 8).filter(|offset| offset % 8 == 0) {
            for class in extremes(MAX_CLASSES - 1) {
                for (spans, huge) in [(false, false), (true, false), (false, true)] {
                    let place = Place::new(pfn, offset, class, spans, huge);
                    assert_eq!(
                        (place.pfn(), place.offset(), place.class()),
                        (pfn, offset, class)
                    );
                    assert_eq!((place.spans(), place.is_huge()), (spans, huge));
                    assert_eq!(place.is_plain(), !spans && !huge);
                    let memory = live(place);
                    let word = ObjWord::new(&memory);
                    assert_eq!(word.place(), Some(place), "live, not free");
                    assert_eq!(word.try_lock(), Ok(place));
                    assert_eq!((word.held_place(), word.place()), (place, Some(place)));
                }
            }
        }
    }
}

#[test]
fn different_objects_are_at_different_places() {
    // All of the largest zspages: every class, every page, every object that begins there.
    let mut places = std::collections::HashSet::new();
    for shape in Geometry::new(PAGE_SIZE, MAX_CHAIN_LIMIT).classes() {
        for index in 0..usize::from(shape.objs) {
            let start = index * shape.size as usize;
            let (page, offset) = (start / PAGE_SIZE, start % PAGE_SIZE);
            let spans = offset + shape.size as usize > PAGE_SIZE;
            let place = Place::new(page, offset, shape.index.into(), spans, shape.is_huge());
            let memory = live(place);
            let bits = memory.load(Relaxed);
            assert!(places.insert(bits), "{place:?}");
        }
    }
}

#[test]
fn links_are_packed_and_unpacked() {
    for next in extremes(u32::MAX as usize) {
        for generation in extremes((1 << GENERATION_BITS) - 1) {
            let link = FreeLink {
                next: next as u32,
                generation: generation as u32,
            };
            let memory = AtomicU64::new(0);
            let word = ObjWord::new(&memory);
            word.relink(link);
            assert_eq!(word.link(), Some(link));
            assert_eq!(word.place(), None);
        }
    }
}

#[test]
fn a_free_word_can_only_be_published() {
    let memory = AtomicU64::new(0);
    let word = ObjWord::new(&memory);
    word.relink(link());
    assert_eq!(word.lock(), Err(Refused::Free));
    assert_eq!(word.try_lock(), Err(Refused::Free));
    assert_eq!(word.retire(at(1), link()), Err(Refused::Free));
    assert_eq!(word.link(), Some(link()), "nothing changed");
    word.publish(at(1));
    assert_eq!((word.place(), word.link()), (Some(at(1)), None));
}

#[test]
fn a_locked_word_waits_for_unlock() {
    let memory = live(at(7));
    let word = ObjWord::new(&memory);
    assert_eq!(word.lock(), Ok(at(7)));
    assert_eq!(word.try_lock(), Err(Refused::Busy));
    assert_eq!(word.retire(at(7), link()), Err(Refused::Busy));
    assert_eq!((word.held_place(), word.place()), (at(7), Some(at(7))));
    assert_eq!(word.link(), None);
    word.unlock(at(8));
    assert_eq!(word.place(), Some(at(8)));
    assert_eq!(word.lock(), Ok(at(8)));
    assert_eq!(word.unlock_in_place(), at(8));
    assert_eq!(word.try_lock(), Ok(at(8)));
}

#[test]
fn only_the_place_it_is_at_retires_a_word() {
    let memory = live(at(7));
    let word = ObjWord::new(&memory);
    let elsewhere = [
        at(8),
        Place::new(7, 16, 3, false, false),
        Place::new(7, 8, 4, false, false),
        Place::new(7, 8, 3, true, false),
        Place::new(7, 8, 3, false, true),
    ];
    for place in elsewhere {
        assert_eq!(word.retire(place, link()), Err(Refused::Moved));
        assert_eq!(word.place(), Some(at(7)));
    }
    assert_eq!(word.retire(at(7), link()), Ok(()));
    assert_eq!(word.link(), Some(link()));
    assert_eq!(word.retire(at(7), link()), Err(Refused::Free));
}
