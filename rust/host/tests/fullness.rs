// SPDX-License-Identifier: GPL-2.0

//! Fullness groups, compared with a division.
#![cfg(not(loom))]

use zsmalloc_host::engine::fullness::{Group, Grouping, NR_GROUPS};

// get_fullness_group()
fn model(objs: u32, inuse: u32) -> usize {
    match inuse {
        0 => 0,
        n if n >= objs => 11,
        n => (100 * n / objs / 10 + 1) as usize,
    }
}

#[test]
fn every_count_gets_the_group_of_c() {
    for objs in 1..=4096u16 {
        let grouping = Grouping::new(objs);
        for inuse in 0..=u32::from(objs) + 1 {
            let group = grouping.group(inuse);
            assert_eq!(
                group.number(),
                model(objs.into(), inuse),
                "{inuse} of {objs}"
            );
        }
    }
}

#[test]
fn the_largest_zspages_too() {
    for objs in [4097, 8192, 12345, 32767, 32768, 65535u16] {
        let grouping = Grouping::new(objs);
        for inuse in 0..=u32::from(objs) {
            assert_eq!(
                grouping.group(inuse).number(),
                model(objs.into(), inuse),
                "{inuse} of {objs}"
            );
        }
    }
}

#[test]
fn groups_have_numbers() {
    for n in 0..NR_GROUPS {
        assert_eq!(Group::new(n).unwrap().number(), n);
    }
    for n in [NR_GROUPS, NR_GROUPS + 1, 255, 256, 257, usize::MAX] {
        assert_eq!(Group::new(n), None);
    }
    assert_eq!(Group::new(0), Some(Group::EMPTY));
    assert_eq!(Group::new(NR_GROUPS - 1), Some(Group::FULL));
}

#[test]
fn a_zspage_without_objects_is_no_panic() {
    assert_eq!(Grouping::new(0).group(0), Group::EMPTY);
    assert_eq!(Grouping::new(0).group(1), Group::FULL);
}
