/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The guest's code. x0: address to access; x1: data to write; x2: MMIO address for reports. A read reports its value
 * at x2, a completed write reports at x2 + 8, an exception reports its syndrome at x2 + 16.
 * stub_tags reads the tags from x0 to x1 in steps of x3, with x4 in the control register. It reports the address and tag
 * of the first tagged page at x2, or 0 if there is none.
 */
	.global stub, stub_read, stub_write, stub_fetch, stub_control, stub_setway, stub_tags, stub_vectors, stub_end
	.arch	armv8.5-a+memtag
	.section .rodata
	.balign 4096
stub:
stub_read:
	ldr	x1, [x0]
	dsb	sy
	str	x1, [x2]
	b	.
	.balign 16
stub_write:
	str	x1, [x0]
	dsb	sy
	str	x1, [x2, #8]
	b	.
	.balign 16
stub_fetch:
	dsb	sy
	ic	iallu
	dsb	sy
	isb
	blr	x0
	str	x1, [x2]
	b	.
	.balign 16
stub_control:
	msr	sctlr_el1, x1
	isb
	str	x1, [x2]
	b	.
	.balign 16
stub_setway:
	dc	cisw, xzr
	dsb	sy
	str	x1, [x2]
	b	.
	.balign 16
stub_tags:
	msr	sctlr_el1, x4
	isb
1:	cmp	x0, x1
	b.hs	2f
	mov	x5, xzr
	ldg	x5, [x0]
	cbnz	x5, 3f
	add	x0, x0, x3
	b	1b
2:	str	xzr, [x2]
	b	.
3:	orr	x5, x5, x0
	str	x5, [x2]
	b	.
	.balign 2048
stub_vectors:
	.rept	16
	mrs	x3, esr_el1
	str	x3, [x2, #16]
	b	.
	.balign	128
	.endr
	.balign 4096
stub_end:
	.section .note.GNU-stack, "", %progbits
