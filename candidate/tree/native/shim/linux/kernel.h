/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; might_sleep() is judged by the context of its caller.
 */
#ifndef SHIM_LINUX_KERNEL_H
#define SHIM_LINUX_KERNEL_H

#include_next <linux/kernel.h>

void shim_might_sleep(const char *function);

#undef might_sleep
#define might_sleep()	shim_might_sleep(__func__)

#endif
