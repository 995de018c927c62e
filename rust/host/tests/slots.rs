// SPDX-License-Identifier: GPL-2.0

//! The bitmap of slots, against a vector of booleans.
#![cfg(not(loom))]

use zsmalloc_host::engine::geometry::{Geometry, MAX_CHAIN_LIMIT, MIN_CHAIN_LIMIT};
use zsmalloc_host::engine::slots::SlotMap;
use zsmalloc_host::sys::machine::Random;
use zsmalloc_host::sys::page::PAGE_SIZE;

fn capacity() -> usize {
    let objs = (MIN_CHAIN_LIMIT..=MAX_CHAIN_LIMIT).flat_map(|chain| {
        Geometry::new(PAGE_SIZE, chain)
            .classes()
            .map(|shape| usize::from(shape.objs))
            .collect::<Vec<_>>()
    });
    objs.max().unwrap()
}

// All questions, at all places.
fn compare(slots: &SlotMap, closed: &[bool]) {
    for (index, &closed) in closed.iter().enumerate() {
        assert_eq!(slots.is_closed(index), closed, "slot {index}");
    }
    let mut ranges: Vec<usize> = (0..closed.len().min(200)).collect();
    ranges.extend([closed.len() / 2, closed.len() - 1, closed.len()]);
    for &from in &ranges {
        for &end in &ranges {
            let any = (from..end).any(|index| closed[index]);
            assert_eq!(slots.any_closed(from..end), any, "from {from} to {end}");
            let open = (from..end).find(|&index| !closed[index]);
            assert_eq!(slots.first_open_in(from..end), open, "from {from} to {end}");
        }
        let last = (0..from).rev().find(|&index| closed[index]);
        assert_eq!(slots.prev_closed(from), last, "before {from}");
    }
}

#[test]
fn all_are_closed_at_first() {
    let slots = SlotMap::new();
    compare(&slots, &vec![true; capacity()]);
    assert_eq!(slots.close_first(), None);
}

#[test]
fn random_changes() {
    let capacity = capacity();
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let slots = SlotMap::new();
        let mut closed = vec![true; capacity];
        // Few slots or many: an index is drawn from the front only, in some runs.
        let range = [3, 64, 65, 130, capacity][seed as usize % 5].min(capacity);
        for step in 0..600 {
            let index = random.below(range);
            match random.below(5) {
                0 | 1 => assert_eq!(
                    slots.open(index),
                    std::mem::replace(&mut closed[index], false)
                ),
                2 => assert_eq!(
                    slots.close(index),
                    !std::mem::replace(&mut closed[index], true)
                ),
                _ => {
                    let first = closed.iter().position(|closed| !closed);
                    assert_eq!(slots.close_first(), first);
                    if let Some(first) = first {
                        closed[first] = true;
                    }
                }
            }
            if step % 100 == 0 {
                compare(&slots, &closed);
            }
        }
        compare(&slots, &closed);
    }
}

#[test]
fn every_pair_of_slots() {
    // Two open slots anywhere in the first words, and everything that can be asked of them.
    let slots = SlotMap::new();
    for a in (0..capacity()).step_by(3) {
        for b in (a + 1..capacity() - 2).step_by(7) {
            assert!(slots.open(a) && slots.open(b));
            assert_eq!(slots.first_open_in(0..capacity()), Some(a));
            assert!(!slots.any_closed(a..a + 1) && !slots.any_closed(b..b + 1));
            assert!(slots.any_closed(a..b + 2));
            assert_eq!(
                slots.prev_closed(b + 1),
                (0..b).rev().find(|&index| index != a)
            );
            assert_eq!(slots.close_first(), Some(a));
            assert_eq!(slots.close_first(), Some(b));
            assert_eq!(slots.close_first(), None);
        }
    }
}

#[test]
fn what_does_not_exist_is_closed_and_stays_so() {
    let slots = SlotMap::new();
    for index in [1 << 20, usize::MAX] {
        assert!(!slots.open(index) && !slots.close(index) && slots.is_closed(index));
    }
    assert_eq!(slots.first_open_in(0..usize::MAX), None);
}

#[test]
fn open_slots_close_all_or_none() {
    for start in 0..capacity() {
        for end in start + 1..=capacity() {
            let slots = SlotMap::new();
            slots.open_range(start..end);
            let mut closed = vec![true; capacity()];
            closed[start..end].fill(false);
            // With a neighbour that is closed.
            for range in [
                start.saturating_sub(1)..end,
                start..(end + 1).min(capacity()),
            ] {
                if range != (start..end) {
                    assert!(
                        !slots.close_open(range.clone()),
                        "{range:?} of {start}..{end}"
                    );
                }
                for (index, &closed) in closed.iter().enumerate() {
                    assert_eq!(slots.is_closed(index), closed, "{range:?}: {index}");
                }
            }
            assert!(slots.close_open(start..end));
            assert!((0..capacity()).all(|index| slots.is_closed(index)));
        }
    }
}

#[test]
fn ranges_open_and_close_as_their_slots_do() {
    for start in 0..capacity() {
        for end in start..=capacity() {
            let slots = SlotMap::new();
            let mut closed = vec![true; capacity()];
            slots.open_range(start..end);
            closed[start..end].fill(false);
            let middle = (start + end) / 2;
            // Some are closed already.
            if start < middle {
                assert!(slots.close(start));
                closed[start] = true;
            }
            slots.close_range(0..middle);
            closed[..middle].fill(true);
            for (index, &closed) in closed.iter().enumerate() {
                assert_eq!(slots.is_closed(index), closed, "{start}..{end}: {index}");
            }
        }
    }
}
