// SPDX-License-Identifier: GPL-2.0

//! The zpool driver and the directories in debugfs and sysfs. Their C parts are in `rust/glue`.

use core::ptr::NonNull;

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

/// The directories `zsmalloc_rs` of debugfs and sysfs. Does nothing in kernels that lack them.
pub(crate) struct Directories(());

impl Directories {
    /// Creates the directories. Context: may sleep; called once per module.
    pub(crate) fn new() -> Self {
        // SAFETY: Called once, when the module is loaded.
        unsafe {
            bindings::zs_glue_debugfs_init();
            bindings::zs_glue_sysfs_init();
        }
        Self(())
    }
}

impl Drop for Directories {
    fn drop(&mut self) {
        // SAFETY: `new` created the directories. All pools have been destroyed.
        unsafe {
            bindings::zs_glue_sysfs_exit();
            bindings::zs_glue_debugfs_exit();
        }
    }
}

/// The directories of a pool in debugfs and sysfs. A pool works without them.
pub(super) struct PoolDirectories {
    debugfs: Option<NonNull<kernel::bindings::dentry>>,
    sysfs: Option<NonNull<bindings::zs_sysfs_pool>>,
}

impl PoolDirectories {
    /// Creates the directories. Context: may sleep.
    ///
    /// # Safety
    ///
    /// `pool` must be the address of an initialised pool, as `zs_rs_create_pool` returns it. It must
    /// outlive the directories.
    pub(super) unsafe fn new(pool: NonNull<bindings::zs_rs_pool>, name: &CStr) -> Self {
        let (pool, name) = (pool.as_ptr(), name.as_char_ptr());
        // SAFETY: `name` is NUL-terminated. The pool outlives the directories (safety requirement).
        unsafe {
            Self {
                debugfs: NonNull::new(bindings::zs_glue_debugfs_add(pool, name)),
                sysfs: NonNull::new(bindings::zs_glue_sysfs_add(pool, name)),
            }
        }
    }
}

impl Drop for PoolDirectories {
    fn drop(&mut self) {
        // SAFETY: `new` created the directories, and this removes them once.
        unsafe {
            if let Some(sysfs) = self.sysfs {
                bindings::zs_glue_sysfs_remove(sysfs.as_ptr());
            }
            if let Some(debugfs) = self.debugfs {
                bindings::zs_glue_debugfs_remove(debugfs.as_ptr());
            }
        }
    }
}
