/* Between a process and its files: writes down what reaches the disk and what only the page cache.
 *
 * LD_PRELOAD this into a child process. Nothing happens until the child calls power_cut_begin; from then on every call
 * that changes something below `root` is appended to the trace, in the order in which the calls took effect, and syncs
 * are written down instead of made: the disk here is the trace, so a real one would only cost time. disk.py turns the
 * trace into what a power cut leaves behind.
 *
 * A record: operation (1 byte), a, b, c (8 bytes each, little-endian), lengths of x and y (4 each), x, y.
 *
 *   C created     a inode, x path            M made directory  a inode, x path
 *   W will write  a inode, b offset, c length, x the bytes that stood there (fewer than c at the end of the file)
 *   T will cut    a inode, b new size, c old size, x the bytes from b to c
 *   S synced      a inode (of a file or a directory)
 *   R renamed     x old path, y new path     L linked  x old path, y new path     U unlinked  x path
 *
 * W and T come before the change, so that a killed process leaves no change of bytes that is not in the trace; the others
 * come after it. Every inode also gets the name `graveyard/INODE`: it outlives its other names, and its number is not
 * given away again.
 *
 * With cut_at = n the process ends at its n-th recorded call: a sync that was asked for and not confirmed, anything else
 * done. What the shim cannot write down (a shared writable mapping, a hole) aborts the process loudly.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 4096
#define EXIT_CUT 137
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX], graveyard[PATH_MAX];
static int trace = -1;
static long cut_at, calls;
static uint64_t inode_of[MOST_DESCRIPTORS]; /* 0: not below the root */

static void fail(const char *what) {
    fprintf(stderr, "power cut shim: %s (errno %d)\n", what, errno);
    abort();
}

static void put(const void *bytes, size_t count) {
    const char *from = bytes;
    while (count) {
        ssize_t done = NEXT(write)(trace, from, count);
        if (done < 0) fail("cannot write the trace");
        from += done;
        count -= done;
    }
}

static void note(char operation, uint64_t a, uint64_t b, uint64_t c, const void *x, uint32_t x_size, const char *y) {
    uint32_t y_size = y ? strlen(y) : 0;
    size_t size = 1 + 3 * 8 + 2 * 4 + (size_t)x_size + y_size;
    char *record = malloc(size), *at = record;
    if (!record) fail("no memory");
    *at++ = operation;
    memcpy(at, &a, 8), at += 8;
    memcpy(at, &b, 8), at += 8;
    memcpy(at, &c, 8), at += 8;
    memcpy(at, &x_size, 4), at += 4;
    memcpy(at, &y_size, 4), at += 4;
    memcpy(at, x, x_size), at += x_size;
    memcpy(at, y ? y : "", y_size);
    put(record, size); /* one write: a killed process leaves no half record */
    free(record);
}

static void count_call(void) {
    if (++calls == cut_at) _exit(EXIT_CUT);
}

static int watched(const char *path) {
    size_t length = strlen(root);
    return trace >= 0 && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static uint64_t inode_at(int descriptor) {
    return descriptor >= 0 && descriptor < MOST_DESCRIPTORS ? inode_of[descriptor] : 0;
}

/* Begin to record. Files that are below `root` already must have their names in `graveyard`. */
void power_cut_begin(const char *new_root, const char *new_graveyard, const char *trace_path, long new_cut_at) {
    snprintf(root, sizeof root, "%s", new_root);
    snprintf(graveyard, sizeof graveyard, "%s", new_graveyard);
    cut_at = new_cut_at;
    trace = NEXT(open)(trace_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0) fail("cannot open the trace");
}

/* The bytes [from, to) of an open file; the caller frees them. */
static char *saved(int descriptor, off_t from, off_t to) {
    char *bytes = malloc(to > from ? to - from : 1), name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    int reader = NEXT(open)(name, O_RDONLY | O_CLOEXEC);
    if (!bytes || reader < 0) fail("cannot read what is overwritten");
    for (off_t at = from; at < to;) {
        ssize_t done = pread(reader, bytes + (at - from), to - at, at);
        if (done <= 0) fail("cannot read what is overwritten");
        at += done;
    }
    NEXT(close)(reader);
    return bytes;
}

static void note_write(int descriptor, uint64_t inode, off_t offset, size_t length) {
    struct stat status;
    if (fstat(descriptor, &status)) fail("fstat");
    if (offset > status.st_size) fail("a write that leaves a hole");
    off_t end = offset + (off_t)length < status.st_size ? offset + (off_t)length : status.st_size;
    char *old = saved(descriptor, offset, end);
    note('W', inode, offset, length, old, end - offset, NULL);
    free(old);
}

static off_t position(int descriptor) {
    struct stat status;
    if (fcntl(descriptor, F_GETFL) & O_APPEND) return fstat(descriptor, &status) ? -1 : status.st_size;
    return lseek(descriptor, 0, SEEK_CUR);
}

static void note_cut(int descriptor, uint64_t inode, off_t size) {
    struct stat status;
    if (fstat(descriptor, &status)) fail("fstat");
    char *old = saved(descriptor, size, status.st_size);
    note('T', inode, size, status.st_size, old, status.st_size > size ? status.st_size - size : 0, NULL);
    free(old);
}

static int watched_open(const char *path, int flags, mode_t mode) {
    struct stat status;
    char grave[PATH_MAX + 32];
    pthread_mutex_lock(&order);
    int existed = !lstat(path, &status);
    int descriptor = NEXT(open)(path, flags & ~O_TRUNC, mode);
    if (descriptor >= 0) {
        if (descriptor >= MOST_DESCRIPTORS || fstat(descriptor, &status)) fail("too many descriptors");
        inode_of[descriptor] = status.st_ino;
        if (!existed) {
            snprintf(grave, sizeof grave, "%s/%lu", graveyard, (unsigned long)status.st_ino);
            if (NEXT(link)(path, grave)) fail("cannot link into the graveyard");
            note('C', status.st_ino, 0, 0, path, strlen(path), NULL);
            count_call();
        } else if (flags & O_TRUNC) {
            note_cut(descriptor, status.st_ino, 0);
            if (NEXT(ftruncate)(descriptor, 0)) fail("ftruncate");
            count_call();
        }
    }
    int error = errno;
    pthread_mutex_unlock(&order);
    errno = error;
    return descriptor;
}

#define OPENS(name, before, arguments, directory)                              \
    int name before {                                                          \
        mode_t mode = 0;                                                       \
        if (flags & (O_CREAT | O_TMPFILE)) {                                   \
            va_list rest;                                                      \
            va_start(rest, flags);                                             \
            mode = va_arg(rest, mode_t);                                       \
            va_end(rest);                                                      \
        }                                                                      \
        if ((directory) == AT_FDCWD && watched(path)) return watched_open(path, flags, mode); \
        return NEXT(name) arguments;                                           \
    }
OPENS(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPENS(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode), at)
OPENS(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode), at)

int close(int descriptor) {
    if (descriptor >= 0 && descriptor < MOST_DESCRIPTORS) inode_of[descriptor] = 0;
    return NEXT(close)(descriptor);
}

#define CHANGES(note_it, call)                                                 \
    pthread_mutex_lock(&order);                                                \
    note_it;                                                                   \
    ssize_t result = call;                                                     \
    int error = errno;                                                         \
    count_call();                                                              \
    pthread_mutex_unlock(&order);                                              \
    errno = error;                                                             \
    return result;

ssize_t write(int descriptor, const void *bytes, size_t count) {
    uint64_t inode = inode_at(descriptor);
    if (!inode) return NEXT(write)(descriptor, bytes, count);
    CHANGES(note_write(descriptor, inode, position(descriptor), count), NEXT(write)(descriptor, bytes, count))
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    uint64_t inode = inode_at(descriptor);
    if (!inode) return NEXT(writev)(descriptor, parts, count);
    size_t length = 0;
    for (int part = 0; part < count; part++) length += parts[part].iov_len;
    CHANGES(note_write(descriptor, inode, position(descriptor), length), NEXT(writev)(descriptor, parts, count))
}

#define PWRITES(name, offset_type)                                             \
    ssize_t name(int descriptor, const void *bytes, size_t count, offset_type offset) { \
        uint64_t inode = inode_at(descriptor);                                 \
        if (!inode) return NEXT(name)(descriptor, bytes, count, offset);       \
        CHANGES(note_write(descriptor, inode, offset, count), NEXT(name)(descriptor, bytes, count, offset)) \
    }
PWRITES(pwrite, off_t)
PWRITES(pwrite64, off64_t)

#define TRUNCATES(name, offset_type)                                           \
    int name(int descriptor, offset_type size) {                               \
        uint64_t inode = inode_at(descriptor);                                 \
        if (!inode) return NEXT(name)(descriptor, size);                       \
        CHANGES(note_cut(descriptor, inode, size), NEXT(name)(descriptor, size)) \
    }
TRUNCATES(ftruncate, off_t)
TRUNCATES(ftruncate64, off64_t)

#define SYNCS(name)                                                            \
    int name(int descriptor) {                                                 \
        uint64_t inode = inode_at(descriptor);                                 \
        if (!inode) return NEXT(name)(descriptor);                             \
        pthread_mutex_lock(&order);                                            \
        count_call();                                                          \
        note('S', inode, 0, 0, "", 0, NULL);                                   \
        pthread_mutex_unlock(&order);                                          \
        return 0;                                                              \
    }
SYNCS(fsync)
SYNCS(fdatasync)

static int named(int result, char operation, const char *x, const char *y) {
    int error = errno;
    if (!result) {
        note(operation, 0, 0, 0, x, strlen(x), y);
        count_call();
    }
    pthread_mutex_unlock(&order);
    errno = error;
    return result;
}

#define RENAMES(operation, name, before, arguments)                            \
    int name before {                                                          \
        if (!watched(to) && !watched(from)) return NEXT(name) arguments;       \
        pthread_mutex_lock(&order);                                            \
        return named(NEXT(name) arguments, operation, from, to);               \
    }
RENAMES('R', rename, (const char *from, const char *to), (from, to))
RENAMES('R', renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
RENAMES('L', link, (const char *from, const char *to), (from, to))
RENAMES('L', linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))

#define UNLINKS(name, before, arguments)                                       \
    int name before {                                                          \
        if (!watched(path)) return NEXT(name) arguments;                       \
        pthread_mutex_lock(&order);                                            \
        return named(NEXT(name) arguments, 'U', path, NULL);                   \
    }
UNLINKS(unlink, (const char *path), (path))
UNLINKS(unlinkat, (int at, const char *path, int flags), (at, path, flags))

#define MKDIRS(name, before, arguments)                                        \
    int name before {                                                          \
        if (!watched(path)) return NEXT(name) arguments;                       \
        struct stat status;                                                    \
        pthread_mutex_lock(&order);                                            \
        int result = NEXT(name) arguments, error = errno;                      \
        if (!result) {                                                         \
            if (lstat(path, &status)) fail("lstat");                           \
            note('M', status.st_ino, 0, 0, path, strlen(path), NULL);          \
            count_call();                                                      \
        }                                                                      \
        pthread_mutex_unlock(&order);                                          \
        errno = error;                                                         \
        return result;                                                         \
    }
MKDIRS(mkdir, (const char *path, mode_t mode), (path, mode))
MKDIRS(mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))

#define MAPS(name, offset_type)                                                \
    void *name(void *at, size_t length, int protection, int flags, int descriptor, offset_type offset) { \
        if (inode_at(descriptor) && (protection & PROT_WRITE) && (flags & MAP_SHARED)) \
            fail("a shared writable mapping cannot be followed");              \
        return NEXT(name)(at, length, protection, flags, descriptor, offset);  \
    }
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)
