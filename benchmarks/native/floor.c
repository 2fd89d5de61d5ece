/* The floor of ping ingest: the least a WebSocket server can do on one core.
 *
 * Reads frames from an epoll loop, unmasks them, counts them per connection, and every ACK_MS milliseconds sends one
 * cumulative ack to each connection that sent something: the same frames in and the same acks out as the gateway, and
 * nothing in between (no decoding, no checks, no supply).
 *
 *   floor json|msgpack ACK_MS       prints "port N", serves until SIGTERM, then prints its counters as JSON
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 65536, MAX_PARTIAL = 4096, READ_BYTES = 65536, EVENTS = 1024 };

typedef struct {
    uint8_t *partial; /* bytes of a frame that has not arrived in full */
    uint32_t partial_len;
    uint32_t pings; /* of this connection = the seq of the last one: a client starts at 1 */
    uint8_t upgraded;
    uint8_t greeted; /* the first frame is the driver's status and has no seq */
    uint8_t dirty;
} Connection;

static Connection connections[MAX_FD];
static int dirty[MAX_FD];
static int dirty_count;
static uint8_t input[MAX_PARTIAL + READ_BYTES];
static unsigned long frames, reads, acks, checksum;
static volatile sig_atomic_t stopping;

static void stop(int signal_number) {
    (void)signal_number;
    stopping = 1;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void unmask(uint8_t *payload, size_t length, uint32_t mask) {
    uint64_t wide = mask | ((uint64_t)mask << 32);
    size_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, payload + i, 8);
        word ^= wide;
        memcpy(payload + i, &word, 8);
    }
    for (; i < length; i++) payload[i] ^= (uint8_t)(mask >> (8 * (i & 3)));
}

/* Handles the whole frames in the buffer; returns how many bytes they took. */
static size_t take_frames(int fd, uint8_t *data, size_t size) {
    Connection *c = &connections[fd];
    size_t at = 0;
    while (at + 6 <= size) {
        size_t length = data[at + 1] & 127, head = 6;
        if (length == 126) {
            if (at + 8 > size) break;
            length = ((size_t)data[at + 2] << 8) | data[at + 3];
            head = 8;
        }
        if (at + head + length > size) break;
        uint32_t mask;
        memcpy(&mask, data + at + head - 4, 4);
        uint8_t *payload = data + at + head;
        unmask(payload, length, mask);
        checksum += payload[length / 2];
        if (c->greeted) {
            frames++;
            c->pings++;
            if (!c->dirty) {
                c->dirty = 1;
                dirty[dirty_count++] = fd;
            }
        }
        c->greeted = 1;
        at += head + length;
    }
    return at;
}

static void send_acks(int msgpack) {
    for (int i = 0; i < dirty_count; i++) {
        int fd = dirty[i];
        Connection *c = &connections[fd];
        uint8_t out[64];
        int length;
        if (!c->dirty) continue;
        c->dirty = 0;
        if (msgpack) {
            static const char head[] = "\x82\xa4type\xa3" "ack\xa3seq\xce";
            length = (int)sizeof head - 1 + 4;
            memcpy(out + 2, head, sizeof head - 1);
            uint32_t seq = htonl(c->pings);
            memcpy(out + 2 + sizeof head - 1, &seq, 4);
        } else {
            length = snprintf((char *)out + 2, sizeof out - 2, "{\"type\":\"ack\",\"seq\":%u}", c->pings);
        }
        out[0] = msgpack ? 0x82 : 0x81;
        out[1] = (uint8_t)length;
        if (write(fd, out, (size_t)length + 2) != length + 2) exit(3);
        acks++;
    }
    dirty_count = 0;
}

static void serve_readable(int fd) {
    Connection *c = &connections[fd];
    if (c->partial_len) memcpy(input, c->partial, c->partial_len);
    ssize_t got = read(fd, input + c->partial_len, READ_BYTES);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        c->dirty = 0;
        close(fd);
        return;
    }
    if (!c->upgraded) {
        static const char answer[] =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        c->upgraded = 1;
        if (write(fd, answer, sizeof answer - 1) < 0) exit(3);
        return;
    }
    reads++;
    size_t size = (size_t)got + c->partial_len, used = take_frames(fd, input, size);
    c->partial_len = (uint32_t)(size - used);
    if (c->partial_len > MAX_PARTIAL) exit(4);
    if (c->partial_len) {
        if (!c->partial) c->partial = malloc(MAX_PARTIAL);
        memcpy(c->partial, input + used, c->partial_len);
    }
}

static int listen_on_loopback(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4096)) {
        perror("listen");
        exit(1);
    }
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: floor json|msgpack ACK_MS\n");
        return 2;
    }
    int msgpack = !strcmp(argv[1], "msgpack");
    double every_s = atof(argv[2]) / 1000.0;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on_loopback(), poll = epoll_create1(0), one = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    double next_ack = now_s() + every_s;
    while (!stopping) {
        static struct epoll_event events[EVENTS];
        double left_s = next_ack - now_s();
        int ready = epoll_wait(poll, events, EVENTS, left_s > 0 ? (int)(left_s * 1000) + 1 : 0);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                serve_readable(fd);
                continue;
            }
            int accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (accepted < 0) continue;
            if (accepted >= MAX_FD) return 4;
            setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            free(connections[accepted].partial);
            memset(&connections[accepted], 0, sizeof(Connection));
            event.data.fd = accepted;
            epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
        }
        if (now_s() >= next_ack) {
            send_acks(msgpack);
            next_ack = now_s() + every_s;
        }
    }
    printf("{\"frames\":%lu,\"reads\":%lu,\"acks\":%lu,\"checksum\":%lu}\n", frames, reads, acks, checksum);
    return 0;
}
