"""What kind of file system a file lies on: SQLite's locks and its shared memory hold on a local one alone.

Only Linux tells it by name (`/proc/self/mountinfo`). Elsewhere, and where the name says nothing, it is unknown,
and said to be.
"""

from __future__ import annotations

import os
import re
from typing import Literal, NamedTuple

Kind = Literal["local", "network", "unknown"]

MOUNTS = "/proc/self/mountinfo"

# Shared between machines, or between a machine and its guest: locks or shared memory do not reach the other side.
_NETWORK = frozenset(
    {
        "9p", "afs", "afpfs", "beegfs", "ceph", "cifs", "coda", "drvfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
        "nfs", "nfs3", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "vboxsf",
        "virtiofs", "vmhgfs", "webdav", "wekafs",
    }
)  # fmt: skip

_LOCAL = frozenset(
    {
        "apfs", "aufs", "bcachefs", "btrfs", "ext2", "ext3", "ext4", "exfat", "f2fs", "fuseblk", "hfsplus", "jfs", "msdos",
        "nilfs2", "ntfs", "ntfs3", "overlay", "ramfs", "reiserfs", "tmpfs", "ubifs", "ufs", "vfat", "xfs", "zfs",
    }
)  # fmt: skip

_ESCAPED = re.compile(r"\\([0-7]{3})")


class FileSystem(NamedTuple):
    """A file system: its name as the system says it (empty where it does not), and its kind."""

    name: str
    kind: Kind


def file_system_of(path: str, mounts: str = MOUNTS) -> FileSystem:
    """Return the file system that *path* lies on, or will lie on once it is made.

    Args:
        path: A file; it need not exist.
        mounts: The file that lists the mounts, in the form of `/proc/self/mountinfo`.
    """
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            name = _mounted_at(os.path.realpath(path), lines.read().splitlines())
    except OSError:
        return FileSystem("", "unknown")
    return FileSystem(name, _kind(name))


def _mounted_at(path: str, lines: list[str]) -> str:
    found, longest = "", -1
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = _ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        within = path == point or path.startswith(point.rstrip("/") + "/")
        if within and len(point) >= longest:  # of two at one point, the later one lies on top
            found, longest = after.split(" ")[0], len(point)
    return found


def _kind(name: str) -> Kind:
    plain = name.lower()
    if plain in _LOCAL:
        return "local"
    if plain in _NETWORK or plain.startswith(("fuse.sshfs", "fuse.s3", "fuse.gcs", "fuse.rclone", "fuse.gluster")):
        return "network"
    return "unknown"
