package skytrail.client;

/** The API refused: its status and its text, which names the reason. */
public class ApiException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final int status;
    private final String text;

    protected ApiException(int status, String text) {
        super(text + " (status " + status + ")");
        this.status = status;
        this.text = text;
    }

    static ApiException of(int status, String text) {
        return switch (status) {
            case 400, 413, 422 -> new Invalid(status, text);
            case 401 -> new Unauthenticated(status, text);
            case 403 -> new Denied(status, text);
            case 404 -> new NotFound(status, text);
            case 409 -> new Conflict(status, text);
            case 412 -> new PreconditionFailed(status, text);
            case 501 -> new NotAvailable(status, text);
            default -> new ApiException(status, text);
        };
    }

    public final int status() {
        return status;
    }

    /** The API's own words. */
    public final String text() {
        return text;
    }

    /** The request is wrong; the text names the field. */
    public static final class Invalid extends ApiException {
        private static final long serialVersionUID = 1;

        Invalid(int status, String text) {
            super(status, text);
        }
    }

    /** The API does not know who asks. */
    public static final class Unauthenticated extends ApiException {
        private static final long serialVersionUID = 1;

        Unauthenticated(int status, String text) {
            super(status, text);
        }
    }

    /** Who asks may not do this. */
    public static final class Denied extends ApiException {
        private static final long serialVersionUID = 1;

        Denied(int status, String text) {
            super(status, text);
        }
    }

    /** There is no such object. */
    public static final class NotFound extends ApiException {
        private static final long serialVersionUID = 1;

        NotFound(int status, String text) {
            super(status, text);
        }
    }

    /** The name is taken, something still refers to the object, or it has children. */
    public static final class Conflict extends ApiException {
        private static final long serialVersionUID = 1;

        Conflict(int status, String text) {
            super(status, text);
        }
    }

    /** A quota is used up, or the object is no longer as the caller last saw it. */
    public static final class PreconditionFailed extends ApiException {
        private static final long serialVersionUID = 1;

        PreconditionFailed(int status, String text) {
            super(status, text);
        }
    }

    /** This release does not have what was asked for. */
    public static final class NotAvailable extends ApiException {
        private static final long serialVersionUID = 1;

        NotAvailable(int status, String text) {
            super(status, text);
        }
    }
}
