// SPDX-License-Identifier: GPL-2.0-only
/*
 * /init waits for programs on the console and plays each one in its own process. It reads these lines:
 *
 * BEGIN, lines of player.c, END	play a program; prints DONE STATUS SECONDS KIB-OF-TABLES TAINT as last line
 * EXEC PATH			run a program of the initial file system; prints EXIT STATUS as last line; STATUS 127: it
 *				could not be run
 * SYMBOLS			print the addresses of code that changes tables: lines SYMBOL FIRST END NAME, then SYMBOLS
 * TIMER				print TIMER 1 if timers work, TIMER 0 otherwise
 * QUIT				turn the machine off
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define CONSOLE "/dev/ttyAMA0"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define RAM 0x40000000UL
/* Bytes of a program, and of a line. A program that exceeds them is not played. */
#define MAX_TEXT (4 << 20)
#define MAX_LINE 4096
#define NOT_RUN 127
/* Microseconds, and seconds. */
#define TIMER_DELAY 20000
#define TIMER_PATIENCE 5
/* Milliseconds. */
#define SCAN_PATIENCE 10000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void mount_all(void)
{
	const char *const mounts[][2] = {
		{ "proc", "/proc" }, { "sysfs", "/sys" }, { "devtmpfs", "/dev" }, { "debugfs", "/sys/kernel/debug" },
	};

	for (unsigned int i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		mkdir(mounts[i][1], 0755);
		mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, "");
	}
}

static void open_console(void)
{
	struct termios settings;
	int fd = open(CONSOLE, O_RDWR | O_NOCTTY);

	if (fd >= 0) {
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
		if (fd > 2)
			close(fd);
	}
	tcgetattr(0, &settings);
	cfmakeraw(&settings);
	tcsetattr(0, TCSANOW, &settings);
}

/*
 * khugepaged scans as soon as a process has memory for huge pages, then sleeps for scan_sleep_millisecs. Make it scan
 * before the first program, because it would collapse split pages of the program. It sleeps only while a process has
 * memory for huge pages, so this process keeps some.
 */
static void tire_khugepaged(void)
{
	const long huge = number_in(THP "hpage_pmd_size", "");
	/* Large enough to contain an aligned huge page at any start address. */
	const size_t size = 2 * huge;
	volatile char *memory;
	int tries = 0;

	if (huge <= 0)
		return;
	put(THP "khugepaged/scan_sleep_millisecs", "2147483647");
	memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* khugepaged skips memory that was never written, and collapses pages that are present: write, then discard. */
	if (memory != MAP_FAILED)
		*memory = 1;
	if (memory == MAP_FAILED || madvise((void *)memory, size, MADV_DONTNEED) ||
	    madvise((void *)memory, size, MADV_DONTFORK) || madvise((void *)memory, size, MADV_HUGEPAGE))
		say("# khugepaged: %s\n", strerror(errno));
	while (!number_in(THP "khugepaged/full_scans", "") && tries++ < SCAN_PATIENCE)
		usleep(1000);
	if (tries > SCAN_PATIENCE)
		say("# khugepaged: it does not scan\n");
}

/* Prevent all changes of memory that a program does not request. */
static void quiet_memory(void)
{
	put(THP "enabled", "madvise");
	tire_khugepaged();
	/* NUMA balancing unmaps pages of a process that has run for a second, to see which node accesses them. */
	put("/proc/sys/kernel/numa_balancing", "0");
	put("/proc/sys/vm/compaction_proactiveness", "0");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "40");
	put("/sys/kernel/mm/hugepages/hugepages-64kB/nr_hugepages", "64");
	put("/sys/kernel/mm/hugepages/hugepages-32768kB/nr_hugepages", "4");
}

/* Find the memory that the kernel does not use: it follows the memory that mem= grants to the kernel. */
static void find_device_memory(void)
{
	char line[2048] = "";
	FILE *file = fopen("/proc/cmdline", "re");
	char *found;

	if (file && fgets(line, sizeof(line), file) && (found = strstr(line, " mem=")))
		device_memory = RAM + (strtoull(found + 5, 0, 10) << 20);
	if (file)
		fclose(file);
}

/* Return the KiB of secondary page tables of all VMs; -1: the kernel does not count them. */
static long tables(void)
{
	put("/proc/sys/vm/stat_refresh", "1");
	return number_in("/proc/meminfo", "SecPageTables:");
}

/*
 * QEMU does not save the expiry time of the EL2 timer, so a timer pending in a restored machine never fires. A timer
 * that has already expired is queued first, and makes the kernel program the EL2 timer again.
 */
static void wake_timer(void)
{
	struct timespec past = { 0, 1 };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, 0);
}

/* Print the last line of a program. */
static void end_program(int status, double start)
{
	operation = DESTRUCTION;
	pass_messages();
	/* Make WARN_ONCE() warn again for the next program. */
	put("/sys/kernel/debug/clear_warn_once", "1");
	say("DONE %d %f %ld %ld\n", status, now() - start, tables(), number_in("/proc/sys/kernel/tainted", ""));
}

static void play_apart(char *text)
{
	double start;
	int status = 0, child;

	wake_timer();
	start = now();
	operation = CREATION;
	child = fork();
	if (!child) {
		play(text);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		cannot("the process of the program", -errno);
	while (waitpid(-1, 0, WNOHANG) > 0)
		;
	end_program(status, start);
}

static volatile int rung;

static void ring(int signal)
{
	(void)signal;
	rung = 1;
}

/* Check that a timer signal arrives while this CPU is busy, as it is while a guest is stuck. */
static void check_timer(void)
{
	struct sigaction action = { .sa_handler = ring };
	struct itimerval soon = { { 0, 0 }, { 0, TIMER_DELAY } };
	double start;

	wake_timer();
	rung = 0;
	sigaction(SIGALRM, &action, 0);
	setitimer(ITIMER_REAL, &soon, 0);
	for (start = now(); !rung && now() - start < TIMER_PATIENCE;)
		;
	signal(SIGALRM, SIG_IGN);
	say("TIMER %d\n", rung);
}

static void run_program(const char *path)
{
	int status = 0, child = fork();

	if (!child) {
		execl(path, path, (char *)0);
		_exit(NOT_RUN);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0) {
		say("# %s: %s\n", path, strerror(errno));
		say("EXIT %d\n", NOT_RUN);
		return;
	}
	say("EXIT %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* Return whether a kernel symbol is a function of pgtable.c that changes guest tables, or one that it calls for caches. */
static int is_table_code(const char *name)
{
	const char *plain = name + strspn(name, "_");

	return !strncmp(name, "stage2_", 7) || strstr(name, "cache_guest_page") ||
	       (!strncmp(name, "kvm_", 4) && strstr(name, "_pte")) ||
	       (!strncmp(plain, "kvm_pgtable_", 12) && strncmp(plain, "kvm_pgtable_hyp_", 16));
}

static void say_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512], name[256] = "";
	unsigned long first = 0, address;
	char kind;

	/* Symbols are sorted by address: each one ends where the next begins. */
	while (file && fgets(line, sizeof(line), file)) {
		char next[256];

		if (sscanf(line, "%lx %c %255s", &address, &kind, next) != 3)
			continue;
		if (*name)
			say("SYMBOL %lx %lx %s\n", first, address, name);
		*name = 0;
		if ((kind == 't' || kind == 'T') && is_table_code(next)) {
			first = address;
			strcpy(name, next);
		}
	}
	if (file)
		fclose(file);
	say("SYMBOLS\n");
}

/*
 * Read a line of the console, without its end. Returns its length; MAX_LINE: it is longer than line can hold, and line is
 * empty.
 */
static int read_line(char *line)
{
	static char input[4096];
	static int have, at;
	int length = 0;

	for (;;) {
		if (at == have) {
			have = read(0, input, sizeof(input));
			at = 0;
			if (have < 0)
				have = 0;
			continue;
		}
		if (input[at++] == '\n')
			break;
		if (length < MAX_LINE)
			line[length++] = input[at - 1];
	}
	line[length < MAX_LINE ? length : 0] = 0;
	return length;
}

static void serve(void)
{
	static char text[MAX_TEXT], line[MAX_LINE];
	int size = 0, inside = 0, too_long = 0;

	for (;;) {
		int length = read_line(line);

		if (!strcmp(line, "BEGIN")) {
			inside = 1;
			too_long = 0;
			size = 0;
			text[0] = 0;
		} else if (!strcmp(line, "END") && inside) {
			inside = 0;
			if (too_long) {
				cannot("a program of this length", -E2BIG);
				end_program(0, now());
			} else {
				play_apart(text);
			}
		} else if (!strncmp(line, "EXEC ", 5)) {
			run_program(line + 5);
		} else if (!strcmp(line, "SYMBOLS")) {
			say_symbols();
		} else if (!strcmp(line, "TIMER")) {
			check_timer();
		} else if (!strcmp(line, "QUIT")) {
			reboot(RB_POWER_OFF);
		} else if (length == MAX_LINE || size + length + 2 > MAX_TEXT) {
			too_long = 1;
		} else if (inside) {
			memcpy(text + size, line, length);
			size += length;
			text[size++] = '\n';
			text[size] = 0;
		}
	}
}

int main(void)
{
	struct utsname name;

	mount_all();
	open_console();
	page_size = sysconf(_SC_PAGESIZE);
	quiet_memory();
	find_device_memory();
	open_messages();
	uname(&name);
	say("READY %s %lu %s\n", name.release, page_size, access("/dev/kvm", F_OK) ? "no-kvm" : "kvm");
	serve();
}
