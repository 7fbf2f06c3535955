package skytrail.client;

import java.util.List;
import java.util.Map;

/** One operation of a transaction, a plan or a change set; {@link Resources} make them. */
public final class Operation extends JsonView {
    Operation(String verb, String typeName) {
        set("op", verb);
        set("type", typeName);
    }

    /** Only if the object still has the tag of a read. */
    public Operation ifMatch(String tag) {
        set("if_match", tag);
        return this;
    }

    /** Who applies; the user otherwise. */
    public Operation fieldOwner(String name) {
        set("field_owner", name);
        return this;
    }

    /** Takes over fields that another owner applied. */
    public Operation force() {
        set("force", true);
        return this;
    }

    /** Also deletes what is in the way. */
    public Operation cascade() {
        set("cascade", true);
        return this;
    }

    Operation at(String uuid) {
        set("uuid", uuid);
        return this;
    }

    Operation named(List<String> fqName) {
        set("name", fqName);
        return this;
    }

    Operation object(JsonView object) {
        set("object", object);
        return this;
    }

    /** The body of a request of several operations. */
    static Map<String, Object> body(Operation... operations) {
        List<Map<String, Object>> all =
                List.of(operations).stream().map(JsonView::json).toList();
        return Map.of("operations", all);
    }
}
