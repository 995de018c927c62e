// SPDX-License-Identifier: GPL-2.0

//! A zspage is freed once.

use zsmalloc_host::engine::isolated::IsolatedZspage;

pub fn free(isolated: IsolatedZspage<'_>) {
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { isolated.release() };
    // SAFETY: Nobody uses what a guard lent of it.
    unsafe { isolated.release() }; //~ E0382
}
