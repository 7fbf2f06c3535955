package skytrail.client;

import java.util.List;
import java.util.Map;

/** What was written: its revision, its name in the history, and a result per operation. */
public final class Commit extends JsonView {
    public Commit(Map<String, Object> members) {
        super(members);
    }

    public Long revision() {
        return integer("revision");
    }

    /** The change as {@link NativeApi#change} and {@link NativeApi#revert} name it. */
    public String change() {
        return string("change");
    }

    public List<Result> results() {
        return views("results", Result::new);
    }

    /** What one operation came to. */
    public static final class Result extends JsonView {
        public Result(Map<String, Object> members) {
            super(members);
        }

        public String uuid() {
            return string("uuid");
        }

        /** created, changed, unchanged or deleted. */
        public String result() {
            return string("result");
        }
    }
}
