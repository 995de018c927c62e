// SPDX-License-Identifier: GPL-2.0

//! A mapping ends once.

use zsmalloc_host::engine::map::Mapping;

pub fn unmap(mapping: Mapping<'_>) {
    drop(mapping);
    drop(mapping); //~ E0382
}
