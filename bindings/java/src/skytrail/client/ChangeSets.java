package skytrail.client;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** Operations gathered over time, reviewed, committed together; for administrators. */
public final class ChangeSets {
    private static final String PATH = "/api/v1/change-sets";

    private final Connection connection;

    ChangeSets(Connection connection) {
        this.connection = connection;
    }

    /** Every set with the number of its operations. */
    public List<ChangeSet> list() {
        Map<String, Object> answer = connection.call("GET", PATH, null).json();
        return Pages.Page.of(answer, "change_sets", ChangeSet::new).items();
    }

    /** Stores a new set; refused when its operations could not be carried out. */
    public ChangeSet create(String title, Operation... operations) {
        Map<String, Object> body = new HashMap<>(Operation.body(operations));
        body.put("title", title);
        return new ChangeSet(connection.call("POST", PATH, body).json());
    }

    public ChangeSet get(String id) {
        return new ChangeSet(connection.call("GET", path(id, ""), null).json());
    }

    public ChangeSet add(String id, Operation... operations) {
        Map<String, Object> body = Operation.body(operations);
        return new ChangeSet(connection.call("POST", path(id, "/operations"), body).json());
    }

    /** The plan of a set, with what somebody else has changed since as conflicts. */
    public Plan review(String id) {
        return new Plan(connection.call("GET", path(id, "/plan"), null).json());
    }

    /** Carries out all of a set; {@link ApiException.Conflict} names what has changed since. */
    public Commit commit(String id) {
        return new Commit(connection.call("POST", path(id, "/commit"), null).json());
    }

    /** Accepts the objects as they are now. */
    public ChangeSet rebase(String id) {
        return new ChangeSet(connection.call("POST", path(id, "/rebase"), null).json());
    }

    public void discard(String id) {
        connection.call("DELETE", path(id, ""), null);
    }

    private static String path(String id, String action) {
        // Parsing keeps anything but a uuid out of the path.
        return PATH + "/" + UUID.fromString(id) + action;
    }
}
