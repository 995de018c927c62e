// SPDX-License-Identifier: GPL-2.0

//! What was freed does not go on a list.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn free(guard: &ClassGuard<'_>, isolated: IsolatedZspage<'_>) {
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { isolated.release() };
    guard.putback_zspage(isolated); //~ E0382
}
