// SPDX-License-Identifier: GPL-2.0

//! A page is added to one zspage.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::IsolatedZspage;
use zsmalloc_host::sys::page::OwnedPage;

pub fn grow(
    guard: &ClassGuard<'_>,
    a: &IsolatedZspage<'_>,
    b: &IsolatedZspage<'_>,
    page: OwnedPage,
) {
    let _ = guard.add_page(a, page, 0);
    let _ = guard.add_page(b, page, 0); //~ E0382
}
