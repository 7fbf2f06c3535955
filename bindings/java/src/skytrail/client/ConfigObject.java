package skytrail.client;

import java.util.List;
import java.util.Map;

/**
 * What every object of the configuration has: its identity.
 *
 * @param <S> the object type itself, so that setters can be chained
 */
public abstract class ConfigObject<S extends ConfigObject<S>> extends JsonView {
    private String tag;

    protected ConfigObject() {}

    protected ConfigObject(Map<String, Object> members) {
        super(members);
    }

    protected abstract S self();

    /** The entity tag of the version that was read; null in a list and for an object made here. */
    public final String tag() {
        return tag;
    }

    final S tagged(String newTag) {
        tag = newTag;
        return self();
    }

    /** Unique over all types; null for an object that was not stored yet. */
    public final String uuid() {
        return string("uuid");
    }

    /** Asks for a certain uuid on creation; usually left to the API. */
    public final S uuid(String uuid) {
        set("uuid", uuid);
        return self();
    }

    /** The full path of names, unique per type. */
    public final List<String> fqName() {
        return strings("fq_name");
    }

    public final S fqName(String... parts) {
        set("fq_name", List.of(parts));
        return self();
    }

    /** The last item of the fully qualified name. */
    public final String name() {
        List<String> parts = fqName();
        return parts.isEmpty() ? "" : parts.get(parts.size() - 1);
    }

    /** The parent's type; null below the root. */
    public final String parentType() {
        return string("parent_type");
    }

    /** Needed on creation only where the type may have several kinds of parent. */
    public final S parentType(String type) {
        set("parent_type", type);
        return self();
    }

    public final String parentUuid() {
        return string("parent_uuid");
    }
}
