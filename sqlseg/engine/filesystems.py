"""How a path can be spelled, and on what kind of file system it lies."""

import re
from contextlib import suppress
from pathlib import Path

NETWORK = frozenset(
    {
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "9p",
            "ceph",
            "glusterfs",
            "lustre",
            "gpfs",
            "beegfs",
            "afs",
            "ncpfs",
        ),
        *("davfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs", "fuse.ceph-fuse"),
        *("fuse.goofys", "fuse.mount-s3", "fuse.blobfuse2", "fuse.juicefs", "ocfs2", "gfs2"),
    }
)
"""Kinds by the names that Linux gives them."""

_MOUNTS = Path("/proc/self/mountinfo")


def file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the kind of file system that a path lies on, such as ext4 or nfs4; None where the system does not tell.

    `mounts` is what Linux says in /proc/self/mountinfo.

    >>> file_system(Path("/mnt/share/x"), "1 0 8:1 / / rw - ext4 /dev/a rw\\n2 1 0:9 / /mnt rw shared:1 - nfs4 h:/ rw")
    'nfs4'
    """
    if mounts is None:
        with suppress(OSError):
            mounts = _MOUNTS.read_text(encoding="utf-8")
    best, kind = -1, None
    for line in (mounts or "").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        # Spaces and the like are written as octal numbers there.
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code.group(1), 8)), fields[4]))
        # Of two at one place, the later one lies on top.
        if (path == point or point in path.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def spellings(path: Path) -> tuple[Path, ...]:
    """Return a path as given and without symbolic links, which a database looks through."""
    return path.absolute(), path.resolve()
