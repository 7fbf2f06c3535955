"""The etcd store against a member that speaks TLS, wants certificates and has users."""

import asyncio
import dataclasses

import pytest

from skytrail.runtime.certificates import Authority
from skytrail.store.io.etcd import EtcdStore
from skytrail.store.location import EtcdTls, EtcdUser
from skytrail.store.plugin import Compare, Put, StoreUnavailable
from skytrail.testing.etcd import CONTROL, PROGRAM, EtcdCluster, EtcdFiles

TIME_LIMIT_S = 60
LOOP = asyncio.Runner()
"""gRPC is given one loop: what comes late for a closed one keeps back what others wait for."""

pytestmark = pytest.mark.skipif(PROGRAM is None or CONTROL is None, reason="no etcd, no etcdctl")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return EtcdFiles(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    return EtcdFiles(tmp_path_factory.mktemp("foreign"))


@pytest.fixture(scope="module")
def encrypted(files, tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("tls"), files=files) as running:
        yield running


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.fixture
def password_file(tmp_path):
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    return path


@pytest.fixture
def guarded(files, tmp_path, password_file):
    """A cluster with TLS and users; its certificates name a client that is no user."""
    cluster = EtcdCluster(
        tmp_path, files=files, wants_certificate=False, fast=True, flags=("--auth-token-ttl", "1")
    )
    with cluster as running:
        user = running.enable_auth("store", password_file)
        running.place = dataclasses.replace(running.location, tls=EtcdTls(files.ca), user=user)
        yield running


def on(location, scenario):
    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            store = await EtcdStore.open(location)
            try:
                return await scenario(store)
            finally:
                await store.close()

    return LOOP.run(limited())


async def use(store):
    """Everything the API server does with a store."""
    watched = store.watch("/x/", await store.revision() + 1)
    put = await store.transact((Compare("/x/1", 0),), (Put("/x/1", b"v"),))
    assert put.succeeded
    assert (await anext(watched)).revision == put.revision
    assert [item.key for item in (await store.range("/x/")).items] == ["/x/1"]
    number = await store.allocate("pool", 1, 10, "me")
    await store.free("pool", number, "me")
    lease = await store.lease(5)
    await lease.keep_alive()
    async with store.elect("office", lease):
        pass
    await store.compact(put.revision)
    await store.transact((Compare("/x/1", put.revision),), (Put("/x/2", b"v"),))
    return True


def refusal(location):
    with pytest.raises(StoreUnavailable) as refused:
        on(location, EtcdStore.revision)
    return str(refused.value)


def test_a_store_works_over_tls_with_a_client_certificate(encrypted):
    assert on(encrypted.location, use)


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (lambda own, other: EtcdTls(other.ca, own.client_certificate, own.client_key), "not by the authority in ca="),
        (lambda own, _: EtcdTls(own.ca), "wants a client certificate"),
        (lambda own, other: EtcdTls(own.ca, other.client_certificate, other.client_key), "wants a client certificate"),
        (lambda own, other: EtcdTls(own.ca, own.client_certificate, other.client_key), "cannot use cert="),
        (lambda own, _: EtcdTls(own.folder / "none.pem"), "cannot use ca="),
        (lambda own, _: EtcdTls(own.key), "cannot use ca="),
        (lambda _own, _other: None, "may ask for TLS"),
    ],
    ids=["foreign-authority", "no-certificate", "foreign-certificate", "foreign-key", "no-file", "no-authority", "no-tls"],
)  # fmt: skip
def test_a_failed_handshake_says_what_to_change(encrypted, files, foreign, tls, said):
    location = dataclasses.replace(encrypted.location, tls=tls(files, foreign))

    assert said in refusal(location)


def test_certificates_that_are_replaced_are_used_without_a_restart(tmp_path):
    """The authority, the member's and our certificate are all new; the store just goes on."""
    files = EtcdFiles(tmp_path / "files")
    (tmp_path / "data").mkdir()
    with EtcdCluster(tmp_path / "data", files=files) as cluster:
        member = cluster.members[0]

        async def scenario(store):
            await store.transact((), (Put("/x/1", b"v"),))
            watched = store.watch("/x/", 1)
            await anext(watched)
            member.kill()
            for old in files.folder.iterdir():
                old.unlink()
            member.trust(EtcdFiles(files.folder))
            cluster.start(member)
            await asyncio.to_thread(cluster.wait_healthy)
            while True:
                try:
                    await store.transact((), (Put("/x/2", b"v"),))
                    break
                except StoreUnavailable:
                    await asyncio.sleep(0.1)
            return (await anext(watched)).revision

        assert on(cluster.location, scenario) >= 2


def test_tls_to_a_member_without_it_says_so(plain, files):
    location = dataclasses.replace(plain.location, tls=files.tls)

    assert "does not speak TLS" in refusal(location)


def test_a_member_that_is_reached_by_a_name_not_in_its_certificate_is_refused(tmp_path):
    files = EtcdFiles(tmp_path / "files")
    Authority(files.folder).issue(files.certificate, files.key, "etcd", hosts=["localhost"])
    cluster = EtcdCluster(tmp_path / "data", files=files)
    (tmp_path / "data").mkdir()
    try:
        cluster.members[0].start("e0=" + cluster.members[0].peer_url)
        said = ""
        for _ in range(100):
            said = refusal(cluster.location)
            if "Hostname" in said:
                break
    finally:
        cluster.members[0].kill()

    assert "does not name the host" in said


def test_a_user_logs_in_and_works(guarded):
    assert on(guarded.place, use)


def test_a_token_that_ended_is_replaced_without_anybody_noticing(guarded):
    async def scenario(store):
        watched = store.watch("/x/", 1)
        await store.transact((), (Put("/x/1", b"v"),))
        await anext(watched)
        before = store._members._login.metadata
        # The store of users changes, and the token's time runs out.
        await asyncio.to_thread(guarded.as_root, "user", "add", "other:pw")
        await asyncio.sleep(2.5)
        await store.transact((), (Put("/x/2", b"v"),))
        replayed = store.watch("/x/", 1)
        seen = [(await anext(replayed)).revision for _ in range(2)]
        await anext(watched)
        return before != store._members._login.metadata, seen

    assert on(guarded.place, scenario) == (True, [1, 2])


def test_many_requests_share_one_new_login(guarded):
    async def scenario(store):
        await asyncio.sleep(2.5)
        asked, authenticate = [], store._members.current.auth.Authenticate

        class Counting:
            async def Authenticate(self, request, *, timeout):  # noqa: N802 - etcd's word
                asked.append(request)
                return await authenticate(request, timeout=timeout)

        auth = Counting()
        login = store._members._login
        refused = dict(login.metadata)["token"]
        await asyncio.gather(*(login.renew(auth, refused) for _ in range(20)))
        return len(asked)

    assert on(guarded.place, scenario) == 1


def test_a_password_that_changes_is_read_anew(guarded, password_file):
    async def scenario(store):
        await asyncio.to_thread(
            guarded.as_root, "user", "passwd", "store", "--interactive=false", stdin="another\n"
        )
        password_file.write_text("another\n")
        await asyncio.sleep(2.5)
        return await use(store)

    assert on(guarded.place, scenario)


@pytest.mark.parametrize(
    ("password", "name", "said"),
    [("wrong", "store", "does not know user=store"), ("correct horse", "nobody", "does not know user=nobody")],
)  # fmt: skip
def test_wrong_users_and_passwords_are_told(guarded, tmp_path, password, name, said):
    path = tmp_path / "given"
    path.write_text(password)
    text = refusal(dataclasses.replace(guarded.place, user=EtcdUser(name, path)))

    assert said in text
    assert password not in text.replace(str(path), "")


def test_a_missing_password_file_is_named(guarded, tmp_path):
    nowhere = EtcdUser("store", tmp_path / "nowhere")

    assert "nowhere" in refusal(dataclasses.replace(guarded.place, user=nowhere))


def test_a_cluster_that_wants_a_user_says_how_to_name_one(guarded):
    said = refusal(dataclasses.replace(guarded.place, user=None))

    assert "user=NAME&password-file=FILE" in said


def test_a_user_without_rights_is_told(guarded, tmp_path):
    guarded.as_root("user", "add", "guest:pw")
    (tmp_path / "guest").write_text("pw\n")
    guest = EtcdUser("guest", tmp_path / "guest")

    assert "user=guest needs a role" in refusal(dataclasses.replace(guarded.place, user=guest))


def test_the_user_of_a_client_certificate_needs_no_password(files, tmp_path, password_file):
    with EtcdCluster(tmp_path, files=files) as cluster:
        cluster.enable_auth("skytrail", password_file)  # As the certificate's common name.

        assert on(cluster.location, use)


def test_a_user_is_harmless_while_the_cluster_asks_for_none(plain, password_file):
    location = dataclasses.replace(plain.location, user=EtcdUser("store", password_file))

    assert on(location, use)
