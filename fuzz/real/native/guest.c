// SPDX-License-Identifier: GPL-2.0-only
/* VMs and vCPUs. Each operation of a vCPU enters the guest once. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

/* Missing in older kernel headers. */
#ifndef KVM_CAP_ARM_MTE
#define KVM_CAP_ARM_MTE 205
#endif
#ifndef KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE
#define KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE 228
#endif

extern char stub[], stub_read[], stub_write[], stub_fetch[], stub_control[], stub_setway[], stub_tags[], stub_vectors[], stub_end[];

/*
 * The root of the guest's own tables and the tables of level 1 follow the code. The last table maps addresses beyond the
 * guest's address space, in blocks of 1G, on demand. Two root entries refer to it, so that each block has a virtual
 * address that differs from its physical address.
 */
#define ROOT 0x2000UL
#define TABLES 0x3000UL
#define TABLE 0x1000UL
#define ENTRIES 512
#define BLOCK_SHIFT_1G 30
#define ROOT_SHIFT 39
#define OUTSIDE_ROOT 511
#define OUTSIDE_ROOT_ALT 510
#define MAPPED_BLOCK 0x701UL
#define SCTLR_MMU 1UL
#define SYS_SCTLR ARM64_SYS_REG(3, 0, 1, 0, 0)
#define SYS_FAR ARM64_SYS_REG(3, 0, 6, 0, 0)
/* Control registers with MMU and caches on, and off. */
#define SCTLR_ON 0x30d01805UL
#define SCTLR_OFF 0x30d00800UL
/* The same as SCTLR_ON, plus access to tags of tagged normal memory. */
#define SCTLR_TAGS (SCTLR_ON | 1UL << 43)
#define NORMAL 0xff
#define NORMAL_TAGGED 0xf0
#define CORE(field) (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(field))

/* Microseconds between checks of a guest that has not returned. */
#define SLICE 250000
/* Time limits of a guest in seconds: if the kernel counts exits, and if it does not. */
#define PATIENCE 40
#define UNCOUNTED 4
/* A vCPU is stuck after EXITS exits, plus TICKS per second to allow for timer interrupts (a few hundred per second). */
#define EXITS 1000
#define TICKS 1000
/* Exits were not counted yet. */
#define NEVER (-2)

struct vm vms[MAX_VMS];
/* 0 until the VMs are created. */
int vm_count, cpu_count;
int has_tags;
u64 stub_ipa, mmio_ipa;
static int kvm = -1, run_size;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void set_register(int fd, u64 id, u64 value)
{
	struct kvm_one_reg one = { id, (u64)&value };

	if (ioctl(fd, KVM_SET_ONE_REG, &one))
		say("# register %lx: %s\n", id, strerror(errno));
}

static u64 get_register(int fd, u64 id)
{
	u64 value = 0;
	struct kvm_one_reg one = { id, (u64)&value };

	if (ioctl(fd, KVM_GET_ONE_REG, &one))
		say("# register %lx: %s\n", id, strerror(errno));
	return value;
}

int init_vcpu(int vm, int cpu)
{
	struct kvm_vcpu_init init;
	int fd = vms[vm].vcpus[cpu].fd;

	if (ioctl(vms[vm].fd, KVM_ARM_PREFERRED_TARGET, &init) || ioctl(fd, KVM_ARM_VCPU_INIT, &init))
		return -errno;
	/* VBAR_EL1, MAIR_EL1 (for index 0), TCR_EL1 (48 bits, cacheable, no TTBR1), TTBR0_EL1 */
	set_register(fd, ARM64_SYS_REG(3, 0, 12, 0, 0), stub_ipa + (stub_vectors - stub));
	set_register(fd, ARM64_SYS_REG(3, 0, 10, 2, 0), has_tags ? NORMAL_TAGGED : NORMAL);
	set_register(fd, ARM64_SYS_REG(3, 0, 2, 0, 2), 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1UL << 23 | 5UL << 32);
	set_register(fd, ARM64_SYS_REG(3, 0, 2, 0, 0), stub_ipa + ROOT);
	/* EL1 with SP_EL1, all interrupts masked. */
	set_register(fd, CORE(regs.pstate), 0x3c5);
	return 0;
}

/* Create the slot with our code and the guest's own tables, which map all addresses to themselves in blocks of 1G. */
static int make_stub(int vm, int bits)
{
	u64 roots = bits > ROOT_SHIFT ? 1UL << (bits - ROOT_SHIFT) : 1;
	u64 size = (TABLES + (roots + 1) * TABLE + page_size - 1) & -page_size;
	char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = { STUB_SLOT, 0, stub_ipa, size, (u64)memory };

	if (memory == MAP_FAILED)
		return -errno;
	memcpy(memory, stub, stub_end - stub);
	for (u64 i = 0; i < roots; i++) {
		u64 *level1 = (u64 *)(memory + TABLES + i * TABLE);

		((u64 *)(memory + ROOT))[i] = (stub_ipa + TABLES + i * TABLE) | 3;
		for (u64 j = 0; j < ENTRIES; j++)
			level1[j] = i << ROOT_SHIFT | j << BLOCK_SHIFT_1G | MAPPED_BLOCK;
	}
	if (roots <= OUTSIDE_ROOT_ALT) {
		vms[vm].outside = (u64 *)(memory + TABLES + roots * TABLE);
		for (u64 i = OUTSIDE_ROOT_ALT; i <= OUTSIDE_ROOT; i++)
			((u64 *)(memory + ROOT))[i] = (stub_ipa + TABLES + roots * TABLE) | 3;
	}
	return ioctl(vms[vm].fd, KVM_SET_USER_MEMORY_REGION, &region) ? -errno : 0;
}

static int enable(int vm, int capability, u64 value)
{
	struct kvm_enable_cap enabled = { .cap = capability, .args = { value } };

	return ioctl(vms[vm].fd, KVM_ENABLE_CAP, &enabled) ? -errno : 0;
}

static int make_vm(int vm, int bits, int manual, u64 split)
{
	int ret = 0;

	vms[vm].fd = ioctl(kvm, KVM_CREATE_VM, (unsigned long)bits);
	if (vms[vm].fd < 0)
		return -errno;
	if (manual)
		ret = enable(vm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, manual);
	if (!ret && split)
		ret = enable(vm, KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE, split);
	if (!ret && has_tags)
		ret = enable(vm, KVM_CAP_ARM_MTE, 0);
	if (!ret)
		ret = make_stub(vm, bits);
	for (int cpu = 0; !ret && cpu < cpu_count; cpu++) {
		struct vcpu *vcpu = &vms[vm].vcpus[cpu];

		vcpu->fd = ioctl(vms[vm].fd, KVM_CREATE_VCPU, (unsigned long)cpu);
		if (vcpu->fd < 0)
			return -errno;
		vcpu->run = mmap(0, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED)
			return -errno;
		ret = init_vcpu(vm, cpu);
	}
	return ret;
}

int make_vms(int bits, int manual, u64 split)
{
	int ret = 0;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return -errno;
	run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	for (int vm = 0; !ret && vm < vm_count; vm++)
		ret = make_vm(vm, bits, manual, split);
	return ret;
}

/* Return the number of exits of a vCPU from the kernel's statistics; -1: the kernel has none. */
static long exits_of(struct vcpu *vcpu)
{
	struct kvm_stats_header header;
	struct kvm_stats_desc *description;
	long found = -1;
	size_t size;

	if (!vcpu->stats)
		vcpu->stats = ioctl(vcpu->fd, KVM_GET_STATS_FD, 0);
	if (vcpu->stats < 0 || pread(vcpu->stats, &header, sizeof(header), 0) != sizeof(header))
		return -1;
	size = sizeof(*description) + header.name_size;
	description = malloc(size);
	for (unsigned int i = 0; description && i < header.num_desc && found < 0; i++) {
		if (pread(vcpu->stats, description, size, header.desc_offset + i * size) != (ssize_t)size)
			break;
		if (!strcmp(description->name, "exits") &&
		    pread(vcpu->stats, &found, sizeof(found), header.data_offset + description->offset) != sizeof(found))
			found = -1;
	}
	free(description);
	return found;
}

/* Run the vCPU until it reports a result. Returns 0 or an errno. EINTR: the vCPU is stuck, after *exits exits. */
static int run(struct vcpu *vcpu, long *exits)
{
	struct itimerval slice = { { 0, SLICE }, { 0, SLICE } }, never = { { 0, 0 }, { 0, 0 } };
	double start = now();
	long before = NEVER;
	int error;

	setitimer(ITIMER_REAL, &slice, 0);
	do {
		error = ioctl(vcpu->fd, KVM_RUN, 0) ? errno : 0;
		if (error != EINTR)
			break;
		*exits = exits_of(vcpu);
		if (before == NEVER) {
			before = *exits;
			start = now();
		}
		*exits -= before;
	} while (*exits < EXITS + (now() - start) * TICKS && now() - start < (before < 0 ? UNCOUNTED : PATIENCE));
	setitimer(ITIMER_REAL, &never, 0);
	return error;
}

/* Return whether a syndrome is an instruction or data abort from EL0 or EL1 with a valid FAR_EL1 (FnV clear). */
static int has_valid_far(u64 esr)
{
	u64 class = esr >> 26 & 0x3f;

	return (class == 0x20 || class == 0x21 || class == 0x24 || class == 0x25) && !(esr >> 10 & 1);
}

static void report(char kind, struct vcpu *vcpu, u64 address_used)
{
	struct kvm_run *run = vcpu->run;
	u64 data = 0, address = run->mmio.phys_addr, far;

	memcpy(&data, run->mmio.data, sizeof(data));
	if (address == mmio_ipa && kind == 'T' && !data)
		result("ok", "none");
	else if (address == mmio_ipa && kind == 'T')
		result("ok", "tag %lx of %#lx", data >> TAG_SHIFT, data & ((1UL << TAG_SHIFT) - 1));
	else if (address == mmio_ipa && kind == 'F')
		result("ok", "%lu", data);
	else if (address == mmio_ipa && kind != 'R')
		result("ok", "0");
	else if (address == mmio_ipa && (!data || (data & ~(0xffffUL << 5)) == VERSION(0)))
		result("ok", "%lu", data ? data >> 5 & 0xffff : 0);
	else if (address == mmio_ipa)
		result("ok", "garbage:%lx", data);
	else if (address == mmio_ipa + 8)
		result("ok", "0");
	else if (address == mmio_ipa + 16 && kind == 'O') {
		far = get_register(vcpu->fd, SYS_FAR);
		if (!has_valid_far(data))
			result("abort", "esr:%lx", data);
		else if (far == address_used)
			result("abort", "at its address");
		else
			result("abort", "at %#lx in place of %#lx", far, address_used);
	} else if (address == mmio_ipa + 16 && kind == 'F' && !(data >> 26 & 0x3f))
		/* Zeroes are not a valid instruction: the guest fetched from a zero page. */
		result("ok", "0");
	else if (address == mmio_ipa + 16)
		result("abort", "esr:%lx", data);
	else
		result("io", "%s:%lx", run->mmio.is_write ? "write" : "read", address);
}

static struct vcpu *vcpu_of(int number)
{
	return &vms[number / cpu_count].vcpus[number % cpu_count];
}

static void enter_at(int number, char kind, char *routine, u64 address, u64 data)
{
	struct vcpu *vcpu = vcpu_of(number);
	long exits = 0;
	int error;

	set_register(vcpu->fd, CORE(regs.pc), stub_ipa + (routine - stub));
	set_register(vcpu->fd, CORE(regs.regs[0]), address);
	set_register(vcpu->fd, CORE(regs.regs[1]), data);
	set_register(vcpu->fd, CORE(regs.regs[2]), mmio_ipa);
	vcpu->run->immediate_exit = 0;
	if (sigsetjmp(bad_memory, 1)) {
		struct itimerval never = { { 0, 0 }, { 0, 0 } };

		setitimer(ITIMER_REAL, &never, 0);
		result("sigbus", "0");
		return;
	}
	error = run(vcpu, &exits);
	if (error == EINTR)
		result("stuck", "%ld", exits);
	else if (error == EHWPOISON)
		result("sigbus", "0");
	else if (error)
		result("error", "%d", -error);
	else if (vcpu->run->exit_reason != KVM_EXIT_MMIO)
		result("exit", "%u", vcpu->run->exit_reason);
	else {
		report(kind, vcpu, address);
		/* Complete the access without entering the guest. */
		vcpu->run->immediate_exit = 1;
		ioctl(vcpu->fd, KVM_RUN, 0);
	}
}

/* Return the routine that reads (R), writes (W) or fetches (F). */
static char *routine_of(char kind)
{
	return kind == 'R' ? stub_read : kind == 'W' ? stub_write : stub_fetch;
}

/* Make a vCPU access an address. vCPUs are numbered across all VMs. */
void enter(int number, char kind, u64 address)
{
	enter_at(number, kind, routine_of(kind), address, VERSION(operation + 1));
}

/* Map an address beyond the guest's address space in its own tables. Returns the virtual address; 0: the table is full. */
static u64 mapped_outside(u64 *table, u64 address)
{
	u64 block = address >> BLOCK_SHIFT_1G << BLOCK_SHIFT_1G;
	u64 root = address >> ROOT_SHIFT == OUTSIDE_ROOT ? OUTSIDE_ROOT_ALT : OUTSIDE_ROOT;

	for (u64 i = 0; table && i < ENTRIES; i++) {
		if (table[i] && table[i] != (block | MAPPED_BLOCK))
			continue;
		table[i] = block | MAPPED_BLOCK;
		return root << ROOT_SHIFT | i << BLOCK_SHIFT_1G | (address - block);
	}
	return 0;
}

/* Make a vCPU access an address beyond its address space, with its MMU on or off. */
void guest_outside(int number, char kind, u64 address, int mmu)
{
	struct vcpu *vcpu = vcpu_of(number);
	u64 control = get_register(vcpu->fd, SYS_SCTLR), at = mmu ? mapped_outside(vms[number / cpu_count].outside, address) : address;

	if (!at) {
		result("unknown", "0");
		return;
	}
	/* User space writes SCTLR_EL1: a write by the guest would make KVM clean the guest's memory. */
	set_register(vcpu->fd, SYS_SCTLR, mmu ? control | SCTLR_MMU : control & ~SCTLR_MMU);
	enter_at(number, 'O', routine_of(kind), at, 0);
	set_register(vcpu->fd, SYS_SCTLR, control);
}

/* Make a vCPU turn its caches on or off, or clean them by set and way (on < 0). */
void guest_caches(int number, int on)
{
	if (on < 0)
		enter_at(number, 'C', stub_setway, 0, 0);
	else
		enter_at(number, 'C', stub_control, 0, on ? SCTLR_ON : SCTLR_OFF);
}

/* Make a vCPU read one tag of each page of a range, the tag of its first granule. */
void guest_tags(int number, u64 start, u64 end)
{
	set_register(vcpu_of(number)->fd, CORE(regs.regs[3]), page_size);
	set_register(vcpu_of(number)->fd, CORE(regs.regs[4]), SCTLR_TAGS);
	enter_at(number, 'T', stub_tags, start, end);
}
