/* The container's only program: waits; on SIGTERM it lingers argv[1] seconds; "probe" is its health check. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t ended;
static void end(int signal) { (void)signal; ended = 1; }

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "probe") == 0)
        return 0;
    unsigned linger = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    signal(SIGTERM, end);
    signal(SIGHUP, SIG_IGN);
    while (!ended)
        usleep(20000);
    while (linger)
        linger = sleep(linger);
    return 0;
}
