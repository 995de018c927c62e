// SPDX-License-Identifier: GPL-2.0

//! The layout of slots, compared with arithmetic on every byte, for every class of every chain
//! limit.
#![cfg(not(loom))]

use zsmalloc_host::engine::geometry::{ClassShape, Geometry, MAX_CHAIN_LIMIT, MIN_CHAIN_LIMIT};
use zsmalloc_host::engine::layout::Layout;
use zsmalloc_host::sys::machine::Random;
use zsmalloc_host::sys::page::PAGE_SIZE;

fn every_shape(mut check: impl FnMut(&ClassShape, &Layout)) {
    for chain in MIN_CHAIN_LIMIT..=MAX_CHAIN_LIMIT {
        for shape in Geometry::new(PAGE_SIZE, chain).classes() {
            check(&shape, &Layout::new(&shape));
        }
    }
}

// Returns the one or two pages of a slot.
fn pages_of(shape: &ClassShape, index: usize) -> std::ops::RangeInclusive<usize> {
    let start = index * shape.size as usize;
    start / PAGE_SIZE..=(start + shape.size as usize - 1) / PAGE_SIZE
}

fn slots_where(shape: &ClassShape, is_so: impl Fn(usize) -> bool) -> Vec<usize> {
    (0..shape.objs.into())
        .filter(|&index| is_so(index))
        .collect()
}

#[test]
fn every_byte_belongs_to_a_slot() {
    every_shape(|shape, layout| {
        let size = shape.size as usize;
        for offset in 0..usize::from(shape.pages) * PAGE_SIZE {
            assert_eq!(layout.index_at(offset), offset / size, "{offset} of {size}");
        }
        for index in 0..=shape.objs.into() {
            assert_eq!(layout.offset(index), index * size);
        }
    });
}

#[test]
fn slots_touch_their_pages() {
    every_shape(|shape, layout| {
        for position in 0..shape.pages.into() {
            let expected = slots_where(shape, |index| pages_of(shape, index).contains(&position));
            let found: Vec<usize> = layout.touching(position).collect();
            assert_eq!(found, expected, "page {position} of {shape:?}");
        }
    });
}

#[test]
fn slots_touch_their_positions() {
    every_shape(|shape, layout| {
        let objs = usize::from(shape.objs);
        for (first, last) in
            (0..objs).flat_map(|first| (first..objs).map(move |last| (first, last)))
        {
            let touched = *pages_of(shape, first).start()..*pages_of(shape, last).end() + 1;
            assert_eq!(layout.positions(&(first..last + 1)), touched, "{shape:?}");
        }
    });
}

#[test]
fn slots_are_backed_by_all_of_their_pages() {
    let mut random = Random::new(1);
    every_shape(|shape, layout| {
        for _ in 0..20 {
            let present = random.below(1 << shape.pages) as u16;
            let is_there = |page: usize| present >> page & 1 != 0;
            for position in (0..shape.pages.into()).filter(|&position| is_there(position)) {
                let expected = slots_where(shape, |index| {
                    let mut pages = pages_of(shape, index);
                    pages.contains(&position) && pages.all(is_there)
                });
                let found: Vec<usize> = layout.backed(position, present).collect();
                assert_eq!(found, expected, "page {position}, {present:#b}, {shape:?}");
            }
        }
    });
}

#[test]
fn nothing_follows_the_last_page() {
    every_shape(|shape, layout| {
        for position in [
            usize::from(shape.pages),
            MAX_CHAIN_LIMIT,
            31,
            32,
            usize::MAX >> 1,
        ] {
            assert!(
                layout.touching(position).is_empty(),
                "page {position} of {shape:?}"
            );
        }
    });
}
