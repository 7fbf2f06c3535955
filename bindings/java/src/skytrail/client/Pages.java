package skytrail.client;

import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.function.Function;

/**
 * Walks over a list whose pages are read when they are needed; each walk begins anew.
 *
 * @param <T> what the list is of
 */
final class Pages<T> implements Iterable<T> {
    private final Function<String, Page<T>> reading;

    /** {@code reading} returns the page of a cursor, which is null for the first. */
    Pages(Function<String, Page<T>> reading) {
        this.reading = reading;
    }

    /** The items of a page, and the cursor of the next one, null for the last. */
    record Page<T>(List<T> items, String next) {
        /** Reads the objects under a name of an answer. */
        static <T extends JsonView> Page<T> of(
                Map<String, Object> answer, String name, Function<Map<String, Object>, T> of) {
            Wire wire = new Wire(answer);
            if (!answer.containsKey(name)) {
                throw new ApiUnavailableException("the answer is not one of this API", null);
            }
            return new Page<>(wire.views(name, of), wire.string("next"));
        }
    }

    private static final class Wire extends JsonView {
        Wire(Map<String, Object> members) {
            super(members);
        }
    }

    @Override
    public Iterator<T> iterator() {
        return new Walk();
    }

    private final class Walk implements Iterator<T> {
        private Page<T> page = reading.apply(null);
        private Iterator<T> here = page.items().iterator();

        @Override
        public boolean hasNext() {
            while (!here.hasNext() && page.next() != null) {
                page = reading.apply(page.next());
                here = page.items().iterator();
            }
            return here.hasNext();
        }

        @Override
        public T next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return here.next();
        }
    }
}
