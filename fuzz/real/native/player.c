// SPDX-License-Identifier: GPL-2.0-only
/*
 * Play a program line by line, in its own process. Numbers have the format of strtoull().
 *
 * o SHIFT...						leave another owner's tags in free memory and in free hugetlb pages of these
 *							sizes; this line comes before all others
 * v IPA-BITS CPUS VMS MANUAL SPLIT STUB MMIO SYNC MTE	create the VMs, once; SYNC: wait for a line afterwards and after each
 *							operation; MTE: VMs have MTE
 * s NUMBER VM IPA SIZE HVA HUGE ALIAS FLAGS BACKING	create a slot
 * R|W|F VCPU SLOT OFFSET				guest access
 * O VCPU R|W|F ADDRESS MMU				guest access beyond the guest's address space; MMU: 1 on, 0 off
 * T VCPU ADDRESS SIZE					the guest reads tags of the pages in this range
 * C VCPU on|off|way					the guest turns its caches on or off, or cleans them by set and way
 * I VCPU						initialise the vCPU again
 * Z							an operation that does nothing
 * The letters of slot_operation() and host_operation() are operations too. A slot number follows each letter.
 *
 * vCPUs are numbered across all VMs, slots across all lines s. The outcome of an operation with a number that does not
 * exist, or with too few words, is "unknown".
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

#define MAX_WORDS 12

int operation = CREATION;
sigjmp_buf bad_memory;
static int synchronous, slot_count;

static void on_bad_memory(int signal)
{
	siglongjmp(bad_memory, signal);
}

static void on_alarm(int signal)
{
	(void)signal;
}

static void handle(int signal, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	sigaction(signal, &action, 0);
}

static u64 number(const char *text)
{
	return strtoull(text, 0, 0);
}

/* Return a number below a limit; -1: the text is not one. */
static int index_of(const char *text, int limit)
{
	char *end;
	long value = strtol(text, &end, 0);

	return end != text && !*end && value >= 0 && value < limit ? value : -1;
}

static void done(int ret)
{
	result(ret ? "error" : "ok", "%d", ret);
}

static void unknown(void)
{
	result("unknown", "0");
}

static void access_slot(int vcpu, char **words)
{
	int slot = index_of(words[2], slot_count);

	if (slot < 0)
		unknown();
	else
		enter(vcpu, *words[0], (slots[slot].ipa + number(words[3])) & -page_size);
}

static void vcpu_operation(char **words, int count)
{
	int vcpu = index_of(words[1], vm_count * cpu_count);

	if (vcpu < 0)
		unknown();
	else if (*words[0] == 'I')
		done(init_vcpu(vcpu / cpu_count, vcpu % cpu_count));
	else if (*words[0] == 'C' && count > 2)
		guest_caches(vcpu, !strcmp(words[2], "way") ? -1 : !strcmp(words[2], "on"));
	else if (*words[0] == 'O' && count > 4)
		guest_outside(vcpu, *words[2], number(words[3]), atoi(words[4]));
	else if (*words[0] == 'T' && count > 3)
		guest_tags(vcpu, number(words[2]), number(words[2]) + number(words[3]));
	else if (strchr("RWF", *words[0]) && count > 3)
		access_slot(vcpu, words);
	else
		unknown();
}

static void run_operation(char **words, int count)
{
	int slot, ret;

	if (*words[0] == 'Z') {
		done(0);
		return;
	}
	if (count < 2) {
		unknown();
		return;
	}
	if (strchr("RWFCIOT", *words[0])) {
		vcpu_operation(words, count);
		return;
	}
	slot = index_of(words[1], slot_count);
	if (slot < 0) {
		unknown();
		return;
	}
	if (strchr("LgcXNm", *words[0]))
		ret = slot_operation(*words[0], &slots[slot], words, count);
	else
		ret = host_operation(*words[0], &slots[slot], count > 2 ? number(words[2]) : 0, count > 3 ? number(words[3]) : 0);
	if (ret <= 0)
		done(ret);
}

/* Wait for a line from s2fuzz, which examines the tables in the meantime. */
static void wait_for_a_line(void)
{
	char read_one;

	say("SYNC %d\n", operation);
	while (read(0, &read_one, 1) == 1 && read_one != '\n')
		;
}

static int machine(char **words, int count)
{
	int ret = -EINVAL, cpus = 0, machines = 0;

	if (count > 9) {
		cpus = index_of(words[2], MAX_CPUS + 1);
		machines = index_of(words[3], MAX_VMS + 1);
	}
	if (cpus > 0 && machines > 0) {
		cpu_count = cpus;
		vm_count = machines;
		stub_ipa = number(words[6]);
		mmio_ipa = number(words[7]);
		synchronous = atoi(words[8]);
		has_tags = atoi(words[9]);
		ret = make_vms(atoi(words[1]), atoi(words[4]), number(words[5]));
	}
	if (ret)
		cannot("the VM", ret);
	return ret;
}

static int leave(char **words, int count)
{
	int ret = leave_tags(words + 1, count - 1);

	if (ret)
		cannot("memory with tags", ret);
	return ret;
}

static int make_slot(char **words, int count)
{
	int at = -1, vm = -1, ret = 0;
	struct slot *slot;

	if (count > 9) {
		at = index_of(words[1], MAX_SLOTS);
		vm = index_of(words[2], vm_count);
	}
	if (at < 0 || vm < 0) {
		cannot("a slot", -EINVAL);
		return -EINVAL;
	}
	if (at >= slot_count)
		slot_count = at + 1;
	slot = &slots[at];
	slot->number = at;
	slot->vm = vm;
	slot->ipa = number(words[3]);
	slot->size = number(words[4]);
	slot->hva = number(words[5]);
	slot->huge = atoi(words[6]);
	slot->flags = number(words[8]);
	slot->live = 1;
	if (atoi(words[7]) < 0)
		ret = back(slot, words[9]);
	if (ret) {
		cannot(words[9], ret);
		return ret;
	}
	ret = set_region(slot, slot->size);
	if (ret)
		cannot("a slot", ret);
	return ret;
}

void play(char *text)
{
	char *lines, *line, *parts, *words[MAX_WORDS];

	handle(SIGSEGV, on_bad_memory);
	handle(SIGBUS, on_bad_memory);
	handle(SIGALRM, on_alarm);
	for (line = strtok_r(text, "\n", &lines); line; line = strtok_r(0, "\n", &lines)) {
		int count = 0;

		for (char *word = strtok_r(line, " ", &parts); word && count < MAX_WORDS; word = strtok_r(0, " ", &parts))
			words[count++] = word;
		if (!count)
			continue;
		if (strchr("ovs", *words[0])) {
			if (*words[0] == 'o' ? leave(words, count) : *words[0] == 'v' ? machine(words, count) : make_slot(words, count))
				return;
			continue;
		}
		if (operation == CREATION) {
			pass_messages();
			if (synchronous)
				wait_for_a_line();
		}
		operation++;
		run_operation(words, count);
		pass_messages();
		if (synchronous)
			wait_for_a_line();
	}
	end_sharers();
}
