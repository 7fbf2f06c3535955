package skytrail.client;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON text to and from maps, lists, strings, numbers, booleans and null.
 *
 * <p>Whole numbers are {@link Long}, or {@link BigInteger} when they do not fit; others are {@link
 * Double}. Objects keep the order of their members.
 */
public final class Json {
    /** Deeper nesting is refused, so that a hostile answer cannot exhaust the stack. */
    private static final int DEPTH_MAX = 200;

    private final String text;
    private int position;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    /** The value of a JSON text; {@link JsonException} says where it is not one. */
    public static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value();
        json.skipBlanks();
        if (json.position != text.length()) {
            throw json.wrong("something follows the value");
        }
        return value;
    }

    /** The JSON text of a value. */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(value, out);
        return out.toString();
    }

    private static void write(Object value, StringBuilder out) {
        if (value instanceof Map<?, ?> map) {
            writeObject(map, out);
        } else if (value instanceof List<?> list) {
            writeArray(list, out);
        } else if (value instanceof String string) {
            writeString(string, out);
        } else if (value == null || value instanceof Boolean || value instanceof Number) {
            out.append(value);
        } else {
            throw new JsonException("JSON has no " + value.getClass().getSimpleName());
        }
    }

    private static void writeObject(Map<?, ?> map, StringBuilder out) {
        String separator = "{";
        for (Map.Entry<?, ?> member : map.entrySet()) {
            out.append(separator);
            writeString((String) member.getKey(), out);
            out.append(':');
            write(member.getValue(), out);
            separator = ",";
        }
        out.append(map.isEmpty() ? "{}" : "}");
    }

    private static void writeArray(List<?> list, StringBuilder out) {
        String separator = "[";
        for (Object item : list) {
            out.append(separator);
            write(item, out);
            separator = ",";
        }
        out.append(list.isEmpty() ? "[]" : "]");
    }

    private static void writeString(String string, StringBuilder out) {
        out.append('"');
        for (int index = 0; index < string.length(); index++) {
            char each = string.charAt(index);
            if (each == '"' || each == '\\') {
                out.append('\\').append(each);
            } else if (each < ' ') {
                out.append(String.format("\\u%04x", (int) each));
            } else {
                out.append(each);
            }
        }
        out.append('"');
    }

    private Object value() {
        skipBlanks();
        if (position == text.length()) {
            throw wrong("the text ends too early");
        }
        return switch (text.charAt(position)) {
            case '{' -> nested(this::object);
            case '[' -> nested(this::array);
            case '"' -> string();
            case 't' -> word("true", Boolean.TRUE);
            case 'f' -> word("false", Boolean.FALSE);
            case 'n' -> word("null", null);
            default -> number();
        };
    }

    private Object nested(java.util.function.Supplier<Object> inner) {
        depth++;
        if (depth > DEPTH_MAX) {
            throw wrong("values are nested too deeply");
        }
        Object found = inner.get();
        depth--;
        return found;
    }

    private Map<String, Object> object() {
        Map<String, Object> members = new LinkedHashMap<>();
        position++;
        if (next('}')) {
            return members;
        }
        do {
            skipBlanks();
            if (position == text.length() || text.charAt(position) != '"') {
                throw wrong("a member needs a name");
            }
            String name = string();
            if (!next(':')) {
                throw wrong("a colon is missing");
            }
            members.put(name, value());
        } while (next(','));
        if (!next('}')) {
            throw wrong("the object does not end");
        }
        return members;
    }

    private List<Object> array() {
        List<Object> items = new ArrayList<>();
        position++;
        if (next(']')) {
            return items;
        }
        do {
            items.add(value());
        } while (next(','));
        if (!next(']')) {
            throw wrong("the array does not end");
        }
        return items;
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        position++;
        while (position < text.length()) {
            char each = text.charAt(position++);
            if (each == '"') {
                return found.toString();
            }
            found.append(each == '\\' ? escaped() : each);
        }
        throw wrong("the string does not end");
    }

    private char escaped() {
        char kind = position < text.length() ? text.charAt(position++) : ' ';
        return switch (kind) {
            case '"', '\\', '/' -> kind;
            case 'b' -> '\b';
            case 'f' -> '\f';
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 't' -> '\t';
            case 'u' -> unicode();
            default -> throw wrong("no such escape");
        };
    }

    private char unicode() {
        int end = position + 4;
        if (end > text.length()) {
            throw wrong("the escape does not end");
        }
        try {
            int code = Integer.parseUnsignedInt(text, position, end, 16);
            position = end;
            return (char) code;
        } catch (NumberFormatException error) {
            throw wrong("no such escape");
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, position)) {
            throw wrong("no such value");
        }
        position += word.length();
        return value;
    }

    private Object number() {
        int start = position;
        while (position < text.length() && "+-.eE0123456789".indexOf(text.charAt(position)) >= 0) {
            position++;
        }
        String digits = text.substring(start, position);
        try {
            if (digits.matches("-?\\d+")) {
                BigInteger whole = new BigInteger(digits);
                return whole.bitLength() < Long.SIZE ? (Object) whole.longValue() : whole;
            }
            return Double.valueOf(digits);
        } catch (NumberFormatException error) {
            position = start;
            throw wrong("no such value");
        }
    }

    private boolean next(char wanted) {
        skipBlanks();
        boolean found = position < text.length() && text.charAt(position) == wanted;
        if (found) {
            position++;
        }
        return found;
    }

    private void skipBlanks() {
        while (position < text.length() && " \t\r\n".indexOf(text.charAt(position)) >= 0) {
            position++;
        }
    }

    private JsonException wrong(String what) {
        return new JsonException(what + " (character " + position + ")");
    }
}
