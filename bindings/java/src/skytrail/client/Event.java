package skytrail.client;

import java.util.List;

/**
 * One thing a watch tells.
 *
 * @param kind what is told
 * @param object the object; null unless it is present
 * @param uuid the object's uuid; null when synced
 * @param fqName the object's name; null when synced
 * @param revision the revision of the change
 * @param <T> the object type
 */
public record Event<T>(Kind kind, T object, String uuid, List<String> fqName, long revision) {
    /** What an event tells. */
    public enum Kind {
        /** The object is there, new or changed. The same may be told twice. */
        PRESENT,
        /** An object that was told is there no more. */
        ABSENT,
        /** Everything up to the revision has been told. */
        SYNCED
    }
}
