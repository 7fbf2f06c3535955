package skytrail.client;

import java.util.List;
import java.util.Map;

/** What operations would change. Lists are cut at 500 entries, counts are whole. */
public final class Plan extends JsonView {
    public Plan(Map<String, Object> members) {
        super(members);
    }

    /** The revision that was planned on. */
    public Long revision() {
        return integer("revision");
    }

    /** What people configure. */
    public List<ObjectChange> changes() {
        return views("changes", ObjectChange::new);
    }

    /** What the compiler would write. */
    public List<ObjectChange> derived() {
        return views("derived", ObjectChange::new);
    }

    public Long derivedCount() {
        return integer("derived_count");
    }

    /** Why nothing is known of what is derived; null when it is. */
    public String derivedUnknown() {
        return string("derived_unknown");
    }

    public List<Reach> reachability() {
        return views("reachability", Reach::new);
    }

    public Long reachabilityCount() {
        return integer("reachability_count");
    }

    public List<Host> hosts() {
        return views("hosts", Host::new);
    }

    public Long hostsCount() {
        return integer("hosts_count");
    }

    public Long interfacesCount() {
        return integer("interfaces_count");
    }

    public List<Violation> violations() {
        return views("violations", Violation::new);
    }

    /** Of a change set: operations whose objects somebody has changed since. */
    public List<Conflict> conflicts() {
        return views("conflicts", Conflict::new);
    }

    /** The traffic, in words, that is allowed before and after between two parties. */
    public static final class Reach extends JsonView {
        public Reach(Map<String, Object> members) {
            super(members);
        }

        public String from() {
            return string("from");
        }

        public String to() {
            return string("to");
        }

        public List<String> before() {
            return strings("before");
        }

        public List<String> after() {
            return strings("after");
        }
    }

    /** A host whose datapath changes, with the number of interfaces concerned. */
    public static final class Host extends JsonView {
        public Host(Map<String, Object> members) {
            super(members);
        }

        public String host() {
            return string("host");
        }

        public Long interfaces() {
            return integer("interfaces");
        }
    }

    /** What the compiler could not carry out. */
    public static final class Violation extends JsonView {
        public Violation(Map<String, Object> members) {
            super(members);
        }

        public String type() {
            return string("type");
        }

        public List<String> fqName() {
            return strings("fq_name");
        }

        public String reason() {
            return string("reason");
        }

        public String detail() {
            return string("detail");
        }
    }

    /** An operation of a change set that somebody has overtaken. */
    public static final class Conflict extends JsonView {
        public Conflict(Map<String, Object> members) {
            super(members);
        }

        public String pointer() {
            return string("pointer");
        }

        public String detail() {
            return string("detail");
        }
    }
}
