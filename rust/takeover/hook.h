/* SPDX-License-Identifier: GPL-2.0 */
/* A kernel function that is hooked at its entry, by ftrace. */
#ifndef ZS_TAKEOVER_HOOK_H
#define ZS_TAKEOVER_HOOK_H

#include <linux/ftrace.h>
#include <linux/types.h>

struct zs_hook {
	/* For messages, and to find @function if that is NULL. */
	const char *name;
	void *function;
	/* Code that ftrace calls directly, or NULL to call @ops->func. */
	void *trampoline;
	struct ftrace_ops ops;
	bool is_direct;
};

/*
 * Makes the callback of a hook without trampoline divert the call to the
 * function in @ops->private.
 */
static __always_inline void zs_hook_redirect(struct ftrace_ops *ops,
					     struct ftrace_regs *fregs)
{
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)ops->private);
}

/* The flags of @ops. The hook may divert calls, and is permanent. */
#ifdef CONFIG_HAVE_DYNAMIC_FTRACE_WITH_ARGS
#define ZS_HOOK_FLAGS (FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)
#else
#define ZS_HOOK_FLAGS (FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT | \
		       FTRACE_OPS_FL_SAVE_REGS)
#endif

/* Hooks @hook->function. Returns 0, or an error with a message. May sleep. */
int zs_hook_add(struct zs_hook *hook);

/*
 * Removes the hook. Afterwards no CPU runs the trampoline or the callback, or
 * is about to. May sleep, on a busy system for seconds.
 */
void zs_hook_remove(struct zs_hook *hook);

#endif /* ZS_TAKEOVER_HOOK_H */
