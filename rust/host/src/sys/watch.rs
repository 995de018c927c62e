// SPDX-License-Identifier: GPL-2.0

//! Lets `loom` see the accesses to bytes of a page.
//!
//! Watching all bytes would take too long. A model names the 4-byte words to watch by their offsets
//! in a page. The first and the last word of each object are enough.

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

/// The watched words of a page.
#[derive(Default)]
pub(super) struct Watched(RefCell<HashMap<usize, UnsafeCell<()>>>);

// SAFETY: All threads of a model run on one thread of the host, and do not switch while the map is
// borrowed.
unsafe impl Sync for Watched {}
// SAFETY: All threads of a model run on one thread of the host.
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
