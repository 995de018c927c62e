// SPDX-License-Identifier: GPL-2.0

//! Fullness groups: how zspages of a class are sorted by the share of their objects in use.
//!
//! The twelve groups are those of the series "zsmalloc: fine-grained fullness and new compaction
//! algorithm" (Linux 6.4): empty, ten steps of ten percent, full.

#![forbid(unsafe_code)]

/// How many groups there are.
pub const NR_GROUPS: usize = 12;

/// A fullness group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(u8);

impl Group {
    /// No object in use (`ZS_INUSE_RATIO_0`).
    pub const EMPTY: Group = Group(0);
    /// The fullest that still has a free object (`ZS_INUSE_RATIO_99`).
    pub const FULLEST: Group = Group(10);
    /// Every object in use (`ZS_INUSE_RATIO_100`).
    pub const FULL: Group = Group(11);

    /// The group of number `n`, counted from the empty one, if there is one.
    pub const fn new(n: usize) -> Option<Group> {
        if n < NR_GROUPS {
            Some(Group(n as u8))
        } else {
            None
        }
    }

    const fn next(self) -> Group {
        Group(self.0.wrapping_add(1))
    }

    /// The bit of the group in a set of groups.
    #[inline]
    pub const fn bit(self) -> u32 {
        1u32.wrapping_shl(self.0 as u32)
    }

    /// What an array by group has for this one.
    #[inline]
    pub fn of<T>(self, by_group: &[T; NR_GROUPS]) -> &T {
        // The number is below the length: this says so to the compiler, which keeps no panic.
        by_group.get(self.number()).unwrap_or(&by_group[0])
    }

    /// The number of the group, below [`NR_GROUPS`].
    #[inline]
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

/// The list that a zspage is on: that of its group, and whether it is among those in front, which
/// have a free slot. Or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed(u8);

impl Listed {
    const HAS_FREE: u8 = 0x10;

    /// On no list.
    pub const NOWHERE: Listed = Listed(u8::MAX);

    /// On the list of `group`.
    #[inline]
    pub const fn on(group: Group, has_free: bool) -> Self {
        Self(group.0 | if has_free { Self::HAS_FREE } else { 0 })
    }

    /// The group whose list it is.
    #[inline]
    pub fn group(self) -> Option<Group> {
        // `NOWHERE` has a number that is no group's.
        Group::new(usize::from(self.0 & !Self::HAS_FREE))
    }

    /// Whether the zspage, which is on a list, had a free slot when it was put there.
    #[inline]
    pub fn has_free(self) -> bool {
        self.0 & Self::HAS_FREE != 0
    }

    /// As a number.
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// From its number.
    #[inline]
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }
}

/// Turns a count of objects into a group without dividing.
#[derive(Clone, Copy, Debug)]
pub struct Grouping {
    objs: u32,
    // Ten divided by `objs`, rounded up, as a binary fraction of 32 bits.
    tenths: u64,
}

impl Grouping {
    /// For zspages that hold `objs` objects, at least one and below 2^16.
    pub const fn new(objs: u16) -> Self {
        let objs = if objs == 0 { 1 } else { objs as u32 };
        Self {
            objs,
            // Not more than 10 * 2^32.
            tenths: match (10u64 << 32).checked_div(objs as u64) {
                Some(tenths) => tenths.wrapping_add(1),
                None => 0,
            },
        }
    }

    /// The group of a zspage with `inuse` objects in use.
    #[inline]
    pub const fn group(&self, inuse: u32) -> Group {
        if inuse == 0 {
            Group::EMPTY
        } else if inuse >= self.objs {
            Group::FULL
        } else {
            // The rounding error is below `inuse / 2^32`, less than the `1 / objs` by which a
            // quotient could be short of the next whole number. Below 10, as `inuse < objs`.
            Group(((inuse as u64).wrapping_mul(self.tenths) >> 32) as u8).next()
        }
    }
}
