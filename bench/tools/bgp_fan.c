/*
 * BGP peers for the route reflector's bench, light enough to share two cores with what is measured:
 * one thread, ready-made UPDATEs out, NLRI counted by length arithmetic and summed by a hash.
 *
 *   bgp_fan ROUTER PORT AS FILE COUNT SENDERS PEER...
 *
 * Each PEER is a local address; one VPNv4 session each is opened from them to ROUTER. The first
 * SENDERS of them send, in descending order of preference (their addresses are their router ids),
 * the others receive. FILE holds the UPDATEs of COUNT different routes. Prints "up" when all
 * sessions stand, then obeys lines on its standard input, each answered by one line:
 *
 *   send N  sender N sends FILE; answer: seconds until every receiver was told COUNT routes,
 *           UPDATEs that the busiest receiver got so far, and this program's own CPU seconds
 *   lose N  sender N's session ends with a CEASE; answer: seconds until every receiver was told
 *           COUNT routes once more, or COUNT withdrawals when no other sender has sent
 *   quit
 *
 * A receiver whose routes are not exactly those of FILE ends the program with a line on stderr.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX 64
#define BUFFER_BYTES (1 << 20)
#define HEADER_BYTES 19
#define DEADLINE_S 120
#define CONNECT_TRIES 600
#define KEEPALIVE_S 20

enum { OPEN = 1, UPDATE = 2, NOTIFICATION = 3, KEEPALIVE = 4 };
enum { MP_REACH = 14, MP_UNREACH = 15 };

struct peer {
	int fd;
	int is_up, is_sending;
	size_t sent;
	long reached, withdrawn, updates;
	uint64_t sum; /* of the hashes of routes reached */
	uint8_t *buffer;
	size_t filled;
};

static struct peer peers[PEERS_MAX];
static int peers_count;
static uint8_t *stream;
static size_t stream_bytes;
static int senders_count;
static long reached_goal, withdrawn_goal;
static uint64_t stream_sum, sum_goal;
static long routes_count;

static void fail(const char *what)
{
	fprintf(stderr, "bgp_fan: %s\n", what);
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Of one route; what a label has below its 20 bits is nobody's business (FRR writes odd ones). */
static uint64_t hash(const uint8_t *route, size_t size)
{
	uint64_t value = 1469598103934665603ULL;

	for (size_t i = 0; i < size; i++)
		value = (value ^ (i == 3 ? route[i] & 0xf0 : route[i])) * 1099511628211ULL;
	return value;
}

/* Counts the routes of one field of NLRI; adds their hashes to *sum unless it is NULL. */
static long count_routes(const uint8_t *nlri, size_t size, uint64_t *sum)
{
	long count = 0;

	while (size) {
		size_t whole = 1 + (nlri[0] + 7) / 8;

		if (whole > size)
			fail("NLRI cut off");
		if (sum)
			*sum += hash(nlri, whole);
		nlri += whole;
		size -= whole;
		count++;
	}
	return count;
}

static void read_update(struct peer *peer, const uint8_t *body, size_t size)
{
	size_t withdrawn = body[0] << 8 | body[1];
	const uint8_t *at = body + 4 + withdrawn;
	const uint8_t *end = at + (body[2 + withdrawn] << 8 | body[3 + withdrawn]);

	if (end > body + size)
		fail("UPDATE cut off");
	peer->updates++;
	while (at < end) {
		int is_long = at[0] & 0x10, code = at[1];
		size_t length = is_long ? at[2] << 8 | at[3] : at[2];
		const uint8_t *value = at + (is_long ? 4 : 3);

		if (code == MP_REACH)
			peer->reached += count_routes(value + 5 + value[3], length - 5 - value[3],
						      &peer->sum);
		else if (code == MP_UNREACH)
			peer->withdrawn += count_routes(value + 3, length - 3, NULL);
		at = value + length;
	}
}

static void send_all(int fd, const void *bytes, size_t size)
{
	if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size)
		fail("a short message was not sent whole");
}

static void send_short(int fd, int type, const uint8_t *body, size_t size)
{
	uint8_t message[256];

	memset(message, 0xff, 16);
	message[16] = 0;
	message[17] = HEADER_BYTES + size;
	message[18] = type;
	if (size)
		memcpy(message + HEADER_BYTES, body, size);
	send_all(fd, message, HEADER_BYTES + size);
}

static void send_open(int fd, uint32_t as, struct in_addr id)
{
	uint8_t body[] = {
		4, as >> 8, as, 0, 90, 0, 0, 0, 0, 16, 2, 14,
		1, 4, 0, 1, 0, 128,                      /* VPNv4 */
		2, 0,                                    /* route refresh */
		65, 4, as >> 24, as >> 16, as >> 8, as,  /* 4-byte AS */
	};

	memcpy(body + 5, &id, 4);
	send_short(fd, OPEN, body, sizeof(body));
}

static void read_message(struct peer *peer, const uint8_t *message, size_t size)
{
	switch (message[18]) {
	case OPEN:
		send_short(peer->fd, KEEPALIVE, NULL, 0);
		break;
	case KEEPALIVE:
		peer->is_up = 1;
		break;
	case UPDATE:
		read_update(peer, message + HEADER_BYTES, size - HEADER_BYTES);
		break;
	case NOTIFICATION:
		fprintf(stderr, "bgp_fan: NOTIFICATION %d/%d\n", message[19], message[20]);
		exit(1);
	default:
		break;
	}
}

static void receive(struct peer *peer)
{
	size_t at = 0;
	ssize_t got = recv(peer->fd, peer->buffer + peer->filled, BUFFER_BYTES - peer->filled, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		fail("the router closed a session");
	peer->filled += got;
	while (peer->filled - at >= HEADER_BYTES) {
		size_t size = peer->buffer[at + 16] << 8 | peer->buffer[at + 17];

		if (peer->filled - at < size)
			break;
		read_message(peer, peer->buffer + at, size);
		at += size;
	}
	memmove(peer->buffer, peer->buffer + at, peer->filled - at);
	peer->filled -= at;
}

static void keep_alive(void)
{
	static double last;

	if (now(CLOCK_MONOTONIC) < last + KEEPALIVE_S)
		return;
	last = now(CLOCK_MONOTONIC);
	for (int i = 0; i < peers_count; i++)
		/* Never into the middle of an UPDATE that is only half written. */
		if (peers[i].fd >= 0 && peers[i].is_up &&
		    (!peers[i].is_sending || peers[i].sent == stream_bytes))
			send_short(peers[i].fd, KEEPALIVE, NULL, 0);
}

static void send_some(struct peer *peer)
{
	ssize_t put = send(peer->fd, stream + peer->sent, stream_bytes - peer->sent, MSG_NOSIGNAL);

	if (put < 0 && errno != EAGAIN)
		fail("the router closed a sender's session");
	peer->sent += put > 0 ? put : 0;
}

/* Moves bytes for a while; a sender's stream goes out as the router takes it. */
static void turn(void)
{
	struct pollfd polled[PEERS_MAX];

	keep_alive();
	for (int i = 0; i < peers_count; i++) {
		polled[i] = (struct pollfd){ .fd = peers[i].fd, .events = POLLIN };
		if (peers[i].is_sending && peers[i].sent < stream_bytes)
			polled[i].events |= POLLOUT;
	}
	poll(polled, peers_count, 1000);
	for (int i = 0; i < peers_count; i++) {
		if (polled[i].revents & (POLLIN | POLLHUP | POLLERR))
			receive(&peers[i]);
		if (polled[i].revents & POLLOUT)
			send_some(&peers[i]);
	}
}

static int dial(struct in_addr router, int port, struct in_addr own)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = router };
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr = own };

	for (int i = 0; i < CONNECT_TRIES; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

		if (bind(fd, (void *)&from, sizeof(from)))
			fail("cannot bind a local address");
		if (!connect(fd, (void *)&to, sizeof(to))) {
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			return fd;
		}
		close(fd);
		usleep(50000);
	}
	fail("the router does not accept");
	return -1;
}

static void load(const char *name)
{
	struct peer counted = { 0 };
	struct stat status;
	size_t at = 0;
	int fd = open(name, O_RDONLY);

	if (fd < 0 || fstat(fd, &status))
		fail("cannot read the file of UPDATEs");
	stream_bytes = status.st_size;
	stream = malloc(stream_bytes);
	if (read(fd, stream, stream_bytes) != (ssize_t)stream_bytes)
		fail("cannot read the file of UPDATEs");
	close(fd);
	while (at < stream_bytes) {
		size_t size = stream[at + 16] << 8 | stream[at + 17];

		read_update(&counted, stream + at + HEADER_BYTES, size - HEADER_BYTES);
		at += size;
	}
	if (counted.reached != routes_count)
		fail("the file of UPDATEs has another number of routes");
	stream_sum = counted.sum;
}

static int all_have(void)
{
	for (int i = senders_count; i < peers_count; i++)
		if (peers[i].reached < reached_goal || peers[i].withdrawn < withdrawn_goal)
			return 0;
	return 1;
}

/* Waits until every receiver has what it should have, and checks that it was nothing else. */
static double wait_for_all(void)
{
	double begun = now(CLOCK_MONOTONIC), seconds;

	while (!all_have()) {
		turn();
		if (now(CLOCK_MONOTONIC) > begun + DEADLINE_S)
			fail("routes or withdrawals missing");
	}
	seconds = now(CLOCK_MONOTONIC) - begun;
	for (int i = senders_count; i < peers_count; i++)
		if (peers[i].reached != reached_goal || peers[i].sum != sum_goal) {
			fprintf(stderr, "bgp_fan: peer %d has %ld routes, not just what was sent\n",
				i, peers[i].reached);
			exit(1);
		}
	return seconds;
}

static void send_routes(struct peer *sender)
{
	double seconds;
	long updates = 0;

	sender->is_sending = 1;
	reached_goal += routes_count;
	sum_goal += stream_sum;
	seconds = wait_for_all();
	for (int i = senders_count; i < peers_count; i++)
		updates = peers[i].updates > updates ? peers[i].updates : updates;
	printf("%f %ld %f\n", seconds, updates, now(CLOCK_PROCESS_CPUTIME_ID));
}

static void lose(struct peer *sender)
{
	uint8_t shutdown[] = { 6, 2 };
	int others = 0;

	send_short(sender->fd, NOTIFICATION, shutdown, sizeof(shutdown));
	close(sender->fd);
	sender->fd = -1;
	sender->is_sending = 0;
	for (int i = 0; i < senders_count; i++)
		others += peers[i].is_sending;
	if (others) {
		reached_goal += routes_count;
		sum_goal += stream_sum;
	} else {
		withdrawn_goal += routes_count;
	}
	printf("%f\n", wait_for_all());
}

int main(int argc, char **argv)
{
	char line[64], word[8];
	struct in_addr router, own;
	int number;

	if (argc < 9 || argc - 7 > PEERS_MAX)
		fail("usage: bgp_fan ROUTER PORT AS FILE COUNT SENDERS PEER...");
	routes_count = atol(argv[5]);
	senders_count = atoi(argv[6]);
	load(argv[4]);
	inet_aton(argv[1], &router);
	peers_count = argc - 7;
	for (int i = 0; i < peers_count; i++) {
		inet_aton(argv[7 + i], &own);
		peers[i].fd = dial(router, atoi(argv[2]), own);
		peers[i].buffer = malloc(BUFFER_BYTES);
		send_open(peers[i].fd, atol(argv[3]), own);
		while (!peers[i].is_up)
			receive(&peers[i]);
		fcntl(peers[i].fd, F_SETFL, O_NONBLOCK);
	}
	setlinebuf(stdout);
	puts("up");
	while (fgets(line, sizeof(line), stdin) && sscanf(line, "%7s %d", word, &number) == 2) {
		if (number < 0 || number >= senders_count)
			fail("no such sender");
		if (!strcmp(word, "send"))
			send_routes(&peers[number]);
		else
			lose(&peers[number]);
	}
	return 0;
}
