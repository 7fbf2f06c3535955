package skytrail.client;

/** A text is not JSON, or a member does not have the type the data model gives it. */
public final class JsonException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public JsonException(String message) {
        super(message);
    }
}
