// SPDX-License-Identifier: GPL-2.0

//! Parameters of the module that may change at any time.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

use crate::bindings;

/// Returns `compaction_proactiveness`, from 0 to 100. Any context.
pub fn compaction_proactiveness() -> usize {
    // SAFETY: The function may be called in any context.
    unsafe { bindings::zs_glue_compaction_proactiveness() as usize }
}
