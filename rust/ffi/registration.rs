// SPDX-License-Identifier: GPL-2.0

//! What the module registers for as long as it is loaded. The C part is in `rust/glue`.

use kernel::prelude::*;

use crate::bindings;

/// The zpool type `zsmalloc_rs`. Where the kernel has no zpool this does nothing.
pub(crate) struct ZpoolDriver(());

impl ZpoolDriver {
    /// Registers it. From here on zswap may make pools. Context: may sleep; once per module.
    pub(crate) fn register() -> Self {
        // SAFETY: Called once, when everything that a pool needs is there.
        unsafe { bindings::zs_glue_zpool_init() };
        Self(())
    }
}

impl Drop for ZpoolDriver {
    fn drop(&mut self) {
        // SAFETY: The driver was registered by `register`.
        if unsafe { bindings::zs_glue_zpool_exit() } != 0 {
            // A pool holds a reference to the module, so it cannot be unloaded.
            pr_err!("zpool driver is in use while the module is unloaded\n");
        }
    }
}

/// The debugfs directory `zsmalloc_rs`. Where there is no debugfs this does nothing.
pub(crate) struct DebugfsRoot(());

impl DebugfsRoot {
    /// Makes it. Context: may sleep; once per module.
    pub(crate) fn new() -> Self {
        // SAFETY: Called once, when the module is loaded.
        unsafe { bindings::zs_glue_debugfs_init() };
        Self(())
    }
}

impl Drop for DebugfsRoot {
    fn drop(&mut self) {
        // SAFETY: `new` made it, and all pools are gone.
        unsafe { bindings::zs_glue_debugfs_exit() };
    }
}
