// SPDX-License-Identifier: GPL-2.0

//! A mapping is of the CPU that it was made on.

use zsmalloc_host::engine::map::Mapping;

fn elsewhere(_: impl Send) {}

pub fn send(mapping: Mapping<'_>) {
    let _ = &mapping;
    elsewhere(mapping); //~ E0277
    elsewhere(());
}
