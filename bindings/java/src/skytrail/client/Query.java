package skytrail.client;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Which objects a list shall have; an empty query means all. */
public final class Query {
    private final Map<String, String> parameters = new LinkedHashMap<>();
    private final List<String> filters = new ArrayList<>();

    /** Only children of the object with this uuid. */
    public Query parentUuid(String uuid) {
        parameters.put("parent_id", uuid);
        return this;
    }

    /** Only children of the object with this name. */
    public Query parent(String... fqName) {
        parameters.put("parent_fq_name_str", String.join(":", fqName));
        return this;
    }

    /** Only objects whose property, by its name in the data model, equals the value. */
    public Query where(String property, Object value) {
        String wanted = Json.write(value);
        if (wanted.indexOf(',') >= 0) {
            throw new IllegalArgumentException("a filter cannot hold a comma: " + wanted);
        }
        filters.add(property + "==" + wanted);
        return this;
    }

    String encoded() {
        Map<String, String> all = new LinkedHashMap<>(parameters);
        if (!filters.isEmpty()) {
            all.put("filters", String.join(",", filters));
        }
        StringBuilder out = new StringBuilder("?detail=true");
        all.forEach(
                (name, value) ->
                        out.append('&')
                                .append(name)
                                .append('=')
                                .append(URLEncoder.encode(value, StandardCharsets.UTF_8)));
        return out.toString();
    }
}
