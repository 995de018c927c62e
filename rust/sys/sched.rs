// SPDX-License-Identifier: GPL-2.0

//! Giving way to others, or not.

use core::marker::PhantomData;

use crate::bindings;

/// Until it is dropped, no other task runs on this CPU, and this one may not sleep. Any context.
pub struct NoPreemption(PhantomData<*mut ()>);

impl NoPreemption {
    /// Begins that.
    #[inline]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        // SAFETY: Dropping it is the other half.
        unsafe { bindings::zs_helper_preempt_disable() };
        Self(PhantomData)
    }

    /// The RCU read-side section that this is.
    #[inline]
    pub fn rcu(&self) -> RcuRead<'_> {
        RcuRead(PhantomData)
    }
}

impl Drop for NoPreemption {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: `new` disabled it, on this CPU: it is not `Send`, and this task could not move.
        unsafe { bindings::zs_helper_preempt_enable() };
    }
}

/// An RCU read-side section, which goes on for `'a`.
///
/// A stretch without preemption is one: a grace period waits until every CPU was preempted, slept
/// or idled. The kernel with PREEMPT_RT, where a spinlock does not stop preemption, is not
/// supported.
///
/// C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
#[derive(Clone, Copy)]
pub struct RcuRead<'a>(PhantomData<(&'a (), *mut ())>);

impl RcuRead<'_> {
    /// The section of something that disables preemption while it lives.
    ///
    /// # Safety
    ///
    /// Preemption must be off for the lifetime that the caller gives it.
    #[inline]
    pub(super) unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

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
