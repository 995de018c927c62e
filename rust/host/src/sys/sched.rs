// SPDX-License-Identifier: GPL-2.0

//! Giving way to others, and what tests do with that.

use core::cell::Cell;
use core::ptr::NonNull;

use super::cpu_area;

type Hook<'a> = dyn FnMut() + 'a;

thread_local! {
    static HOOK: Cell<Option<NonNull<Hook<'static>>>> = const { Cell::new(None) };
}

/// Whether somebody else should run on this CPU: if a test wants to.
pub fn need_resched() -> bool {
    HOOK.get().is_some()
}

/// Lets others run.
pub fn cond_resched() {
    might_sleep("cond_resched()");
    match HOOK.take() {
        // Not while it runs already.
        Some(mut hook) => {
            // SAFETY: `with_hook` lent it, for as long as the hook is set.
            unsafe { hook.as_mut()() };
            HOOK.set(Some(hook));
        }
        None => super::atomic::spin_loop(),
    }
}

/// Calls `f`, and `hook` wherever the engine gives way meanwhile. That is how a test that has only
/// one thread lets something happen in the middle of a compaction.
pub fn with_hook<R>(hook: &mut Hook<'_>, f: impl FnOnce() -> R) -> R {
    struct Reset(Option<NonNull<Hook<'static>>>);

    impl Drop for Reset {
        fn drop(&mut self) {
            HOOK.set(self.0);
        }
    }

    let hook: *mut Hook<'_> = hook;
    // SAFETY: Only the lifetime changes, and the hook is unset before it ends.
    let hook = unsafe { core::mem::transmute::<*mut Hook<'_>, *mut Hook<'static>>(hook) };
    let _reset = Reset(HOOK.replace(NonNull::new(hook)));
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
