// SPDX-License-Identifier: GPL-2.0

//! The same with the lock dropped in between, as in that series.

use zsmalloc_host::engine::class::SizeClass;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn putback_zspage(class: &SizeClass, source: IsolatedZspage<'_>) {
    let guard = class.lock();
    guard.putback_zspage(source);
    drop(guard);
    let guard = class.lock();
    guard.putback_zspage(source); //~ E0382
}
