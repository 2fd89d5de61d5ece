/* The load of the book benchmark: clients that send one HTTP request after the other, each on a connection of its own.
 *
 *   booker CLIENTS SECONDS ANSWERS PORT [PORT ...] < requests
 *
 * Standard input holds the requests, made before the clock starts: of each its length, four bytes in the machine's own
 * order, then its bytes. Clients are dealt out to the ports in turn. For SECONDS each client sends the next request as
 * soon as its last one is answered; what is under way then is waited for. Prints one JSON object. ANSWERS gets a line
 * for each answer: the number of its request, its status, its microseconds, its body (JSON of one line).
 *
 * It understands what this needs and no more: answers with a Content-Length, on loopback, from a server that keeps
 * connections open.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, IN_BYTES = 65536 };
static const double STALL_S = 20.0;

typedef struct {
    int fd, in_len;
    long request; /* the number of the one under way, -1 for none */
    double began;
    char in[IN_BYTES];
} Client;

static Client *clients;
static char *input;
static long *starts, count, next_request;

static void die(const char *what) {
    fprintf(stderr, "booker: %s (%s)\n", what, errno ? strerror(errno) : "no system error");
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void read_requests(void) {
    size_t size = 0, room = 1 << 20;
    input = malloc(room);
    for (size_t got; input && (got = fread(input + size, 1, room - size, stdin)) > 0;) {
        size += got;
        if (size == room) input = realloc(input, room *= 2);
    }
    starts = malloc((size / 5 + 1) * sizeof *starts);
    if (!input || !starts) die("out of memory");
    for (size_t at = 0; at + 4 <= size;) {
        uint32_t length;
        memcpy(&length, input + at, 4);
        starts[count++] = (long)at;
        at += 4 + length;
        if (at > size) die("the last request is cut off");
    }
}

static void connect_to(Client *client, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    client->request = -1;
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&address, sizeof address)) die("cannot connect");
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void send_next(Client *client) {
    uint32_t length;
    char *request = input + starts[next_request];
    memcpy(&length, request, 4);
    client->request = next_request++;
    client->in_len = 0;
    client->began = now_s();
    for (ssize_t sent = 0, wrote; sent < (ssize_t)length; sent += wrote)
        if ((wrote = write(client->fd, request + 4 + sent, length - sent)) < 0) die("cannot send");
}

/* 1 once the answer is whole; it is written down then. */
static int receive(Client *client, FILE *answers) {
    ssize_t got = read(client->fd, client->in + client->in_len, IN_BYTES - 1 - client->in_len);
    if (got <= 0) die("the server hung up");
    client->in_len += (int)got;
    client->in[client->in_len] = 0;
    char *body = strstr(client->in, "\r\n\r\n"), *stated = strcasestr(client->in, "\r\ncontent-length:");
    if (!body) return 0;
    if (!stated || stated > body) die("an answer without Content-Length");
    body += 4;
    long length = atol(stated + 17);
    if (client->in_len - (body - client->in) < length) return 0;
    fprintf(answers, "%ld %.3s %.0f %.*s\n", client->request, client->in + 9, 1e6 * (now_s() - client->began),
            (int)length, body);
    client->request = -1;
    return 1;
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc < 5) die("usage: booker CLIENTS SECONDS ANSWERS PORT [PORT ...] < requests");
    int many = atoi(argv[1]), ports = argc - 4;
    double seconds = atof(argv[2]);
    FILE *answers = fopen(argv[3], "w");
    if (!answers) die("cannot write the answers");
    if (many < 1 || many > MAX_CLIENTS) die("1 to 1024 clients");
    read_requests();
    clients = calloc((size_t)many, sizeof *clients);
    int epoll = epoll_create1(0);
    if (!clients || epoll < 0) die("cannot begin");
    for (int i = 0; i < many; i++) {
        connect_to(&clients[i], atoi(argv[4 + i % ports]));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event)) die("epoll");
    }
    long done = 0;
    int waiting = 0;
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    double began = now_s(), end = began + seconds, last = began;
    for (; waiting < many && next_request < count; waiting++) send_next(&clients[waiting]);
    while (waiting) {
        struct epoll_event events[64];
        int ready = epoll_wait(epoll, events, 64, (int)(1e3 * STALL_S));
        if (ready <= 0) die("no answer came");
        for (int i = 0; i < ready; i++) {
            Client *client = events[i].data.ptr;
            if (!receive(client, answers)) continue;
            done++;
            last = now_s();
            if (last < end && next_request < count) send_next(client);
            else waiting--;
        }
    }
    getrusage(RUSAGE_SELF, &after);
    double cpu_s = (after.ru_utime.tv_sec - before.ru_utime.tv_sec) + (after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                   1e-6 * (after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
                   1e-6 * (after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    if (fclose(answers)) die("cannot write the answers");
    printf("{\"answers\": %ld, \"seconds\": %.6f, \"cpu_s\": %.6f, \"ran_out\": %d}\n", done, last - began, cpu_s,
           next_request >= count);
    return 0;
}
