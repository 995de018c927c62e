// SPDX-License-Identifier: GPL-2.0

//! Scatterlists of callers: where the bytes are.

use core::cell::RefCell;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::page::ZsPage;

/// A scatterlist of a caller, with two entries.
#[derive(Default)]
pub struct ScatterList<'a> {
    entries: RefCell<Vec<(NonNull<u8>, usize)>>,
    _list: PhantomData<&'a ()>,
}

impl ScatterList<'_> {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the entries, at most two: a page, an offset in it, and a length in bytes.
    pub fn set(&self, entries: &[(ZsPage<'_>, usize, usize)]) {
        check!(
            (1..=2).contains(&entries.len()),
            "BUG: a list of {} entries",
            entries.len()
        );
        *self.entries.borrow_mut() = entries
            .iter()
            .map(|&(page, offset, len)| (page.map(offset), len))
            .collect();
    }

    /// Returns the address and the length of each entry.
    pub fn entries(&self) -> Vec<(NonNull<u8>, usize)> {
        self.entries.borrow().clone()
    }
}
