package skytrail.client;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * Reads every member of every class with its getter and sets it on an empty object with its setter;
 * the JSON must be the same. Each line of the file given is a class name and an object with all
 * members.
 */
public final class EveryTypeTest {
    private EveryTypeTest() {}

    public static void main(String[] arguments) throws Exception {
        int count = 0;
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            Map<?, ?> given = (Map<?, ?>) Json.parse(line);
            check((String) given.get("class"), (Map<?, ?>) given.get("object"));
            count++;
        }
        System.out.println(count + " types hold");
    }

    private static void check(String name, Map<?, ?> wire) throws Exception {
        Class<?> type = Class.forName("skytrail.model." + name);
        Object full = type.getConstructor(Map.class).newInstance(wire);
        JsonView copy = (JsonView) type.getConstructor().newInstance();
        for (Method getter : type.getDeclaredMethods()) {
            if (Modifier.isPublic(getter.getModifiers()) && getter.getParameterCount() == 0) {
                copyMember(getter, full, copy);
            }
        }
        Map<String, Object> expected = new HashMap<>();
        wire.forEach((member, value) -> expected.put((String) member, value));
        expected.keySet().removeIf(member -> isIdentity(full, member));
        if (!expected.equals(copy.json())) {
            throw new AssertionError(name + ": expected " + expected + ", found " + copy.json());
        }
    }

    private static void copyMember(Method getter, Object full, JsonView copy)
            throws IllegalAccessException, InvocationTargetException, NoSuchMethodException {
        Object value = getter.invoke(full);
        copy.getClass().getMethod(getter.getName(), getter.getReturnType()).invoke(copy, value);
    }

    private static boolean isIdentity(Object full, String member) {
        return full instanceof ConfigObject<?>
                && (member.equals("uuid") || member.equals("fq_name") || member.startsWith("parent_"));
    }
}
