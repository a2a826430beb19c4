// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree's own guest_memfd.c, if its arm64 has it, and models of files, inodes and the page cache. A file is an area of the
 * host: the pages of the area are the pages of the file. A file begins at a 1G boundary; its slot begins at the offset that
 * matches the slot's host address.
 */
#include "probe.h"
#include "glue.h"
#include <linux/kvm_host.h>

#ifdef HAVE_GUEST_MEMFD
#include <linux/anon_inodes.h>
#include <linux/backing-dev.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/slab.h>

/* One for each slot: MEMFD() of glue.c. */
#define FILES (SHIM_MAX_VMS << 6)
#define WITHIN_GIB ((1UL << 30) - 1)
static struct memfd {
	struct file *file;
	struct address_space *mapping;
	unsigned long hva;
	unsigned long slot;	/* bytes of the file before the slot */
} files[FILES];
static int making;		/* the file that is being created */

static struct memfd *memfd_of(const struct address_space *mapping)
{
	int i;

	for (i = 0; i < FILES; i++)
		if (files[i].file && files[i].mapping == mapping)
			return &files[i];
	shim_refuse("a file that is not a guest_memfd");
}

/* ---- files and inodes ---- */

#ifdef HAVE_GMEM_MOUNT
static struct vfsmount *memfd_mount(struct file_system_type *type)
{
	struct fs_context *context = shim_zalloc(sizeof(*context));
	struct pseudo_fs_context *pseudo;
	struct vfsmount *mount = shim_zalloc(sizeof(*mount));

	if (type->init_fs_context(context))
		return ERR_PTR(-ENOMEM);
	pseudo = context->fs_private;
	mount->mnt_sb = shim_zalloc(sizeof(*mount->mnt_sb));
	mount->mnt_sb->s_op = pseudo->ops;
	return mount;
}

static struct pseudo_fs_context *memfd_pseudo(struct fs_context *context)
{
	return context->fs_private = shim_zalloc(sizeof(struct pseudo_fs_context));
}

#endif

static struct inode *memfd_inode(struct super_block *sb)
{
	struct inode *inode = sb ? sb->s_op->alloc_inode(sb) : shim_zalloc(sizeof(*inode));

	if (!inode)
		return ERR_PTR(-ENOMEM);
	inode->i_sb = sb;
	inode->i_mapping = &inode->i_data;
	inode->i_mapping->host = inode;
#ifdef HAVE_MAPPING_LIST
	INIT_LIST_HEAD(&inode->i_mapping->i_private_list);
#endif
	/* As anon_inode_make_secure_inode() and alloc_file_pseudo() leave them. */
	mapping_set_unevictable(inode->i_mapping);
	return inode;
}

static struct file *memfd_file(struct inode *inode, const struct file_operations *ops)
{
	struct file *file = shim_zalloc(sizeof(*file));

	file->f_inode = inode;
	file->f_mapping = inode->i_mapping;
	file->f_op = ops;
	files[making].file = file;
	files[making].mapping = inode->i_mapping;
	return file;
}

/* Create a file together with its inode. */
static struct file *memfd_file_of(const struct file_operations *ops, void *data)
{
	struct inode *inode = memfd_inode(NULL);
	struct file *file = IS_ERR(inode) ? (struct file *)inode : memfd_file(inode, ops);

	if (!IS_ERR(file))
		file->private_data = data;
	return file;
}

static struct file *memfd_get(unsigned int fd) { return fd < FILES ? files[fd].file : NULL; }
/* A file stays open until user space closes it; references are not counted. */
void fput(struct file *file) { }

/* ---- the xarray that maps pages of a file to slots, as a list of bindings ---- */

/* stored: the last index of the original store, which determines the entries that the array consists of. */
#define BINDINGS (2 * FILES)
static struct binding { struct xarray *xa; unsigned long first, last, stored; void *entry; } bindings[BINDINGS];

static void *memfd_find(struct xarray *xa, unsigned long *index, unsigned long max)
{
	struct binding *best = NULL;
	int i;

	for (i = 0; i < BINDINGS; i++) {
		struct binding *r = &bindings[i];

		if (r->entry && r->xa == xa && r->last >= *index && r->first <= max && (!best || r->first < best->first))
			best = r;
	}
	if (!best)
		return NULL;
	*index = max(*index, best->first);
	return best->entry;
}

/* An entry that covers several indices is found once. */
static void *memfd_find_after(struct xarray *xa, unsigned long *index, unsigned long max)
{
	int i;

	for (i = 0; i < BINDINGS; i++)
		if (bindings[i].entry && bindings[i].xa == xa && bindings[i].first <= *index && *index <= bindings[i].last) {
			*index = bindings[i].last;
			break;
		}
	return ++*index ? memfd_find(xa, index, max) : NULL;
}

static void *memfd_store_range(struct xarray *xa, unsigned long first, unsigned long last, void *entry)
{
	int i, free = -1, left = 0;

	for (i = 0; i < BINDINGS; i++) {
		struct binding *r = &bindings[i];

		if (r->entry && r->xa == xa && r->first <= last && r->last >= first) {
			if (r->first < first || r->last > last)
				shim_refuse("a range of a guest_memfd that loses its slot");
			r->entry = NULL;
		}
		if (!r->entry)
			free = i;
		else if (r->xa == xa)
			left++;
	}
	if (entry) {
		if (free < 0)
			return XA_ERROR(-ENOMEM);
		bindings[free] = (struct binding){ xa, first, last, last, entry };
	}
	/* xa_empty() reads this. */
	xa->xa_head = left || entry ? xa : NULL;
	return NULL;
}

/* The last index of the entry that begins at *first* if xa_store_range() stores up to *last*: an entry is in one node. */
static unsigned long memfd_entry_end(unsigned long first, unsigned long last)
{
	unsigned long left = last - first + 1, shift = 0;

	while (!(first >> shift & XA_CHUNK_MASK) && left >> shift >> XA_CHUNK_SHIFT)
		shift += XA_CHUNK_SHIFT;
	return first + (min(XA_CHUNK_SIZE - (first >> shift & XA_CHUNK_MASK), left >> shift) << shift) - 1;
}

static void memfd_rebind(struct binding old, unsigned long first, unsigned long last)
{
	int i;

	for (i = 0; first <= last && i < BINDINGS; i++)
		if (!bindings[i].entry) {
			bindings[i] = (struct binding){ old.xa, first, last, old.stored, old.entry };
			old.xa->xa_head = old.xa;
			return;
		}
	if (first <= last)
		shim_refuse("more ranges of guest_memfds than are supported");
}

/* Erase all indices that share the entry; a range that consists of several entries keeps the others. */
static void *memfd_erase(struct xarray *xa, unsigned long index)
{
	struct binding old;
	unsigned long first, last;
	int i, at = -1;

	for (i = 0; i < BINDINGS; i++)
		if (bindings[i].entry && bindings[i].xa == xa && bindings[i].first <= index && index <= bindings[i].last)
			at = i;
	if (at < 0)
		return NULL;
	old = bindings[at];
	for (first = old.first; (last = memfd_entry_end(first, old.stored)) < index; first = last + 1)
		;
	bindings[at].entry = NULL;
	xa->xa_head = NULL;
	for (i = 0; i < BINDINGS; i++)
		if (bindings[i].entry && bindings[i].xa == xa)
			xa->xa_head = xa;
	if (first > old.first)
		memfd_rebind(old, old.first, first - 1);
	memfd_rebind(old, last + 1, old.last);
	return old.entry;
}

static void memfd_destroy(struct xarray *xa)
{
	int i;

	for (i = 0; i < BINDINGS; i++)
		if (bindings[i].xa == xa)
			bindings[i].entry = NULL;
	xa->xa_head = NULL;
}

static void *memfd_load(struct xarray *xa, unsigned long index) { return memfd_find(xa, &index, index); }

/* ---- the page cache ---- */

/* The type of the flags differs between trees. */
static unsigned long *memfd_flags(struct folio *folio) { return (unsigned long *)&folio->flags; }

/* The flags of struct page, without the barriers of the kernel's own functions. */
static int memfd_uptodate(struct folio *folio) { return *memfd_flags(folio) >> PG_uptodate & 1; }
static void memfd_mark_uptodate(struct folio *folio) { *memfd_flags(folio) |= BIT(PG_uptodate); }

/* Without CONFIG_MEMORY_FAILURE there is no flag for it; use one that is free for file systems and unused by guest_memfd. */
static int memfd_failed(struct folio *folio) { return *memfd_flags(folio) >> PG_owner_priv_1 & 1; }

/* Frames have no memory here, so record that a page is cleared. */
static void memfd_clear(unsigned long pfn, unsigned long pages)
{
	while (pages--)
		SHIM_EV(EV_FILE_PAGE, pfn++, 1, 0, 0);
}

static void memfd_clear_bytes(struct page *page, unsigned long start, unsigned long size)
{
	if ((start | size) & (PAGE_SIZE - 1))
		shim_refuse("a guest_memfd page that is only partly cleared");
	memfd_clear(page_to_pfn(page) + (start >> PAGE_SHIFT), size >> PAGE_SHIFT);
}

/*
 * Find a page, or make one, whose contents are undefined then. A frame that a file has lost is never given to another file.
 * lock: the caller gets it locked.
 */
static struct folio *memfd_folio(struct address_space *mapping, unsigned long index, int make, int lock)
{
	struct memfd *m = memfd_of(mapping);
	struct folio *folio;
	unsigned long pfn;
	int ret = shim_user_page(m->hva + (index << PAGE_SHIFT), 0, &pfn), made = ret && make;

	if (made)
		ret = shim_user_page(m->hva + (index << PAGE_SHIFT), 1, &pfn);
	if (ret)
		return ERR_PTR(make ? ret : -ENOENT);
	folio = (struct folio *)pfn_to_page(pfn);
	if (folio->mapping != mapping) {
		folio->mapping = mapping;
		/* If user space has touched the page first, that fault has cleared it. */
		if (made)
			SHIM_EV(EV_FILE_PAGE, pfn, 0, 0, 0);
		else
			memfd_mark_uptodate(folio);
	}
	SHIM_EV(EV_PIN, pfn, 0, 0, 0);
	if (lock)
		shim_lock_folio(folio);
	folio->index = index;
	return folio;
}

static void memfd_truncate(struct address_space *mapping, unsigned long start, unsigned long last)
{
	struct memfd *m = memfd_of(mapping);
	struct shim_page page;
	unsigned long pages = (last + 1 - start) >> PAGE_SHIFT;

	SHIM_EV(EV_FILE_LOSES, m->hva + start, m->hva + last + 1, 0, 0);
	shim_host_fault(m->hva + start, 4 | pages << 3, &page);
	shim_user_zap(m->hva + start, m->hva + last + 1);
}

/* ---- the tree's file ---- */

#undef kmem_cache_create
#undef kmem_cache_alloc_lru
#define kmem_cache_create(name, size, ...)	((struct kmem_cache *)(unsigned long)(size))
#define kmem_cache_alloc_lru(cache, ...)	shim_zalloc((unsigned long)(cache))
#define kmem_cache_free(cache, object)		do { } while (0)
#define kmem_cache_destroy(cache)		do { } while (0)
#define kern_mount				memfd_mount
#define kern_unmount(mount)			do { } while (0)
#define rcu_barrier()				do { } while (0)
#define init_pseudo(context, magic)		memfd_pseudo(context)
#define inode_init_once(inode)			do { } while (0)
#define iput(inode)				do { } while (0)
#define simple_statfs				NULL
#define kill_anon_super				NULL
#define generic_file_open			NULL
#define noop_dirty_folio			NULL
#define file_modified(file)			do { } while (0)
#define get_unused_fd_flags(flags)		making
#define put_unused_fd(fd)			do { } while (0)
#define fd_install(fd, file)			do { } while (0)
#define anon_inode_make_secure_inode(sb, name, context)		memfd_inode(sb)
#define anon_inode_create_getfile(name, ops, data, flags, context)	memfd_file_of(ops, data)
#define alloc_file_pseudo(inode, mount, name, flags, ops)	memfd_file(inode, ops)
#define fget					memfd_get
#define get_file_active(at)			(*(at))
#define xa_find(xa, index, max, mark)		memfd_find(xa, index, max)
#define xa_find_after(xa, index, max, mark)	memfd_find_after(xa, index, max)
#define xa_load					memfd_load
#define xa_store_range(xa, first, last, entry, gfp)	memfd_store_range(xa, first, last, entry)
#define xa_erase				memfd_erase
#define __xa_erase				memfd_erase
#define xa_destroy				memfd_destroy
#define filemap_lock_folio(mapping, index)	memfd_folio(mapping, index, 0, 1)
#define filemap_grab_folio(mapping, index)	memfd_folio(mapping, index, 1, 1)
#define __filemap_get_folio(mapping, index, flags, ...)	\
	memfd_folio(mapping, index, ((flags) & FGP_CREAT) != 0, ((flags) & FGP_LOCK) != 0)
#define __filemap_get_folio_mpol		__filemap_get_folio
#define truncate_inode_pages_range		memfd_truncate
#define folio_test_uptodate(folio)		memfd_uptodate(folio)
#define folio_mark_uptodate(folio)		memfd_mark_uptodate(folio)
#define folio_test_hwpoison(folio)		memfd_failed(folio)
#define folio_contain_hwpoisoned_page(folio)	memfd_failed(folio)
#define PageHWPoison(page)			memfd_failed(page_folio(page))
#define is_page_hwpoison(page)			memfd_failed(page_folio(page))
#undef clear_page
#undef clear_pages
#undef clear_user_highpage
#define clear_page(at)				memfd_clear(__pa(at) >> PAGE_SHIFT, 1)
#define clear_pages(at, pages)			memfd_clear(__pa(at) >> PAGE_SHIFT, pages)
#define clear_highpage(page)			memfd_clear(page_to_pfn(page), 1)
#define clear_highpage_kasan_tagged(page)	memfd_clear(page_to_pfn(page), 1)
#define clear_highpages(page, pages)		memfd_clear(page_to_pfn(page), pages)
#define clear_user_highpage(page, at)		memfd_clear(page_to_pfn(page), 1)
#define memzero_page(page, start, size)		memfd_clear_bytes(page, start, size)
#define folio_zero_range(folio, start, size)	memfd_clear_bytes(folio_page(folio, 0), start, size)
#define folio_zero_segment(folio, start, end)	memfd_clear_bytes(folio_page(folio, 0), start, (end) - (start))
#define folio_zero_user(folio, at)		memfd_clear(folio_pfn(folio), folio_nr_pages(folio))
#define folio_unlock(folio)			shim_unlock_folio(folio)
#define folio_put(folio)			put_page((struct page *)(folio))
/* Lookups are recorded like those of kvm_main.c. */
#define kvm_gmem_get_pfn			real_kvm_gmem_get_pfn
#include GUEST_MEMFD_C
#undef kvm_gmem_get_pfn

int kvm_gmem_get_pfn(struct kvm *kvm, struct kvm_memory_slot *slot, gfn_t gfn, kvm_pfn_t *pfn, struct page **page,
		     int *max_order)
{
	int ret = real_kvm_gmem_get_pfn(kvm, slot, gfn, pfn, page, max_order);

	SHIM_EV(EV_GFN, gfn, ret ? KVM_PFN_ERR_FAULT : *pfn, shim_looked_up_write | 2 | shim_slots_locked() << 2, 0);
	return ret;
}

/* Create a file for a slot with this host address. Returns its descriptor or a negative errno; the slot is at *offset in it. */
int shim_memfd(struct kvm *kvm, int number, unsigned long size, unsigned long hva, unsigned long long *offset)
{
	struct kvm_create_guest_memfd args = { .flags = GUEST_MEMFD_FLAG_MMAP };
	int ret;

#ifdef GUEST_MEMFD_FLAG_INIT_SHARED
	args.flags |= GUEST_MEMFD_FLAG_INIT_SHARED;
#endif
	*offset = hva & WITHIN_GIB;
	if (files[number].file)
		return number;
#ifdef HAVE_GMEM_MOUNT
	ret = kvm_gmem_mnt ? 0 : kvm_gmem_init(NULL);
	if (ret)
		return ret;
#endif
	making = number;
	files[number].slot = *offset;
	files[number].hva = hva - *offset;
	args.size = *offset + size;
	shim_note(1);
	ret = kvm_gmem_create(kvm, &args);
	shim_note(0);
	return ret;
}

/*
 * memory_failure() of an existing page of a slot that user space does not map. The file keeps the page until a hole is punched,
 * and so does the user page table here: lookups find the page, and the code has to notice the failure.
 */
long shim_memfd_failure(int number, unsigned long offset)
{
	struct memfd *m = &files[number];
	unsigned long at = m->slot + offset, pfn;
	struct folio *folio;

	if (!m->mapping || shim_user_page(m->hva + at, 0, &pfn))
		return 0;
	folio = (struct folio *)pfn_to_page(pfn);
	folio->index = at >> PAGE_SHIFT;
	shim_notifying++;
	m->mapping->a_ops->error_remove_folio(m->mapping, folio);
	shim_notifying--;
	*memfd_flags(folio) |= BIT(PG_owner_priv_1);
	return 0;
}

/* User space punches a hole into the file of a slot. */
long shim_punch_hole(int number, unsigned long offset, unsigned long size)
{
	struct memfd *m = &files[number];
	long ret;

	if (!m->file)
		return -EBADF;
	shim_notifying++;
	ret = kvm_gmem_fallocate(m->file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, m->slot + offset, size);
	shim_notifying--;
	return ret;
}

/*
 * User space, which does not map the file of a slot, closes it. Nobody else has a reference, so the inode goes too, and with it the
 * pages. A pointer to the file that is left in the slot points to freed memory then.
 */
long shim_close_memfd(int number, unsigned long size)
{
	struct memfd *m = &files[number];
	long ret;

	if (!m->file)
		return 0;
	shim_notifying++;
	ret = m->file->f_op->release(m->file->f_inode, m->file);
	memfd_truncate(m->mapping, m->slot, m->slot + size - 1);
	shim_notifying--;
	shim_free(m->file);
	m->file = NULL;
	return ret;
}
#endif
