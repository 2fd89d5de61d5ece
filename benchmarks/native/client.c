/* The load of the ingest benchmark: drivers' sockets that send moving pings, one frame per receive.
 *
 *   client PORT PATH json|msgpack SERVER_PID FIRST_TS_MS SOUTH WEST NORTH EAST < commands
 *
 * The first lines of standard input are bearer tokens, one per connection, ended by an empty line. The client connects
 * them all, sends each driver's status, prints "ready", and then obeys lines
 *
 *   go SECONDS DEPTH        for SECONDS: send DEPTH waves of one ping per driver, then wait until all are acknowledged;
 *                           print one JSON object
 *
 * until the end of its input. Sending a frame over loopback costs the client about as much as reading it costs the
 * floor, so a client on one core cannot keep the floor busy. Hence the waves: the server is held (SIGSTOP) while a wave
 * is sent, then released, and the next wave waits until the server sleeps. So whatever the server, it finds one frame
 * on each socket and is never short of work while its CPU time is counted; nor does a slow client show in the figures.
 *
 * Frames are made before the clock starts. A driver's pings go on from round to round: seq counts from 1, ts advances
 * 5 s a ping, the position by 5 s of driving. CPU seconds are those the kernel's scheduler booked for every thread of
 * the server (schedstat: running, and waiting for the core). SERVER_PID must be a child of the one who starts this.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DRIVERS = 16000, MAX_FRAME = 192, IN_BYTES = 4096 };
static const double STEP_S = 5.0, SPEED_MPS = 8.3, METRES_PER_DEGREE = 111195.0, STALL_S = 10.0, NAP_S = 0.00002;

typedef struct {
    int fd, in_len;
    uint32_t made, sent, acked; /* seq of the last ping made, sent, acknowledged */
    uint8_t *next;              /* the frames made and not yet sent, one after the other, in the buffer below */
    uint8_t *frames;
    uint8_t *in;                /* what the server sent and is not yet a whole frame; apart, so that drivers lie close */
    double lat, lng, heading;
    uint64_t ts;
} Driver;

typedef struct {
    double run_s, wait_s;
} Cpu;

static Driver *drivers;
static int driver_count, msgpack;
static double south, west, north, east;
static unsigned long ack_frames, error_frames;
static char first_error[256];

static void die(const char *what) {
    fprintf(stderr, "client: %s (%s)\n", what, errno ? strerror(errno) : "no system error");
    exit(1);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double own_cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static Cpu cpu_of(int pid) {
    Cpu total = {0, 0};
    char folder[64], path[384];
    snprintf(folder, sizeof folder, "/proc/%d/task", pid);
    DIR *tasks = opendir(folder);
    if (!tasks) die("the server is gone");
    for (struct dirent *task; (task = readdir(tasks));) {
        unsigned long long run, wait;
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s/schedstat", folder, task->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        if (fscanf(file, "%llu %llu", &run, &wait) == 2) {
            total.run_s += run * 1e-9;
            total.wait_s += wait * 1e-9;
        }
        fclose(file);
    }
    closedir(tasks);
    return total;
}

/* A masked frame around the payload; returns its length. */
static int frame_of(uint8_t *out, const uint8_t *payload, int length, int binary) {
    uint8_t mask[4];
    int head = 2;
    for (int i = 0; i < 4; i++) mask[i] = (uint8_t)rand();
    out[0] = 0x80 | (binary ? 2 : 1);
    if (length < 126) {
        out[1] = (uint8_t)(0x80 | length);
    } else {
        out[1] = 0x80 | 126;
        out[2] = (uint8_t)(length >> 8);
        out[3] = (uint8_t)length;
        head = 4;
    }
    memcpy(out + head, mask, 4);
    for (int i = 0; i < length; i++) out[head + 4 + i] = payload[i] ^ mask[i & 3];
    return head + 4 + length;
}

static uint8_t *put_text(uint8_t *p, const char *text) {
    size_t length = strlen(text);
    *p++ = (uint8_t)(0xa0 | length);
    memcpy(p, text, length);
    return p + length;
}

static uint8_t *put_big_endian(uint8_t *p, uint8_t kind, uint64_t bits, int bytes) {
    *p++ = kind;
    for (int i = bytes - 1; i >= 0; i--) *p++ = (uint8_t)(bits >> (8 * i));
    return p;
}

static uint8_t *put_float(uint8_t *p, double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return put_big_endian(p, 0xcb, bits, 8);
}

static int ping_payload(uint8_t *out, const Driver *d) {
    if (!msgpack)
        return snprintf((char *)out, MAX_FRAME,
                        "{\"type\":\"ping\",\"seq\":%u,\"ts\":%llu,\"lat\":%.6f,\"lng\":%.6f,\"heading\":%d,"
                        "\"speed\":%.1f,\"accuracy\":5}",
                        d->made, (unsigned long long)d->ts, d->lat, d->lng, (int)d->heading, SPEED_MPS);
    uint8_t *p = out;
    *p++ = 0x88;
    p = put_text(put_text(p, "type"), "ping");
    p = put_big_endian(put_text(p, "seq"), 0xce, d->made, 4);
    p = put_big_endian(put_text(p, "ts"), 0xcf, d->ts, 8);
    p = put_float(put_text(p, "lat"), d->lat);
    p = put_float(put_text(p, "lng"), d->lng);
    p = put_big_endian(put_text(p, "heading"), 0xcd, (uint64_t)d->heading, 2);
    p = put_float(put_text(p, "speed"), SPEED_MPS);
    p = put_text(p, "accuracy");
    *p++ = 5;
    return (int)(p - out);
}

/* Five seconds of driving: the heading drifts, and turns round at the edge of the city. */
static void drive(Driver *d) {
    double step = SPEED_MPS * STEP_S / METRES_PER_DEGREE;
    d->heading = fmod(d->heading + 360.0 + (drand48() - 0.5) * 20.0, 360.0);
    double angle = d->heading * M_PI / 180.0;
    double lat = d->lat + step * cos(angle), lng = d->lng + step * sin(angle) / cos(d->lat * M_PI / 180.0);
    if (lat < south || lat > north || lng < west || lng > east) {
        d->heading = fmod(d->heading + 180.0, 360.0);
        return;
    }
    d->lat = lat;
    d->lng = lng;
}

/* The frames of a driver's next pings; those of the last were all sent. */
static void make_frames(Driver *d, int pings) {
    uint8_t payload[MAX_FRAME], *p = d->frames = d->next = realloc(d->frames, (size_t)pings * MAX_FRAME);
    if (!p) die("no memory for frames");
    for (int i = 0; i < pings; i++) {
        d->made++;
        d->ts += (uint64_t)(STEP_S * 1000);
        drive(d);
        p += frame_of(p, payload, ping_payload(payload, d), msgpack);
    }
}

static void send_all(int fd, const uint8_t *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) die("the server closed a connection");
        data += sent;
        size -= (size_t)sent;
    }
}

static void send_ping(Driver *d) {
    int length = d->next[1] & 127;
    int size = length == 126 ? 8 + (d->next[2] << 8 | d->next[3]) : 6 + length;
    send_all(d->fd, d->next, (size_t)size);
    d->next += size;
    d->sent++;
}

/* The seq of an ack; 0 for any other message. */
static uint32_t ack_seq(const uint8_t *payload, size_t length) {
    const uint8_t *p;
    if (!memmem(payload, length, "ack", 3)) return 0;
    if (!msgpack) {
        p = memmem(payload, length, "\"seq\":", 6);
        return p ? (uint32_t)strtoul((const char *)p + 6, NULL, 10) : 0;
    }
    p = memmem(payload, length, "\xa3seq", 4);
    if (!p) return 0;
    p += 4;
    if (*p < 0x80) return *p;
    uint32_t seq = 0;
    int bytes = *p == 0xcc ? 1 : *p == 0xcd ? 2 : *p == 0xce ? 4 : 0;
    for (int i = 1; i <= bytes; i++) seq = seq << 8 | p[i];
    return seq;
}

/* Reads what the server sent to one driver; returns how many pings it newly acknowledges. */
static uint32_t take_answers(Driver *d) {
    ssize_t got = recv(d->fd, d->in + d->in_len, (size_t)(IN_BYTES - 1 - d->in_len), 0);
    if (got <= 0) {
        fprintf(stderr, "client: first error from the server: %s\n", first_error);
        die("the server closed a connection");
    }
    d->in_len += (int)got;
    d->in[d->in_len] = 0;
    uint32_t newly = 0;
    int at = 0;
    while (at + 2 <= d->in_len) {
        int length = d->in[at + 1] & 127, head = 2;
        if (length == 126) {
            if (at + 4 > d->in_len) break;
            length = d->in[at + 2] << 8 | d->in[at + 3];
            head = 4;
        }
        if (at + head + length > d->in_len) break;
        uint32_t seq = ack_seq(d->in + at + head, (size_t)length);
        if (seq) {
            ack_frames++;
            if (seq > d->sent) die("an ack for a ping that was never sent");
            if (seq > d->acked) {
                newly += seq - d->acked;
                d->acked = seq;
            }
        } else if (memmem(d->in + at + head, (size_t)length, "error", 5)) {
            if (!error_frames++)
                snprintf(first_error, sizeof first_error, "%.*s", length < 250 ? length : 250, d->in + at + head);
        }
        at += head + length;
    }
    memmove(d->in, d->in + at, (size_t)(d->in_len - at));
    d->in_len -= at;
    return newly;
}

static void connect_driver(Driver *d, int port, const char *path, const char *token) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int one = 1;
    char head[2048];
    d->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (d->fd < 0 || connect(d->fd, (struct sockaddr *)&address, sizeof address)) die("cannot connect");
    setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(d->fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4); /* BBR's pacing timers cost the client, not the server */
    int length = snprintf(head, sizeof head,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Protocol: hexcab.v1.%s\r\nAuthorization: Bearer %s\r\n\r\n",
                          path, port, msgpack ? "msgpack" : "json", token);
    send_all(d->fd, (uint8_t *)head, (size_t)length);
    char *end = NULL;
    while (!end) { /* what follows the head, such as a welcome, stays in the buffer for take_answers */
        ssize_t got = recv(d->fd, d->in + d->in_len, (size_t)(IN_BYTES - 1 - d->in_len), 0);
        if (got <= 0) die("the server refused a handshake");
        d->in_len += (int)got;
        d->in[d->in_len] = 0;
        end = memmem(d->in, (size_t)d->in_len, "\r\n\r\n", 4);
    }
    if (strncmp((char *)d->in, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "%s\n", d->in);
        die("the server refused a handshake");
    }
    int used = (int)((uint8_t *)end + 4 - d->in);
    memmove(d->in, d->in + used, (size_t)(d->in_len - used));
    d->in_len -= used;
    uint8_t status[64], frame[80];
    int size = msgpack ? 21 : 0;
    if (msgpack) memcpy(status, "\x82\xa4type\xa6status\xa6online\xc3", 21);
    else size = snprintf((char *)status, sizeof status, "{\"type\":\"status\",\"online\":true}");
    send_all(d->fd, frame, (size_t)frame_of(frame, status, size, msgpack));
}

static char state_of(int pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) die("the server is gone");
    size_t got = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[got] = 0;
    char *end = strrchr(text, ')');
    return end ? end[2] : '?';
}

static void nap(void) {
    struct timespec t = {0, (long)(NAP_S * 1e9)};
    nanosleep(&t, NULL);
}

/* Waits for a state of the server, seen three times in a row; returns when it was first seen. */
static double wait_for_state(int pid, char state) {
    double start = now_s(), first = 0;
    for (int seen = 0; seen < 3; nap()) {
        if (state_of(pid) == state) {
            if (!seen++) first = now_s();
        } else {
            seen = 0;
        }
        if (now_s() - start > STALL_S) die("the server neither stops nor sleeps");
    }
    return first;
}

/* One ping of every driver, waiting on the server's sockets when it is let go. Adds to the time it then works. */
static void wave(int pid, double *released_s, double *own_s) {
    kill(pid, SIGSTOP);
    wait_for_state(pid, 'T');
    double own = own_cpu_s();
    for (int i = 0; i < driver_count; i++) {
        __builtin_prefetch(drivers[i + 3 < driver_count ? i + 3 : 0].next);
        send_ping(&drivers[i]);
    }
    *own_s += own_cpu_s() - own;
    double start = now_s();
    kill(pid, SIGCONT);
    *released_s += wait_for_state(pid, 'S') - start;
}

static void await_acks(int poll, long outstanding) {
    double heard = now_s();
    while (outstanding) {
        struct epoll_event events[256];
        int ready = epoll_wait(poll, events, 256, 50);
        for (int i = 0; i < ready; i++) outstanding -= take_answers(&drivers[events[i].data.u32]);
        if (ready > 0) heard = now_s();
        if (now_s() - heard > STALL_S) die("no ack for ten seconds");
    }
}

static void run(int poll, int pid, double seconds, int depth) {
    long waves = 0;
    unsigned long acks_before = ack_frames, errors_before = error_frames;
    double released_s = 0, own_s = 0, spent = 0, busy_s = 0, waited_s = 0, start = now_s();
    Cpu before = cpu_of(pid);
    while (now_s() - start < seconds) {
        double making = now_s();
        for (int i = 0; i < driver_count; i++) make_frames(&drivers[i], depth);
        spent += now_s() - making;
        Cpu released = cpu_of(pid);
        for (int i = 0; i < depth; i++, waves++) wave(pid, &released_s, &own_s);
        Cpu worked = cpu_of(pid);
        busy_s += worked.run_s - released.run_s;
        waited_s += worked.wait_s - released.wait_s;
        await_acks(poll, (long)depth * driver_count);
    }
    Cpu after = cpu_of(pid);
    double pings = (double)waves * driver_count, cpu_s = after.run_s - before.run_s;
    printf("{\"pings\":%.0f,\"server_cpu_s\":%.6f,\"pings_per_cpu_s\":%.0f,\"utilisation\":%.4f,\"demand\":%.4f,"
           "\"client_cpu_us_per_ping\":%.3f,\"acks\":%lu,\"errors\":%lu,\"wall_s\":%.3f}\n",
           pings, cpu_s, pings / cpu_s, busy_s / released_s, (busy_s + waited_s) / released_s, own_s / pings * 1e6,
           ack_frames - acks_before, error_frames - errors_before, now_s() - start - spent);
    if (error_frames > errors_before) fprintf(stderr, "client: first error from the server: %s\n", first_error);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static char line[2048];
    if (argc != 10) {
        fprintf(stderr, "usage: client PORT PATH json|msgpack SERVER_PID FIRST_TS_MS SOUTH WEST NORTH EAST\n");
        return 2;
    }
    int port = atoi(argv[1]), pid = atoi(argv[4]), poll = epoll_create1(0);
    msgpack = !strcmp(argv[3], "msgpack");
    south = atof(argv[6]), west = atof(argv[7]), north = atof(argv[8]), east = atof(argv[9]);
    drivers = calloc(MAX_DRIVERS, sizeof *drivers);
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0); /* naps end when they should */
    srand(1);
    srand48(1);
    while (fgets(line, sizeof line, stdin) && line[0] != '\n') {
        line[strcspn(line, "\n")] = 0;
        if (driver_count == MAX_DRIVERS) die("too many tokens");
        Driver *d = &drivers[driver_count];
        d->in = malloc(IN_BYTES);
        d->ts = strtoull(argv[5], NULL, 10);
        d->lat = south + (north - south) * drand48();
        d->lng = west + (east - west) * drand48();
        d->heading = 360.0 * drand48();
        connect_driver(d, port, argv[2], line);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)driver_count++};
        epoll_ctl(poll, EPOLL_CTL_ADD, d->fd, &event);
    }
    printf("ready %d\n", driver_count);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        double seconds;
        int depth;
        if (sscanf(line, "go %lf %d", &seconds, &depth) != 2) die("a command it does not know");
        run(poll, pid, seconds, depth);
    }
    return 0;
}
