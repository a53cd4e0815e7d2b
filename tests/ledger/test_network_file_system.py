"""Which file system a file lies on, read off the system's list of mounts."""

from __future__ import annotations

import pytest

from mas_guard.ledger.sqlite.network_file_system import FileSystem, file_system_of

MOUNTS = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 0:40 / /shared rw,relatime shared:2 master:1 - nfs4 server:/export rw,vers=4.2
29 28 0:41 / /shared/fast rw,relatime - xfs /dev/vdb rw
30 27 0:42 / /with\040space rw - cifs //server/share rw
31 27 0:43 / /over rw - ext4 /dev/vdc rw
32 31 0:44 / /over rw - virtiofs share rw
33 27 0:45 / /strange rw - fuse.something something rw
34 27 0:46 / /home rw - fuse.sshfs me@server: rw
a line that says nothing
"""


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/var/lib/ledger.db", "ext4", "local"),
        ("/shared/ledger.db", "nfs4", "network"),
        ("/shared/fast/ledger.db", "xfs", "local"),
        ("/sharedness/ledger.db", "ext4", "local"),
        ("/with space/ledger.db", "cifs", "network"),
        ("/over/ledger.db", "virtiofs", "network"),
        ("/strange/ledger.db", "fuse.something", "unknown"),
        ("/home/me/ledger.db", "fuse.sshfs", "network"),
    ],
)
def test_the_deepest_and_latest_mount_counts(tmp_path, path, name, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system_of(path, str(mounts)) == FileSystem(name, kind)


def test_a_link_is_followed_to_where_the_file_lies(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:40 / {tmp_path}/far rw - nfs server: rw\n")
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    assert file_system_of(str(tmp_path / "near" / "ledger.db"), str(mounts)).kind == "network"


def test_where_the_system_does_not_say_it_is_unknown(tmp_path):
    assert file_system_of("/ledger.db", str(tmp_path / "nothing")) == FileSystem("", "unknown")
