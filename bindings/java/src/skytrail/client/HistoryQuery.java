package skytrail.client;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.StringJoiner;

/** Which changes a reader of the history wants; an empty query means all that people made. */
public final class HistoryQuery {
    private final Map<String, String> parameters = new LinkedHashMap<>();

    /** Of the object with this uuid, whoever made them. */
    public HistoryQuery object(String uuid) {
        parameters.put("object", uuid);
        return this;
    }

    public HistoryQuery type(String typeName) {
        parameters.put("type", typeName);
        return this;
    }

    /** By this user. */
    public HistoryQuery by(String user) {
        parameters.put("by", user);
        return this;
    }

    /** Also what the compiler derived. */
    public HistoryQuery derived() {
        parameters.put("derived", "true");
        return this;
    }

    String page(String cursor) {
        Map<String, String> all = new LinkedHashMap<>(parameters);
        if (cursor != null) {
            all.put("cursor", cursor);
        }
        StringJoiner parts = new StringJoiner("&", "?", "").setEmptyValue("");
        all.forEach((name, value) -> parts.add(Query.parameter(name, value)));
        return parts.toString();
    }
}
