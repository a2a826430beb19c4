/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included first by instrumented files: most addresses that the hooks of loads and stores get are on the stack, where rt_plain.c
 * ignores them. The assembler puts this test before the call, since a call would take longer than the test.
 */
#include <shim.h>

#define SHIM_TEXT(x)	#x
#define SHIM_NUMBER(x)	SHIM_TEXT(x)
__asm__(
	".macro call target:vararg\n"
	"	.irp hook, read1, read2, read4, read8, write1, write2, write4, write8, volatile_read8, volatile_write8\n"
	"	.ifc \\target,__tsan_\\hook@PLT\n"
	"	movq	%rdi, %rax\n"
	"	subq	%rsp, %rax\n"
	"	cmpq	$" SHIM_NUMBER(SHIM_NEAR) ", %rax\n"
	"	jb	.Lshim_on_stack\\@\n"
	"	.endif\n"
	"	.endr\n"
	"	callq	\\target\n"
	".Lshim_on_stack\\@:\n"
	".endm\n");
#undef SHIM_TEXT
#undef SHIM_NUMBER
