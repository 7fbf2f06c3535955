package skytrail.client;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Queue;
import skytrail.Api;
import skytrail.model.Tag;

/** What is sent, what a watch tells, and where it resumes. */
public final class ConnectionTest {
    private static final String BEGIN = "{\"kind\":\"snapshot_begin\",\"revision\":4}";
    private static final String END = "{\"kind\":\"snapshot_end\",\"revision\":4}";

    private ConnectionTest() {}

    public static void main(String[] arguments) throws Exception {
        tellsObjectsChangesAndRevisions();
        tellsWhatALaterSnapshotMisses();
        asksForAnUnfinishedSnapshotAnew();
        stopsWhenTold();
        refusesBrokenLines();
        reconnectsAndResumes();
        endsWithARefusal();
        sendsCredentials();
        readsAPageWhenItsObjectsAreNeeded();
        sendsWhatIsSelected();
        refusesWhatCannotBeSent();
        goesOnFromARevisionAndTellsBookmarks();
        System.out.println("all hold");
    }

    private static void tellsObjectsChangesAndRevisions() {
        Followed followed = new Followed(100);
        followed.take(BEGIN, put(1, "a"), END, "{\"kind\":\"weather\"}", put(6, "b"));
        equal(followed.state.resume(), 5L);
        followed.take(
                "{\"kind\":\"delete\",\"uuid\":\"a\",\"fq_name\":[\"a\"],\"revision\":6}",
                "{\"kind\":\"revision_end\",\"revision\":6}",
                "{\"kind\":\"bookmark\",\"revision\":9}");

        List<String> expected =
                List.of("PRESENT a 1", "SYNCED null 4", "PRESENT b 6", "ABSENT a 6", "SYNCED null 6");
        equal(followed.told, expected);
        equal(followed.state.resume(), 10L);
    }

    private static void tellsWhatALaterSnapshotMisses() {
        Followed followed = new Followed(100);
        followed.take(BEGIN, put(1, "a"), put(1, "b"), END, BEGIN, put(1, "b"), END);

        equal(followed.told.subList(3, 6), List.of("PRESENT b 1", "ABSENT a 4", "SYNCED null 4"));
    }

    private static void asksForAnUnfinishedSnapshotAnew() {
        Followed followed = new Followed(100);
        followed.take(BEGIN, END, BEGIN, put(1, "a"));

        equal(followed.state.resume(), null);
    }

    private static void stopsWhenTold() {
        Followed followed = new Followed(1);

        equal(followed.state.take(BEGIN), true);
        equal(followed.state.take(put(1, "a")), false);
    }

    private static void refusesBrokenLines() {
        List<String> broken =
                List.of("{", "[]", "{}", "{\"kind\":\"put\",\"revision\":1}", "{\"kind\":\"bookmark\"}");
        for (String line : broken) {
            try {
                new Followed(100).take(line);
            } catch (JsonException expected) {
                continue;
            }
            throw new AssertionError("not refused: " + line);
        }
    }

    private static void reconnectsAndResumes() throws Exception {
        // A broken line, a busy API and a discarded position in between are no end of the watch.
        Scripted api =
                new Scripted(
                        "200" + BEGIN + "\n" + END + "\n{\n",
                        "503later",
                        "410gone",
                        "200" + BEGIN + "\n" + put(1, "a") + "\n");
        List<String> told = new ArrayList<>();
        try {
            api.tags().watch(
                    event -> {
                        told.add(event.kind() + " " + event.uuid());
                        return told.size() < 2;
                    });
        } finally {
            api.server.stop(0);
        }
        equal(told, List.of("SYNCED null", "PRESENT a"));
        String resumed = "types=tag&from_revision=5";
        equal(api.asked, List.of("types=tag", resumed, resumed, "types=tag"));
    }

    private static void endsWithARefusal() throws Exception {
        Scripted api = new Scripted("404no such type");
        try {
            api.tags().watch(event -> true);
        } catch (ApiException.NotFound expected) {
            equal(expected.text(), "no such type");
            return;
        } finally {
            api.server.stop(0);
        }
        throw new AssertionError("a refusal did not end the watch");
    }

    private static void sendsCredentials() throws Exception {
        Scripted api = new Scripted("404", "404", "404", "404");
        Connection anonymous = api.connection();
        for (Connection each :
                List.of(anonymous.withToken("t"), anonymous.withBearer("t"),
                        anonymous.withUser("u", "p"), anonymous)) {
            try {
                each.call("GET", "/", null);
            } catch (ApiException.NotFound expected) {
                continue;
            }
        }
        api.server.stop(0);
        equal(api.credentials,
                List.of("[t] null", "null [Bearer t]", "null [Basic dTpw]", "null null"));
    }

    private static void readsAPageWhenItsObjectsAreNeeded() throws Exception {
        String start = "200{\"revision\":7,\"count\":3,\"next\":";
        Scripted api =
                new Scripted(
                        start + "\"7.2\",\"items\":[{\"uuid\":\"a\"},{\"uuid\":\"b\"}]}",
                        start + "null,\"items\":[{\"uuid\":\"c\"}]}",
                        "200{\"revision\":7,\"count\":3}");
        List<String> told = new ArrayList<>();
        try {
            for (Tag each : api.tags().iterate(new Query().revision(7))) {
                told.add(each.uuid() + api.asked.size());
            }
            equal(api.tags().count(new Query()), 3L);
        } finally {
            api.server.stop(0);
        }
        equal(told, List.of("a1", "b1", "c2"));
        equal(api.asked, List.of("revision=7", "cursor=7.2", "count=true"));
    }

    private static void sendsWhatIsSelected() {
        Query query =
                new Query()
                        .parent("a", "b")
                        .where("is_shared", true)
                        .where("mtu", Comparison.above(1400))
                        .where("display_name", null)
                        .where("network_policy_refs", List.of("a", "b", "c"))
                        .where("network_id", Comparison.oneOf(1, 2))
                        .tag("tier", "web")
                        .label("team")
                        .sort("-mtu")
                        .pageSize(2);

        equal(
                query.page(null),
                "?parent=a%3Ab&filter=is_shared%3Aeq%3Atrue&filter=mtu%3Agt%3A1400"
                        + "&filter=display_name%3Aabsent&filter=network_policy_refs%3Aeq%3Aa%3Ab%3Ac"
                        + "&filter=network_id%3Ain%3A1%2C2&tags=tier%3Dweb&labels=team"
                        + "&sort=-mtu&limit=2");
    }

    private static void refusesWhatCannotBeSent() {
        List<Runnable> wrong =
                List.of(
                        () -> new Query().where("a", Comparison.oneOf("b,c")),
                        () -> new Query().where("a", new Object()),
                        () -> new Query().label("a,b"));
        for (Runnable each : wrong) {
            try {
                each.run();
            } catch (IllegalArgumentException expected) {
                continue;
            }
            throw new AssertionError("not refused");
        }
    }

    private static void goesOnFromARevisionAndTellsBookmarks() throws Exception {
        Scripted api = new Scripted("200{\"kind\":\"bookmark\",\"revision\":9}\n");
        List<Long> told = new ArrayList<>();
        try {
            WatchOptions options =
                    new WatchOptions()
                            .from(8)
                            .bookmarks()
                            .query(new Query().label("team", "net"));
            api.tags().watch(
                    options,
                    event -> {
                        told.add(event.revision());
                        return false;
                    });
        } finally {
            api.server.stop(0);
        }
        equal(told, List.of(9L));
        equal(api.asked, List.of("types=tag&labels=team=net&from_revision=8"));
    }

    private static String put(int revision, String uuid) {
        return String.format(
                "{\"kind\":\"put\",\"uuid\":\"%1$s\",\"revision\":%2$d,"
                        + "\"object\":{\"uuid\":\"%1$s\",\"fq_name\":[\"%1$s\"]}}",
                uuid, revision);
    }

    private static void equal(Object found, Object expected) {
        if (expected == null ? found != null : !expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    /** A state, and in words what it told. */
    private static final class Followed {
        final List<String> told = new ArrayList<>();
        final WatchState<Tag> state;

        Followed(int countMax) {
            state =
                    new WatchState<>(
                            Tag::new,
                            event -> {
                                told.add(event.kind() + " " + event.uuid() + " " + event.revision());
                                return told.size() < countMax;
                            },
                            new WatchOptions());
        }

        void take(String... lines) {
            for (String line : lines) {
                state.take(line);
            }
        }
    }

    /** An API that answers each request with the next status and text. */
    private static final class Scripted {
        final List<String> asked = Collections.synchronizedList(new ArrayList<>());
        final List<String> credentials = Collections.synchronizedList(new ArrayList<>());
        final HttpServer server;
        private final Queue<String> answers;

        Scripted(String... answers) throws IOException {
            this.answers = new ArrayDeque<>(Arrays.asList(answers));
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            server.createContext("/", this::answer);
            server.start();
        }

        Connection connection() {
            return Connection.to("http://127.0.0.1:" + server.getAddress().getPort());
        }

        Resources<Tag> tags() {
            return new Api(connection()).tags();
        }

        private void answer(HttpExchange exchange) throws IOException {
            asked.add(exchange.getRequestURI().getQuery());
            Headers headers = exchange.getRequestHeaders();
            credentials.add(headers.get("X-Auth-Token") + " " + headers.get("Authorization"));
            String next = answers.remove();
            exchange.sendResponseHeaders(Integer.parseInt(next.substring(0, 3)), 0);
            try (OutputStream body = exchange.getResponseBody()) {
                body.write(next.substring(3).getBytes(StandardCharsets.UTF_8));
            }
        }
    }
}
