/* input.c: a file the user named, see input.h. */
#include "cli/input.h"

#include <errno.h>
#include <limits.h>

static qv_status open_leaf(struct qv__input *in, struct qv__mem *mem, const char *dir,
                           const char *leaf, struct qv_err *err)
{
    QV_TRY(qv__io_posix_open(mem, dir, false, &in->io, err));
    QV_TRY(qv__io_open(in->io, leaf, QV__OPEN_READ, &in->file, err));
    return qv__io_size(in->file, &in->size, err);
}

qv_status qv__input_open(struct qv__input *in, struct qv__mem *mem, const char *path,
                         struct qv_err *err)
{
    char real[PATH_MAX];
    *in = (struct qv__input){.path = path};
    if (!realpath(path, real)) {
        return qv__fail_os(err, errno == ENOENT ? QV_ENOTFOUND : QV_EIO, errno,
                           "%.300s: cannot open", path);
    }
    char *slash = strrchr(real, '/');
    if (!slash || slash[1] == '\0') {
        return qv__fail(err, QV_EIO, "%.300s: not a regular file", path);
    }
    *slash = '\0';
    struct qv_err why = {.code = QV_OK};
    qv_status st = open_leaf(in, mem, real[0] ? real : "/", slash + 1, &why);
    if (st != QV_OK) {
        qv__input_close(in);
        if (why.os_errno == 0 || why.os_errno == EINVAL) { /* a pipe, a device */
            return qv__fail(err, st, "%.300s: cannot open: not a regular file", path);
        }
        return qv__fail_os(err, st, why.os_errno, "%.300s: cannot open", path);
    }
    return QV_OK;
}

void qv__input_close(struct qv__input *in)
{
    qv__io_file_close(in->file, NULL);
    qv__io_close(in->io);
    in->file = NULL;
    in->io = NULL;
}

qv_status qv__input_read(const struct qv__input *in, void *to, size_t n, uint64_t at,
                         struct qv_err *err)
{
    struct qv_err why = {.code = QV_OK};
    qv_status st = qv__io_pread(in->file, to, n, at, &why);
    if (st == QV_OK) {
        return QV_OK;
    }
    return why.os_errno
               ? qv__fail_os(err, st, why.os_errno, "%.300s: cannot read", in->path)
               : qv__fail(err, st, "%.300s: the file became shorter while it was read", in->path);
}
