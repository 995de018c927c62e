// SPDX-License-Identifier: GPL-2.0

//! The table of a mapping's entry has to exist until the mapping ends.

use zsmalloc_host::sys::atomic::AtomicU64;
use zsmalloc_host::sys::cpu_area::CpuArea;

pub fn keep(area: &CpuArea) {
    let entry = AtomicU64::new(0);
    area.set_entry(&entry, |entry, _| Some(entry)); //~ E0133
    drop(entry);
}
