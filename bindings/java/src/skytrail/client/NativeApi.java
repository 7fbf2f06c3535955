package skytrail.client;

/** What the API offers beside collections; the generated {@code Api} adds those. */
public abstract class NativeApi {
    private static final String HISTORY = "/api/v1/history";

    protected final Connection connection;

    protected NativeApi(Connection connection) {
        this.connection = connection;
    }

    /** Carries out all operations as one revision, or none. */
    public final Commit transaction(Operation... operations) {
        return new Commit(
                connection
                        .call("POST", "/api/v1/transaction", Operation.body(operations))
                        .json());
    }

    /** What a transaction would change of what the caller sees; changes nothing. */
    public final Plan rehearse(Operation... operations) {
        return new Plan(
                connection
                        .call(
                                "POST",
                                "/api/v1/transaction?dry_run=true",
                                Operation.body(operations))
                        .json());
    }

    /** All that would follow of a transaction, down to hosts; for administrators. */
    public final Plan plan(Operation... operations) {
        return new Plan(
                connection.call("POST", "/api/v1/plan", Operation.body(operations)).json());
    }

    public final ChangeSets changeSets() {
        return new ChangeSets(connection);
    }

    /** Changes, the newest first, read page by page; for administrators. */
    public final Iterable<HistoryEntry> history(HistoryQuery query) {
        return history(connection, query);
    }

    static Iterable<HistoryEntry> history(Connection connection, HistoryQuery query) {
        return new Pages<>(
                cursor ->
                        Pages.Page.of(
                                connection.call("GET", HISTORY + query.page(cursor), null).json(),
                                "entries",
                                HistoryEntry::new));
    }

    /** A change by its name, such as 812.0. */
    public final HistoryEntry change(String name) {
        return new HistoryEntry(connection.call("GET", path(name), null).json());
    }

    /** Makes the inverse of a change; {@link ApiException.Conflict} where it is overtaken. */
    public final Commit revert(String name) {
        return new Commit(connection.call("POST", path(name) + "/revert", null).json());
    }

    /** The same, also where something has changed since. */
    public final Commit forceRevert(String name) {
        String path = path(name) + "/revert?force=true";
        return new Commit(connection.call("POST", path, null).json());
    }

    /** What a revert would change; changes nothing. */
    public final Plan rehearseRevert(String name) {
        String path = path(name) + "/revert?dry_run=true";
        return new Plan(connection.call("POST", path, null).json());
    }

    private static String path(String name) {
        if (!name.matches("[0-9]+(\\.[0-9]+)?")) {
            throw new IllegalArgumentException("not the name of a change: " + name);
        }
        return HISTORY + "/" + name;
    }
}
