/* explore_main.c: the command crash_explore; see README.md. */
#include <getopt.h>
#include <stdio.h>

#include "explore.h"

struct settings {
    const struct workload *only;
    uint64_t seed, rounds, at_least;
    struct explore_options o;
};

static void usage(FILE *to)
{
    fputs("usage: crash_explore [--workload NAME] [--seed N] [--rounds N] [--seconds N]\n"
          "                     [--budget N] [--inner N] [--inner-of N] [--only STATE]\n"
          "                     [--at-least STATES] [--long] [--list]\n"
          "Every way to lose what a simulated disk had not synced, at each sync of a workload.\n"
          "  --rounds   run the workloads so often, each time with the next seed\n"
          "  --seconds  of CPU time, after which no new sync is looked at\n"
          "  --budget   disks tried at each sync; --inner the same while recovering, of one\n"
          "             recovery in --inner-of\n"
          "  --only     judge this state alone (a violation names it)\n"
          "  --at-least fail when fewer states were judged\n"
          "  --long     --budget 150 --inner 30 --inner-of 20 --rounds 1000 --seconds 1500\n",
          to);
}

static uint64_t number(const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);
    if (!*text || *end) {
        fprintf(stderr, "crash_explore: not a number: %s\n", text);
        exit(2);
    }
    return v;
}

static void take(struct settings *s, int option, const char *value)
{
    switch (option) {
    case 'w':
        s->only = workload_find(value);
        if (!s->only) {
            fprintf(stderr, "crash_explore: no workload %s\n", value);
            exit(2);
        }
        break;
    case 's':
        s->seed = number(value);
        break;
    case 'r':
        s->rounds = number(value);
        break;
    case 'S':
        s->o.until = (double)number(value);
        break;
    case 'b':
        s->o.budget = number(value);
        break;
    case 'i':
        s->o.inner = number(value);
        break;
    case 'I':
        s->o.inner_of = number(value);
        break;
    case 'o':
        s->o.only = number(value);
        break;
    case 'a':
        s->at_least = number(value);
        break;
    case 'L':
        s->o.budget = 150;
        s->o.inner = 30;
        s->o.inner_of = 20;
        s->rounds = 1000;
        s->o.until = 1500;
        break;
    case 'l':
        for (unsigned i = 0; i < n_workloads; i++) {
            printf("%-10s %s\n", workloads[i].name, workloads[i].what);
        }
        exit(0);
    default:
        usage(option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 2);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"workload", required_argument, NULL, 'w'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 'S'},
                                            {"budget", required_argument, NULL, 'b'},
                                            {"inner", required_argument, NULL, 'i'},
                                            {"inner-of", required_argument, NULL, 'I'},
                                            {"only", required_argument, NULL, 'o'},
                                            {"at-least", required_argument, NULL, 'a'},
                                            {"long", no_argument, NULL, 'L'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct settings s = {.seed = 1,
                         .rounds = 1,
                         .o = {.program = argv[0], .budget = 90, .inner = 12, .inner_of = 25}};
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        take(&s, option, optarg);
    }
    struct explore_totals all = {0};
    for (uint64_t round = 0; round < s.rounds; round++) {
        for (unsigned i = 0; i < n_workloads; i++) {
            if ((s.only && s.only != &workloads[i]) ||
                (s.o.until > 0 && (double)clock() / CLOCKS_PER_SEC >= s.o.until)) {
                continue;
            }
            struct explore_totals t = {0};
            explore(&workloads[i], s.seed + round, &s.o, &t);
            printf("%-10s seed %llu: %llu syncs, up to %llu unsynced changes, %llu disks, %llu "
                   "states (%llu while recovering)\n",
                   workloads[i].name, (unsigned long long)(s.seed + round),
                   (unsigned long long)t.syncs, (unsigned long long)t.units_max,
                   (unsigned long long)t.disks, (unsigned long long)t.states,
                   (unsigned long long)t.inner_states);
            fflush(stdout);
            all.states += t.states;
            all.disks += t.disks;
            all.inner_states += t.inner_states;
        }
    }
    printf(
        "%llu disks, %llu different states judged, %llu of them while recovering: no violation\n",
        (unsigned long long)all.disks, (unsigned long long)all.states,
        (unsigned long long)all.inner_states);
    if (all.states < s.at_least) {
        printf("fewer than the %llu states that were expected\n", (unsigned long long)s.at_least);
        return 1;
    }
    return 0;
}
