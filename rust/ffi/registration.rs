// SPDX-License-Identifier: GPL-2.0

//! The zpool driver and the debugfs directory of the module. Their C parts are in `rust/glue`.

use kernel::prelude::*;

use crate::bindings;

/// The zpool driver `zsmalloc_rs`. Does nothing in kernels without zpool.
pub(crate) struct ZpoolDriver(());

impl ZpoolDriver {
    /// Registers the driver: zswap may create pools. Context: may sleep; called once per module.
    pub(crate) fn register() -> Self {
        // SAFETY: Called once, after everything that a pool needs was set up.
        unsafe { bindings::zs_glue_zpool_init() };
        Self(())
    }
}

impl Drop for ZpoolDriver {
    fn drop(&mut self) {
        // SAFETY: `register` registered the driver.
        if unsafe { bindings::zs_glue_zpool_exit() } != 0 {
            // zpool holds a reference to the module for every pool, so this is a bug.
            pr_err!("zpool driver is in use while the module is unloaded\n");
        }
    }
}

/// The debugfs directory `zsmalloc_rs`. Does nothing in kernels without debugfs.
pub(crate) struct DebugfsRoot(());

impl DebugfsRoot {
    /// Creates the directory. Context: may sleep; called once per module.
    pub(crate) fn new() -> Self {
        // SAFETY: Called once, when the module is loaded.
        unsafe { bindings::zs_glue_debugfs_init() };
        Self(())
    }
}

impl Drop for DebugfsRoot {
    fn drop(&mut self) {
        // SAFETY: `new` created the directory. All pools have been destroyed.
        unsafe { bindings::zs_glue_debugfs_exit() };
    }
}
