/* A plugin for qemu-aarch64 (user mode) that counts a guest's executed instructions by class, and the bytes they move.
 *
 * Copyright (C) 2026 the EdgeFace authors
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU is under the GNU General Public License, version 2, and a plugin is loaded into it; hence this file's licence.
 * It is compiled on the user's machine by `edgeface devices setup arm`; nothing else of EdgeFace is linked with it.
 *
 * Plugin interface 1 (QEMU 6.0 to 8.x), declared here so that no QEMU headers are needed. The guest marks a moment by
 * closing the file descriptor 0x7E570000 + number, which does not exist: the plugin then writes one line
 *     number total vector_multiply ... bytes_stored
 * to the file given as out=PATH. Counters are not atomic: the guest runs one thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };
typedef void (*tb_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscall_callback)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                 uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_callback);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum qemu_plugin_op, void *, uint64_t);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_callback);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

#ifndef PUBLIC /* a test gives its own, to compile without QEMU */
#define PUBLIC __attribute__((visibility("default")))
#endif
PUBLIC int qemu_plugin_version = 1;

#define SYSCALL_CLOSE 57
#define MARK 0x7E570000u

/* The order is that of COUNTERS in run.py. */
enum counter {
    TOTAL, VECTOR_MULTIPLY, VECTOR_OTHER, VECTOR_LOAD, VECTOR_STORE, SCALAR_LOAD, SCALAR_STORE, SCALAR_FLOAT, BRANCH,
    SCALAR_OTHER, BYTES_LOADED, BYTES_STORED, COUNTERS
};
static uint64_t counters[COUNTERS];
static FILE *out;

/* Bit fields of an instruction, as the Arm Architecture Reference Manual numbers them. */
static unsigned bits(uint32_t word, int high, int low)
{
    return (word >> low) & ((1u << (high - low + 1)) - 1);
}

struct access {
    enum counter kind;
    unsigned bytes;
};

static struct access moved(bool vector, bool load, unsigned bytes)
{
    enum counter kind = vector ? (load ? VECTOR_LOAD : VECTOR_STORE) : (load ? SCALAR_LOAD : SCALAR_STORE);
    return (struct access){kind, bytes};
}

/* LD1-4, ST1-4 of whole registers and of single elements. */
static struct access structure_access(uint32_t word)
{
    static const unsigned registers[16] = {4, 0, 4, 0, 3, 0, 3, 1, 2, 0, 2};
    bool load = bits(word, 22, 22);
    if (!bits(word, 24, 24)) {
        return moved(true, load, registers[bits(word, 15, 12)] * (bits(word, 30, 30) ? 16 : 8));
    }
    unsigned elements = (bits(word, 13, 13) << 1 | bits(word, 21, 21)) + 1;
    unsigned scale = bits(word, 15, 14), size = bits(word, 11, 10);
    if (scale == 3) {
        scale = size; /* load and replicate */
    } else if (scale == 2 && size == 1) {
        scale = 3;
    }
    return moved(true, load, elements << scale);
}

static struct access memory_access(uint32_t word)
{
    const struct access prefetch = {SCALAR_OTHER, 0};
    bool vector = bits(word, 26, 26), bit22 = bits(word, 22, 22);
    unsigned size = bits(word, 31, 30), opc = bits(word, 23, 22);
    if ((word & 0xBE000000) == 0x0C000000) {
        return structure_access(word);
    }
    if ((word & 0x3A000000) == 0x28000000) { /* pairs */
        return moved(vector, bit22, vector ? 8u << size : (size == 2 ? 16 : 8));
    }
    if ((word & 0x3B000000) == 0x18000000) { /* literals */
        return !vector && size == 3 ? prefetch : moved(vector, true, vector ? 4u << size : (size == 1 ? 8 : 4));
    }
    if ((word & 0x3F000000) == 0x08000000) { /* exclusive and ordered */
        return moved(false, bit22, 1u << size);
    }
    if (vector) {
        return moved(true, opc & 1, opc & 2 ? 16 : 1u << size);
    }
    return size == 3 && opc == 2 ? prefetch : moved(false, opc != 0, 1u << size);
}

/* Multiplications and multiply-adds of vectors: FMLA, MLA, MUL, FMUL, SMLAL, SMULL, SDOT, SMMLA and their kin. */
static bool multiplies(uint32_t word)
{
    if ((word & 0x9F200400) == 0x0E200400) { /* three registers of the same type */
        unsigned opcode = bits(word, 15, 11);
        bool floating = !bits(word, 23, 23), is_unsigned = bits(word, 29, 29);
        return opcode == 0x19 || opcode == 0x12 || (opcode == 0x13 && !is_unsigned) || (opcode == 0x1B && floating);
    }
    if ((word & 0x9F208400) == 0x0E008400) { /* dot products and matrix multiplications */
        return bits(word, 14, 11) < 8;
    }
    if ((word & 0x9F200C00) == 0x0E200000) { /* long multiplications */
        unsigned opcode = bits(word, 15, 12);
        return opcode >= 8 && opcode <= 13;
    }
    if ((word & 0x9F000400) == 0x0F000000) { /* by one element; SQDMULH and SQRDMULH rescale and are not counted */
        unsigned opcode = bits(word, 15, 12);
        return opcode != 12 && opcode != 13;
    }
    return false;
}

static struct access classify(uint32_t word)
{
    if ((word & 0x0A000000) == 0x08000000) {
        return memory_access(word);
    }
    if ((word & 0x0E000000) == 0x0E000000) {
        bool scalar = (word & 0x50000000) == 0x10000000;
        return (struct access){scalar ? SCALAR_FLOAT : multiplies(word) ? VECTOR_MULTIPLY : VECTOR_OTHER, 0};
    }
    return (struct access){(word & 0x1C000000) == 0x14000000 ? BRANCH : SCALAR_OTHER, 0};
}

/* Count a block of instructions once, when it is translated; add the sums each time it runs. */
static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    uint64_t sums[COUNTERS] = {0};
    size_t count = qemu_plugin_tb_n_insns(block);
    for (size_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
        struct access found = classify(word);
        sums[TOTAL]++;
        sums[found.kind]++;
        if (found.kind == VECTOR_LOAD || found.kind == SCALAR_LOAD) {
            sums[BYTES_LOADED] += found.bytes;
        } else {
            sums[BYTES_STORED] += found.bytes;
        }
    }
    for (int i = 0; i < COUNTERS; i++) {
        if (sums[i]) {
            qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &counters[i], sums[i]);
        }
    }
    (void)id;
}

static void called(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                   uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    if (number == SYSCALL_CLOSE && (a1 & 0xFFFF0000u) == MARK) {
        fprintf(out, "%u", (unsigned)(a1 & 0xFFFF));
        for (int i = 0; i < COUNTERS; i++) {
            fprintf(out, " %llu", (unsigned long long)counters[i]);
        }
        fputc('\n', out);
        fflush(out);
    }
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
}

PUBLIC int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0 || !(out = fopen(argv[0] + 4, "w"))) {
        fputs("insn_count: give out=PATH, a file that can be written\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
