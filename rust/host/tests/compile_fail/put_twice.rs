// SPDX-License-Identifier: GPL-2.0

//! The bug of the fine-grained fullness series: compaction put its source back twice.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn putback_zspage(guard: &ClassGuard<'_>, source: IsolatedZspage<'_>) {
    guard.putback_zspage(source);
    guard.putback_zspage(source); //~ E0382
}
