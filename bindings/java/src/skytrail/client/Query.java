package skytrail.client;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Which objects a list or a watch is about, and how a list shows them; an empty query means all. */
public final class Query {
    private final List<String> selection = new ArrayList<>();
    private final Map<String, String> view = new LinkedHashMap<>();

    /** Only children of the object with this uuid. */
    public Query parentUuid(String uuid) {
        return select("parent", uuid);
    }

    /** Only children of the object with this name. */
    public Query parent(String... fqName) {
        return select("parent", String.join(":", fqName));
    }

    /**
     * Only objects whose field, by its name in the data model, has the value: text, a number, a truth
     * value, null for none; of a reference its target's uuid or the list of its names.
     */
    public Query where(String field, Object value) {
        Comparison comparison =
                value instanceof Comparison given ? given : Comparison.equalTo(value);
        return filter(comparison.filter(field));
    }

    /** A filter in the API's own words, for fields inside structures: {@code a.b:gt:1}. */
    public Query filter(String text) {
        return select("filter", text);
    }

    /** Only objects with this tag. */
    public Query tag(String type, String value) {
        return select("tags", single(type) + "=" + single(value));
    }

    /** Only objects with this annotation. */
    public Query label(String key, String value) {
        return select("labels", single(key) + "=" + single(value));
    }

    /** Only objects with an annotation of this key. */
    public Query label(String key) {
        return select("labels", single(key));
    }

    /** Orders a list by a field, {@code -} before it for downwards; by name otherwise. */
    public Query sort(String field) {
        view.put("sort", field);
        return this;
    }

    /** Shows a list as of a revision. */
    public Query revision(long revision) {
        view.put("revision", Long.toString(revision));
        return this;
    }

    /** How many objects one request of a list reads. */
    public Query pageSize(int count) {
        view.put("limit", Integer.toString(count));
        return this;
    }

    /** What a watch has in common with a list. */
    String selection() {
        return String.join("&", selection);
    }

    /** The query of a page; the cursor is null for the first one. */
    String page(String cursor) {
        Map<String, String> all = new LinkedHashMap<>(view);
        if (cursor != null) {
            all.remove("revision");
            all.put("cursor", cursor);
        }
        return with(all);
    }

    String count() {
        return with(Map.of("count", "true"));
    }

    private String with(Map<String, String> more) {
        List<String> parts = new ArrayList<>(selection);
        more.forEach((name, value) -> parts.add(parameter(name, value)));
        return parts.isEmpty() ? "" : "?" + String.join("&", parts);
    }

    private Query select(String name, String value) {
        selection.add(parameter(name, value));
        return this;
    }

    static String parameter(String name, String value) {
        return name + "=" + URLEncoder.encode(value, StandardCharsets.UTF_8);
    }

    private static String single(String text) {
        if (text.indexOf(',') >= 0) {
            throw new IllegalArgumentException("a tag or label cannot hold a comma: " + text);
        }
        return text;
    }
}
