package skytrail.client;

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

    public List<T> list() {
        return list(new Query());
    }

    public List<T> list(Query query) {
        Map<String, Object> answer =
                connection.call("GET", "/" + typeName + "s" + query.encoded(), null).json();
        if (!(answer.get(typeName + "s") instanceof List<?> items)) {
            throw unexpected(answer);
        }
        List<T> found = new ArrayList<>();
        for (Object item : items) {
            found.add(reading.apply(inside(item)));
        }
        return found;
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

    /**
     * Tells every object there is, then every change, until {@code tell} returns false.
     *
     * <p>Reconnects by itself and resumes after the last complete revision. {@link ApiException} for
     * a refusal: an unknown type, missing rights. Interrupting the thread ends it.
     */
    public void watch(Predicate<Event<T>> tell) throws InterruptedException {
        new Watch<>(connection, typeName, new WatchState<>(reading, tell)).run();
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

    @SuppressWarnings("unchecked") // JSON objects have text as keys.
    private Map<String, Object> inside(Object answer) {
        if (answer instanceof Map<?, ?> wrapper && wrapper.get(typeName) instanceof Map<?, ?> found) {
            return (Map<String, Object>) found;
        }
        throw unexpected(answer);
    }

    private static ApiUnavailableException unexpected(Object answer) {
        return new ApiUnavailableException("the answer is not one of this API: " + answer, null);
    }
}
