package skytrail.client;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * All objects of one type.
 *
 * <p>Every method may throw {@link ApiException} with the API's text or {@link
 * ApiUnavailableException}.
 *
 * @param <T> the object type
 */
public final class Resources<T extends ConfigObject<T>> {
    private final Connection connection;
    private final String typeName;
    private final Function<Map<String, Object>, T> reading;

    /** How the generated {@code Api} makes collections. */
    public Resources(
            Connection connection, String typeName, Function<Map<String, Object>, T> reading) {
        this.connection = connection;
        this.typeName = typeName;
        this.reading = reading;
    }

    /** Creates an object; returns it with what the API filled in. */
    public T create(T object) {
        return read(connection.call("POST", collectionPath(), object.json()));
    }

    public T get(String uuid) {
        return read(connection.call("GET", objectPath(uuid), null));
    }

    public T getByName(String... fqName) {
        return get(uuidOf(fqName));
    }

    /** The uuid of a name; {@link ApiException.NotFound} when there is none. */
    public String uuidOf(String... fqName) {
        Map<String, Object> asked = Map.of("type", typeName, "fq_name", List.of(fqName));
        Map<String, Object> answer = connection.call("POST", "/fqname-to-id", asked).json();
        if (answer.get("uuid") instanceof String found) {
            return found;
        }
        throw unexpected(answer);
    }

    /** The object as it was at a revision; for administrators. */
    public T getAt(String uuid, long revision) {
        return read(connection.call("GET", objectPath(uuid) + "?revision=" + revision, null));
    }

    public List<T> list() {
        return list(new Query());
    }

    /** All the query selects, of one revision. */
    public List<T> list(Query query) {
        List<T> found = new ArrayList<>();
        iterate(query).forEach(found::add);
        return found;
    }

    /**
     * What the query selects, a page read when it is needed. All pages show the configuration as of
     * the first one, whatever is written meanwhile; each walk begins anew.
     */
    public Iterable<T> iterate(Query query) {
        return new Pages<>(
                cursor ->
                        Pages.Page.of(
                                connection
                                        .call("GET", collectionPath() + query.page(cursor), null)
                                        .json(),
                                "items",
                                reading));
    }

    /** How many objects the query selects. */
    public long count(Query query) {
        Map<String, Object> answer =
                connection.call("GET", collectionPath() + query.count(), null).json();
        if (answer.get("count") instanceof Long found) {
            return found;
        }
        throw unexpected(answer);
    }

    /** How far the object's last change has come. */
    public Status status(String uuid) {
        return new Status(connection.call("GET", objectPath(uuid) + "/status", null).json());
    }

    /** The changes of an object, the newest first; for administrators. */
    public Iterable<HistoryEntry> history(String uuid) {
        return NativeApi.history(connection, new HistoryQuery().object(uuid));
    }

    /**
     * Creates the object of this name or makes it say what is given; again, nothing changes. {@link
     * ApiException.Conflict} names the owner of a field that says otherwise.
     */
    public T apply(T wanted) {
        return apply(wanted, new Applying());
    }

    /** The same, by another owner than the user, or by force. */
    public T apply(T wanted, Applying how) {
        String path = collectionPath() + "/by-name/" + encoded(wanted.fqName()) + how.query();
        return read(connection.call("PUT", path, wanted.json()));
    }

    /** The operation that creates an object. */
    public Operation toCreate(T object) {
        return new Operation("create", typeName).object(object);
    }

    /** The operation that creates the object of this name or makes it so. */
    public Operation toApply(T wanted) {
        return new Operation("apply", typeName).named(wanted.fqName()).object(wanted);
    }

    /** The operation that changes what was set on the argument. */
    public Operation toUpdate(String uuid, T changes) {
        return new Operation("patch", typeName).at(uuid).object(changes);
    }

    /** The operation that deletes an object. */
    public Operation toDelete(String uuid) {
        return new Operation("delete", typeName).at(uuid);
    }

    /**
     * Changes what was set on the argument, leaves the rest; returns the object as it is then.
     *
     * <p>A merge patch (RFC 7396): null clears, at any depth, and lists are replaced whole.
     */
    public T update(String uuid, T changes) {
        return update(uuid, changes, null);
    }

    /** The same, unless somebody changed the object since it had the tag of a read. */
    public T update(String uuid, T changes, String ifMatch) {
        return read(connection.call("PATCH", objectPath(uuid), changes.json(), ifMatch));
    }

    /** Deletes; {@link ApiException.Conflict} while something refers to it or it has children. */
    public void delete(String uuid) {
        delete(uuid, null);
    }

    /** The same, unless somebody changed the object since it had the tag of a read. */
    public void delete(String uuid, String ifMatch) {
        connection.call("DELETE", objectPath(uuid), null, ifMatch);
    }

    /** Deletes the object and what is in the way. */
    public void deleteCascading(String uuid) {
        connection.call("DELETE", objectPath(uuid) + "?cascade=true", null);
    }

    /**
     * Tells every object there is, then every change, until {@code tell} returns false.
     *
     * <p>Reconnects by itself and resumes after the last complete revision. {@link ApiException} for
     * a refusal: an unknown type, missing rights. Interrupting the thread ends it.
     */
    public void watch(Predicate<Event<T>> tell) throws InterruptedException {
        watch(new WatchOptions(), tell);
    }

    /** The same of what the options select, or from where they say. */
    public void watch(WatchOptions options, Predicate<Event<T>> tell) throws InterruptedException {
        String selection = "types=" + typeName;
        if (!options.selection().isEmpty()) {
            selection += "&" + options.selection();
        }
        WatchState<T> state = new WatchState<>(reading, tell, options);
        new Watch<>(connection, selection, state).run();
    }

    private T read(Connection.Answer answer) {
        return reading.apply(answer.json()).tagged(answer.tag());
    }

    private String collectionPath() {
        return "/api/v1/" + typeName;
    }

    private String objectPath(String uuid) {
        // Parsing keeps anything but a uuid out of the path.
        return collectionPath() + "/" + UUID.fromString(uuid);
    }

    private static String encoded(List<String> fqName) {
        if (fqName.isEmpty()) {
            throw new IllegalArgumentException("the object has no name");
        }
        // In a path, a blank is not a plus sign.
        String name = String.join(":", fqName);
        return URLEncoder.encode(name, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static ApiUnavailableException unexpected(Object answer) {
        return new ApiUnavailableException("the answer is not one of this API: " + answer, null);
    }
}
