/* io_posix.h: what tests need to know of the POSIX backend; everything else is in io.h. */
#ifndef QV_OS_IO_POSIX_H
#define QV_OS_IO_POSIX_H

#include "os/io.h"

/* Resolve names part by part, as is done on kernels without openat2. Before the first use of `io`
 * by a second thread. */
void qv__io_posix_without_openat2(struct qv__io *io);

#endif
