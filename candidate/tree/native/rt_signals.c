// SPDX-License-Identifier: GPL-2.0-only
/* Crashes and endless loops of kernel code, by the signals that they cause. */
#include "rt.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

extern char etext;

/* Seconds that kernel code may run without returning; up to one less, as the clock does not restart with each call. */
#define CPU_SECONDS 10
/* The same once the session's time is over (fuzz/judging/hurry.py). */
#define HURRIED 2
/* A signal arrives for each second of CPU time of this process, and none while it waits. */
static volatile int seconds_left = CPU_SECONDS;
/* The end of the session's time, in seconds of the monotonic clock; 0: it has none. */
static long hurry_at;

void rt_start_clock(void)
{
	struct itimerval second = { .it_value.tv_sec = 1, .it_interval.tv_sec = 1 };
	const char *at = getenv("S2FUZZ_HURRY_AT");

	hurry_at = at ? atol(at) : 0;
	if (setitimer(ITIMER_VIRTUAL, &second, 0))
		rt_cannot_start("no timer");
}

/* A call begins. */
void rt_restart_clock(void) { seconds_left = CPU_SECONDS; }

/* Return the seconds that a call may run now. */
static int seconds_allowed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return hurry_at && now.tv_sec >= hurry_at ? HURRIED : CPU_SECONDS;
}

/* Return whether a register holds the pattern of unwritten memory: then an address was made of it. */
static int has_unwritten(const ucontext_t *u)
{
	for (int i = REG_R8; i <= REG_RCX; i++)
		if ((shim_u64)u->uc_mcontext.gregs[i] >> 24 == RT_UNWRITTEN_WORD >> 24)
			return 1;
	return 0;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	void **frame = (void **)u->uc_mcontext.gregs[REG_RBP];
	char *pc = (char *)u->uc_mcontext.gregs[REG_RIP];
	static int again;

	if (number == SIGVTALRM && --seconds_left > CPU_SECONDS - seconds_allowed())
		return;
	if (again++)
		_exit(2);
	/* In a function of libc, which sets up no frame, use its caller. */
	if (pc < &__ehdr_start || pc >= &etext)
		pc = *(char **)u->uc_mcontext.gregs[REG_RSP] - 1;
	/* Ignore a frame pointer that does not point into the stack. */
	if ((char *)frame < shim_stack_top - (64 << 20) || (char *)frame > shim_stack_top || (unsigned long)frame & 7)
		frame = (void **)(shim_stack_top - 16);
	if (number == SIGVTALRM)
		shim_crash("does not return", frame, pc);
	if (number == SIGSEGV && (char *)info->si_addr < (char *)frame && (char *)frame - (char *)info->si_addr < 1 << 20)
		shim_crash("stack overflow", frame, pc);
	/* Such an address is none that the CPU has. */
	if (number == SIGSEGV && info->si_code == SI_KERNEL && has_unwritten(u))
		shim_crash("use of an object that was not written", frame, pc);
	shim_crash(number == SIGSEGV ? "SIGSEGV" : number == SIGBUS ? "SIGBUS" : number == SIGILL ? "SIGILL" :
		   number == SIGFPE ? "SIGFPE" : number == SIGABRT ? "SIGABRT" : "a signal", frame, pc);
}

void rt_catch_signals(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGVTALRM };
	stack_t stack = { .ss_sp = rt_keep(1 << 16), .ss_size = 1 << 16 };
	struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	if (sigaltstack(&stack, 0))
		rt_cannot_start("no stack for signals");
	for (unsigned int i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (sigaction(numbers[i], &action, 0))
			rt_cannot_start("a signal cannot be caught");
}
