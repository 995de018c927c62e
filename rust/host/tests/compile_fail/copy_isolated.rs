// SPDX-License-Identifier: GPL-2.0

//! An isolated zspage has one owner.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn putback_zspage(guard: &ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    guard.putback_zspage(isolated.clone()); //~ E0599
    guard.putback_zspage(isolated);
}
