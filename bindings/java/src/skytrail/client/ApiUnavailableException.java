package skytrail.client;

/** No answer, one that says "later", or one that is not of this API. Whether a write happened is open. */
public final class ApiUnavailableException extends RuntimeException {
    private static final long serialVersionUID = 1;

    public ApiUnavailableException(String message, Throwable cause) {
        super(message, cause);
    }
}
