package skytrail.client;

import java.util.List;
import java.util.Map;

/** How far the last change of an object has come. */
public final class Status extends JsonView {
    public Status(Map<String, Object> members) {
        super(members);
    }

    /** Of the object's last change. */
    public Long revision() {
        return integer("revision");
    }

    public List<Condition> conditions() {
        return views("conditions", Condition::new);
    }

    /** The condition accepted, derived, distributed or programmed; null if there is none. */
    public Condition condition(String type) {
        for (Condition each : conditions()) {
            if (type.equals(each.type())) {
                return each;
            }
        }
        return null;
    }

    /** One step on the way. */
    public static final class Condition extends JsonView {
        public Condition(Map<String, Object> members) {
            super(members);
        }

        public String type() {
            return string("type");
        }

        /** true, false or unknown. */
        public String status() {
            return string("status");
        }

        public String reason() {
            return string("reason");
        }

        public String detail() {
            return string("detail");
        }

        /** The hosts concerned. */
        public List<HostState> hosts() {
            return views("hosts", HostState::new);
        }
    }

    /** What a host says. */
    public static final class HostState extends JsonView {
        public HostState(Map<String, Object> members) {
            super(members);
        }

        public String host() {
            return string("host");
        }

        public String state() {
            return string("state");
        }
    }
}
