package skytrail.client;

import java.util.ArrayList;
import java.util.List;
import skytrail.model.Tag;

/** What a watch tells, and where it resumes. */
public final class WatchTest {
    private static final String BEGIN = "{\"kind\":\"snapshot_begin\",\"revision\":4}";
    private static final String END = "{\"kind\":\"snapshot_end\",\"revision\":4}";

    private WatchTest() {}

    public static void main(String[] arguments) {
        tellsObjectsChangesAndRevisions();
        tellsWhatALaterSnapshotMisses();
        asksForAnUnfinishedSnapshotAnew();
        stopsWhenTold();
        refusesBrokenLines();
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

        equal(followed.told, List.of("PRESENT a 1", "SYNCED null 4", "PRESENT b 6", "ABSENT a 6", "SYNCED null 6"));
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
        for (String line : List.of("{", "[]", "{}", "{\"kind\":\"put\",\"revision\":1}", "{\"kind\":\"bookmark\"}")) {
            try {
                new Followed(100).take(line);
            } catch (JsonException expected) {
                continue;
            }
            throw new AssertionError("not refused: " + line);
        }
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
                            });
        }

        void take(String... lines) {
            for (String line : lines) {
                state.take(line);
            }
        }
    }
}
