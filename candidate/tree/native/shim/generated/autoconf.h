/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration options that affect the code of KVM. Debugging, tracing and printing are off. The options that
 * `config ARM64` and `config KVM` select are taken from the tree (generated/selects.h).
 */
#ifndef SHIM_GRANULE_SHIFT
#define SHIM_GRANULE_SHIFT 12
#endif

/* arm64, with MMU and several CPUs */
#define CONFIG_ARM64 1
#define CONFIG_64BIT 1
#define CONFIG_MMU 1
#define CONFIG_SMP 1
#define CONFIG_HAS_IOMEM 1
#define CONFIG_THREAD_INFO_IN_TASK 1
#define CONFIG_PHYS_ADDR_T_64BIT 1
#define CONFIG_ARCH_DMA_ADDR_T_64BIT 1
#define CONFIG_ARCH_SUPPORTS_INT128 1
#define CONFIG_NR_CPUS 64
#define CONFIG_HZ 1000

/* the compiler */
#define CONFIG_CC_IS_GCC 1
#define CONFIG_GCC_VERSION (__GNUC__ * 10000 + __GNUC_MINOR__ * 100 + __GNUC_PATCHLEVEL__)
#define CONFIG_CLANG_VERSION 0
#define CONFIG_AS_HAS_LDAPR 1

/* BUG() and WARN(); checked addresses, which turn some conversions into functions */
#define CONFIG_BUG 1
#define CONFIG_GENERIC_BUG 1
#define CONFIG_DEBUG_VIRTUAL 1

/* preemption; with these options, locks and RCU are function calls, not inlined */
#define CONFIG_PREEMPTION 1
#define CONFIG_PREEMPT 1
#define CONFIG_PREEMPT_COUNT 1
#define CONFIG_PREEMPT_RCU 1
#define CONFIG_TREE_RCU 1
#define CONFIG_TREE_SRCU 1
#define CONFIG_SRCU 1
#define CONFIG_UNINLINE_SPIN_UNLOCK 1
#define CONFIG_QUEUED_SPINLOCKS 1
#define CONFIG_QUEUED_RWLOCKS 1
#define CONFIG_ARCH_USE_QUEUED_RWLOCKS 1

/* memory */
#define CONFIG_SPARSEMEM 1
#define CONFIG_SPARSEMEM_EXTREME 1
#define CONFIG_SPARSEMEM_VMEMMAP 1
#define CONFIG_SPARSEMEM_VMEMMAP_ENABLE 1
#define CONFIG_HAVE_ARCH_PFN_VALID 1
#define CONFIG_ZONE_DMA 1
#define CONFIG_ZONE_DMA32 1
#define CONFIG_SLUB 1
#define CONFIG_MMU_NOTIFIER 1

/* huge pages */
#define CONFIG_PGTABLE_HAS_HUGE_LEAVES 1
#define CONFIG_TRANSPARENT_HUGEPAGE 1
#define CONFIG_HAVE_ARCH_TRANSPARENT_HUGEPAGE 1
#define CONFIG_HUGETLBFS 1
#define CONFIG_HUGETLB_PAGE 1

/* KVM */
#define CONFIG_VIRTUALIZATION 1
#define CONFIG_HAVE_KVM 1
#define CONFIG_KVM 1
#define CONFIG_KVM_ARM_HOST 1
#define CONFIG_HAVE_KVM_IRQCHIP 1
#define CONFIG_HAVE_KVM_IRQ_ROUTING 1
#define CONFIG_KVM_VFIO 1

/* features of the architecture */
#define CONFIG_ARM64_HW_AFDBM 1
#define CONFIG_ARM64_VHE 1
#define CONFIG_ARM64_RAS_EXTN 1
#define CONFIG_ARM64_CNP 1
#define CONFIG_ARM64_SVE 1
#define CONFIG_ARM64_MTE 1
#define CONFIG_AS_HAS_ARMV8_5 1

/*
 * Address sizes. With smaller pages, 52 bits need FEAT_LPA2 and a tree whose host uses it. A host with it looks at TCR_EL1.DS
 * (read_tcr()), and KVM checks the CPU.
 */
#include <probe.h>
#define CONFIG_ARM64_VA_BITS 48
#define CONFIG_ARM64_VA_BITS_48 1
#if SHIM_GRANULE_SHIFT == 16 || defined(HAVE_LPA2)
#define CONFIG_ARM64_PA_BITS 52
#define CONFIG_ARM64_PA_BITS_52 1
#if SHIM_GRANULE_SHIFT != 16
#define CONFIG_ARM64_LPA2 1
#endif
#else
#define CONFIG_ARM64_PA_BITS 48
#define CONFIG_ARM64_PA_BITS_48 1
#endif

/* other options that headers need */
#define CONFIG_BASE_SMALL 0
#define CONFIG_LOG_BUF_SHIFT 17

/* pages */
#define CONFIG_PAGE_SHIFT SHIM_GRANULE_SHIFT
#define CONFIG_ARM64_PAGE_SHIFT SHIM_GRANULE_SHIFT
#if SHIM_GRANULE_SHIFT == 12
#define CONFIG_ARM64_4K_PAGES 1
#define CONFIG_HAVE_PAGE_SIZE_4KB 1
#define CONFIG_PAGE_SIZE_4KB 1
#define CONFIG_ARM64_CONT_PTE_SHIFT 4
#define CONFIG_ARM64_CONT_PMD_SHIFT 4
#define CONFIG_PGTABLE_LEVELS 4
#define CONFIG_ARCH_FORCE_MAX_ORDER 10
#elif SHIM_GRANULE_SHIFT == 14
#define CONFIG_ARM64_16K_PAGES 1
#define CONFIG_HAVE_PAGE_SIZE_16KB 1
#define CONFIG_PAGE_SIZE_16KB 1
#define CONFIG_ARM64_CONT_PTE_SHIFT 7
#define CONFIG_ARM64_CONT_PMD_SHIFT 5
#define CONFIG_PGTABLE_LEVELS 4
#define CONFIG_ARCH_FORCE_MAX_ORDER 11
#else
#define CONFIG_ARM64_64K_PAGES 1
#define CONFIG_HAVE_PAGE_SIZE_64KB 1
#define CONFIG_PAGE_SIZE_64KB 1
#define CONFIG_ARM64_CONT_PTE_SHIFT 5
#define CONFIG_ARM64_CONT_PMD_SHIFT 5
#define CONFIG_PGTABLE_LEVELS 3
#define CONFIG_ARCH_FORCE_MAX_ORDER 13
#endif

#include <generated/selects.h>

/* as in mm/Kconfig, which is not evaluated */
#ifdef CONFIG_ARCH_SUPPORTS_PER_VMA_LOCK
#define CONFIG_PER_VMA_LOCK 1
#endif
