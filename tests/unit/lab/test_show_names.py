"""Names of ports in the tables of a lab or host."""

from skytrail.lab.show import _port_names


def row(uuid, name):
    return {"vmi_uuid": uuid, "name": name}


def test_ports_of_one_name_in_two_projects_are_told_apart():
    rows = [
        row("1", "default-domain:red:web"),
        row("2", "default-domain:blue:web"),
        row("3", "default-domain:red:app"),
    ]

    assert _port_names(rows) == {"1": "red:web", "2": "blue:web", "3": "app"}


def test_a_port_without_configuration_has_no_name_yet():
    assert _port_names([{"vmi_uuid": "1"}]) == {}
