/* budget.c: see budget.h. */
#include "engine/budget.h"

#include "engine/collection.h"

/* Free parts of the budget: writes wait below the first, a flush is asked for below the second. */
#define LEFT_FOR_OTHERS 8u
#define LEFT_AT_FLUSH   3u

qv_status qv__budget_admit(struct qv__db *db, struct qv_err *err)
{
    uint64_t limit = db->options.memory_bytes;
    if (limit == 0) {
        return QV_OK;
    }
    uint64_t room = qv__mem_room(db->mem);
    if (QV_LIKELY(room >= limit / LEFT_AT_FLUSH)) {
        return QV_OK;
    }
    /* Of what grows, or a flush would give little back. */
    uint64_t growing = atomic_load_explicit(&db->space.growing, memory_order_relaxed);
    if (growing >= limit / (2 * LEFT_FOR_OTHERS)) {
        qv__checkpoint_shorten(db);
    }
    if (room >= limit / LEFT_FOR_OTHERS) {
        return QV_OK;
    }
    return qv__fail(err, QV_ENOMEM,
                    "the memory budget is nearly used up: %" PRIu64 " of %" PRIu64
                    " bytes are in use; writes are taken again by themselves when an eighth of it "
                    "is free, reads and deletes go on (--memory sets the budget)",
                    limit - room, limit);
}
