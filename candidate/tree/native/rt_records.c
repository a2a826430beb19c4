// SPDX-License-Identifier: GPL-2.0-only
/* Records of events: names, backtraces, and accesses to tables. */
#include "rt.h"

/* The texts that have had a number, by address. A text may have several addresses. */
#define KNOWN_BITS	10
#define KNOWN		(1u << KNOWN_BITS)
static struct { unsigned int count; struct { const char *p; unsigned int id; } slots[KNOWN]; } *known;
#define MAX_NAMES	900u
static shim_u64 *text_digests;	/* digests of texts, by number */
/*
 * Pages that the current operation has touched are marked with its number, which increases for the lifetime of the process.
 * They are in the range from touched_low to touched_high, end excluded.
 */
static struct { unsigned int operation, pages[RT_ARENA_PAGES]; } *touched;
static unsigned int touched_low, touched_high;

/*
 * The numbers of the last chains: the table in shared memory is larger than the caches of the CPU. The index is the first bits of
 * a chain's digest; its other bits and the number are in one word.
 */
#define RECENT_BITS	12
#define ID_BITS		14
_Static_assert(SHIM_CHAINS < 1 << ID_BITS && ID_BITS <= RECENT_BITS + 2, "a word of the last chains has nearly all of a digest");
static shim_u64 *recent;

void shim_remember_names(void)
{
	known = rt_keep(sizeof(*known));
	text_digests = rt_keep((MAX_NAMES + 1) * sizeof(*text_digests));
	touched = rt_keep(sizeof(*touched));
	recent = rt_keep(sizeof(*recent) << RECENT_BITS);
}

static inline shim_u64 mixed(shim_u64 digest, shim_u64 value)
{
	digest = (digest ^ value) * 0x9e3779b97f4a7c15ULL;
	return digest ^ digest >> 29;
}

unsigned long shim_log_end;

void shim_uses_log(const void *p, unsigned long bytes)
{
	unsigned long from = (unsigned long)p - (unsigned long)shim_control->log, words = (from + bytes + 31) / 32 * 4;

	if (from >= sizeof(shim_control->log) || !bytes)
		return;
	/* The last access may go beyond the log. */
	if (bytes > sizeof(shim_control->log) || words > SHIM_LOG_WORDS)
		words = SHIM_LOG_WORDS;
	if (words > shim_log_end)
		shim_log_end = words;
}

/* The dirty log that user space gets is not part of the records, so add it to the digest. Most of its words are zero. */
void shim_digest_log(void)
{
	const shim_u64 *log = shim_control->log;

	for (unsigned int i = 0; i < shim_log_end; i += 4) {
		if (!(log[i] | log[i + 1] | log[i + 2] | log[i + 3]))
			continue;
		for (unsigned int j = i; j < i + 4; j++)
			shim_control->digest = mixed(mixed(shim_control->digest, j), log[j]);
	}
}

static unsigned int name_id(const char *name)
{
	unsigned int h = (unsigned int)((unsigned long)name >> 3) * 2654435761u >> (32 - KNOWN_BITS), id;
	const char *s;

	if (!name)
		return 0;
	for (; known->slots[h].p; h = (h + 1) % KNOWN)
		if (known->slots[h].p == name)
			return known->slots[h].id;
	for (id = 1, s = shim_names; id <= shim_control->nname; id++, s += strlen(s) + 1)
		if (!strcmp(s, name))
			break;
	if (id > shim_control->nname) {
		if (s + strlen(name) + 1 > shim_names + SHIM_NAME_BYTES || shim_control->nname == MAX_NAMES)
			return 0;
		strcpy((char *)s, name);
		shim_control->nname++;
	}
	/* A slot is always free, where the search ends. */
	if (known->count < KNOWN - 1) {
		known->count++;
		known->slots[h].p = name;
		known->slots[h].id = id;
	}
	text_digests[id] = 0;
	for (s = name; *s; s++)
		text_digests[id] = mixed(text_digests[id], (unsigned char)*s);
	return id;
}

/* The number of a chain in the table, which has it afterwards; 0: there is no room. */
static unsigned int number_of(shim_u64 digest, const unsigned int *chain, unsigned int n)
{
	unsigned int h = digest >> (64 - SHIM_CHAIN_BITS), id;

	for (; (id = shim_chain_table[h]); h = (h + 1) & ((1 << SHIM_CHAIN_BITS) - 1))
		if (shim_chains[id - 1].n == n && !memcmp(shim_chains[id - 1].pc, chain, n * sizeof(*chain)))
			return id;
	if (shim_control->nchain == SHIM_CHAINS)
		return 0;
	id = ++shim_control->nchain;
	shim_chains[id - 1].n = n;
	memcpy(shim_chains[id - 1].pc, chain, n * sizeof(*chain));
	shim_chain_table[h] = id;
	return id;
}

/* The chain of return addresses from here to the operation's entry, as a number. */
static unsigned int chain_id(void **frame)
{
	unsigned int chain[SHIM_CHAIN], n = 0, id;
	shim_u64 all = 0, *at;

	while (n < SHIM_CHAIN && (char *)frame < shim_stack_top && frame[1]) {
		unsigned int pc = (unsigned int)((char *)frame[1] - &__ehdr_start);

		chain[n++] = pc;
		all = mixed(all, pc);
		if ((void **)frame[0] <= frame)
			break;
		frame = frame[0];
	}
	at = &recent[all >> (64 - RECENT_BITS)];
	id = *at & ((1u << ID_BITS) - 1);
	if (!id || (*at ^ all << ID_BITS) >> ID_BITS) {
		id = number_of(all, chain, n);
		*at = all << ID_BITS | id;
	}
	return id;
}

unsigned int shim_chain_of(void *pc, void **frame)	/* pc: the interrupted instruction; 0: the chain begins at a call */
{
	unsigned int id = chain_id(frame);

	if (id && pc && shim_control->nchain < SHIM_CHAINS) {
		struct shim_chain *c = &shim_chains[shim_control->nchain++], *from = &shim_chains[id - 1];

		c->pc[0] = (unsigned int)((char *)pc - &__ehdr_start) + 1;
		c->n = from->n < SHIM_CHAIN ? from->n + 1 : SHIM_CHAIN;
		memcpy(c->pc + 1, from->pc, (c->n - 1) * sizeof(*c->pc));
		return shim_control->nchain;
	}
	return id;
}

unsigned long shim_visited, shim_visited_last;

static int unwanted(unsigned int kind, shim_u64 a)
{
	shim_u64 kinds = shim_control->unwanted;

	return kinds && ((kind < 64 && kinds >> kind & 1) || ((kind == EV_LOCK || kind == EV_UNLOCK) && a == LOCK_OTHER));
}

static void digest(unsigned int kind, unsigned int text, shim_u64 a, shim_u64 b, shim_u64 c)
{
	shim_control->digest = mixed(mixed(mixed(mixed(mixed(shim_control->digest, kind), text_digests[text]), a), b), c);
}

/* Whether code that polls may make a record of this kind again and again. */
static int changes_nothing(unsigned int kind)
{
	switch (kind) {
	case EV_READ: case EV_TABLE: case EV_CMPXCHG_FAIL: case EV_COUNT: case EV_MC_COUNT: case EV_WALK: case EV_USER_WALK:
	case EV_DSB: case EV_DMB: case EV_ISB: case EV_ACQUIRE: case EV_SEQ_READ: case EV_COUNT_READ:
	case EV_LOCK: case EV_UNLOCK: case EV_OTHER_LOCK: case EV_RCU_LOCK: case EV_RCU_UNLOCK: case EV_SRCU_SYNC:
	case EV_RESCHED: case EV_CALL: case EV_SLEEP: case EV_VMA: case EV_VMA_READ: case EV_TURN: case EV_NO_STRUCT_PAGE:
		return 1;
	}
	return 0;
}

void rt_record(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, void **frame)
{
	struct shim_record *r;
	unsigned int text = name_id(name);

	rt_made += kind != EV_TURN;
	rt_progress += !changes_nothing(kind);
	if (!unwanted(kind, a)) {
		if (shim_control->nrec == SHIM_RECORDS)
			shim_full();
		r = &shim_records[shim_control->nrec++];
		if (!shim_following) {
			r->kind = kind;
			/* Stores have no name; the field has the low 16 bits of the number of entries that the code has read. */
			r->name = kind >= EV_STORE && kind <= EV_PLAIN ? (unsigned short)shim_visited : text;
			r->chain = chain_id(frame);
			r->a = a;
			r->b = b;
			r->c = c;
		}
	}
	digest(kind, text, a, b, c);
}

int rt_recording;
/* The instrumentation announces plain accesses before they happen. The value of a store is known at the next event. */
volatile shim_u64 *rt_plain_at;
static int settling;

static inline __attribute__((always_inline)) void settle_store(void)
{
	volatile shim_u64 *p = rt_plain_at;

	rt_plain_at = 0;
	if (p && *p != *rt_shadow_at(p)) {
		shim_u64 old = *rt_shadow_at(p);

		*rt_shadow_at(p) = *p;
		rt_record(EV_PLAIN, rt_entry(p), old, *p, 0, __builtin_frame_address(0));
	}
}

void rt_settle(void)
{
	if (settling)
		return;
	if (rt_load_at)
		rt_record_load();
	settling = 1;
	settle_store();
	if (rt_any_dirty)
		rt_settle_watched();
	settling = 0;
}

/* Note that kernel code accesses an address, which may be outside of the tables. */
void rt_touch(const volatile void *p, unsigned long bytes)
{
	unsigned long first = ((unsigned long)p - SHIM_ARENA) >> RT_PAGE_SHIFT, last;

	if (first >= RT_ARENA_PAGES || !bytes)
		return;
	last = ((unsigned long)p + bytes - 1 - SHIM_ARENA) >> RT_PAGE_SHIFT;
	if (last >= RT_ARENA_PAGES)
		last = RT_ARENA_PAGES - 1;
	/* The driver does not have such a page, and the reset between programs would not restore it. */
	if (last >= rt_arena_next)
		shim_crash(RT_UNALLOCATED, FRAME, 0);
	for (unsigned long i = first; i <= last; i++)
		touched->pages[i] = touched->operation;
	if (first < touched_low)
		touched_low = first;
	if (last >= touched_high)
		touched_high = last + 1;
}

/* Record each entry of a table page that differs from what was recorded, as a plain store. */
static void compare_page(unsigned int page)
{
	shim_u64 *now = rt_page(page), *told = rt_shadow_at(now);

	if (!memcmp(now, told, 1UL << RT_PAGE_SHIFT))
		return;
	for (unsigned int k = 0; k < 1u << (RT_PAGE_SHIFT - 3); k++)
		if (now[k] != told[k]) {
			rt_record(EV_PLAIN, rt_entry(&now[k]), told[k], now[k], 0, __builtin_frame_address(0));
			told[k] = now[k];
		}
}

/* Record it at once if kernel code writes what nobody had written, as memset() does: checkers judge what is left. */
void rt_wrote(const void *p, unsigned long n)
{
	unsigned long first = ((unsigned long)p - SHIM_ARENA) >> RT_PAGE_SHIFT;

	if (!rt_any_unwritten || !rt_recording || !n || !SHIM_IN_ARENA(p))
		return;
	rt_settle();
	for (unsigned long i = first; i <= ((unsigned long)p + n - 1 - SHIM_ARENA) >> RT_PAGE_SHIFT && i < rt_arena_next; i++)
		if (rt_unwritten[i])
			compare_page((unsigned int)i);
}

/*
 * Record changes of tables that no store reported. Called at the end of each operation, for the pages that it has touched by a
 * load, a store, or memset() and the like; or for all pages in use.
 */
void shim_compare_arena(int all)
{
	unsigned int low = all ? 0 : touched_low, high = all || touched_high > rt_arena_next ? rt_arena_next : touched_high;

	rt_settle();
	for (unsigned int i = low; i < high; i++)
		if (all || touched->pages[i] == touched->operation)
			compare_page(i);
}

void __attribute__((noinline))
rt_emit(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name, void **frame)
{
	if (!rt_recording)
		return;
	rt_pass_time(RT_EVENT_NS);
	if (__builtin_expect(rt_load_at != 0, 0))
		rt_record_load();
	if (rt_any_dirty || rt_plain_at) {
		/* A notifier has one between its two words, and one record covers both. */
		if (kind == EV_DMB && name && !strcmp(name, "ishst"))
			settle_store();
		else
			rt_settle();
	}
	rt_record(kind, a, b, c, name, frame);
}

/*
 * A walk that continues where the last one ended is merged with it into one record if no other event was between them: some
 * trees free the tables of a VM block by block of its address space, and millions of blocks are empty.
 */
void rt_walk(int vmid, shim_u64 addr, shim_u64 size, void **frame)
{
	static struct { shim_u64 digest, end; void *callback; int vmid; } last;

	if (!rt_recording)
		return;
	if (rt_any_dirty || rt_plain_at || rt_load_at)
		rt_settle();
	if (shim_control->nrec && !unwanted(EV_WALK, vmid) && last.digest == shim_control->digest && last.end == addr &&
	    last.vmid == vmid && last.callback == frame[1]) {
		if (!shim_following)
			shim_records[shim_control->nrec - 1].c += size;
		digest(EV_WALK, 0, vmid, addr, size);
	} else {
		rt_record(EV_WALK, vmid, addr, size, 0, frame);
		last.callback = frame[1];
		last.vmid = vmid;
	}
	last.end = addr + size;
	last.digest = shim_control->digest;
}

void shim_emit(unsigned int kind, shim_u64 a, shim_u64 b, shim_u64 c, const char *name)
{
	if (kind == EV_WARN && rt_in_cache)
		return;		/* the wrapper of the cache reports it */
	RT_LOADED();
	rt_emit(kind, a, b, c, name, __builtin_frame_address(0));
	if (kind == EV_UNMODELLED)
		shim_refuse(name);
}

void shim_note(int on)
{
	static unsigned long visited;

	if (rt_recording && !on) {
		rt_settle();
		visited = shim_visited;
	} else if (!rt_recording && on) {
		/* Do not count entries that were read meanwhile. */
		shim_visited = visited;
		shim_visited_last = 0;
	}
	rt_recording = on;
}

/* Emit with the number of entries that the code has read so far: replay.py uses it to measure how long the mmu lock is held. */
void rt_emit_visited(unsigned int kind, shim_u64 a, shim_u64 b, int flag, void **frame)
{
	rt_emit(kind, a, b, (shim_u64)shim_visited << 1 | !!flag, 0, frame);
}

static unsigned int last_read = -1u;
unsigned long shim_read_last;		/* the same if there is only one actor */

void rt_read_entry(const volatile void *p)
{
	unsigned int page = ((unsigned long)p - SHIM_ARENA) >> RT_PAGE_SHIFT;

	if (__builtin_expect(rt_any_unwritten, 0))
		rt_read_unwritten(p, __builtin_frame_address(0));
	if (page == last_read)
		return;
	last_read = page;
	rt_touch(p, 1);
	/* If there may be unwritten entries, each read must be seen. */
	shim_read_last = rt_actor < 0 && !rt_any_unwritten ? (unsigned long)p >> RT_PAGE_SHIFT : 0;
	rt_emit(EV_TABLE, rt_entry(p), 0, 0, 0, __builtin_frame_address(0));
}

static void read_nothing(void)
{
	last_read = -1u;
	shim_read_last = 0;
}

void rt_forget_read(unsigned int page)
{
	if (page == last_read)
		read_nothing();
}

void shim_new_operation(void)
{
	read_nothing();
	touched->operation++;
	touched_low = -1u;
	touched_high = 0;
}

void shim_read(const volatile void *p)
{
	rt_check(p, 8, 0, FRAME);
	rt_read_entry(p);
	if (__builtin_expect(rt_actor >= 0, 0))
		rt_loaded(p, FRAME);
}

static inline shim_u64 changed_by(enum rt_change change, shim_u64 o, shim_u64 v)
{
	switch (change) {
	case ENTRY_ADD:
		return o + v;
	case ENTRY_SUB:
		return o - v;
	case ENTRY_AND:
		return o & v;
	case ENTRY_OR:
		return o | v;
	case ENTRY_XOR:
		return o ^ v;
	default:
		return v;
	}
}

static inline __attribute__((always_inline)) shim_u64
store(volatile void *p, enum rt_change change, shim_u64 v, unsigned int kind, void **frame)
{
	shim_u64 o;

	RT_BEFORE(POINT_STORE);
	rt_check(p, 8, 1, frame);
	if (rt_plain_at)
		rt_settle();
	o = *(volatile shim_u64 *)p;
	v = changed_by(change, o, v);
	*(volatile shim_u64 *)p = *rt_shadow_at(p) = v;
	rt_touch(p, 1);
	rt_emit(kind, rt_entry(p), o, v, 0, frame);
	RT_AFTER(POINT_STORE);
	return o;
}

shim_u64 shim_store(volatile void *p, shim_u64 v, int release)
{
	return store(p, ENTRY_SET, v, release ? EV_RELEASE : EV_STORE, FRAME);
}

/* An atomic operation on an entry is recorded as an exchange: it loads and stores the entry in one step. */
shim_u64 rt_atomic(volatile void *p, enum rt_change change, shim_u64 v, void **frame)
{
	return store(p, change, v, EV_RELEASE, frame);
}

shim_u64 rt_cmpxchg(volatile void *p, shim_u64 o, shim_u64 n, void **frame)
{
	shim_u64 was;

	RT_BEFORE(POINT_EXCHANGE);
	rt_check(p, 8, 1, frame);
	if (rt_plain_at)
		rt_settle();
	was = *(volatile shim_u64 *)p;
	if (was == o)
		*(volatile shim_u64 *)p = *rt_shadow_at(p) = n;
	rt_touch(p, 1);
	rt_emit(was == o ? EV_CMPXCHG : EV_CMPXCHG_FAIL, rt_entry(p), was, n, 0, frame);
	RT_AFTER(POINT_EXCHANGE);
	return was;
}

shim_u64 shim_cmpxchg(volatile void *p, shim_u64 o, shim_u64 n)
{
	return rt_cmpxchg(p, o, n, FRAME);
}

void rt_own_records(void)
{
	rt_own(&last_read, sizeof(last_read));
	rt_own(&rt_load_due, sizeof(rt_load_due));
	rt_own(&shim_notifying, sizeof(shim_notifying));
	rt_own(&shim_must_not_block, sizeof(shim_must_not_block));
}
