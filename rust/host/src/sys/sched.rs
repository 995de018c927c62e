// SPDX-License-Identifier: GPL-2.0

//! Preemption, RCU read-side sections, rescheduling and the time, with hooks for tests.

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

/// Disables preemption while it exists.
pub struct NoPreemption(PhantomData<*mut ()>);

impl NoPreemption {
    /// Disables preemption.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        cpu_area::preempt_disable();
        Self(PhantomData)
    }

    /// Returns the RCU read-side section that lasts as long as preemption is off.
    pub fn rcu(&self) -> RcuRead<'_> {
        RcuRead(PhantomData)
    }
}

/// An RCU read-side section that lasts for `'a`. See [`Machine::retire`].
///
/// [`Machine::retire`]: super::machine::Machine::retire
#[derive(Clone, Copy)]
pub struct RcuRead<'a>(PhantomData<(&'a (), *mut ())>);

impl RcuRead<'_> {
    /// Creates the read-side section of code that has preemption off.
    ///
    /// # Safety
    ///
    /// Preemption must be off for the whole lifetime of the result.
    pub(super) unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

impl Drop for NoPreemption {
    fn drop(&mut self) {
        cpu_area::preempt_enable();
    }
}

/// Returns whether this thread should reschedule, that is, whether a test has a hook.
pub fn need_resched() -> bool {
    HOOK.get().is_some()
}

/// Returns the time since boot in nanoseconds.
pub fn clock_ns() -> u64 {
    super::machine::current().clock_ns()
}

/// Lets other threads run.
pub fn sleep_a_tick() {
    might_sleep("schedule_timeout()");
    super::atomic::spin_loop();
}

/// Runs the hook where a function of the kernel may sleep.
pub(super) fn sleep_in(what: &str) {
    might_sleep(what);
    run(&HOOK);
}

/// Lets other threads run, or the hook.
pub fn cond_resched() {
    might_sleep("cond_resched()");
    if !run(&HOOK) {
        super::atomic::spin_loop();
    }
}

// Runs a hook, unless it is running already. Returns whether it did.
fn run(slot: &'static LocalKey<Slot>) -> bool {
    let Some(mut hook) = slot.take() else {
        return false;
    };
    // SAFETY: The hook is borrowed by `with` while it is set.
    unsafe { hook.as_mut()() };
    slot.set(Some(hook));
    true
}

/// Runs the load hook. Called after each load of a counter.
#[cfg(not(loom))]
pub(super) fn after_load() {
    run(&LOAD_HOOK);
}

/// Calls `f`, and `hook` wherever the engine reschedules or may sleep in it. A test with one thread
/// can thus act in the middle of a compaction.
pub fn with_hook<R>(hook: &mut Hook<'_>, f: impl FnOnce() -> R) -> R {
    with(&HOOK, hook, f)
}

/// Calls `f`, and `hook` after each load of a counter in it. For readers that hold no lock.
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
    // SAFETY: Only the lifetime changes. `Reset` unsets the hook before its borrow ends.
    let hook = unsafe { core::mem::transmute::<*mut Hook<'_>, *mut Hook<'static>>(hook) };
    let _reset = Reset(slot, slot.replace(NonNull::new(hook)));
    f()
}

/// Panics with a spinlock or a mapping held, as CONFIG_DEBUG_ATOMIC_SLEEP does.
pub fn might_sleep(what: &str) {
    let depth = cpu_area::preempt_depth();
    check!(
        depth == 0,
        "BUG: sleeping function called from invalid context: {what}, preempt_count {depth}"
    );
}
