// SPDX-License-Identifier: GPL-2.0-only
/*
 * The array of struct pages: the reset between programs zeroes the blocks that a program has written. To give their memory back
 * to the host instead would cost each program a page fault per block.
 */
#include "rt.h"

#define BLOCK_BITS	12
/* Most blocks that stay in memory; with more, all are given back to the host. */
#define MOST_BLOCKS	512u
#define SLOTS_BITS	11
#define SLOTS		(1u << SLOTS_BITS)

/* The reset leaves this alone. A block is its address >> BLOCK_BITS; there is no block 0. */
static struct {
	unsigned long last;			/* the block of the last write of this program, or 0 */
	unsigned int nwritten, nkept, overflow;	/* overflow: there are more than are kept */
	unsigned long written[MOST_BLOCKS];	/* the blocks that this program has written */
	unsigned long kept[SLOTS];		/* a hash table: the blocks that are in memory */
	unsigned long seen[SLOTS];		/* and the last program that has written each of them */
	unsigned long program;			/* number of this program, from 1 */
} *blocks;

void rt_remember_blocks(void)
{
	blocks = rt_keep(sizeof(*blocks));
	blocks->program = 1;
}

static void note(unsigned long block)
{
	unsigned int slot = (unsigned int)(block * 0x9e3779b97f4a7c15UL >> (64 - SLOTS_BITS));

	blocks->last = block;
	while (blocks->kept[slot] && blocks->kept[slot] != block)
		slot = (slot + 1) % SLOTS;
	if (!blocks->kept[slot]) {
		if (blocks->nkept == MOST_BLOCKS)
			blocks->overflow = 1;
		if (blocks->overflow)
			return;
		blocks->kept[slot] = block;
		blocks->nkept++;
	}
	if (blocks->seen[slot] != blocks->program) {
		blocks->seen[slot] = blocks->program;
		blocks->written[blocks->nwritten++] = block;
	}
}

/* Kernel code is about to write to struct pages. */
void rt_writes_struct_pages(const void *p, unsigned long n)
{
	unsigned long last = ((unsigned long)p + n - 1) >> BLOCK_BITS;

	if (n >> BLOCK_BITS >= MOST_BLOCKS) {
		blocks->overflow = 1;
		return;
	}
	for (unsigned long block = (unsigned long)p >> BLOCK_BITS; block <= last; block++)
		if (block != blocks->last)
			note(block);
}

/* At the end of a program. */
void rt_restore_struct_pages(void)
{
	/* Without instrumentation, nobody knows what was written. */
	if (!shim_instrumented || blocks->overflow) {
		rt_give_back((char *)SHIM_VMEMMAP, rt_vmemmap_size);
		memset(blocks->kept, 0, sizeof(blocks->kept));
		blocks->nkept = blocks->overflow = 0;
	} else {
		for (unsigned int i = 0; i < blocks->nwritten; i++)
			memset((void *)(blocks->written[i] << BLOCK_BITS), 0, 1UL << BLOCK_BITS);
	}
	blocks->last = blocks->nwritten = 0;
	blocks->program++;
}
