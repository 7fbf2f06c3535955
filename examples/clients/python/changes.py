"""Plans, commits, looks back, reverts and stages changes of networks: `python changes.py [URL]`."""

import sys

from skytrail.client import ApiClient, Conflict
from skytrail.client.typed import Absent, Api, Present, Synced, above
from skytrail.model.generated.objects import VirtualNetwork

PROJECT = ("default-domain", "default-project")
FIRST, SECOND = (*PROJECT, "first"), (*PROJECT, "second")


def main(url: str) -> None:
    with ApiClient(url) as client:
        api = Api(client)
        networks = api.virtual_networks
        made = networks.apply(VirtualNetwork(fq_name=FIRST, mtu=1400), field_owner="example")
        operations = [
            networks.to_update(made, {"mtu": 9000}),
            networks.to_create(VirtualNetwork(fq_name=SECOND, mtu=9000)),
        ]

        planned = api.plan(operations)
        kinds = sorted({each.type for each in planned.derived})
        print(f"planned, would derive: {', '.join(kinds)}")
        done = api.transaction(operations)
        print(f"committed: {', '.join(each.result for each in done.results)}")

        status = networks.status(made).condition("accepted")
        print(f"accepted: {status.status}")
        large = {"mtu": above(1400)}
        pages = networks.iterate(parent=PROJECT, filters=large, sort="-name", page_size=1)
        print(f"listed page by page: {', '.join(each.name for each in pages)}")
        print(f"counted: {networks.count(parent=PROJECT, filters=large)}")

        entry = next(networks.history(made))
        field = next(each for each in entry.operations[0].fields if each.path == "/mtu")
        print(f"history: mtu from {field.before} to {field.after}")
        before = networks.get(made, revision=done.revision - 1)
        print(f"a revision before: {before.mtu}")
        api.revert(done.change)
        print(f"reverted: {networks.get(made).mtu}")

        draft = api.change_sets.create("larger", [networks.to_update(made, {"mtu": 9000})])
        api.change_sets.add(draft.id, [networks.to_delete(made)])
        networks.update(made, {"is_shared": True})
        print(f"overtaken: {api.change_sets.review(draft.id).conflicts[0].pointer}")
        try:
            api.change_sets.commit(draft.id)
        except Conflict:
            api.change_sets.rebase(draft.id)
        results = api.change_sets.commit(draft.id).results
        print(f"change set: {', '.join(each.result for each in results)}")

        for event in networks.watch(done.revision, filters=large):
            match event:
                case Present(network):
                    print(f"watch resumes: {network.name} with mtu {network.mtu}")
                case Absent(_, name):
                    print(f"watch resumes: {name[-1]} is absent")
                case Synced():
                    break


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8082")
