/*
 * HTTP load for the configuration API's bench, light enough to share two cores with the server:
 * one thread, keep-alive connections, one request under way on each.
 *
 *   requests get PORTS SECONDS CONNECTIONS PATH        the same GET over and over
 *   requests ports PORTS SECONDS CONNECTIONS NETWORK PREFIX
 *       ports, each an interface and then its instance IP, referring to the network with that uuid;
 *       names and uuids are made of PREFIX (8 hex digits) and a running number
 *
 * PORTS are the servers' TCP ports on 127.0.0.1, joined by commas; connections go round them.
 * Prints one line: rounds completed, answers that were not a whole 200, seconds, p50_ns, p99_ns and
 * bytes of bodies. A round is one GET, or a port with both its answers. A create's answer has to
 * hold the name that was sent. The first bad answer goes to stderr.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 256
#define SERVERS_MAX 16
#define SAMPLES_MAX 4000000
#define TEXT_MAX 2048
#define GRACE_S 30

enum step { STEP_GET, STEP_INTERFACE, STEP_ADDRESS };

struct connection {
	int fd;
	enum step step;
	double begun;
	char name[64];
	char *reply;
	size_t filled, room;
	size_t whole; /* length of head and body, 0 until the head is there */
};

static struct connection connections[CONNECTIONS_MAX];
static double *took;
static long rounds, failures, body_bytes, serial;
static const char *path, *network, *prefix;

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

static int connected(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	if (fd < 0)
		fail("socket");
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* Write the interface's uuid: the same for both requests of a port. */
static void uuid_of(const char *name, char *text)
{
	sprintf(text, "%.8s-0000-4000-8000-%.12s", name, name + 8);
}

static int body_of(struct connection *c, char *body)
{
	char uuid[40];

	uuid_of(c->name, uuid);
	if (c->step == STEP_INTERFACE)
		return snprintf(body, TEXT_MAX,
			"{\"virtual-machine-interface\":{\"uuid\":\"%s\",\"fq_name\":[\"default-domain\","
			"\"default-project\",\"%s\"],\"parent_type\":\"project\","
			"\"virtual_network_refs\":[{\"uuid\":\"%s\"}]}}", uuid, c->name, network);
	return snprintf(body, TEXT_MAX,
		"{\"instance-ip\":{\"fq_name\":[\"%s\"],\"virtual_network_refs\":[{\"uuid\":\"%s\"}],"
		"\"virtual_machine_interface_refs\":[{\"uuid\":\"%s\"}]}}", c->name, network, uuid);
}

static void ask(struct connection *c)
{
	char text[2 * TEXT_MAX], body[TEXT_MAX];
	int length;

	if (c->step == STEP_GET) {
		length = snprintf(text, sizeof(text),
			"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
	} else {
		length = body_of(c, body);
		length = snprintf(text, sizeof(text),
			"POST /%s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
			"Content-Length: %d\r\n\r\n%s",
			c->step == STEP_INTERFACE ? "virtual-machine-interfaces" : "instance-ips",
			length, body);
	}
	if (length >= (int)sizeof(text)) {
		fprintf(stderr, "requests: the request is too long\n");
		exit(1);
	}
	c->filled = c->whole = 0;
	if (send(c->fd, text, length, 0) != length)
		fail("send");
}

static void begin(struct connection *c)
{
	c->begun = now();
	if (c->step != STEP_GET) {
		c->step = STEP_INTERFACE;
		snprintf(c->name, sizeof(c->name), "%.8s%012lx", prefix, ++serial);
	}
	ask(c);
}

/* Look for the end of the head; take the body's length from it. */
static void measure(struct connection *c)
{
	char *end, *line;

	c->reply[c->filled] = 0;
	end = strstr(c->reply, "\r\n\r\n");
	if (!end)
		return;
	for (line = c->reply; line && line < end; line = strstr(line, "\r\n") + 2) {
		if (strncasecmp(line, "content-length:", 15) == 0) {
			c->whole = end + 4 - c->reply + strtoul(line + 15, NULL, 10);
			return;
		}
	}
	fprintf(stderr, "requests: a reply without Content-Length: %.200s\n", c->reply);
	exit(1);
}

static int is_good(struct connection *c)
{
	char *body = strstr(c->reply, "\r\n\r\n") + 4;

	if (strncmp(c->reply, "HTTP/1.1 200 ", 13) || c->filled != c->whole || !*body)
		return 0;
	return c->step == STEP_GET || strstr(body, c->name) != NULL;
}

static void count(struct connection *c)
{
	body_bytes += c->reply + c->filled - (strstr(c->reply, "\r\n\r\n") + 4);
	if (!is_good(c)) {
		if (!failures++)
			fprintf(stderr, "requests: bad answer: %.600s\n", c->reply);
		if (c->step == STEP_INTERFACE)
			c->step = STEP_ADDRESS; /* the port is not counted */
		return;
	}
	if (c->step == STEP_INTERFACE)
		return;
	if (rounds < SAMPLES_MAX)
		took[rounds] = now() - c->begun;
	rounds++;
}

/* Read what came; tell whether the connection waits for more of its reply. */
static int receive(struct connection *c)
{
	ssize_t got;

	if (c->room - c->filled < 65536) {
		c->room = c->room ? c->room * 2 : 131072;
		c->reply = realloc(c->reply, c->room + 1);
		if (!c->reply)
			fail("realloc");
	}
	got = recv(c->fd, c->reply + c->filled, c->room - c->filled, 0);
	if (got <= 0)
		fail("recv: the server closed a connection");
	c->filled += got;
	if (!c->whole)
		measure(c);
	c->reply[c->filled] = 0;
	return !c->whole || c->filled < c->whole;
}

static int by_size(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

static double percentile(int percent)
{
	long kept = rounds < SAMPLES_MAX ? rounds : SAMPLES_MAX;

	return kept ? took[(kept * percent + 99) / 100 - 1] * 1e9 : 0;
}

static int run(int epoll, double seconds, int active)
{
	double started = now(), until = started + seconds, ended;
	struct epoll_event events[CONNECTIONS_MAX];

	for (int i = 0; i < active; i++)
		begin(&connections[i]);
	while (active) {
		int ready = epoll_wait(epoll, events, CONNECTIONS_MAX, GRACE_S * 1000);

		if (ready <= 0) {
			fprintf(stderr, "requests: no answer for %d s\n", GRACE_S);
			return 1;
		}
		for (int i = 0; i < ready; i++) {
			struct connection *c = events[i].data.ptr;
			int was_interface = c->step == STEP_INTERFACE;

			if (receive(c))
				continue;
			count(c);
			if (was_interface && c->step == STEP_INTERFACE) {
				c->step = STEP_ADDRESS;
				ask(c);
			} else if (now() < until) {
				begin(c);
			} else {
				active--;
			}
		}
	}
	ended = now();
	qsort(took, rounds < SAMPLES_MAX ? rounds : SAMPLES_MAX, sizeof(*took), by_size);
	printf("%ld %ld %.6f %.0f %.0f %ld\n", rounds, failures, ended - started,
	       percentile(50), percentile(99), body_bytes);
	return 0;
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(0), servers[SERVERS_MAX], known = 0, count_wanted;
	int creates = argc == 7 && strcmp(argv[1], "ports") == 0;

	if (!creates && (argc != 6 || strcmp(argv[1], "get"))) {
		fprintf(stderr, "usage: requests get PORTS SECONDS CONNECTIONS PATH\n"
			"       requests ports PORTS SECONDS CONNECTIONS NETWORK PREFIX\n");
		return 2;
	}
	path = network = argv[5];
	prefix = creates ? argv[6] : "";
	count_wanted = atoi(argv[4]);
	for (char *p = strtok(argv[2], ","); p && known < SERVERS_MAX; p = strtok(NULL, ","))
		servers[known++] = atoi(p);
	if (count_wanted < 1 || count_wanted > CONNECTIONS_MAX || !known ||
	    (creates && strlen(prefix) != 8)) {
		fprintf(stderr, "requests: connections are 1 to %d, PREFIX has 8 digits\n",
			CONNECTIONS_MAX);
		return 2;
	}
	took = malloc(SAMPLES_MAX * sizeof(*took));
	if (!took || epoll < 0)
		fail("start");
	for (int i = 0; i < count_wanted; i++) {
		struct connection *c = &connections[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };

		c->fd = connected(servers[i % known]);
		c->step = creates ? STEP_INTERFACE : STEP_GET;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
			fail("epoll_ctl");
	}
	return run(epoll, atof(argv[3]), count_wanted);
}
