package skytrail.client;

import java.util.StringJoiner;

/** Who applies, and whether by force. */
public final class Applying {
    private final StringJoiner parameters = new StringJoiner("&", "?", "").setEmptyValue("");

    /** Names who applies; the user otherwise. */
    public Applying fieldOwner(String name) {
        parameters.add(Query.parameter("field_owner", name));
        return this;
    }

    /** Takes over fields that another owner applied. */
    public Applying force() {
        parameters.add("force=true");
        return this;
    }

    String query() {
        return parameters.toString();
    }
}
