/* options.c: a server's options for a real database.
 *
 * Apart from server.c so that whatever links a server with a `submit` of its own needs neither the
 * API nor the engine. */
#include "server/server.h"

void qv__server_options_init(struct qv__server_options *o, const struct qv__server_config *config,
                             struct qv__db *db, struct qv__api *api)
{
    memset(o, 0, sizeof *o);
    o->config = *config;
    o->api = api;
    o->submit = qv__api_submit;
    o->expire = qv__api_expire;
    o->mem = qv__db_mem(db);
    o->clock = qv__db_clock(db);
    o->logger = qv__db_logger(db);
    o->takes_file = qv__api_takes_file;
    o->room_for = qv__api_room_for;
    o->io = qv__db_io(db);
}
