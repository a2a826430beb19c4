// SPDX-License-Identifier: GPL-2.0-only
/*
 * The process in which a tree's code runs. The library is an executable too. Started as a program, it sets up memory
 * once, and then forks a child that runs one program after another. Each program begins with the same memory (rt_reset.c).
 * A crash only ends the child: the next program gets another one.
 *
 * Arguments: file descriptors of the shared memory, of the pipe from the driver, of the pipe to the driver. All messages are
 * single bytes. From the driver: 'P': a program begins; 'G': do shim_control->request. From the child: 'R': look at
 * shim_control->status; 'X': the program is over. From the parent, 'X' means that the child has ended; shim_control->ret is
 * its wait status.
 *
 * A twin repeats what another process has done (struct shim_script): 'S' after 'P' selects this mode. Then 'G' announces more
 * steps; 'W' asks for an 'R' when all steps are done, and the script starts again at its beginning; after 'E' the child
 * answers and reads requests from the driver again.
 */
#include "rt.h"
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if !defined(__x86_64__)
#error "kernel trees run on x86-64 hosts only: candidate/tree/library.py must refuse this machine before it compiles anything"
#endif

struct shim_control *shim_control;
struct shim_record *shim_records;
struct shim_chain *shim_chains;
unsigned int *shim_chain_table;
char *shim_names, *shim_stack_top;

/*
 * Limits of one call. Records: OF_A_PAGE for each entry of the tables and each page that slots ever had, plus OF_A_CALL. A fault
 * that maps 1G of pages with tags makes a million records, and a block may be split in as many chunks as it has pages. Requests
 * for pages of the host: a fault makes a few.
 */
#define OF_A_PAGE 16
#define OF_A_CALL (1UL << 22)
#define HOST_REQUESTS (1u << 16)

static int shared_fd, from_driver, to_driver;

void rt_send_byte(char what)
{
	while (write(to_driver, &what, 1) < 0 && errno == EINTR)
		;
}

char rt_receive_byte(void)
{
	char what;
	ssize_t n;

	while ((n = read(from_driver, &what, 1)) < 0 && errno == EINTR)
		;
	if (n != 1)
		_exit(0);	/* the driver is gone */
	return what;
}

static unsigned int full, requests;
unsigned long shim_slot_pages;	/* total pages of all slots that were ever set */

/* The current request consists of several steps, whose answers are kept for the driver. */
int rt_several;
static struct shim_answers *answers;

static void keep_answer(void)
{
	struct shim_answer *answer = &answers->each[answers->count++];

	memcpy(answer->head, shim_control, sizeof(answer->head));
	answer->digest = shim_control->digest;
}

static void __attribute__((noreturn)) end(unsigned int status, const char *text, unsigned int chain)
{
	shim_control->status = status;
	snprintf(shim_control->text, sizeof(shim_control->text), "%s", text ? text : "?");
	shim_control->info[0] = chain;
	if (rt_several)
		keep_answer();
	if (shim_following)
		rt_script->over = 1;
	rt_send_byte('R');
	_exit(1);
}

/* Write an answer. The answer to a step of several is kept, and sent with the answers to the next steps. */
void rt_answer(unsigned int status)
{
	shim_control->status = status;
	shim_control->visited = shim_visited;
	if (rt_several)
		keep_answer();
}

/* Send the answer to the driver; a twin compares it with the answer of the other process instead. */
static void reply(unsigned int status)
{
	rt_answer(status);
	if (!shim_following)
		rt_send_byte('R');
	else if (rt_step_differs(status))
		end(S_DIFFERS, 0, 0);
}

/* Send something to the driver in the middle of kernel code, and do its requests until OP_RESUME. */
static void ask(unsigned int status)
{
	reply(status);
	for (;;) {
		rt_request();
		answers->count = 0;
		rt_turn_began = shim_control->nrec;
		if (shim_control->request.op == OP_QUIT)
			_exit(0);
		if (shim_control->request.op == OP_RESUME)
			break;
		/* The host changes while a vCPU waits for a page: a call within the call. */
		shim_control->ret = shim_dispatch(shim_control->request.op, shim_control->request.args, shim_control->info);
		shim_compare_arena(shim_control->actor != 0);
		reply(S_DONE);
	}
}

/* A loop that makes records must not run longer than one that makes none: the limits apply to the whole call. */
void shim_full(void)
{
	unsigned long pages = ((unsigned long)rt_arena_next << (RT_PAGE_SHIFT - 3)) + shim_slot_pages;

	if (++full * (unsigned long)SHIM_RECORDS > OF_A_CALL + OF_A_PAGE * pages)
		shim_crash("does not return", FRAME, 0);
	ask(S_FULL);
}

void rt_new_call(void)
{
	rt_restart_clock();
	full = requests = 0;
}

int shim_host_fault(unsigned long hva, unsigned long write, struct shim_page *page)
{
	if (++requests > HOST_REQUESTS)
		shim_crash("does not return", FRAME, 0);
	shim_control->info[0] = hva;
	shim_control->info[1] = write;
	ask(S_HOST);
	page->hva = shim_control->request.args[1];
	page->pfn = shim_control->request.args[2];
	page->level = shim_control->request.args[3];
	page->writable = shim_control->request.args[4] & 1;
	page->device = shim_control->request.args[4] >> 1 & 1;
	page->thp = shim_control->request.args[4] >> 2 & 1;
	return (int)shim_control->request.args[0];
}

void shim_refuse(const char *what) { end(S_REFUSED, what, 0); }

void shim_crash(const char *what, void **frame, void *pc) { end(S_CRASH, what, shim_chain_of(pc, frame)); }

/* The cores that this process may use. */
static cpu_set_t cores;

/*
 * Bind this process to the core of the driver. One of the two nearly always waits for the other, and waking a process on
 * another core needs an interrupt there, which is expensive in a virtual machine. A twin runs in parallel with the driver,
 * so it is not bound.
 */
static void keep_to_core(void)
{
	const shim_u64 core = shim_control->core;
	cpu_set_t one;

	if (core == shim_control->kept_core)
		return;
	shim_control->kept_core = core;
	CPU_ZERO(&one);
	if (core)
		CPU_SET(core - 1, &one);
	/* If that fails, the process runs anywhere. */
	sched_setaffinity(0, sizeof(one), core ? &one : &cores);
}

static void begin(void)
{
	keep_to_core();
	shim_control->nrec = 0;
	shim_control->digest = 0;
	memset(shim_control->info, 0, sizeof(shim_control->info));
	shim_clear_counters();
}

/* Run one program after another, until one of them ends the process. */
static void serve(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rt_catch_signals();
	rt_start_clock();
	for (;;) {
		unsigned int status = S_DONE;
		char what = rt_request();

		shim_stack_top = (char *)__builtin_frame_address(0);
		answers->count = 0;
		if (what == 'P' || what == 'S') {
			if (what == 'P')
				begin();
			else
				rt_follow();
			continue;
		}
		if (shim_control->request.op == OP_QUIT) {
			shim_add_counters(shim_control->request.args[0]);
			memset(shim_control->log, 0, shim_log_end * sizeof(*shim_control->log));
			shim_restore();
			shim_control->ret = 0;
			rt_send_byte('X');
			continue;
		}
		if (shim_control->actor) {
			status = rt_run_actor(shim_control->actor - 1);
		} else if (shim_control->request.op == OP_LATE) {
			rt_notify_late();
		} else if (shim_control->request.op == OP_AGE) {
			shim_control->ret = rt_age();
		} else if (shim_control->request.op == OP_COPY) {
			rt_copy_pages();
		} else {
			shim_new_operation();
			shim_control->ret = shim_dispatch(shim_control->request.op, shim_control->request.args, shim_control->info);
		}
		/* Compare all pages if actors may touch pages in each other's operations, or after the last operation of a VM. */
		shim_compare_arena(shim_control->actor || shim_control->request.op == OP_RELEASE);
		if (shim_control->request.op == OP_GET_LOG || shim_control->request.op == OP_RING_HARVEST)
			shim_digest_log();
		reply(status);
		rt_new_call();
		rt_several = 0;
	}
}

static void run(void)
{
	struct rlimit core = { 0, 0 };
	char *shared = (char *)SHIM_SHARED;
	int flags = MAP_SHARED | MAP_FIXED_NOREPLACE;

	if (mmap(shared, SHIM_SHARED_BYTES, PROT_READ | PROT_WRITE, flags, shared_fd, 0) != shared)
		rt_cannot_start("no address space for shared memory");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &core);
	signal(SIGINT, SIG_IGN);
	sched_getaffinity(0, sizeof(cores), &cores);
	shim_control = (struct shim_control *)shared;
	shim_names = shared + SHIM_NAMES_AT;
	shim_chains = (struct shim_chain *)(shared + SHIM_CHAINS_AT);
	shim_records = (struct shim_record *)(shared + SHIM_RECORDS_AT);
	shim_chain_table = (unsigned int *)(shared + SHIM_CHAIN_TABLE_AT);
	shim_count_code(shared_fd, shared);
	rt_script = (struct shim_script *)(shared + SHIM_SCRIPT_AT);
	answers = (struct shim_answers *)(shared + SHIM_ANSWERS_AT);
	shim_remember_names();
	shim_memory();
	shim_snapshot();
	shim_add_counters(0);
	rt_send_byte('R');
	for (;;) {
		int status = 0;
		pid_t child;

		if (rt_receive_byte() != 'P')
			continue;
		begin();
		memset(shim_control->log, 0, sizeof(shim_control->log));
		child = fork();
		if (!child)
			serve();
		if (child > 0)
			while (waitpid(child, &status, 0) < 0 && errno == EINTR)
				;
		shim_add_counters(0);
		/* The next child inherits the affinity of this process. */
		sched_setaffinity(0, sizeof(cores), &cores);
		shim_control->kept_core = 0;
		shim_control->ret = child > 0 ? status : -1;
		rt_send_byte('X');
	}
}

/* The entry point of the library as a program. */
void __attribute__((used, noreturn)) shim_main(long *stack)
{
	char **argument = (char **)(stack + 1);

	if (stack[0] != 4)
		rt_cannot_start("only s2fuzz can start this library");
	shared_fd = atoi(argument[1]);
	from_driver = atoi(argument[2]);
	to_driver = atoi(argument[3]);
	run();
	exit(0);
}
__asm__(".text\n.globl _start\n_start:\n xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call shim_main\n hlt\n");
const char shim_interpreter[] __attribute__((section(".interp"), used)) = "/lib64/ld-linux-x86-64.so.2";
