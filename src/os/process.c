/* process.c: figures of /proc. Its files do not know their size and are made while they are read.
 */
#include "os/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Up to n - 1 bytes of a small file, as text; "" when there is none. */
static void read_text(const char *path, char *out, size_t n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t got = 0;
    while (fd >= 0 && got < n - 1) {
        ssize_t k = read(fd, out + got, n - 1 - got);
        if (k <= 0) {
            break;
        }
        got += (size_t)k;
    }
    if (fd >= 0) {
        close(fd);
    }
    out[got] = '\0';
}

static uint64_t count_lines(const char *path)
{
    char block[4096];
    uint64_t n = 0;
    ssize_t k = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (k = read(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < k; i++) {
            n += block[i] == '\n';
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return n;
}

static uint64_t count_names(const char *path)
{
    uint64_t n = 0;
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    if (d) {
        closedir(d);
    }
    return n;
}

void qv__process_read(struct qv__process *out)
{
    char text[256];
    uint64_t pages = 0, resident = 0;
    struct rlimit limit;
    struct rusage own, ended;
    memset(out, 0, sizeof *out);
    out->threads = count_names("/proc/self/task");
    out->maps = count_lines("/proc/self/maps");
    out->fds = count_names("/proc/self/fd");
    out->fds -= out->fds > 0; /* the one that the names are read by */
    read_text("/proc/sys/vm/max_map_count", text, sizeof text);
    (void)sscanf(text, "%" SCNu64, &out->maps_max);
    read_text("/proc/self/statm", text, sizeof text);
    if (sscanf(text, "%" SCNu64 " %" SCNu64, &pages, &resident) == 2) {
        uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
        out->virtual_bytes = pages * page;
        out->resident_bytes = resident * page;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        rlim_t least = QV_MIN(limit.rlim_cur, limit.rlim_max);
        out->fds_max = least == RLIM_INFINITY ? 0 : (uint64_t)least;
    }
    if (getrusage(RUSAGE_SELF, &own) == 0 && getrusage(RUSAGE_CHILDREN, &ended) == 0) {
        out->minor_faults = (uint64_t)own.ru_minflt + (uint64_t)ended.ru_minflt;
        out->major_faults = (uint64_t)own.ru_majflt + (uint64_t)ended.ru_majflt;
    }
}
