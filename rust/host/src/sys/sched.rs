// SPDX-License-Identifier: GPL-2.0

//! Giving way to others, or not, and what tests do with that.

use core::cell::Cell;
use core::marker::PhantomData;
use core::ptr::NonNull;
use std::thread::LocalKey;

use super::cpu_area;

type Hook<'a> = dyn FnMut() + 'a;

type Slot = Cell<Option<NonNull<Hook<'static>>>>;

thread_local! {
    static HOOK: Slot = const { Cell::new(None) };
    static LOAD_HOOK: Slot = const { Cell::new(None) };
}

/// Until it is dropped, this CPU may not sleep.
pub struct NoPreemption(PhantomData<*mut ()>);

impl NoPreemption {
    /// Begins that.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        cpu_area::preempt_disable();
        Self(PhantomData)
    }

    /// The RCU read-side section that this is.
    pub fn rcu(&self) -> RcuRead<'_> {
        RcuRead(PhantomData)
    }
}

/// An RCU read-side section, which goes on for `'a`: see [`Machine::retire`].
///
/// [`Machine::retire`]: super::machine::Machine::retire
#[derive(Clone, Copy)]
pub struct RcuRead<'a>(PhantomData<(&'a (), *mut ())>);

impl RcuRead<'_> {
    /// The section of something that disables preemption while it lives.
    ///
    /// # Safety
    ///
    /// Preemption must be off for the lifetime that the caller gives it.
    pub(super) unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl Drop for NoPreemption {
    fn drop(&mut self) {
        cpu_area::preempt_enable();
    }
}

/// Whether somebody else should run on this CPU: if a test wants to.
pub fn need_resched() -> bool {
    HOOK.get().is_some()
}

/// Lets others run.
pub fn cond_resched() {
    might_sleep("cond_resched()");
    if !run(&HOOK) {
        super::atomic::spin_loop();
    }
}

// Not while it runs already.
fn run(slot: &'static LocalKey<Slot>) -> bool {
    let Some(mut hook) = slot.take() else {
        return false;
    };
    // SAFETY: `with` lent it, for as long as the hook is set.
    unsafe { hook.as_mut()() };
    slot.set(Some(hook));
    true
}

/// Called after each load of a counter.
#[cfg(not(loom))]
pub(super) fn after_load() {
    run(&LOAD_HOOK);
}

/// Calls `f`, and `hook` wherever the engine gives way meanwhile. That is how a test that has only
/// one thread lets something happen in the middle of a compaction.
pub fn with_hook<R>(hook: &mut Hook<'_>, f: impl FnOnce() -> R) -> R {
    with(&HOOK, hook, f)
}

/// Calls `f`, and `hook` after each load of a counter meanwhile: for readers that hold no lock.
pub fn with_load_hook<R>(hook: &mut Hook<'_>, f: impl FnOnce() -> R) -> R {
    with(&LOAD_HOOK, hook, f)
}

fn with<R>(slot: &'static LocalKey<Slot>, hook: &mut Hook<'_>, f: impl FnOnce() -> R) -> R {
    struct Reset(&'static LocalKey<Slot>, Option<NonNull<Hook<'static>>>);

    impl Drop for Reset {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }

    let hook: *mut Hook<'_> = hook;
    // SAFETY: Only the lifetime changes, and the hook is unset before it ends.
    let hook = unsafe { core::mem::transmute::<*mut Hook<'_>, *mut Hook<'static>>(hook) };
    let _reset = Reset(slot, slot.replace(NonNull::new(hook)));
    f()
}

/// Complains, as CONFIG_DEBUG_ATOMIC_SLEEP does, where a spinlock or a mapping is held.
pub fn might_sleep(what: &str) {
    let depth = cpu_area::preempt_depth();
    check!(
        depth == 0,
        "BUG: sleeping function called from invalid context: {what}, preempt_count {depth}"
    );
}
