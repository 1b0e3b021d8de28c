"""Which of FFmpeg's demuxers reads which file: every recording and video that PyAV reads, by content and by name.

The first bytes count before the name, since an MP3 is often an AAC in truth; where they say nothing, the suffix does.

Traps:
- The format is told, not guessed, and FFmpeg gets an open file, not a name. A playlist that calls itself MP3 would
  make it open other files or addresses.
- RIFF is WAV or AVI, FORM is AIFF or not, and an ID3 tag may stand before any stream: then the suffix decides.
"""

from __future__ import annotations

from collections.abc import Mapping

import av

_SUFFIXES_OF_DEMUXERS: Mapping[str, tuple[str, ...]] = {
    "wav": (".wav", ".wave", ".bwf", ".rf64"),
    "w64": (".w64",),
    "mp3": (".mp3", ".mp2", ".mpga", ".mpa", ".m2a"),
    "flac": (".flac",),
    "ogg": (".ogg", ".oga", ".opus", ".spx", ".ogv", ".ogm"),
    "mp4": (".m4a", ".m4b", ".m4r", ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".alac", ".f4a", ".f4v"),
    "aac": (".aac", ".adts"),
    "aiff": (".aif", ".aiff", ".aifc"),
    "caf": (".caf",),
    "asf": (".wma", ".asf", ".wmv"),
    "matroska": (".mka", ".mkv", ".webm", ".weba"),
    "ape": (".ape",),
    "wv": (".wv",),
    "tta": (".tta",),
    "tak": (".tak",),
    "mpc8": (".mpc", ".mpp"),
    "ac3": (".ac3",),
    "eac3": (".eac3", ".ec3"),
    "dts": (".dts",),
    "dtshd": (".dtshd",),
    "truehd": (".thd",),
    "mlp": (".mlp",),
    "au": (".au", ".snd"),
    "amr": (".amr",),
    "dsf": (".dsf",),
    "iff": (".dff",),
    "avi": (".avi",),
    "flv": (".flv",),
    "mpegts": (".ts", ".mts", ".m2ts"),
    "mpeg": (".mpg", ".mpeg", ".vob"),
    "rm": (".ra", ".rm", ".rmvb"),
    "mxf": (".mxf",),
    "voc": (".voc",),
    "oma": (".oma", ".aa3", ".omg"),
    "shn": (".shn",),
    "qoa": (".qoa",),
    "sox": (".sox",),
    "nistsphere": (".sph", ".nist"),
}
DEMUXERS: Mapping[str, str] = {
    suffix: demuxer for demuxer, suffixes in _SUFFIXES_OF_DEMUXERS.items() for suffix in suffixes
}
HEAD_BYTES = 16
_AFTER_ID3 = ("mp3", "flac", "aac", "tta", "ape", "wv", "mpc8")  # what stands behind an ID3 tag at the beginning
_HEADS: tuple[tuple[int, bytes, str], ...] = (  # where, which bytes, what they are
    (8, b"WAVE", "wav"),
    (8, b"AVI ", "avi"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (4, b"ftyp", "mp4"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"\x30\x26\xb2\x75", "asf"),
    (0, b"caff", "caf"),
    (0, b"wvpk", "wv"),
    (0, b"MAC ", "ape"),
    (0, b"TTA1", "tta"),
    (0, b"MPCK", "mpc8"),
    (0, b"MP+", "mpc"),
    (0, b".snd", "au"),
    (0, b"#!AMR", "amr"),
    (0, b"FLV\x01", "flv"),
    (0, b"riff\x2e\x91", "w64"),
    *((0, mark, "mp3") for mark in (b"\xff\xfb", b"\xff\xfa", b"\xff\xf3", b"\xff\xf2")),
    (0, b"\xff\xf1", "aac"),
    (0, b"\xff\xf9", "aac"),
)
BROKEN_FILE = (av.FFmpegError, OSError)  # OSError: a broken file can make FFmpeg seek to before its beginning
NO_RECORDINGS: Mapping[str, str] = {
    **dict.fromkeys((".mid", ".midi", ".kar"), "is notes without sound: render it to a recording first"),
    **dict.fromkeys(
        (".musicxml", ".mxl", ".mscz", ".sib", ".gp", ".gp5", ".gpx"), "is a score: render it to a recording"
    ),
    **dict.fromkeys(
        (".mod", ".xm", ".s3m", ".it"), "is notes and samples of a tracker: render it to a recording first"
    ),
    **dict.fromkeys((".aax", ".aa", ".m4p"), "is locked by its shop: no program may read it"),
    **dict.fromkeys(
        (".aup", ".aup3", ".als", ".flp", ".logicx", ".rpp", ".cpr", ".ptx", ".band"),
        "is a project: export its mix as a recording",
    ),
    **dict.fromkeys((".m3u", ".m3u8", ".pls", ".cue"), "is a list of recordings: bring the recordings themselves"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".gz", ".tgz"), "is an archive: unpack it"),
    **dict.fromkeys((".part", ".crdownload", ".download", ".opdownload"), "is an unfinished download"),
    **dict.fromkeys((".pcm", ".raw"), "is samples without a header: save it as WAV"),
}
"""Files that look like recordings to a person and hold no sound that can be read, with the reason."""


def demuxer_of(suffix: str, head: bytes) -> str:
    """The demuxer for a file of a known suffix that begins with these bytes."""
    for place, mark, demuxer in _HEADS:
        if head[place : place + len(mark)] == mark:
            return demuxer
    named = DEMUXERS[suffix.lower()]
    return "mp3" if head.startswith(b"ID3") and named not in _AFTER_ID3 else named
