// SPDX-License-Identifier: GPL-2.0

//! How many pages a slab cache takes for the objects that it has.
//!
//! As SLUB does it on one CPU: objects come from the current slab, then from one with a free object,
//! then from a new one. A slab goes with its last object. SLUB keeps a few empty ones per cache, which
//! are not counted here.

use std::collections::HashMap;

struct Slab {
    used: usize,
    // Whether it is in `partial`.
    listed: bool,
}

/// A slab cache with slabs of one page.
pub struct SlabCache {
    per_slab: usize,
    slabs: Vec<Slab>,
    // Slabs with free objects, but for the current one. May name some that have been filled or freed.
    partial: Vec<usize>,
    current: Option<usize>,
    slab_of: HashMap<usize, usize>,
    pages: usize,
}

impl SlabCache {
    /// Creates a cache for objects of `size` bytes.
    pub fn new(page_size: usize, size: usize) -> Self {
        Self {
            per_slab: page_size / size,
            slabs: Vec::new(),
            partial: Vec::new(),
            current: None,
            slab_of: HashMap::new(),
            pages: 0,
        }
    }

    /// Returns the number of pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    fn has_room(&self, slab: usize) -> bool {
        (1..self.per_slab).contains(&self.slabs[slab].used)
    }

    /// Allocates an object, which the caller names. No two that exist have the same name.
    pub fn allocate(&mut self, name: usize) {
        let mut current = self.current.filter(|&slab| self.has_room(slab));
        while current.is_none() {
            let Some(slab) = self.partial.pop() else {
                break;
            };
            self.slabs[slab].listed = false;
            current = self.has_room(slab).then_some(slab);
        }
        let slab = current.unwrap_or_else(|| {
            self.pages += 1;
            self.slabs.push(Slab {
                used: 0,
                listed: false,
            });
            self.slabs.len() - 1
        });
        self.current = Some(slab);
        self.slabs[slab].used += 1;
        assert!(self.slab_of.insert(name, slab).is_none(), "{name} exists");
    }

    /// Frees the object.
    pub fn free(&mut self, name: usize) {
        let slab = self.slab_of.remove(&name).expect("a slab object");
        let of = &mut self.slabs[slab];
        of.used -= 1;
        if of.used == 0 {
            self.pages -= 1;
        } else if !of.listed && self.current != Some(slab) {
            of.listed = true;
            self.partial.push(slab);
        }
    }
}
