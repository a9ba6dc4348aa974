"""Content credentials (C2PA), which generators of video and some cameras sign their files with."""

from pathlib import Path

C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # the type of its box (C2PA 2.1, A.5)


def has_credentials(path: Path) -> bool:
    """Tell whether a movie of boxes (ISO/IEC 14496-12) holds content credentials, which no changed file can keep."""
    place, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while place + 8 <= size:
            file.seek(place)
            head = file.read(32)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            extended = 8 if length == 1 else 0
            length = int.from_bytes(head[8:16], "big") if extended else length
            if kind == b"uuid" and head[8 + extended : 24 + extended] == C2PA:
                return True
            if length < 8:  # 0 stands for all the rest
                return False
            place += length
    return False
