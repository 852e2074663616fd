/*
 * The floor: the least that one `send` for each event costs on this kernel.
 *
 *     cc -O2 -o floor floor.c && ./floor PORT EVENTS_EACH_SECOND COUNT
 *
 * One process, one epoll loop, no timers but one clock. Every request (its path does not matter) is answered by a
 * chunked event stream of the tokens `word1 `, `word2 ` ... `word999 `, `word0 ` ..., formatted anew for each event:
 * endless (COUNT is 0), or COUNT of them, and then the connection is closed. With a rate of 0 all COUNT leave at once,
 * each by its own `send`. The interval is cut into slots of about a millisecond; a connection belongs to the slot in
 * which its request came. A late slot is made up for at once: no event is skipped. A viewer whose socket is full is
 * cut: the floor has no buffers. Listens on 127.0.0.1 only; ends on any signal.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_FD 65536
#define MAX_SLOTS 100000
#define EPOCH "TheFloorTheFloorTheFlo" /* 22 characters, as an epoch of sseserver */

static const char HEAD[] = "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: text/event-stream\r\n"
                           "Cache-Control: no-cache, no-store, no-transform\r\nX-Accel-Buffering: no\r\n"
                           "X-Content-Type-Options: nosniff\r\nTransfer-Encoding: chunked\r\n\r\n";

struct viewer {
    int next, previous; /* descriptors of its neighbours in the slot, 0: none */
    int slot;           /* -1: its request is not complete yet */
    int matched;        /* bytes of CR LF CR LF seen so far */
    unsigned long number;
};

static struct viewer viewers[MAX_FD];
static int firstOf[MAX_SLOTS]; /* descriptor of the first viewer of a slot, 0: none (0 is never a socket here) */
static int slots;
static unsigned long count; /* events of each stream, 0: endless */
static int atOnce;          /* without any pace */
static long slotNanoseconds;

static void die(const char *what) { perror(what), exit(1); }

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void leave(int fd) {
    struct viewer *v = &viewers[fd];
    if (v->slot >= 0) {
        if (v->previous) viewers[v->previous].next = v->next;
        else firstOf[v->slot] = v->next;
        if (v->next) viewers[v->next].previous = v->previous;
    }
    close(fd);
}

static void join(int fd, int slot) {
    viewers[fd].slot = slot;
    viewers[fd].previous = 0;
    viewers[fd].next = firstOf[slot];
    if (firstOf[slot]) viewers[firstOf[slot]].previous = fd;
    firstOf[slot] = fd;
}

static int sendAll(int fd, const char *data, int size) {
    if (send(fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == size) return 1;
    if (errno == EAGAIN) fprintf(stderr, "a viewer was cut: its socket is full\n");
    leave(fd);
    return 0;
}

/* Returns whether there is more to send. */
static int sendEvent(int fd) {
    char event[96], chunk[128];
    struct viewer *v = &viewers[fd];
    v->number++;
    int size = sprintf(event, "id: %s-%lu\ndata: word%lu \n\n", EPOCH, v->number, v->number % 1000);
    if (!sendAll(fd, chunk, sprintf(chunk, "%x\r\n%s\r\n", (unsigned)size, event))) return 0;
    if (v->number != count) return 1;
    if (sendAll(fd, "0\r\n\r\n", 5)) leave(fd);
    return 0;
}

static int requestEnds(struct viewer *v, const char *data, int size) {
    for (int i = 0; i < size; i++) {
        v->matched = data[i] == "\r\n\r\n"[v->matched] ? v->matched + 1 : data[i] == '\r';
        if (v->matched == 4) return 1;
    }
    return 0;
}

static void readFrom(int fd, int slot) {
    char data[4096];
    int size = recv(fd, data, sizeof data, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) {
        leave(fd);
        return;
    }
    if (viewers[fd].slot >= 0 || !requestEnds(&viewers[fd], data, size)) return;
    if (sendAll(fd, HEAD, sizeof HEAD - 1)) {
        if (!atOnce) join(fd, slot);
        while (sendEvent(fd) && atOnce) {}
    }
}

static void acceptAll(int listener, int loop) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) die("too many descriptors");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        viewers[fd] = (struct viewer){.slot = -1};
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event)) die("epoll_ctl");
    }
}

static int listenOn(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) die("bind");
    if (listen(listener, 4096)) die("listen");
    return listener;
}

static void serve(int listener, int loop) {
    struct epoll_event ready[256];
    long due = now() + slotNanoseconds;
    for (int slot = 0;;) {
        for (; now() >= due; due += slotNanoseconds) {
            slot = (slot + 1) % slots;
            for (int fd = firstOf[slot], next; fd; fd = next) next = viewers[fd].next, sendEvent(fd);
        }
        long wait = due - now();
        struct timespec timeout = {0, wait > 0 ? wait : 0};
        int found = epoll_pwait2(loop, ready, 256, &timeout, NULL);
        if (found < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < found; i++) {
            if (ready[i].data.fd == listener) acceptAll(listener, loop);
            else readFrom(ready[i].data.fd, slot);
        }
    }
}

int main(int argc, char **argv) {
    double rate = argc == 4 ? atof(argv[2]) : -1;
    count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    atOnce = rate == 0 && count;
    if (atOnce) rate = 1;
    slots = rate > 0 ? (int)(1000 / rate) : 0;
    if (slots < 1 || slots > MAX_SLOTS) {
        fprintf(stderr, "usage: %s PORT EVENTS_EACH_SECOND (0.01 to 1000, or 0) COUNT\n", argv[0]);
        return 2;
    }
    slotNanoseconds = (long)(1e9 / rate / slots);
    int listener = listenOn(atoi(argv[1])), loop = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl");
    serve(listener, loop);
}
