package skytrail.client;

import java.util.List;
import java.util.Map;

/** Operations gathered to be committed together; a listed one has only their number. */
public final class ChangeSet extends JsonView {
    public ChangeSet(Map<String, Object> members) {
        super(members);
    }

    public String id() {
        return string("id");
    }

    public String title() {
        return string("title");
    }

    public String author() {
        return string("author");
    }

    public String created() {
        return string("created");
    }

    public List<Staged> operations() {
        return views("operations", Staged::new);
    }

    /** How many operations a listed set has; null for one that was read. */
    public Long operationsCount() {
        return integer("operations_count");
    }

    /** An operation, and the revision of its object when it was added. */
    public static final class Staged extends JsonView {
        public Staged(Map<String, Object> members) {
            super(members);
        }

        public String op() {
            return string("op");
        }

        public String type() {
            return string("type");
        }

        public String uuid() {
            return string("uuid");
        }

        public Long base() {
            return integer("base");
        }
    }
}
