// SPDX-License-Identifier: GPL-2.0

//! Fullness groups: zspages of a class sorted by the share of their objects in use.
//!
//! The twelve groups follow the series "zsmalloc: fine-grained fullness and new compaction
//! algorithm" (Linux 6.4): empty, ten steps of ten percent, full.

#![forbid(unsafe_code)]

/// Number of fullness groups.
pub const NR_GROUPS: usize = 12;

/// A fullness group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(u8);

impl Group {
    /// No object in use (`ZS_INUSE_RATIO_0`).
    pub const EMPTY: Group = Group(0);
    /// Every object in use (`ZS_INUSE_RATIO_100`).
    pub const FULL: Group = Group(11);

    /// Returns group `n`, counted from the empty group.
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

    /// Returns the bit of the group in a bitmap of groups.
    #[inline]
    pub const fn bit(self) -> u32 {
        1u32.wrapping_shl(self.0 as u32)
    }

    /// Returns the element of a per-group array for this group.
    #[inline]
    pub fn of<T>(self, by_group: &[T; NR_GROUPS]) -> &T {
        // `number` is below `NR_GROUPS`. The fallback keeps a panic out of the object code.
        by_group.get(self.number()).unwrap_or(&by_group[0])
    }

    /// Returns the number of the group, below [`NR_GROUPS`].
    #[inline]
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

/// The list that a zspage is on: its fullness group, and whether it went to the front because it
/// had a free slot. [`Listed::NOWHERE`] for an isolated zspage.
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

    /// Returns the group, or `None` for [`Listed::NOWHERE`].
    #[inline]
    pub fn group(self) -> Option<Group> {
        // The number in `NOWHERE` is no group.
        Group::new(usize::from(self.0 & !Self::HAS_FREE))
    }

    /// Returns whether the zspage had a free slot when it went on the list.
    #[inline]
    pub fn has_free(self) -> bool {
        self.0 & Self::HAS_FREE != 0
    }

    /// Converts to a number.
    #[inline]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Converts from a number that [`Listed::number`] returned.
    #[inline]
    pub const fn from_number(number: u8) -> Self {
        Self(number)
    }
}

/// Converts a count of objects to a group without a division.
#[derive(Clone, Copy, Debug)]
pub struct Grouping {
    objs: u32,
    // Ten divided by `objs`, rounded up, as a 32-bit binary fraction.
    tenths: u64,
}

impl Grouping {
    /// For zspages of `objs` objects, from 1 to 2^16 - 1.
    pub const fn new(objs: u16) -> Self {
        let objs = if objs == 0 { 1 } else { objs as u32 };
        Self {
            objs,
            // At most 10 * 2^32.
            tenths: match (10u64 << 32).checked_div(objs as u64) {
                Some(tenths) => tenths.wrapping_add(1),
                None => 0,
            },
        }
    }

    /// Returns the group of a zspage with `inuse` objects in use.
    #[inline]
    pub const fn group(&self, inuse: u32) -> Group {
        if inuse == 0 {
            Group::EMPTY
        } else if inuse >= self.objs {
            Group::FULL
        } else {
            // The rounding error is below `inuse / 2^32`. That is less than `1 / objs`, the
            // smallest distance of a quotient to the next integer. The result is below 10, as
            // `inuse < objs`.
            Group(((inuse as u64).wrapping_mul(self.tenths) >> 32) as u8).next()
        }
    }
}
