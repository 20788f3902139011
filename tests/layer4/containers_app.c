/* A server on port 5000 that ends as a server should: "tcp" greets with "db" and sends back what it gets, "udp" sends each datagram back.
   After SIGTERM it serves for a second more, because a client may just have chosen it, then finishes its connections and ends. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT = 5000, SECONDS_MORE = 1 };

static atomic_int open_count;
static volatile sig_atomic_t stopping;
static int listener;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
    shutdown(listener, SHUT_RDWR);
}

static void stop_soon(int signal) {
    (void)signal;
    alarm(SECONDS_MORE);
}

static void *echo(void *argument) {
    int fd = (int)(long)argument;
    char bytes[4096];
    ssize_t n = write(fd, "db", 2);
    while (n > 0 && (n = read(fd, bytes, sizeof bytes)) > 0) n = write(fd, bytes, (size_t)n);
    close(fd);
    open_count--;
    return 0;
}

static void serve_tcp(void) {
    while (!stopping) {
        int fd = accept(listener, 0, 0);
        if (fd < 0) continue;
        pthread_t thread;
        open_count++;
        pthread_create(&thread, 0, echo, (void *)(long)fd);
        pthread_detach(thread);
    }
    while (open_count) usleep(1000);
}

static void serve_udp(void) {
    char bytes[2048];
    struct sockaddr_in client;
    while (!stopping) {
        socklen_t length = sizeof client;
        ssize_t n = recvfrom(listener, bytes, sizeof bytes, 0, (struct sockaddr *)&client, &length);
        if (n > 0) sendto(listener, bytes, (size_t)n, 0, (struct sockaddr *)&client, length);
    }
}

int main(int argc, char **argv) {
    int is_udp = argc > 1 && !strcmp(argv[1], "udp");
    signal(SIGTERM, stop_soon);
    signal(SIGALRM, stop);
    signal(SIGPIPE, SIG_IGN);
    listener = socket(AF_INET, is_udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) return 1;
    if (is_udp) {
        serve_udp();
    } else {
        if (listen(listener, 1024)) return 1;
        serve_tcp();
    }
    return 0;
}
