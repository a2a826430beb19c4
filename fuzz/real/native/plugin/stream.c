// SPDX-License-Identifier: GPL-2.0-only
/*
 * A plugin of QEMU's code generator (TCG). It records, in order, effects of the kernel that user space cannot see: stores
 * to tables, TLBIs and cache maintenance.
 *
 * Arguments:
 *	events=FD	shared memory for struct stream, read by another process
 *	memory=FD	the machine's memory, starting where the linear map starts
 *	code=LOW-HIGH	hexadecimal address range of code whose stores are recorded; may be repeated
 *
 * It needs no QEMU header: it declares the parts of plugin interface version 1 that it uses.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef uint64_t u64;
typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
u64 qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*call)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*call)(unsigned int, void *),
					    int registers, void *data);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
				      void (*call)(unsigned int, qemu_plugin_meminfo_t, u64, void *),
				      int registers, int kinds, void *data);

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0
#define STORES 2

/* With 48-bit virtual addresses. The linear map is the lower half of the kernel's addresses. */
#define LINEAR_MAP 0xffff000000000000UL
#define LINEAR_END 0xffff800000000000UL
#define KERNEL(address) ((address) >> 63)

/* Encoding of SYS, next to MSR: TLBI, DC, IC and AT with a register. */
#define SYS_MASK 0xfff80000U
#define SYS 0xd5080000U
#define FIELD(code, shift, mask) ((code) >> (shift) & (mask))

enum { STORE = 1, TLBI = 2, DCACHE = 3, ICACHE = 4 };

struct event {
	u64 kind, pc;
	/* STORE: address in the linear map, and the value there. Other kinds: the instruction without its register,
	 * and the register's value or UNKNOWN. */
	u64 what, value;
	/* DCACHE and ICACHE: number of equal events in a row. */
	u64 count;
};

#define UNKNOWN (~0UL)

struct stream {
	/*
	 * lost: number of events that did not fit. mark: number of events that were read; the count of the last one read no
	 * longer grows. unwatched: number of translations of instructions whose events are not recorded.
	 */
	u64 count, lost, mark, unwatched;
	struct event events[];
};

EXPORT int qemu_plugin_version = 1;

static struct stream *stream;
static u64 capacity, memory_size;
static const char *memory;

#define MAX_RANGES 256
static struct { u64 low, high; } ranges[MAX_RANGES];
static int range_count;

/* QEMU's functions for reading a register, in versions that export them. */
static void *(*get_cpu)(int);
static int (*read_register)(void *, void *, int);
static void *(*new_array)(void);
static unsigned char *(*free_array)(void *, int);

static void note(u64 kind, u64 pc, u64 what, u64 value)
{
	struct event *last = stream->count ? &stream->events[stream->count - 1] : NULL;

	if (last && stream->count != stream->mark && kind >= DCACHE && last->kind == kind && last->what == what && last->pc == pc) {
		last->count++;
		return;
	}
	if (stream->count == capacity) {
		stream->lost++;
		return;
	}
	stream->events[stream->count] = (struct event){ kind, pc, what, value, 1 };
	__atomic_store_n(&stream->count, stream->count + 1, __ATOMIC_RELEASE);
}

static void on_store(unsigned int cpu, qemu_plugin_meminfo_t info, u64 address, void *pc)
{
	u64 value;

	(void)cpu;
	/* QEMU reports loads too, although only stores were requested. */
	if (!qemu_plugin_mem_is_store(info))
		return;
	if (address < LINEAR_MAP || address >= LINEAR_END || address - LINEAR_MAP >= memory_size || address & 7)
		return;
	memcpy(&value, memory + (address - LINEAR_MAP), sizeof(value));
	note(STORE, (u64)pc, address, value);
}

/* An instruction with a callback. */
struct place {
	u64 pc;
	unsigned int code, kind;
};

#define MAX_PLACES 4096
static struct place places[MAX_PLACES];
static int place_count;

static void on_system(unsigned int cpu, void *data)
{
	struct place *place = data;

	(void)cpu;
	note(place->kind, place->pc, place->code & ~31U, UNKNOWN);
}

/* Called at the instruction after a TLBI. The TLBI ends a translation block: its register is unchanged and in memory. */
static void on_after_tlbi(unsigned int cpu, void *data)
{
	struct place *place = data;
	struct event *last = stream->count ? &stream->events[stream->count - 1] : NULL;
	struct { unsigned char *data; unsigned int size; } *array;

	if (!last || last->kind != TLBI || last->pc != place->pc || last->value != UNKNOWN)
		return;
	array = new_array();
	if (read_register(get_cpu(cpu), array, place->code & 31) == sizeof(last->value))
		memcpy(&last->value, array->data, sizeof(last->value));
	free_array(array, 1);
}

/*
 * Return the place of an instruction; NULL: there are too many. QEMU translates a block again at any time, so the place may
 * exist already. The kernel may have patched its code in the meantime.
 */
static struct place *place_of(u64 pc, unsigned int code, unsigned int kind)
{
	int i;

	for (i = 0; i < place_count && places[i].pc != pc; i++)
		;
	if (i == MAX_PLACES) {
		stream->unwatched++;
		return NULL;
	}
	if (i == place_count)
		place_count++;
	places[i] = (struct place){ pc, code, kind };
	return &places[i];
}

/* Return the place of the TLBI before an address; NULL: there is none. */
static struct place *tlbi_before(u64 pc)
{
	for (int i = 0; i < place_count; i++)
		if (places[i].kind == TLBI && places[i].pc + 4 == pc)
			return &places[i];
	return NULL;
}

/* Return the kind of a stage-2 TLBI, a clean to the point of coherency or an instruction cache invalidation; else 0. */
static unsigned int kind_of(u64 pc, unsigned int code)
{
	unsigned int op1 = FIELD(code, 16, 7), crn = FIELD(code, 12, 15), crm = FIELD(code, 8, 15), op2 = FIELD(code, 5, 7);

	if ((code & SYS_MASK) != SYS || !KERNEL(pc))
		return 0;
	if (crn == 8 && op1 == 4)
		return TLBI;
	if (crn == 7 && op1 == 3 && op2 == 1 && (crm == 14 || crm == 10))
		return DCACHE;
	/* IC IVAU and IC IALLUIS. Not IC IALLU: KVM executes it for another vCPU of the same VM. */
	if (crn == 7 && op2 == op1 / 3 && ((op1 == 3 && crm == 5) || (op1 == 0 && crm == 1)))
		return ICACHE;
	return 0;
}

static bool is_followed(u64 pc)
{
	for (int i = 0; i < range_count; i++)
		if (pc >= ranges[i].low && pc < ranges[i].high)
			return true;
	return false;
}

static void on_block(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		u64 pc = qemu_plugin_insn_vaddr(insn);
		struct place *place;
		unsigned int code, kind;

		memcpy(&code, qemu_plugin_insn_data(insn), sizeof(code));
		place = !i && read_register ? tlbi_before(pc) : NULL;
		if (place)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_after_tlbi, NO_REGISTERS, place);
		kind = kind_of(pc, code);
		place = kind ? place_of(pc, code, kind) : NULL;
		if (place)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, on_system, NO_REGISTERS, place);
		if (is_followed(pc))
			qemu_plugin_register_vcpu_mem_cb(insn, on_store, NO_REGISTERS, STORES, (void *)pc);
	}
}

static void *mapped(const char *number, int protection, u64 *size)
{
	struct stat status;
	int fd = atoi(number);
	void *found;

	if (fstat(fd, &status))
		return NULL;
	found = mmap(NULL, status.st_size, protection, MAP_SHARED, fd, 0);
	*size = status.st_size;
	return found == MAP_FAILED ? NULL : found;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
	u64 size = 0;

	(void)info;
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return 1;
		*value++ = 0;
		if (!strcmp(argv[i], "events")) {
			stream = mapped(value, PROT_READ | PROT_WRITE, &size);
			capacity = (size - sizeof(*stream)) / sizeof(struct event);
		} else if (!strcmp(argv[i], "memory")) {
			memory = mapped(value, PROT_READ, &memory_size);
		} else if (!strcmp(argv[i], "code") && range_count < MAX_RANGES) {
			ranges[range_count].low = strtoull(value, &value, 16);
			ranges[range_count++].high = strtoull(value + 1, NULL, 16);
		}
	}
	if (!stream || !memory)
		return 1;
	get_cpu = dlsym(RTLD_DEFAULT, "qemu_get_cpu");
	new_array = dlsym(RTLD_DEFAULT, "g_byte_array_new");
	free_array = dlsym(RTLD_DEFAULT, "g_byte_array_free");
	if (get_cpu && new_array && free_array)
		read_register = dlsym(RTLD_DEFAULT, "aarch64_cpu_gdb_read_register");
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
	return 0;
}
