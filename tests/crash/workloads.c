/* workloads.c: what is done to a database while crashes and faults are tried.
 *
 * Each is short, because everything is tried at each of its syncs, and small, because everything is
 * copied; segments hold 16 rows, graphs begin at 8, two segments of one size are merged, and log
 * files have 8 KiB, so that all that a large database does happens within some dozen requests. The
 * seed moves ids and sizes. */
#include "world.h"

static uint32_t some(struct world *w, uint32_t from, uint32_t to)
{
    return from + (uint32_t)qv__rng_below(&w->rng, to - from + 1);
}

/* One point a request, new and again. */
static void single_upserts(struct world *w)
{
    world_create(w, "a", 1);
    for (uint32_t i = 0; i < 14; i++) {
        world_upsert(w, "a", some(w, 0, 9), 1);
    }
    world_read(w);
}

/* Requests over three shards, several of them under way at once. */
static void batches(struct world *w)
{
    world_create(w, "a", 3);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0, n = some(w, 2, 4); i < n; i++) {
            world_send(w, "a", some(w, 0, 60), some(w, 2, 7), false);
        }
        world_step(w, some(w, 0, 2));
        world_upsert(w, "a", some(w, 0, 60), some(w, 1, 5));
    }
    world_drain(w);
    world_read(w);
}

/* Deletions by filter and by id, and points that come again. */
static void deletes(struct world *w)
{
    world_create(w, "a", 2);
    world_upsert(w, "a", 0, 24);
    for (uint32_t i = 0; i < 5; i++) {
        int32_t from = (int32_t)some(w, 0, 80);
        world_delete_where(w, "a", from, from + 20);
        world_delete(w, "a", some(w, 0, 24), some(w, 1, 4));
        world_upsert(w, "a", some(w, 0, 30), some(w, 1, 6));
        world_step(w, some(w, 0, 3));
    }
    world_drain(w);
    world_read(w);
}

/* Payload edits keep the vector: the row is written anew from where it lies, sealed or growing. */
static void payload_edits(struct world *w)
{
    world_create(w, "a", 1);
    world_upsert(w, "a", 0, 20);
    world_drain(w);
    for (uint32_t i = 0; i < 6; i++) {
        world_set_where(w, "a", (int32_t)(i % ORACLE_TAGS), (int32_t)some(w, 0, 99));
        world_upsert(w, "a", some(w, 0, 20), 2);
        world_step(w, some(w, 0, 4));
    }
    world_drain(w);
    world_read(w);
}

/* Growing segments fill up and are sealed while writes go on. */
static void seals(struct world *w)
{
    world_create(w, "a", 2);
    for (uint32_t i = 0; i < 7; i++) {
        world_upsert(w, "a", 10 * i, 11);
        if (i % 2) {
            world_step(w, some(w, 1, 6));
        } else {
            world_drain(w);
        }
        world_delete(w, "a", some(w, 0, 10 * i), 2);
    }
    world_drain(w);
    world_read(w);
}

/* Sealed segments are merged; deletions reach them before, meanwhile and afterwards. */
static void merges(struct world *w)
{
    world_create(w, "a", 1);
    for (uint32_t i = 0; i < 5; i++) {
        world_upsert(w, "a", 14 * i, 18);
        world_delete(w, "a", some(w, 0, 14 * i), 5);
        world_drain(w);
    }
    world_delete_where(w, "a", 30, 60);
    world_optimize(w, "a");
    world_delete(w, "a", 3, 4);
    world_upsert(w, "a", 2, 4);
    world_checkpoint(w);
    world_optimize(w, "a");
    world_read(w);
}

/* The log goes through many small files; checkpoints trim and reuse them. */
static void rotation(struct world *w)
{
    world_create(w, "a", 2);
    for (uint32_t i = 0; i < 7; i++) {
        world_upsert(w, "a", some(w, 0, 40), some(w, 20, 28));
        if (i % 3 == 2) {
            world_checkpoint(w);
        }
    }
    world_read(w);
}

/* Collections come, change and go; an alias moves from one to another. */
static void catalog(struct world *w)
{
    world_create(w, "a", 1);
    world_alias(w, "now", "a");
    world_upsert(w, "a", 0, 18);
    world_create(w, "b", 2);
    world_upsert(w, "b", 5, 6);
    world_drain(w);
    world_alias(w, "now", "b");
    world_index(w, "b");
    world_checkpoint(w);
    world_index(w, "b");
    world_upsert(w, "b", 2, 5);
    world_drop(w, "a");
    world_create(w, "a", 3); /* the same name, another collection */
    world_upsert(w, "a", 1, 7);
    world_alias(w, "old", "a");
    world_drop(w, "b"); /* with an alias */
    world_upsert(w, "a", some(w, 0, 9), 3);
    world_checkpoint(w);
    world_read(w);
}

/* Graphs are to be others and a vector comes and goes, comes back with another size, while points
 * are written and segments are on their way. */
static void changes(struct world *w)
{
    static const uint32_t dims[] = {2, 4, 0, 3, 3};
    world_create(w, "a", 2);
    world_upsert(w, "a", 0, 30);
    world_drain(w);
    for (uint32_t i = 0; i < QV_ARRAY_LEN(dims); i++) {
        world_set_x(w, "a", dims[i]);
        world_send(w, "a", some(w, 0, 60), some(w, 4, 12), false);
        world_step(w, some(w, 0, 2));
        world_set_m(w, "a", 8 + i);
        world_upsert(w, "a", some(w, 0, 60), some(w, 2, 9));
        world_set_where(w, "a", (int32_t)(i % ORACLE_TAGS), (int32_t)some(w, 0, 99));
        world_step(w, some(w, 0, 4));
        if (i % 2) {
            world_checkpoint(w);
        }
    }
    world_drain(w);
    world_read(w);
}

/* A collection goes while its segments are being sealed and merged. */
static void drops(struct world *w)
{
    world_create(w, "keep", 1);
    world_upsert(w, "keep", 0, 17);
    for (uint32_t i = 0; i < 3; i++) {
        world_create(w, "gone", 2);
        world_upsert(w, "gone", 0, 30);
        world_step(w, some(w, 0, 8));
        world_upsert(w, "gone", 20, 30);
        world_upsert(w, "keep", some(w, 0, 20), some(w, 1, 8));
        world_step(w, some(w, 0, 8));
        world_drop(w, "gone");
        world_upsert(w, "keep", some(w, 0, 20), 1);
    }
    world_drain(w);
    world_read(w);
}

/* Ends of all kinds, one after the other. */
static void restarts(struct world *w)
{
    static const enum qv__sim_crash hows[] = {QV__CRASH_KEEP_ALL, QV__CRASH_DROP_ALL,
                                              QV__CRASH_RANDOM};
    world_create(w, "a", 2);
    for (uint32_t i = 0; i < 7; i++) {
        world_upsert(w, "a", some(w, 0, 60), some(w, 3, 16));
        world_delete(w, "a", some(w, 0, 60), 3);
        world_send(w, "a", some(w, 0, 60), 5, false);
        world_step(w, some(w, 0, 5));
        if (i % 3 == 0) {
            world_reopen(w);
        } else {
            world_crash(w, hows[qv__rng_below(&w->rng, QV_ARRAY_LEN(hows))]);
        }
    }
    world_read(w);
}

/* Some writes do not wait for the disk: what a crash leaves is still a prefix. */
static void relaxed(struct world *w)
{
    world_create(w, "a", 2);
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t k = 0, n = some(w, 1, 4); k < n; k++) {
            world_send(w, "a", some(w, 0, 60), some(w, 1, 9), true);
        }
        world_step(w, some(w, 0, 3));
        if (i % 3 == 2) {
            world_upsert(w, "a", some(w, 0, 60), 3);
        }
    }
    world_drain(w);
    world_read(w);
}

/* Snapshots are made, given back in place and beside, and removed, with writes in between. */
static void snapshots(struct world *w)
{
    world_create(w, "a", 2);
    world_upsert(w, "a", 0, 30);
    world_drain(w);
    world_delete(w, "a", some(w, 0, 20), 4);
    world_upsert(w, "a", some(w, 20, 40), 5);
    world_snapshot(w, 0, "a");
    world_delete_where(w, "a", 0, (int32_t)some(w, 20, 60));
    world_upsert(w, "a", some(w, 0, 40), some(w, 5, 20));
    world_restore(w, 0, "a");
    world_upsert(w, "a", some(w, 0, 40), 3);
    world_snapshot(w, 1, "a");
    world_step(w, some(w, 0, 4));
    world_forget(w, 0);
    world_restore(w, 1, "b");
    world_upsert(w, "b", some(w, 0, 40), 6);
    world_drop(w, "a");
    world_reopen(w);
    world_restore(w, 1, "a");
    world_delete(w, "a", some(w, 0, 20), 2);
    world_forget(w, 1);
    world_checkpoint(w);
    world_read(w);
}

/* All of it, in any order. */
static void mixed(struct world *w)
{
    world_create(w, "a", 1);
    world_create(w, "b", 3);
    for (uint32_t i = 0; i < 36; i++) {
        const char *c = qv__rng_below(&w->rng, 2) ? "a" : "b";
        switch (qv__rng_below(&w->rng, 11)) {
        case 0:
            world_delete(w, c, some(w, 0, 70), some(w, 1, 9));
            break;
        case 1:
            world_delete_where(w, c, 10, 10 + (int32_t)some(w, 1, 30));
            break;
        case 2:
            world_set_where(w, c, (int32_t)some(w, 0, ORACLE_TAGS - 1), (int32_t)some(w, 0, 99));
            break;
        case 3:
            world_checkpoint(w);
            break;
        case 4:
            world_optimize(w, c);
            break;
        case 5:
            world_drain(w);
            break;
        case 6:
            if (qv__rng_below(&w->rng, 2)) {
                world_set_x(w, c, some(w, 0, ORACLE_DIM));
            } else {
                world_set_m(w, c, some(w, 8, 12));
            }
            break;
        default:
            world_upsert(w, c, some(w, 0, 70), some(w, 1, 14));
            world_step(w, some(w, 0, 4));
        }
    }
    world_read(w);
}

const struct workload workloads[] = {
    {"single", "one point a request", single_upserts},
    {"batches", "requests over three shards, several at once", batches},
    {"deletes", "deletions by filter and by id", deletes},
    {"payload", "payload edits", payload_edits},
    {"seals", "segments fill up and are sealed", seals},
    {"merges", "sealed segments are merged", merges},
    {"rotation", "small log files, checkpoints, trim", rotation},
    {"catalog", "collections, aliases, indexes", catalog},
    {"changes", "graphs and vectors change in use", changes},
    {"drops", "collections go while work is under way", drops},
    {"restarts", "clean ends, kills, power cuts", restarts},
    {"relaxed", "writes that do not wait for the disk", relaxed},
    {"snapshots", "snapshots made, given back, removed", snapshots},
    {"mixed", "all of it in any order", mixed},
};
const unsigned n_workloads = QV_ARRAY_LEN(workloads);

const struct workload *workload_find(const char *name)
{
    for (unsigned i = 0; i < n_workloads; i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return NULL;
}
