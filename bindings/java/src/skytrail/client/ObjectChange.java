package skytrail.client;

import java.util.List;
import java.util.Map;

/** What becomes of one object, in a plan or in the history. */
public final class ObjectChange extends JsonView {
    public ObjectChange(Map<String, Object> members) {
        super(members);
    }

    /** create, update or delete. */
    public String op() {
        return string("op");
    }

    public String type() {
        return string("type");
    }

    /** Null for what the compiler would derive. */
    public String uuid() {
        return string("uuid");
    }

    public List<String> fqName() {
        return strings("fq_name");
    }

    public List<Field> fields() {
        return views("fields", Field::new);
    }

    /** The JSON of an object that is created or, in the history, deleted; otherwise null. */
    public Object object() {
        return json().get("object");
    }

    /** One member of the object that changes. */
    public static final class Field extends JsonView {
        public Field(Map<String, Object> members) {
            super(members);
        }

        /** A JSON pointer. */
        public String path() {
            return string("path");
        }

        /** Its JSON; null also where there was none. */
        public Object before() {
            return json().get("from");
        }

        /** Its JSON; null also where there will be none. */
        public Object after() {
            return json().get("to");
        }
    }
}
