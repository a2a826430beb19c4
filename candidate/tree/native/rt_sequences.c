// SPDX-License-Identifier: GPL-2.0-only
/* Requests that consist of several operations. */
#include "rt.h"

/* Do one of several operations of one request. */
static long one_more(shim_u64 op, const shim_u64 *args)
{
	long ret;

	rt_new_call();
	shim_new_operation();
	ret = shim_dispatch(op, args, shim_control->info);
	shim_compare_arena(0);
	return ret;
}

/* The host ages its pages, one by one. */
long rt_age(void)
{
	const shim_u64 *asked = shim_control->request.args;
	const shim_u64 size = asked[2], count = asked[3], op = asked[4] ? OP_FLUSH_YOUNG : OP_CLEAR_YOUNG;
	shim_u64 args[8] = { asked[0], asked[1] };
	long ret = 0;

	for (shim_u64 i = 0; i < count; i++, args[1] += size) {
		args[2] = args[1] + size;
		ret |= one_more(op, args);
	}
	return ret;
}

#define STEPS_OF_A_COPY	3

/*
 * The host copies pages of a VM, one by one, to consecutive frames. Each page is three steps (struct shim_answers). The caller
 * answers the very last step.
 */
void rt_copy_pages(void)
{
	const shim_u64 *asked = shim_control->request.args;
	const shim_u64 vm = asked[0], size = asked[2], count = asked[3], pfn = asked[4];
	shim_u64 start = asked[1];

	if (count > SHIM_ANSWERS / STEPS_OF_A_COPY)
		shim_refuse("more pages copied at once than there is room for answers");
	rt_several = 1;
	for (shim_u64 i = 0; i < count; i++, start += size) {
		const struct shim_request each[STEPS_OF_A_COPY] = {
			{ OP_INVALIDATE_START, { vm, start, start + size, 1 } },
			{ OP_CHANGE_PTE, { vm, start, 0, pfn + i } },
			{ OP_INVALIDATE_END, { vm, start, start + size } },
		};

		for (unsigned int j = 0; j < STEPS_OF_A_COPY; j++) {
			if (i || j)
				rt_answer(S_DONE);
			shim_control->request = each[j];
			shim_control->ret = one_more(each[j].op, each[j].args);
		}
	}
}

/* Notifications that arrive late, when the VM has been released. */
void rt_notify_late(void)
{
	const shim_u64 *asked = shim_control->request.args;
	const shim_u64 vm = asked[0], start = asked[1], end = asked[2];
	const struct shim_request each[] = {
		{ OP_INVALIDATE_START, { vm, start, end, 1 } },
		{ OP_CHANGE_PTE, { vm, start, 0, asked[3] } },
		{ OP_INVALIDATE_END, { vm, start, end } },
		{ OP_FLUSH_YOUNG, { vm, start, end } },
		{ OP_TEST_YOUNG, { vm, start } },
	};

	for (unsigned int i = 0; i < sizeof(each) / sizeof(*each); i++)
		shim_control->ret = one_more(each[i].op, each[i].args);
}
