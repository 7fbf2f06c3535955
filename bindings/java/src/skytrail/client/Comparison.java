package skytrail.client;

import java.util.List;
import java.util.StringJoiner;

/** A condition on a field of a {@link Query}. */
public final class Comparison {
    private final String operator;
    private final List<Object> values;

    private Comparison(String operator, List<Object> values) {
        this.operator = operator;
        this.values = values;
    }

    static Comparison equalTo(Object value) {
        return value == null ? absent() : new Comparison("eq", List.of(value));
    }

    public static Comparison otherThan(Object value) {
        return new Comparison("ne", List.of(value));
    }

    public static Comparison oneOf(Object... values) {
        if (values.length == 0) {
            throw new IllegalArgumentException("one of no values is nothing");
        }
        return new Comparison("in", List.of(values));
    }

    public static Comparison above(long bound) {
        return new Comparison("gt", List.of(bound));
    }

    public static Comparison atLeast(long bound) {
        return new Comparison("ge", List.of(bound));
    }

    public static Comparison below(long bound) {
        return new Comparison("lt", List.of(bound));
    }

    public static Comparison atMost(long bound) {
        return new Comparison("le", List.of(bound));
    }

    public static Comparison startingWith(String text) {
        return new Comparison("prefix", List.of(text));
    }

    public static Comparison containing(String text) {
        return new Comparison("contains", List.of(text));
    }

    /** The field has any value. */
    public static Comparison given() {
        return new Comparison("exists", List.of());
    }

    /** The field has no value. */
    public static Comparison absent() {
        return new Comparison("absent", List.of());
    }

    String filter(String field) {
        if (values.isEmpty()) {
            return field + ":" + operator;
        }
        StringJoiner texts = new StringJoiner(",");
        for (Object value : values) {
            String text = text(value);
            if (operator.equals("in") && text.indexOf(',') >= 0) {
                throw new IllegalArgumentException("one of several values cannot hold a comma: " + text);
            }
            texts.add(text);
        }
        return field + ":" + operator + ":" + texts;
    }

    private static String text(Object value) {
        if (value instanceof List<?> name) {
            StringJoiner parts = new StringJoiner(":");
            name.forEach(part -> parts.add((String) part));
            return parts.toString();
        }
        if (value instanceof String || value instanceof Boolean || value instanceof Number) {
            return value.toString();
        }
        throw new IllegalArgumentException("a filter cannot compare with " + value);
    }
}
