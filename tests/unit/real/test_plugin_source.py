# SPDX-License-Identifier: GPL-2.0-only
"""The plugin with a pretended QEMU, which translates and executes TLBIs."""

from pathlib import Path
from typing import Final

import pytest

from .natively import compiled, said

# Each block of this QEMU has one instruction. tlbi() translates and executes a TLBI and the instruction after it.
QEMU: Final = r"""
#include "plugin/stream.c"
#include <unistd.h>

#define TLBI_IPA 0xd50c8020U
#define NOP 0xd503201fU
#define PC 0xffff800080000000UL

struct qemu_plugin_insn {
    u64 pc;
    unsigned int code;
    int calls;
    struct { void (*call)(unsigned int, void *); void *data; } call[4];
};
struct array { unsigned char *data; unsigned int size; };

static void (*translate)(qemu_plugin_id_t, struct qemu_plugin_tb *);
static u64 register_value;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb) { return 1; }
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index) { return (void *)tb; }
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn) { return &insn->code; }
u64 qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn) { return insn->pc; }
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t info) { return true; }
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*call)(qemu_plugin_id_t, struct qemu_plugin_tb *))
{
    translate = call;
}
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*call)(unsigned int, void *),
                                            int registers, void *data)
{
    insn->call[insn->calls].call = call;
    insn->call[insn->calls++].data = data;
}
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *insn,
                                      void (*call)(unsigned int, qemu_plugin_meminfo_t, u64, void *),
                                      int registers, int kinds, void *data) { }

EXPORT void *qemu_get_cpu(int number) { return &register_value; }
EXPORT void *g_byte_array_new(void) { return calloc(1, sizeof(struct array)); }
EXPORT unsigned char *g_byte_array_free(struct array *array, int all)
{
    free(array->data);
    free(array);
    return NULL;
}
/* The number of the register is part of its value. */
EXPORT int aarch64_cpu_gdb_read_register(void *cpu, struct array *array, int number)
{
    u64 value = register_value + number;

    array->data = malloc(sizeof(value));
    memcpy(array->data, &value, sizeof(value));
    return sizeof(value);
}

static struct qemu_plugin_insn insns[2 * 8192];

static struct qemu_plugin_insn *translated(unsigned int at, unsigned int code)
{
    struct qemu_plugin_insn *insn = &insns[at];

    *insn = (struct qemu_plugin_insn){ .pc = PC + 4 * at, .code = code };
    translate(0, (void *)insn);
    return insn;
}

static void executed(struct qemu_plugin_insn *insn)
{
    for (int i = 0; i < insn->calls; i++)
        insn->call[i].call(0, insn->call[i].data);
}

static void tlbi(unsigned int place, unsigned int number, u64 value)
{
    struct qemu_plugin_insn *insn = translated(2 * place, TLBI_IPA | number), *next = translated(2 * place + 1, NOP);

    register_value = value;
    executed(insn);
    executed(next);
}

int main(void)
{
    char events[] = "events=3", memory[] = "memory=4", *arguments[] = { events, memory };

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (dup2(fileno(tmpfile()), 3) < 0 || dup2(fileno(tmpfile()), 4) < 0)
        return 1;
    if (ftruncate(3, 1 << 20) || ftruncate(4, 1 << 12))
        return 1;
    if (qemu_plugin_install(0, NULL, 2, arguments))
        return 2;
"""
END: Final = r"""
    for (u64 i = 0; i < stream->count; i++)
        printf("%lu %lx %lx\n", (stream->events[i].pc - PC) / 8, stream->events[i].what, stream->events[i].value);
    printf("%lu\n", stream->unwatched);
}
"""


@pytest.mark.parametrize(
    ("body", "events"),
    [
        ("tlbi(0, 1, 0x1000);", ["0 d50c8020 1001", "0"]),
        # Another register at the same address: the kernel has patched its code.
        ("tlbi(0, 1, 0x1000); tlbi(0, 2, 0x1000);", ["0 d50c8020 1001", "0 d50c8020 1002", "0"]),
        # A block that is translated many times.
        (
            "for (int i = 0; i < 5000; i++) { translated(0, TLBI_IPA); } tlbi(1, 1, 0x1000); tlbi(0, 3, 0x2000);",
            ["1 d50c8020 1001", "0 d50c8020 2003", "0"],
        ),
        # More TLBIs than the plugin has places for.
        (
            "for (int i = 0; i < 4098; i++) { translated(2 * i, TLBI_IPA); } tlbi(5, 3, 0x2000);",
            ["5 d50c8020 2003", "2"],
        ),
    ],
    ids=["once", "patched", "translated again", "too many"],
)
def test_operands_of_flushes(tmp_path: Path, body: str, events: list[str]) -> None:
    assert said(compiled(f"{QEMU}{body}{END}", tmp_path)) == events
