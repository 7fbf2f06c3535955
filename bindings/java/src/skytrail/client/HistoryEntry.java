package skytrail.client;

import java.util.List;
import java.util.Map;

/** One change: who made it, when, and what it did to which objects. */
public final class HistoryEntry extends JsonView {
    public HistoryEntry(Map<String, Object> members) {
        super(members);
    }

    /** Its name, such as 812.0. */
    public String change() {
        return string("change");
    }

    public Long revision() {
        return integer("revision");
    }

    public String at() {
        return string("at");
    }

    public String by() {
        return string("by");
    }

    public List<ObjectChange> operations() {
        return views("operations", ObjectChange::new);
    }

    public String requestId() {
        return string("request_id");
    }

    /** The revision the compiler derived this from; null for what people changed. */
    public Long derivedFrom() {
        return integer("derived_from");
    }
}
