// SPDX-License-Identifier: GPL-2.0-only
/* A twin's script: the requests that another process has had, and its answers (rt_serve.c). */
#include "rt.h"

int shim_following;
struct shim_script *rt_script;
static struct shim_step *step;		/* the current step */
static shim_u64 steps_done;		/* number of bytes of steps that were read */

/* Wait for the next message. If it is 'G', shim_control has the operation to do. */
char rt_request(void)
{
	static char pending;	/* a message that is not handled yet: steps may precede it */

	while (shim_following) {
		if (steps_done < __atomic_load_n(&rt_script->filled, __ATOMIC_ACQUIRE)) {
			step = (struct shim_step *)(rt_script->steps + steps_done);
			steps_done += sizeof(*step);
			if (step->request.op == OP_WRITE) {
				const shim_u64 *args = step->request.args;

				memcpy((char *)shim_control + args[0], step + 1, args[1]);
				steps_done += (args[1] + 7) & ~7UL;
				continue;
			}
			shim_control->request = step->request;
			shim_control->left = step->before;
			shim_control->host = step->host;
			shim_control->nrec = 0;
			return 'G';
		}
		if (!pending) {
			pending = rt_receive_byte();
			continue;
		}
		if (pending == 'W' || pending == 'E') {
			shim_following = pending != 'E';
			steps_done = rt_script->filled = 0;
			shim_control->status = S_DONE;
			rt_send_byte('R');
		}
		pending = 0;
	}
	return rt_receive_byte();
}

/* Return whether the answer to the current step is another one than that of the other process. */
int rt_step_differs(unsigned int status)
{
	return step->status != status || step->ret != shim_control->ret || step->digest != shim_control->digest ||
	       memcmp(step->info, shim_control->info, sizeof(step->info)) ||
	       memcmp(&step->left, &shim_control->left, sizeof(step->left));
}

/* A program begins that follows a script. */
void rt_follow(void)
{
	steps_done = 0;
	shim_following = 1;
}
