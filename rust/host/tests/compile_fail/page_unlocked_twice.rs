// SPDX-License-Identifier: GPL-2.0

//! A page is unlocked once.

use zsmalloc_host::sys::page::ZsPage;

pub fn unlock(page: ZsPage<'_>) -> Option<()> {
    let locked = page.try_lock()?;
    drop(locked);
    drop(locked); //~ E0382
    Some(())
}
