package skytrail.client;

import java.math.BigInteger;
import java.util.List;
import java.util.Map;
import skytrail.model.IpamSubnetType;
import skytrail.model.SubnetType;
import skytrail.model.UuidType;
import skytrail.model.VirtualNetwork;
import skytrail.model.VnSubnetsType;

/** What the codec and the views promise; ends with a message when one does not hold. */
public final class JsonTest {
    private JsonTest() {}

    public static void main(String[] arguments) {
        textsBecomeValues();
        valuesBecomeTheirText();
        wrongTextsAreRefused();
        viewsReadAndSet();
        referencesCarryAttributes();
        wrongTypesAreNamed();
        System.out.println("all hold");
    }

    private static void textsBecomeValues() {
        equal(Json.parse(" {\"a\": [1, -2.5e1, true, null]} "), map("a", list(1L, -25.0, true, null)));
        equal(Json.parse("\"\\u00e9\\n\\\"\\\\\\/\\ud83d\\ude00\""), "\u00e9\n\"\\/\ud83d\ude00");
        equal(Json.parse("9223372036854775807"), Long.MAX_VALUE);
        equal(Json.parse("18446744073709551615"), new BigInteger("18446744073709551615"));
        equal(Json.parse("{}"), Map.of());
    }

    private static void valuesBecomeTheirText() {
        equal(Json.write(map("a\"", list("\u0001", 1L, false, null, Map.of(), List.of()))),
                "{\"a\\\"\":[\"\\u0001\",1,false,null,{},[]]}");
    }

    private static void wrongTextsAreRefused() {
        String deep = "[".repeat(100_000);
        for (String text :
                List.of("", "{", "[1", "\"a", "tru", "1 2", "{1:2}", "{\"a\" 1}", "\"\\x\"", "\"\\u12\"", "-", deep)) {
            refused(() -> Json.parse(text), text);
        }
    }

    private static void viewsReadAndSet() {
        VirtualNetwork network = new VirtualNetwork().fqName("a", "b").mtu(1400L).displayName(null);
        equal(network.json(), map("fq_name", List.of("a", "b"), "mtu", 1400L, "display_name", null));
        equal(network.name(), "b");
        equal(network.isShared(), null);
        equal(network.networkPolicyRefs(), List.of());
        // Stored by a client that writes numbers as text.
        equal(new SubnetType(map("ip_prefix_len", "24")).ipPrefixLen(), 24L);
        BigInteger large = BigInteger.ONE.shiftLeft(63);
        equal(new UuidType().uuidMslong(large).uuidMslong(), large);
    }

    private static void referencesCarryAttributes() {
        VnSubnetsType subnets =
                new VnSubnetsType().ipamSubnets(List.of(new IpamSubnetType().subnetName("s")));
        Reference<VnSubnetsType> made = Reference.<VnSubnetsType>to("ipam").attr(subnets);
        VirtualNetwork network = new VirtualNetwork().networkIpamRefs(List.of(made));

        equal(made.attr(), subnets);
        equal(network.networkIpamRefs().get(0).attr().ipamSubnets().get(0).subnetName(), "s");
        equal(Json.write(network.json()),
                "{\"network_ipam_refs\":[{\"to\":[\"ipam\"],"
                        + "\"attr\":{\"ipam_subnets\":[{\"subnet_name\":\"s\"}]}}]}");
    }

    private static void wrongTypesAreNamed() {
        refused(() -> new VirtualNetwork(map("mtu", "large")).mtu(), "mtu");
        refused(() -> new VirtualNetwork(map("is_shared", "yes")).isShared(), "is_shared");
        refused(() -> new VirtualNetwork(map("fq_name", "a")).fqName(), "fq_name");
    }

    private static void refused(Runnable action, String what) {
        try {
            action.run();
        } catch (JsonException expected) {
            return;
        }
        throw new AssertionError("not refused: " + what);
    }

    private static void equal(Object found, Object expected) {
        if (expected == null ? found != null : !expected.equals(found)) {
            throw new AssertionError("expected " + expected + ", found " + found);
        }
    }

    private static Map<String, Object> map(Object... pairs) {
        Map<String, Object> made = new java.util.LinkedHashMap<>();
        for (int index = 0; index < pairs.length; index += 2) {
            made.put((String) pairs[index], pairs[index + 1]);
        }
        return made;
    }

    private static List<Object> list(Object... items) {
        return new java.util.ArrayList<>(java.util.Arrays.asList(items));
    }
}
