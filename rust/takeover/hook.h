/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One function of the kernel's that is hooked at its entry, where ftrace has
 * a place for it.
 */
#ifndef ZS_TAKEOVER_HOOK_H
#define ZS_TAKEOVER_HOOK_H

#include <linux/ftrace.h>
#include <linux/types.h>

struct zs_hook {
	/* For messages, and to look up @function where that is NULL. */
	const char *name;
	void *function;
	/* Code that ftrace calls directly. NULL: the callback in @ops decides. */
	void *trampoline;
	struct ftrace_ops ops;
	bool is_direct;
};

/*
 * The callback of a hook that has no trampoline sends the call to the function
 * in @ops->private by this.
 */
static __always_inline void zs_hook_redirect(struct ftrace_ops *ops,
					     struct ftrace_regs *fregs)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)ops->private);
}

/* The flags of @ops: of a hook that may send a call elsewhere, and stays. */
#ifdef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS
#define ZS_HOOK_FLAGS (FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)
#else
#define ZS_HOOK_FLAGS (FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT | \
		       FTRACE_OPS_FL_SAVE_REGS)
#endif

/* Hooks @hook->function. 0, or an error and a line in the log. May sleep. */
int zs_hook_add(struct zs_hook *hook);

/*
 * Undoes that. Afterwards no CPU is in the trampoline or the callback, or on
 * its way there. May sleep, and does so for seconds where there is much to do.
 */
void zs_hook_remove(struct zs_hook *hook);

#endif /* ZS_TAKEOVER_HOOK_H */
