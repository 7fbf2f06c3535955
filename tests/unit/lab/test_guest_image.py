"""The archive a guest boots from."""

from pathlib import Path

from skytrail.lab.guest_image import APPLETS, CpioArchive, Extra, initramfs
from skytrail.lab.router_image import folders_of


def entries(archive):
    """Read a "newc" archive back: name -> (mode, content)."""
    found, offset = {}, 0
    while True:
        assert archive[offset : offset + 6] == b"070701"
        fields = [int(archive[offset + 6 + 8 * i : offset + 14 + 8 * i], 16) for i in range(13)]
        name_end = offset + 110 + fields[11]
        name = archive[offset + 110 : name_end - 1].decode()
        start = name_end + -name_end % 4
        content = archive[start : start + fields[6]]
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], content)
        offset = start + fields[6] + -fields[6] % 4


def test_archive_holds_what_was_added():
    archive = CpioArchive()
    archive.add_directory("bin")
    archive.add_file("bin/tool", b"12345", executable=True)
    archive.add_symlink("bin/alias", "tool")

    assert entries(archive.finish()) == {
        "bin": (0o040755, b""),
        "bin/tool": (0o100755, b"12345"),
        "bin/alias": (0o120777, b"tool"),
    }


def test_initramfs_loads_modules_in_dependency_order_and_skips_built_in_ones(tmp_path):
    for name in ("drivers/virtio/virtio.ko", "drivers/virtio/virtio_ring.ko"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())

    found = entries(initramfs(b"busybox", tmp_path))

    assert found["modules/order"][1] == b"virtio_ring.ko\nvirtio.ko\n"
    assert found["bin/busybox"][1] == b"busybox"
    assert {f"bin/{applet}" for applet in APPLETS.split()} <= set(found)


def test_equal_inputs_give_equal_archives(tmp_path):
    assert initramfs(b"busybox", tmp_path) == initramfs(b"busybox", tmp_path)


def test_a_guest_may_have_more_modules_and_files(tmp_path):
    for name in ("drivers/net/virtio_net.ko", "drivers/net/vrf.ko"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "program").write_bytes(b"program")
    extra = Extra(("drivers/net/vrf.ko",), ("usr",), (("usr/program", tmp_path / "program"),))

    found = entries(initramfs(b"busybox", tmp_path, extra))

    assert found["modules/order"][1] == b"virtio_net.ko\nvrf.ko\n"
    assert found["usr/program"] == (0o100755, b"program")


def test_folders_come_before_what_is_in_them():
    assert folders_of([Path("usr/lib/frr/zebra"), Path("lib/x.so")]) == (
        "usr",
        "usr/lib",
        "usr/lib/frr",
        "lib",
    )
