import java.util.List;
import java.util.stream.Collectors;
import skytrail.Api;
import skytrail.client.ApiException;
import skytrail.client.ConfigObject;
import skytrail.client.Connection;
import skytrail.client.Event;
import skytrail.client.Query;
import skytrail.client.Reference;
import skytrail.client.Resources;
import skytrail.model.IpamSubnetType;
import skytrail.model.SubnetType;
import skytrail.model.VirtualNetwork;
import skytrail.model.VnSubnetsType;

/** Creates, reads, lists, changes, watches and deletes a network: {@code java Networks [URL]}. */
public final class Networks {
    private static final String[] NAME = {"default-domain", "default-project", "example"};
    private static final String[] IPAM = {
        "default-domain", "default-project", "default-network-ipam"
    };

    private Networks() {}

    public static void main(String[] arguments) throws InterruptedException {
        String url = arguments.length > 0 ? arguments[0] : "http://127.0.0.1:8082";
        Resources<VirtualNetwork> networks = new Api(Connection.to(url)).virtualNetworks();

        SubnetType prefix = new SubnetType().ipPrefix("10.9.0.0").ipPrefixLen(24L);
        VnSubnetsType subnets =
                new VnSubnetsType().ipamSubnets(List.of(new IpamSubnetType().subnet(prefix)));
        VirtualNetwork wanted =
                new VirtualNetwork()
                        .fqName(NAME)
                        .mtu(1400L)
                        .networkIpamRefs(
                                List.of(Reference.<VnSubnetsType>to(IPAM).attr(subnets)));
        VirtualNetwork made = networks.create(wanted);
        IpamSubnetType subnet = made.networkIpamRefs().get(0).attr().ipamSubnets().get(0);
        System.out.printf("created %s with gateway %s%n", made.name(), subnet.defaultGateway());

        try {
            networks.create(wanted);
        } catch (ApiException.Conflict refused) {
            System.out.println("created again: conflict");
        }

        VirtualNetwork read = networks.getByName(NAME);
        System.out.printf("read %s with mtu %d%n", String.join(":", read.fqName()), read.mtu());

        Query below = new Query().parent("default-domain", "default-project").where("mtu", 1400);
        System.out.printf(
                "listed %s%n",
                networks.list(below).stream()
                        .map(ConfigObject::name)
                        .collect(Collectors.joining(", ")));

        VirtualNetwork changes = new VirtualNetwork().mtu(null).isShared(true);
        VirtualNetwork changed = networks.update(made.uuid(), changes, read.tag());
        System.out.printf(
                "changed mtu to %s, shared to %b%n",
                changed.mtu() == null ? "none" : changed.mtu(), changed.isShared());

        networks.watch(
                event -> {
                    boolean found =
                            event.kind() == Event.Kind.PRESENT
                                    && event.fqName().equals(List.of(NAME));
                    if (found) {
                        System.out.printf("watch tells of %s%n", event.object().name());
                    }
                    return !found;
                });

        networks.delete(made.uuid());
        try {
            networks.getByName(NAME);
        } catch (ApiException.NotFound gone) {
            System.out.println("deleted, not found any more");
        }
    }
}
