from skytrail.agent.interface import PluggedPort
from skytrail.agent.io.state import StateFolder
from skytrail.agent.label import Numbers
from skytrail.agent.tables import InterfaceKind
from skytrail.testing.agent_world import ConfigBuilder, rule, subnet

PORT = PluggedPort("u1", "v1", "tap1", InterfaceKind.WORKLOAD_TAP)


def test_ports_are_read_back(tmp_path):
    StateFolder(tmp_path).save_ports([PORT])

    assert StateFolder(tmp_path).load_ports() == [PORT]


def test_numbers_are_read_back(tmp_path):
    numbers = Numbers()
    label = numbers.label.number("port")
    StateFolder(tmp_path).save_numbers(numbers.save())
    again = Numbers()

    assert StateFolder(tmp_path).load_numbers(again)
    assert again.label.number("port") == label


def test_configuration_is_read_back(tmp_path):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("10.1.2.0/24")])
    config.port("a", red, ["10.1.1.3"])
    config.security_group("web", 1, [rule({}, {}), rule({}, {}, protocol="6")], [])
    update = config.update()
    StateFolder(tmp_path).save_config(update.nodes, update.links)

    assert StateFolder(tmp_path).load_config() == update


def test_failed_checks_are_read_back(tmp_path):
    StateFolder(tmp_path).save_failed_checks([("u1", "default-domain:p:ping")])

    assert StateFolder(tmp_path).load_failed_checks() == [("u1", "default-domain:p:ping")]
    assert StateFolder(tmp_path / "new").load_failed_checks() == []


def test_absent_files_are_nothing(tmp_path):
    folder = StateFolder(tmp_path / "new")

    assert (folder.load_ports(), folder.load_config(), folder.problems) == ([], None, [])
    assert not folder.load_numbers(Numbers())


def test_damaged_file_is_reported_and_treated_as_absent(tmp_path):
    folder = StateFolder(tmp_path)
    for content in (b"", b"{", b'{"version": 1}', b'{"version": 99, "ports": []}', b"\xff\xfe"):
        (tmp_path / "ports.json").write_bytes(content)

        assert folder.load_ports() == []

    assert len(folder.problems) == 5


def test_interrupted_write_leaves_the_old_file(tmp_path):
    folder = StateFolder(tmp_path)
    folder.save_ports([PORT])
    (tmp_path / "ports.tmp").write_bytes(b"half")

    assert folder.load_ports() == [PORT]
