/*
 * BGP peers for the route reflector's bench, light enough to share two cores with what is measured:
 * one thread, ready-made UPDATEs out, NLRI counted by length arithmetic and summed by a hash.
 *
 *   bgp_fan ROUTER PORT AS FILE COUNT SENDER RECEIVER...
 *
 * SENDER and each RECEIVER are local addresses; one VPNv4 session each is opened from them to
 * ROUTER. FILE holds the UPDATEs of COUNT different routes. Prints "up" when all sessions stand,
 * then obeys lines on its standard input, each answered by one line:
 *
 *   send   the sender sends FILE; answer: seconds until every receiver has COUNT routes, UPDATEs
 *          that the busiest receiver got, and this program's own CPU seconds
 *   lose   the sender's session ends with a CEASE; answer: seconds until COUNT withdrawals came
 *          to every receiver
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
	int is_up;
	long reached, withdrawn, updates;
	uint64_t sum; /* of the hashes of routes reached */
	uint8_t *buffer;
	size_t filled;
};

static struct peer peers[PEERS_MAX];
static int peers_count;
static uint8_t *stream;
static size_t stream_bytes, stream_sent;
static uint64_t stream_sum;
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
		    (i || !stream_sent || stream_sent == stream_bytes))
			send_short(peers[i].fd, KEEPALIVE, NULL, 0);
}

/* Moves bytes for a while; the sender's stream goes out as the router takes it. */
static void turn(int is_sending)
{
	struct pollfd polled[PEERS_MAX];

	keep_alive();
	for (int i = 0; i < peers_count; i++)
		polled[i] = (struct pollfd){ .fd = peers[i].fd, .events = POLLIN };
	if (is_sending && stream_sent < stream_bytes)
		polled[0].events |= POLLOUT;
	poll(polled, peers_count, 1000);
	for (int i = 0; i < peers_count; i++)
		if (polled[i].revents & (POLLIN | POLLHUP | POLLERR))
			receive(&peers[i]);
	if (polled[0].revents & POLLOUT) {
		ssize_t put = send(peers[0].fd, stream + stream_sent, stream_bytes - stream_sent,
				   MSG_NOSIGNAL);

		if (put < 0 && errno != EAGAIN)
			fail("the router closed the sender's session");
		stream_sent += put > 0 ? put : 0;
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

static int all_have(int withdrawn)
{
	for (int i = 1; i < peers_count; i++)
		if ((withdrawn ? peers[i].withdrawn : peers[i].reached) < routes_count)
			return 0;
	return 1;
}

static double wait_for(int withdrawn)
{
	double begun = now(CLOCK_MONOTONIC);

	while (!all_have(withdrawn)) {
		turn(!withdrawn);
		if (now(CLOCK_MONOTONIC) > begun + DEADLINE_S)
			fail(withdrawn ? "withdrawals missing" : "routes missing");
	}
	return now(CLOCK_MONOTONIC) - begun;
}

static void send_routes(void)
{
	double seconds = wait_for(0);
	long updates = 0;

	for (int i = 1; i < peers_count; i++) {
		if (peers[i].reached != routes_count || peers[i].sum != stream_sum) {
			fprintf(stderr, "bgp_fan: receiver %d has %ld routes, not just what was sent\n",
				i, peers[i].reached);
			exit(1);
		}
		updates = peers[i].updates > updates ? peers[i].updates : updates;
	}
	printf("%f %ld %f\n", seconds, updates, now(CLOCK_PROCESS_CPUTIME_ID));
}

static void lose_sender(void)
{
	uint8_t shutdown[] = { 6, 2 };

	send_short(peers[0].fd, NOTIFICATION, shutdown, sizeof(shutdown));
	close(peers[0].fd);
	peers[0].fd = -1;
	printf("%f\n", wait_for(1));
}

int main(int argc, char **argv)
{
	char line[64];
	struct in_addr router, own;

	if (argc < 8 || argc - 6 > PEERS_MAX)
		fail("usage: bgp_fan ROUTER PORT AS FILE COUNT SENDER RECEIVER...");
	routes_count = atol(argv[5]);
	load(argv[4]);
	inet_aton(argv[1], &router);
	peers_count = argc - 6;
	for (int i = 0; i < peers_count; i++) {
		inet_aton(argv[6 + i], &own);
		peers[i].fd = dial(router, atoi(argv[2]), own);
		peers[i].buffer = malloc(BUFFER_BYTES);
		send_open(peers[i].fd, atol(argv[3]), own);
		while (!peers[i].is_up)
			receive(&peers[i]);
		fcntl(peers[i].fd, F_SETFL, O_NONBLOCK);
	}
	setlinebuf(stdout);
	puts("up");
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "send\n"))
			send_routes();
		else if (!strcmp(line, "lose\n"))
			lose_sender();
		else
			break;
	}
	return 0;
}
