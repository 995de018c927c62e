// SPDX-License-Identifier: GPL-2.0

//! Giving way to others.

use crate::bindings;

/// Whether somebody else should run on this CPU. Any context.
pub fn need_resched() -> bool {
    // SAFETY: May be called anywhere.
    unsafe { bindings::zs_helper_need_resched() }
}

/// Lets others run. May sleep: no lock may be held.
pub fn cond_resched() {
    // SAFETY: Locks are let go before; the kernel's debug checks say so otherwise.
    unsafe { bindings::zs_helper_cond_resched() };
}
