// SPDX-License-Identifier: GPL-2.0

//! The stock of pages, for the module's parameter and for debugfs (`rust/glue`).

use kernel::ffi::c_ulong;

use super::check_prototype;
use crate::sys::page_stock;

/// Frees the pages in stock, after `zs_glue_page_stock()` has become zero. Context: may sleep.
///
/// # Safety
///
/// None: it is `unsafe` as all that C declares.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_page_stock_drain() {
    page_stock::drain();
}

/// Pages in stock, of all CPUs: an estimate. Any context.
///
/// # Safety
///
/// None, as above.
#[no_mangle]
pub unsafe extern "C" fn zs_rs_page_stock_count() -> c_ulong {
    page_stock::count() as c_ulong
}

check_prototype!(zs_rs_page_stock_drain, zs_rs_page_stock_count);
