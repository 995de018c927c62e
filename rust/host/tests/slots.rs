// SPDX-License-Identifier: GPL-2.0

//! The bitmap of slots, compared with a vector of booleans.
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

// Compares all queries for all slots.
fn compare(slots: &SlotMap, taken: &[bool]) {
    for (index, &taken) in taken.iter().enumerate() {
        assert_eq!(slots.is_taken(index), taken, "slot {index}");
    }
    let mut ranges: Vec<usize> = (0..taken.len().min(200)).collect();
    ranges.extend([taken.len() / 2, taken.len() - 1, taken.len()]);
    for &from in &ranges {
        for &end in &ranges {
            let any = (from..end).any(|index| taken[index]);
            assert_eq!(slots.any_taken(from..end), any, "from {from} to {end}");
        }
        let free = (0..from).find(|&index| !taken[index]);
        assert_eq!(slots.take_first_below(from), free, "below {from}");
        if let Some(index) = free {
            assert!(slots.set_free(index), "slot {index} was not taken");
        }
        let last = (0..from).rev().find(|&index| taken[index]);
        assert_eq!(slots.prev_taken(from), last, "before {from}");
    }
}

#[test]
fn no_slot_is_free_at_first() {
    let slots = SlotMap::new();
    compare(&slots, &vec![true; capacity()]);
    assert_eq!(slots.take_first_below(usize::MAX), None);
}

#[test]
fn random_changes() {
    let capacity = capacity();
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let slots = SlotMap::new();
        let mut taken = vec![true; capacity];
        // Some runs use only the first slots.
        let range = [3, 64, 65, 130, capacity][seed as usize % 5].min(capacity);
        for step in 0..600 {
            let index = random.below(range);
            match random.below(5) {
                0 | 1 => assert_eq!(
                    slots.set_free(index),
                    std::mem::replace(&mut taken[index], false)
                ),
                action => {
                    let end = if action == 2 { index } else { usize::MAX };
                    let first = taken.iter().take(end).position(|taken| !taken);
                    assert_eq!(slots.take_first_below(end), first);
                    if let Some(first) = first {
                        taken[first] = true;
                    }
                }
            }
            if step % 100 == 0 {
                compare(&slots, &taken);
            }
        }
        compare(&slots, &taken);
    }
}

#[test]
fn every_pair_of_slots() {
    // Try every pair of free slots in the first words.
    let slots = SlotMap::new();
    for a in (0..capacity()).step_by(3) {
        for b in (a + 1..capacity() - 2).step_by(7) {
            assert!(slots.set_free(a) && slots.set_free(b));
            assert_eq!(slots.take_first_below(a), None);
            assert!(!slots.any_taken(a..a + 1) && !slots.any_taken(b..b + 1));
            assert!(slots.any_taken(a..b + 2));
            assert_eq!(
                slots.prev_taken(b + 1),
                (0..b).rev().find(|&index| index != a)
            );
            assert_eq!(slots.take_first_below(a + 1), Some(a));
            assert_eq!(slots.take_first_below(b), None);
            assert_eq!(slots.take_first_below(capacity()), Some(b));
            assert_eq!(slots.take_first_below(capacity()), None);
        }
    }
}

#[test]
fn slots_out_of_range_are_never_free() {
    let slots = SlotMap::new();
    for index in [1 << 20, usize::MAX] {
        assert!(!slots.set_free(index) && slots.is_taken(index));
    }
    assert_eq!(slots.take_first_below(usize::MAX), None);
}

#[test]
fn a_range_is_taken_as_a_whole() {
    for start in 0..capacity() {
        for end in start + 1..=capacity() {
            let slots = SlotMap::new();
            slots.set_free_range(start..end);
            assert!(!slots.any_taken(start..end), "{start}..{end}");
            // A range next to an allocated slot.
            for range in [
                start.saturating_sub(1)..end,
                start..(end + 1).min(capacity()),
            ] {
                assert_eq!(slots.any_taken(range.clone()), range != (start..end));
            }
            slots.take_range(start..end);
            assert!((0..capacity()).all(|index| slots.is_taken(index)));
        }
    }
}

#[test]
fn ranges_match_their_slots() {
    for start in 0..capacity() {
        for end in start..=capacity() {
            let slots = SlotMap::new();
            let mut taken = vec![true; capacity()];
            slots.set_free_range(start..end);
            taken[start..end].fill(false);
            let middle = (start + end) / 2;
            // Some slots are allocated already.
            if start < middle {
                assert_eq!(slots.take_first_below(middle), Some(start));
                taken[start] = true;
            }
            slots.take_range(0..middle);
            taken[..middle].fill(true);
            for (index, &taken) in taken.iter().enumerate() {
                assert_eq!(slots.is_taken(index), taken, "{start}..{end}: {index}");
            }
        }
    }
}
