/* An HTTP server on port 80 that takes some milliseconds per request, a second for /slow. On SIGTERM it ends at once ("at-once"), or
   it accepts no more, finishes what it has been asked, and ends ("finishes"). "probe" is its health check: a file /sick makes it fail. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, WORK_MICROS = 4000, SLOW_MICROS = 999999 };

static atomic_int connections[CONNECTIONS_MAX];
static atomic_int open_count;
static volatile sig_atomic_t stopping;
static int listener, at_once;

static void stop(int signal) {
    (void)signal;
    if (at_once) _exit(0);
    stopping = 1;
    shutdown(listener, SHUT_RDWR);
}

static void *serve(void *place) {
    atomic_int *mine = place;
    int fd = *mine;
    char head[8192];
    size_t got = 0;
    while (got < sizeof head - 1) {
        ssize_t n = read(fd, head + got, sizeof head - 1 - got);
        if (n <= 0) break;
        got += (size_t)n;
        head[got] = 0;
        if (!strstr(head, "\r\n\r\n")) continue;
        got = 0;
        usleep(strncmp(head, "GET /slow", 9) ? WORK_MICROS : SLOW_MICROS);
        const char *answer = stopping ? "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
                                      : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        if (write(fd, answer, strlen(answer)) < 0 || stopping) break;
    }
    *mine = 0;
    close(fd);
    open_count--;
    return 0;
}

static void take_in(int fd) {
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        int none = 0;
        if (!atomic_compare_exchange_strong(&connections[i], &none, fd)) continue;
        pthread_t thread;
        open_count++;
        pthread_create(&thread, 0, serve, &connections[i]);
        pthread_detach(thread);
        return;
    }
    close(fd);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "probe")) return access("/sick", F_OK) == 0;
    at_once = argc > 1 && !strcmp(argv[1], "at-once");
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    int yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(80)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) return 1;
    while (!stopping) {
        int fd = accept(listener, 0, 0);
        if (fd > 0) take_in(fd);
    }
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        if (connections[i]) shutdown(connections[i], SHUT_RD);
    while (open_count) usleep(1000);
    return 0;
}
