/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tree's header; the address of the running code is found without an arm64 instruction.
 */
#ifndef SHIM_ASM_LINKAGE_H
#define SHIM_ASM_LINKAGE_H

#include_next <asm/linkage.h>

/* Other trees define it in a generic header, without assembly. */
#ifdef _THIS_IP_
#undef _THIS_IP_
#define _THIS_IP_	((unsigned long)__builtin_return_address(0))
#endif

#endif
