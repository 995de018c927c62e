// SPDX-License-Identifier: GPL-2.0

//! There is no second mapping without asking the pool.

use zsmalloc_host::engine::map::Mapping;

pub fn double(mapping: Mapping<'_>) {
    drop(mapping.clone()); //~ E0599
    drop(mapping);
}
