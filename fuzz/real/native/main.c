// SPDX-License-Identifier: GPL-2.0-only
/*
 * /init: waits for programs on the console, and plays each in a process of its own.
 *
 * BEGIN, lines of player.c, END	a program; its last line is DONE STATUS SECONDS KIB-OF-TABLES TAINT
 * EXEC PATH			a program in the initial file system is run; its last line is EXIT STATUS
 * SYMBOLS			says where code that changes tables lies: lines SYMBOL FIRST END NAME, and the line SYMBOLS
 * TIMER				says TIMER 1 if timers work, 0 if they do not
 * QUIT				the machine is turned off
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
#define MAX_TEXT (4 << 20)
#define MAX_LINE 4096
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
 * khugepaged scans as soon as there is memory for it, and then sleeps as it was told. It does so before the first
 * program, whose split pages it would collapse. It sleeps only while a process has such memory: this one does.
 */
static void tire_khugepaged(void)
{
	const long huge = number_in(THP "hpage_pmd_size", "");
	/* Wherever it begins, a huge page has room in it. */
	const size_t size = 2 * huge;
	volatile char *memory;
	int tries = 0;

	if (huge <= 0)
		return;
	put(THP "khugepaged/scan_sleep_millisecs", "2147483647");
	memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* Memory that was never written is not scanned; a page that is there is made a huge one. */
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

/* Nothing happens to memory but what a program asks for. */
static void quiet_memory(void)
{
	put(THP "enabled", "madvise");
	tire_khugepaged();
	/* It takes pages away from whoever has run for a second, to see who comes for them. */
	put("/proc/sys/kernel/numa_balancing", "0");
	put("/proc/sys/vm/compaction_proactiveness", "0");
	put("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "40");
	put("/sys/kernel/mm/hugepages/hugepages-64kB/nr_hugepages", "64");
	put("/sys/kernel/mm/hugepages/hugepages-32768kB/nr_hugepages", "4");
}

/* Where memory begins that the kernel does not know of: behind what mem= leaves to it. */
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

/* KiB of secondary page tables, of all VMs, as the kernel counts them; -1: it does not. */
static long tables(void)
{
	put("/proc/sys/vm/stat_refresh", "1");
	return number_in("/proc/meminfo", "SecPageTables:");
}

/*
 * QEMU does not save when the timer of EL2 is to fire, so the timer that a restored machine waits for never does. One
 * that is due already comes before it, and has the kernel set the timer anew.
 */
static void wake_timer(void)
{
	struct timespec past = { 0, 1 };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, 0);
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
	waitpid(child, &status, 0);
	while (waitpid(-1, 0, WNOHANG) > 0)
		;
	operation = DESTRUCTION;
	pass_messages();
	/* The next program is warned as this one was. */
	put("/sys/kernel/debug/clear_warn_once", "1");
	say("DONE %d %f %ld %ld\n", status, now() - start, tables(), number_in("/proc/sys/kernel/tainted", ""));
}

static volatile int rung;

static void ring(int signal)
{
	(void)signal;
	rung = 1;
}

/* A signal must come while this CPU is busy, as it is when a guest gets nowhere. */
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
		_exit(127);
	}
	waitpid(child, &status, 0);
	say("EXIT %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

/* The functions of pgtable.c that change tables of guests, and what they call for caches, as the kernel names them. */
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

	/* In the order of addresses: one ends where the next begins. */
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

static void serve(void)
{
	static char text[MAX_TEXT], line[MAX_LINE], input[4096];
	int size = 0, length = 0, inside = 0, have = 0, at = 0;

	for (;;) {
		if (at == have) {
			have = read(0, input, sizeof(input));
			at = 0;
			if (have <= 0)
				continue;
		}
		if (input[at] != '\n') {
			if (length < MAX_LINE - 1)
				line[length++] = input[at];
			at++;
			continue;
		}
		at++;
		line[length] = 0;
		if (!strcmp(line, "BEGIN")) {
			inside = 1;
			size = 0;
			text[0] = 0;
		} else if (!strcmp(line, "END") && inside) {
			inside = 0;
			play_apart(text);
		} else if (!strncmp(line, "EXEC ", 5)) {
			run_program(line + 5);
		} else if (!strcmp(line, "SYMBOLS")) {
			say_symbols();
		} else if (!strcmp(line, "TIMER")) {
			check_timer();
		} else if (!strcmp(line, "QUIT")) {
			reboot(RB_POWER_OFF);
		} else if (inside && size + length + 2 < MAX_TEXT) {
			memcpy(text + size, line, length);
			size += length;
			text[size++] = '\n';
			text[size] = 0;
		}
		length = 0;
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
