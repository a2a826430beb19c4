/* SPDX-License-Identifier: GPL-2.0-only */
/* The only process of the emulated machine. It plays programs on VMs of the kernel's KVM. */
#ifndef S2FUZZ_INIT_H
#define S2FUZZ_INIT_H

#include <linux/kvm.h>
#include <setjmp.h>
#include <stdint.h>

typedef uint64_t u64;

/* Limits of programs, as in fuzz/language/bounds.py. MAX_CPUS: vCPUs of a VM. */
#define MAX_SLOTS 8
#define MAX_VMS 4
#define MAX_CPUS 8
/* KVM's number of the slot that contains our own guest code. */
#define STUB_SLOT 30
/* Lowest bit of the tag in an address. */
#define TAG_SHIFT 56

struct slot {
	int vm, number, live;
	u64 ipa, size, hva, flags;
	/* log2 of the hugetlb page size; 0: no hugetlb pages. */
	int huge;
	/* Bits of the dirty log that were collected and not yet cleared. */
	u64 *bitmap;
};

struct vcpu {
	int fd, stats;
	struct kvm_run *run;
};

struct vm {
	int fd;
	/* The guest's own table for addresses beyond its address space; 0: no such addresses. */
	u64 *outside;
	struct vcpu vcpus[MAX_CPUS];
};

extern struct slot slots[MAX_SLOTS];
extern struct vm vms[MAX_VMS];
extern int vm_count, cpu_count, has_tags, operation;
extern u64 page_size, stub_ipa, mmio_ipa, device_memory;

/* Jump target for SIGBUS and SIGSEGV. */
extern sigjmp_buf bad_memory;

/* Values of operation while VMs are created, and after they are destroyed. */
#define CREATION (-1)
#define DESTRUCTION (-2)

/* Value that user space and guests write: code that returns the number of the operation. */
#define VERSION(number) (0xd65f03c0UL << 32 | 0x52800001UL | (u64)(number) << 5)

/* say.c: console, writes to files, kernel messages */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void result(const char *status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cannot(const char *what, int error);
void put(const char *path, const char *text);
void open_messages(void);
void pass_messages(void);

/* number.c: numbers in files of the kernel */
long number_in(const char *path, const char *key);

/* guest.c: VMs, vCPUs and their operations */
int make_vms(int bits, int manual, u64 split);
int init_vcpu(int vm, int cpu);
void enter(int number, char kind, u64 address);
void guest_caches(int number, int on);
void guest_outside(int number, char kind, u64 address, int mmu);
void guest_tags(int number, u64 start, u64 end);

/* tags.c */
int leave_tags(char **shifts, int count);

/* slots.c: memory slots and their logs */
int set_region(struct slot *slot, u64 size);
int back(struct slot *slot, const char *backing);
int slot_operation(char code, struct slot *slot, char **words, int count);

/* host.c: operations on the host memory of slots */
int host_operation(char code, struct slot *slot, u64 offset, u64 size);
void end_sharers(void);

/* player.c */
void play(char *text);

#endif
