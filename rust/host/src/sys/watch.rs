// SPDX-License-Identifier: GPL-2.0

//! Lets `loom` see who uses which bytes of a page.
//!
//! Watching all would take for ever. A model says which words of a page, of four bytes, it cares
//! for, as offsets into it: those that an object begins and ends with are enough.

use core::cell::{Cell, RefCell};
use std::collections::HashMap;

use loom::cell::UnsafeCell;

use super::raw_page::Access;

thread_local! {
    static OFFSETS: Cell<&'static [usize]> = const { Cell::new(&[]) };
}

/// Watches the words at these offsets of each page that is allocated from now on.
pub fn watch(offsets: &'static [usize]) {
    OFFSETS.set(offsets);
}

/// The words of a page that are watched.
#[derive(Default)]
pub(super) struct Watched(RefCell<HashMap<usize, UnsafeCell<()>>>);

// SAFETY: All threads of a model run on one thread of the host, and do not switch inside.
unsafe impl Sync for Watched {}
// SAFETY: As above.
unsafe impl Send for Watched {}

impl Watched {
    pub(super) fn begin(&self) {
        let cells = OFFSETS
            .get()
            .iter()
            .map(|&offset| (offset, UnsafeCell::new(())));
        *self.0.borrow_mut() = cells.collect();
    }

    pub(super) fn touch(&self, access: Access, offset: usize, len: usize) {
        for (&word, cell) in self.0.borrow().iter() {
            if word + 4 > offset && word < offset + len {
                match access {
                    Access::Read => cell.with(|_| ()),
                    Access::Write => cell.with_mut(|_| ()),
                }
            }
        }
    }
}
