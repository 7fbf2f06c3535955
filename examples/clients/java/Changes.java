import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import skytrail.Api;
import skytrail.client.ApiException;
import skytrail.client.Applying;
import skytrail.client.ChangeSet;
import skytrail.client.Commit;
import skytrail.client.Comparison;
import skytrail.client.ConfigObject;
import skytrail.client.Connection;
import skytrail.client.Event;
import skytrail.client.HistoryEntry;
import skytrail.client.ObjectChange;
import skytrail.client.Operation;
import skytrail.client.Query;
import skytrail.client.Resources;
import skytrail.client.WatchOptions;
import skytrail.model.VirtualNetwork;

/** Plans, commits, looks back, reverts and stages changes of networks: {@code java Changes [URL]}. */
public final class Changes {
    private final Api api;
    private final Resources<VirtualNetwork> networks;
    private VirtualNetwork made;
    private Commit done;

    private Changes(Api api) {
        this.api = api;
        this.networks = api.virtualNetworks();
    }

    public static void main(String[] arguments) throws InterruptedException {
        String url = arguments.length > 0 ? arguments[0] : "http://127.0.0.1:8082";
        Changes example = new Changes(new Api(Connection.to(url)));
        example.change();
        example.lookBack();
        example.stage();
        example.resume();
    }

    private static VirtualNetwork network(String name, long mtu) {
        return new VirtualNetwork().fqName("default-domain", "default-project", name).mtu(mtu);
    }

    private static Query large() {
        return new Query().where("mtu", Comparison.above(1400));
    }

    private void change() {
        made = networks.apply(network("first", 1400), new Applying().fieldOwner("example"));
        Operation[] operations = {
            networks.toUpdate(made.uuid(), new VirtualNetwork().mtu(9000L)),
            networks.toCreate(network("second", 9000)),
        };
        System.out.printf(
                "planned, would derive: %s%n",
                api.plan(operations).derived().stream()
                        .map(ObjectChange::type)
                        .distinct()
                        .sorted()
                        .collect(Collectors.joining(", ")));
        done = api.transaction(operations);
        System.out.printf("committed: %s%n", results(done));
        System.out.printf(
                "accepted: %s%n", networks.status(made.uuid()).condition("accepted").status());

        Query below = large().parent("default-domain", "default-project").sort("-name").pageSize(1);
        System.out.printf(
                "listed page by page: %s%n",
                StreamSupport.stream(networks.iterate(below).spliterator(), false)
                        .map(ConfigObject::name)
                        .collect(Collectors.joining(", ")));
        System.out.printf("counted: %d%n", networks.count(below));
    }

    private void lookBack() {
        HistoryEntry entry = networks.history(made.uuid()).iterator().next();
        for (ObjectChange.Field field : entry.operations().get(0).fields()) {
            if (field.path().equals("/mtu")) {
                System.out.printf("history: mtu from %s to %s%n", field.before(), field.after());
            }
        }
        VirtualNetwork before = networks.getAt(made.uuid(), done.revision() - 1);
        System.out.printf("a revision before: %d%n", before.mtu());
        api.revert(done.change());
        System.out.printf("reverted: %d%n", networks.get(made.uuid()).mtu());
    }

    private void stage() {
        ChangeSet draft =
                api.changeSets()
                        .create(
                                "larger",
                                networks.toUpdate(made.uuid(), new VirtualNetwork().mtu(9000L)));
        api.changeSets().add(draft.id(), networks.toDelete(made.uuid()));
        networks.update(made.uuid(), new VirtualNetwork().isShared(true));
        System.out.printf(
                "overtaken: %s%n",
                api.changeSets().review(draft.id()).conflicts().get(0).pointer());
        try {
            api.changeSets().commit(draft.id());
        } catch (ApiException.Conflict overtaken) {
            api.changeSets().rebase(draft.id());
        }
        System.out.printf("change set: %s%n", results(api.changeSets().commit(draft.id())));
    }

    private void resume() throws InterruptedException {
        networks.watch(
                new WatchOptions().from(done.revision()).query(large()),
                event -> {
                    if (event.kind() == Event.Kind.PRESENT) {
                        System.out.printf(
                                "watch resumes: %s with mtu %d%n",
                                event.object().name(), event.object().mtu());
                    } else if (event.kind() == Event.Kind.ABSENT) {
                        List<String> name = event.fqName();
                        System.out.printf("watch resumes: %s is absent%n", name.get(2));
                    }
                    return event.kind() != Event.Kind.SYNCED;
                });
    }

    private static String results(Commit commit) {
        return commit.results().stream()
                .map(Commit.Result::result)
                .collect(Collectors.joining(", "));
    }
}
