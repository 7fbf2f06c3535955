package skytrail.client;

import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * One outgoing reference: its target by name or uuid, and the link's own attribute if it has one.
 *
 * @param <A> the type of the attribute; {@link NoAttribute} where the link has none
 */
public final class Reference<A extends JsonView> extends JsonView {
    private final Function<Map<String, Object>, A> attribute;
    private A given;

    private Reference() {
        // What the link carries is known here only by what attr(...) is given.
        this.attribute = members -> given;
    }

    private Reference(Map<String, Object> members, Function<Map<String, Object>, A> attribute) {
        super(members);
        this.attribute = attribute;
    }

    /** A reference to the object of this name. */
    public static <A extends JsonView> Reference<A> to(String... fqName) {
        Reference<A> made = new Reference<>();
        made.set("to", List.of(fqName));
        return made;
    }

    /** A reference to the object with this uuid. */
    public static <A extends JsonView> Reference<A> toUuid(String uuid) {
        Reference<A> made = new Reference<>();
        made.set("uuid", uuid);
        return made;
    }

    /** How generated classes read references. */
    public static <A extends JsonView> Function<Map<String, Object>, Reference<A>> reading(
            Function<Map<String, Object>, A> attribute) {
        return members -> new Reference<>(members, attribute);
    }

    public Reference<A> attr(A attr) {
        given = attr;
        set("attr", attr);
        return this;
    }

    /** The attribute; null when there is none. */
    public A attr() {
        return view("attr", attribute);
    }

    public List<String> to() {
        return strings("to");
    }

    public String uuid() {
        return string("uuid");
    }

    /** Stands for the attribute of a link that has none. */
    public static final class NoAttribute extends JsonView {
        public NoAttribute(Map<String, Object> members) {
            super(members);
        }
    }
}
