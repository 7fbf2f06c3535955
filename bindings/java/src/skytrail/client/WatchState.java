package skytrail.client;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * What a watch remembers over its connections: where to resume, and what was told, so that what is
 * missing from a later snapshot can be told as absent.
 */
final class WatchState<T extends ConfigObject<T>> {
    private final Function<Map<String, Object>, T> reading;
    private final Predicate<Event<T>> tell;
    private final Map<String, List<String>> known = new HashMap<>();
    private final boolean tellsBookmarks;
    private Set<String> seen;
    private Long resume;
    private String history = "";
    private boolean progressed;

    WatchState(
            Function<Map<String, Object>, T> reading,
            Predicate<Event<T>> tell,
            WatchOptions options) {
        this.reading = reading;
        this.tell = tell;
        this.resume = options.from();
        this.tellsBookmarks = options.wantsBookmarks();
    }

    /** The revision to ask for after a disconnect; null asks for a snapshot. */
    Long resume() {
        return resume;
    }

    /** What led to the revision before: a restored store has that with another one; may be empty. */
    String history() {
        return history;
    }

    /** Asks for a snapshot next: the API has discarded what was to follow. */
    void startOver() {
        resume = null;
    }

    /** Whether anything was completed since this was asked last. */
    boolean progressed() {
        boolean found = progressed;
        progressed = false;
        return found;
    }

    /** Takes one line; false when whoever is told has had enough. JsonException for a broken one. */
    boolean take(String text) {
        Line line = new Line(Json.parse(text));
        return switch (line.kind()) {
            case "snapshot_begin" -> {
                resume = null;
                seen = new HashSet<>();
                yield true;
            }
            case "put" -> put(line);
            case "delete" -> {
                known.remove(line.uuid());
                yield say(Event.Kind.ABSENT, null, line.uuid(), line.fqName(), line.revision());
            }
            case "snapshot_end" -> sweep(line.revision()) && synced(line);
            case "revision_end" -> synced(line);
            case "bookmark" -> {
                complete(line);
                yield !tellsBookmarks
                        || say(Event.Kind.SYNCED, null, null, null, line.revision());
            }
            // Kinds that a newer API may send are skipped.
            default -> true;
        };
    }

    private boolean put(Line line) {
        T object = line.view("object", reading);
        if (object == null) {
            throw new JsonException("a put without object");
        }
        known.put(line.uuid(), object.fqName());
        if (seen != null) {
            seen.add(line.uuid());
        }
        return say(Event.Kind.PRESENT, object, line.uuid(), object.fqName(), line.revision());
    }

    private boolean sweep(long revision) {
        Set<String> present = seen == null ? Set.of() : seen;
        seen = null;
        for (String uuid : List.copyOf(known.keySet())) {
            if (!present.contains(uuid)
                    && !say(Event.Kind.ABSENT, null, uuid, known.remove(uuid), revision)) {
                return false;
            }
        }
        return true;
    }

    private boolean synced(Line line) {
        complete(line);
        return say(Event.Kind.SYNCED, null, null, null, line.revision());
    }

    private void complete(Line line) {
        resume = line.revision() + 1;
        history = line.history();
        progressed = true;
    }

    private boolean say(Event.Kind kind, T object, String uuid, List<String> fqName, long revision) {
        return tell.test(new Event<>(kind, object, uuid, fqName, revision));
    }

    private static final class Line extends JsonView {
        @SuppressWarnings("unchecked") // JSON objects have text as keys.
        Line(Object parsed) {
            super(parsed instanceof Map<?, ?> found ? (Map<String, Object>) found : Map.of());
        }

        String history() {
            String found = string("history");
            return found == null ? "" : found;
        }

        String kind() {
            String found = string("kind");
            if (found == null) {
                throw new JsonException("a line of the watch has no kind");
            }
            return found;
        }

        String uuid() {
            return string("uuid");
        }

        List<String> fqName() {
            return strings("fq_name");
        }

        long revision() {
            Long found = integer("revision");
            if (found == null) {
                throw new JsonException("a line of the watch has no revision");
            }
            return found;
        }
    }
}
