package skytrail.client;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * A typed view of a JSON object: generated classes name its members, this class reads and sets them.
 *
 * <p>Members that a newer API answers and this version does not name are kept. A member that was set
 * to null is sent as null, which clears it in an update; one that was never set is not sent. Views of
 * the same map share it. Not for use by several threads at once.
 */
public abstract class JsonView {
    private final Map<String, Object> members;

    protected JsonView() {
        this(new LinkedHashMap<>());
    }

    protected JsonView(Map<String, Object> members) {
        this.members = members;
    }

    /** The JSON object itself. */
    public final Map<String, Object> json() {
        return members;
    }

    @Override
    public final boolean equals(Object other) {
        return other != null
                && other.getClass() == getClass()
                && ((JsonView) other).members.equals(members);
    }

    @Override
    public final int hashCode() {
        return members.hashCode();
    }

    @Override
    public final String toString() {
        return getClass().getSimpleName() + Json.write(members);
    }

    protected final String string(String name) {
        return as(name, members.get(name), String.class);
    }

    protected final Boolean flag(String name) {
        return as(name, members.get(name), Boolean.class);
    }

    /** The whole number; clients of the compatible API may have stored it as text. */
    protected final BigInteger number(String name) {
        return wholeNumber(name, members.get(name));
    }

    protected final Long integer(String name) {
        BigInteger found = number(name);
        return found == null ? null : Long.valueOf(found.longValueExact());
    }

    protected final <T extends JsonView> T view(String name, Function<Map<String, Object>, T> of) {
        Object found = members.get(name);
        return found == null ? null : of.apply(object(name, found));
    }

    /** The views of an array's objects; empty when it is absent. */
    protected final <T extends JsonView> List<T> views(
            String name, Function<Map<String, Object>, T> of) {
        List<T> found = new ArrayList<>();
        for (Object item : array(name)) {
            found.add(of.apply(object(name, item)));
        }
        return Collections.unmodifiableList(found);
    }

    protected final List<String> strings(String name) {
        List<String> found = new ArrayList<>();
        for (Object item : array(name)) {
            found.add(as(name, item, String.class));
        }
        return Collections.unmodifiableList(found);
    }

    protected final List<Long> integers(String name) {
        List<Long> found = new ArrayList<>();
        for (Object item : array(name)) {
            found.add(wholeNumber(name, item).longValueExact());
        }
        return Collections.unmodifiableList(found);
    }

    protected final List<Boolean> flags(String name) {
        List<Boolean> found = new ArrayList<>();
        for (Object item : array(name)) {
            found.add(as(name, item, Boolean.class));
        }
        return Collections.unmodifiableList(found);
    }

    /** Sets a member; null stays. Views are replaced by what they show. */
    protected final void set(String name, Object value) {
        members.put(name, plain(value));
    }

    private static Object plain(Object value) {
        if (value instanceof JsonView view) {
            return view.members;
        }
        if (value instanceof List<?> list) {
            List<Object> items = new ArrayList<>();
            list.forEach(item -> items.add(plain(item)));
            return items;
        }
        return value;
    }

    private List<?> array(String name) {
        Object found = members.get(name);
        return found == null ? List.of() : as(name, found, List.class);
    }

    @SuppressWarnings("unchecked") // JSON objects have text as keys.
    private static Map<String, Object> object(String name, Object value) {
        return as(name, value, Map.class);
    }

    private static BigInteger wholeNumber(String name, Object value) {
        if (value == null || value instanceof BigInteger) {
            return (BigInteger) value;
        }
        try {
            return new BigInteger(value.toString());
        } catch (NumberFormatException error) {
            throw new JsonException(name + " is not a whole number: " + value);
        }
    }

    private static <T> T as(String name, Object value, Class<T> type) {
        if (value != null && !type.isInstance(value)) {
            throw new JsonException(name + " is not a " + type.getSimpleName() + ": " + value);
        }
        return type.cast(value);
    }
}
