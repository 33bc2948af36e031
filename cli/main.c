/* main.c - the command `caravan`: one subcommand, one file. */
#include <stdio.h>
#include <string.h>

#include "cli/common.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"serve", cv_cmd_serve, "serve a model, on this machine and on the workers that join"},
    {"join", cv_cmd_join, "give this machine's memory and processor to a coordinator"},
    {"run", cv_cmd_run, "chat with a running server in the terminal"},
    {"plan", cv_cmd_plan, "show how a model would be split over given nodes"},
    {"ps", cv_cmd_ps, "show a server's nodes, stages and state"},
    {"bench", cv_cmd_bench, "measure prompt and generation speed of a model on this machine"},
};

static void print_usage(FILE *to)
{
    fputs("caravan: one model, more machines than it fits in, one OpenAI-compatible endpoint\n\n", to);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(to, "  caravan %-6s  %s\n", commands[i].name, commands[i].about);
    fputs("\nEach has --help. To begin:\n\n"
          "  caravan serve model.gguf                    on one machine, then\n"
          "  caravan run                                 in another terminal\n", to);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        puts("caravan " CARAVAN_VERSION);
        return 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "caravan: there is no command '%s'\n\n", argv[1]);
    print_usage(stderr);
    return 2;
}
