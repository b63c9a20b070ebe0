/* budget.h: a memory budget that is nearly used up: who may still take some.
 *
 * What it is: the check of a write that adds data before it begins, so that the last part of the
 * budget is left for reads, deletes and for the flush that gives memory back. What it is not:
 * accounting (base/alloc.h), which refuses every single request over the budget. */
#ifndef QV_ENGINE_BUDGET_H
#define QV_ENGINE_BUDGET_H

#include "base/base.h"

struct qv__db;

/* QV_ENOMEM, saying how much is used, while less than an eighth of the budget is free. Asks for a
 * checkpoint, which turns growing segments into mapped files, before it comes to that. Any thread,
 * no lock held. */
qv_status qv__budget_admit(struct qv__db *db, struct qv_err *err) QV_MUST_USE;

#endif
