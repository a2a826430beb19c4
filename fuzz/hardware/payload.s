// SPDX-License-Identifier: GPL-2.0-only
//
// What runs inside QEMU, at EL2 with the MMU off: it answers how the CPU
// translates guest addresses under given stage-2 tables.
//
// payload.hex holds its bytes; `python -m fuzz.hardware.assemble` makes them.
//
// The mailbox lies 64K above the code (fuzz/hardware/layout.py has its twin):
//
//      +0   number of jobs
//      +8   address of the jobs, 32 bytes each:
//              VTCR_EL2, VTTBR_EL2, HCR_EL2, number of questions
//     +16   address of the questions of all jobs, 8 bytes each:
//              59:0 guest address; 63:60 what is asked:
//              0 read, 1 write, 2 fetch at EL1, 3 fetch at EL0
//     +24   address of the answers, 8 bytes each:
//              read, write: PAR_EL1 after AT S12E1R, AT S12E1W, without NS and
//              what is implementation defined or reserved of a success (11:9)
//              fetch: 0 where it went through, else the syndrome: ESR_EL2 of an abort
//              at stage 2, ESR_EL1 of another
//              an exception that AT gave: ESR_EL2
//     +32   argument block of semihosting calls
//
// A byte read from standard input starts the jobs, a byte written to standard
// output says that they are done; the first one says that we are up. The end
// of standard input is our end.
//
// Fetches: AT does not look at execute-never, so an exception return goes to
// the address itself. PSTATE.IL is set in it: once the instruction has been
// fetched, the Illegal Execution state exception is taken instead of executing
// it, so whatever lies there does no harm. Its vector is an address that no stage-2
// table maps, and the abort that this gives brings us back to EL2.

        .equ    MAILBOX, 0x10000        // from start
        .equ    ARGUMENTS, 32           // in the mailbox
        .equ    SYS_OPEN, 0x01
        .equ    SYS_WRITE, 0x05
        .equ    SYS_READ, 0x06
        .equ    SYS_EXIT, 0x18
        .equ    STOPPED, 0x20026        // ADP_Stopped_ApplicationExit
        .equ    SCTLR_EL1_RESET, 0x30d00800     // RES1 bits; MMU and caches off
        .equ    EL1, 0x1003c5           // SPSR: EL1h, exceptions masked, IL
        .equ    EL0, 0x1003c0           // SPSR: EL0, exceptions masked, IL
        .equ    EC_ILLEGAL, 0x0e        // exception class: Illegal Execution state
        .equ    EXTERNAL, 0x10          // fault status: external abort, not on a walk
        .equ    PAR_UNUSED, 0xe00       // NS, implementation defined, RES1

// x19 mailbox                  x24 questions left of the job
// x20 next job                 x25 handle of standard input
// x21 jobs left                x26 handle of standard output
// x22 next question            x0-x7 scratch
// x23 next answer

        .arch   armv8-a
        .text
start:
        adr     x19, start
        add     x19, x19, #MAILBOX
        adr     x0, vectors
        msr     vbar_el2, x0
        ldr     x0, =SCTLR_EL1_RESET
        msr     sctlr_el1, x0
        // Below 2^52, what stage 1 lets through, and above every guest's address space.
        mov     x0, #1 << 51
        msr     vbar_el1, x0
        mov     x3, #0                  // "rb"
        bl      open
        mov     x25, x0
        mov     x3, #4                  // "wb"
        bl      open
        mov     x26, x0

done:
        dsb     sy
        mov     w0, #SYS_WRITE
        mov     x2, x26
        bl      one_byte
        mov     w0, #SYS_READ
        mov     x2, x25
        bl      one_byte
        cbnz    x0, quit                // bytes that were not read
        ldp     x21, x20, [x19]
        ldp     x22, x23, [x19, #16]

next_job:
        cbz     x21, done
        sub     x21, x21, #1
        ldp     x0, x1, [x20], #16
        msr     vtcr_el2, x0
        msr     vttbr_el2, x1
        ldp     x0, x24, [x20], #16
        msr     hcr_el2, x0
        dsb     sy
        isb
        tlbi    alle1
        dsb     sy
        isb

next_question:
        cbz     x24, next_job
        sub     x24, x24, #1
        ldr     x1, [x22], #8
        lsr     x2, x1, #60
        and     x1, x1, #0x0fffffffffffffff
        cmp     x2, #1
        b.hi    fetch
        b.eq    1f
        at      s12e1r, x1
        b       2f
1:      at      s12e1w, x1
2:      isb
        mrs     x3, par_el1
        tbnz    x3, #0, answer          // a fault
        and     x3, x3, #~PAR_UNUSED
answer:
        str     x3, [x23], #8
        b       next_question

fetch:
        cmp     x2, #3
        ldr     x3, =EL1
        ldr     x4, =EL0
        csel    x3, x4, x3, eq
        msr     spsr_el2, x3
        msr     elr_el2, x1
        msr     esr_el1, xzr
        isb
        eret

// From EL1 or EL0: the fetch has failed at stage 2, or EL1 could not fetch its vector.
fetched:
        mrs     x3, esr_el1
        cbnz    x3, 1f
        mrs     x3, esr_el2
        b       answer
1:      lsr     x4, x3, #26
        and     x5, x3, #0x3f
        cmp     x4, #EC_ILLEGAL
        ccmp    x5, #EXTERNAL, #4, ne   // nothing at the physical address: translated all the same
        csel    x3, xzr, x3, eq
        b       answer

// AT has met an external abort on its walk.
aborted:
        mrs     x3, esr_el2
        b       answer

quit:
        ldr     x0, =STOPPED
        add     x1, x19, #ARGUMENTS
        stp     x0, xzr, [x1]
        mov     w0, #SYS_EXIT
        hlt     #0xf000
        b       .

// Open ":tt": standard input or output. x3: mode. Returns x0: handle.
open:
        add     x1, x19, #ARGUMENTS
        adr     x2, name
        stp     x2, x3, [x1]
        mov     x2, #3
        str     x2, [x1, #16]
        mov     w0, #SYS_OPEN
        hlt     #0xf000
        ret

// Write or read one byte behind the argument block. w0: call, x2: handle. Returns x0: bytes not done.
one_byte:
        add     x1, x19, #ARGUMENTS
        add     x3, x1, #64
        stp     x2, x3, [x1]
        mov     x2, #1
        str     x2, [x1, #16]
        hlt     #0xf000
        ret

name:   .asciz  ":tt"
        .balign 4
        .ltorg

        .balign 2048
vectors:
        .rept   4                       // from EL2 with SP_EL0
        .balign 128
        b       .
        .endr
        .balign 128                     // from EL2, synchronous
        b       aborted
        .rept   3
        .balign 128
        b       .
        .endr
        .balign 128                     // from EL1 or EL0 in AArch64, synchronous
        b       fetched
        .rept   7
        .balign 128
        b       .
        .endr
