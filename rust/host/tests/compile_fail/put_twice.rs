// SPDX-License-Identifier: GPL-2.0
// E0382
use zsmalloc_host::engine::{class::SizeClass, zspage::Zspage};
use zsmalloc_host::sys::prelude::Gfp;

// The bug of 2023: a source that was put back, and then put back again.
pub fn compaction(class: &SizeClass) {
    let source = Zspage::alloc(class, Gfp::KERNEL).unwrap();
    class.lock().put(source);
    class.lock().put(source); // offending
}
