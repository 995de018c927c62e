// SPDX-License-Identifier: GPL-2.0

//! The bug of the fine-grained fullness series: a compaction's source, put back twice.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::hand::InHand;

pub fn put_back(guard: &ClassGuard<'_>, source: InHand<'_>) {
    guard.put(source);
    guard.put(source); //~ E0382
}
