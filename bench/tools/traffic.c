/*
 * Small traffic tools for the datapath bench, one binary:
 *
 *   traffic sink PORT SECONDS            UDP packets received on PORT and PORT + 1
 *   traffic flood ADDR PORT SECONDS SIZE UDP packets sent through one connected socket
 *   traffic frames IF FRAMEHEX SECONDS FLOWS COUNT [waiting]   crafted UDP frames over FLOWS tuples
 *   traffic serve PORT                   TCP and UDP echo, and TCP accept, until killed
 *   traffic ask tcp|udp ADDR PORT SECONDS   round trips: count p50_ns p99_ns
 *   traffic connect ADDR PORT SECONDS    TCP connections opened and closed
 *
 * Each prints its figures on one line. `frames` sends FRAMEHEX (Ethernet, IPv4, UDP) with the
 * source port taken from 1024 + n % 60000 and the destination port raised by n / 60000, n running
 * through FLOWS; COUNT 0 means until SECONDS are over. `waiting` says "ready" and sends when its input
 * ends, so that starting a process is in no figure.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define SAMPLES_MAX 4000000
#define PORTS_PER_STEP 60000
#define FIRST_PORT 1024

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address_of(const char *text, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
		fprintf(stderr, "%s is not an IPv4 address\n", text);
		exit(1);
	}
	return address;
}

static int bound(int type, int port)
{
	struct sockaddr_in address = address_of("0.0.0.0", port);
	int fd = socket(AF_INET, type, 0), one = 1, size = 8 << 20;

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("bind");
	return fd;
}

static int sink(int port, double seconds)
{
	static char space[BATCH][2048];
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	struct pollfd fds[2];
	double end = 0;
	long count = 0;
	int i, got;

	for (i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ space[i], sizeof(space[i]) };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (i = 0; i < 2; i++)
		fds[i] = (struct pollfd){ bound(SOCK_DGRAM, port + i), POLLIN, 0 };
	printf("ready\n");
	fflush(stdout);
	while (!end || now() < end) {
		if (poll(fds, 2, 100) <= 0)
			continue;
		if (!end)
			end = now() + seconds; /* The clock starts with the first packet. */
		for (i = 0; i < 2; i++) {
			if (!(fds[i].revents & POLLIN))
				continue;
			got = recvmmsg(fds[i].fd, messages, BATCH, MSG_DONTWAIT, NULL);
			if (got > 0)
				count += got;
		}
	}
	printf("%.0f\n", count / seconds);
	return 0;
}

static int flood(const char *text, int port, double seconds, int size)
{
	struct sockaddr_in address = address_of(text, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), i;
	char payload[2048] = {};
	double end = now() + seconds;
	long count = 0;

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	while (now() < end)
		for (i = 0; i < BATCH; i++)
			count += send(fd, payload, size, 0) == size;
	printf("%.0f\n", count / seconds);
	return 0;
}

static int frames(const char *interface, const char *hex, double seconds, long flows, long total,
		  bool waiting)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
				  .sll_ifindex = if_nametoindex(interface),
				  .sll_protocol = htons(ETH_P_IP) };
	static uint8_t frame[BATCH][2048];
	struct mmsghdr messages[BATCH] = {};
	struct iovec parts[BATCH];
	int fd = socket(AF_PACKET, SOCK_RAW, 0), bytes = strlen(hex) / 2, i, sent;
	double start, end;
	uint16_t base;
	long n = 0;

	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("packet socket");
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &(int){ 1 }, sizeof(int));
	for (i = 0; i < BATCH; i++) {
		for (int byte = 0; byte < bytes; byte++)
			sscanf(hex + 2 * byte, "%2hhx", &frame[i][byte]);
		parts[i] = (struct iovec){ frame[i], bytes };
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	base = frame[0][36] << 8 | frame[0][37];
	if (waiting) {
		puts("ready");
		fflush(stdout);
		while (read(0, &(char){ 0 }, 1) > 0)
			;
	}
	start = now();
	end = start + seconds;
	while (total ? n < total : now() < end) {
		for (i = 0; i < BATCH; i++) {
			long tuple = (n + i) % flows;
			uint16_t source = FIRST_PORT + tuple % PORTS_PER_STEP;
			uint16_t destination = base + tuple / PORTS_PER_STEP;

			frame[i][34] = source >> 8;
			frame[i][35] = source;
			frame[i][36] = destination >> 8;
			frame[i][37] = destination;
		}
		sent = sendmmsg(fd, messages, BATCH, 0);
		if (sent > 0)
			n += sent;
	}
	printf("%.0f\n", n / (now() - start));
	return 0;
}

static _Noreturn void serve(int port)
{
	struct pollfd fds[512] = { { bound(SOCK_DGRAM, port), POLLIN, 0 },
				   { bound(SOCK_STREAM, port), POLLIN, 0 } };
	int used = 2, i, one = 1;
	char space[2048];

	if (listen(fds[1].fd, 4096))
		fail("listen");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		poll(fds, used, -1);
		if (fds[0].revents) {
			struct sockaddr_in from;
			socklen_t length = sizeof(from);
			int got = recvfrom(fds[0].fd, space, sizeof(space), 0,
					   (struct sockaddr *)&from, &length);

			if (got >= 0)
				sendto(fds[0].fd, space, got, 0, (struct sockaddr *)&from, length);
		}
		for (i = used - 1; i >= 2; i--) {
			int got;

			if (!fds[i].revents)
				continue;
			got = read(fds[i].fd, space, sizeof(space));
			if (got > 0 && write(fds[i].fd, space, got) == got)
				continue;
			close(fds[i].fd);
			fds[i] = fds[--used];
		}
		if (fds[1].revents && used < 512) {
			int fd = accept(fds[1].fd, NULL, NULL);

			if (fd >= 0) {
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				fds[used++] = (struct pollfd){ fd, POLLIN, 0 };
			}
		}
	}
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int ask(const char *kind, const char *text, int port, double seconds)
{
	const int stream = !strcmp(kind, "tcp");
	struct sockaddr_in address = address_of(text, port);
	int fd = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0), one = 1;
	uint32_t *samples = malloc(SAMPLES_MAX * sizeof(*samples));
	double end, before;
	long count = 0;
	char byte = 'x';

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	if (stream)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	end = now() + seconds;
	while ((before = now()) < end && count < SAMPLES_MAX) {
		if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1)
			fail("round trip");
		samples[count++] = (now() - before) * 1e9;
	}
	qsort(samples, count, sizeof(*samples), by_value);
	printf("%ld %u %u\n", count, samples[count / 2], samples[count * 99 / 100]);
	return 0;
}

static int connect_rate(const char *text, int port, double seconds)
{
	struct sockaddr_in address = address_of(text, port);
	struct linger reset = { 1, 0 };
	double end = now() + seconds;
	long count = 0;

	while (now() < end) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		/* Reset on close: no TIME_WAIT, so ports do not run out. */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
			count++;
		close(fd);
	}
	printf("%.0f\n", count / seconds);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "sink"))
		return sink(atoi(argv[2]), atof(argv[3]));
	if (argc == 6 && !strcmp(argv[1], "flood"))
		return flood(argv[2], atoi(argv[3]), atof(argv[4]), atoi(argv[5]));
	if ((argc == 7 || (argc == 8 && !strcmp(argv[7], "waiting"))) && !strcmp(argv[1], "frames"))
		return frames(argv[2], argv[3], atof(argv[4]), atol(argv[5]), atol(argv[6]),
			      argc == 8);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(atoi(argv[2]));
	if (argc == 6 && !strcmp(argv[1], "ask"))
		return ask(argv[2], argv[3], atoi(argv[4]), atof(argv[5]));
	if (argc == 5 && !strcmp(argv[1], "connect"))
		return connect_rate(argv[2], atoi(argv[3]), atof(argv[4]));
	fprintf(stderr, "usage: see the head of traffic.c\n");
	return 2;
}
