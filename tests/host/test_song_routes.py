"""What the page asks of song files over HTTP: what they know, and their star; what other sites and names cannot do."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
import torch
from comfyui_client import ComfyUIClient
from host_process import HostProcess
from song_runs import observe, text_of, with_nodes

from ace_core.song.blueprint import Blueprint
from ace_core.song_files.encoding import ENCODINGS, Sound, encode
from ace_core.song_files.files import write_song
from ace_core.song_files.record import SongRecord
from ace_core.song_files.stars import read_star

LRC = "[00:01.50]Lanterns drift\n[00:04.00]along the bay"
RECORD = SongRecord(Blueprint(lyrics="[Verse]\nLanterns drift\nalong the bay", bpm=96, time_signature="3/4"), lrc=LRC)
SOUND = Sound(torch.zeros(1, 48_000), 48_000)
JSON = {"Content-Type": "application/json"}
NAME = "stars/song.flac [output]"


class Answer(NamedTuple):
    status: int
    body: Any


def ask(host: HostProcess, method: str, path: str, body: object = None, headers: dict[str, str] = JSON) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(host.url).netloc, timeout=60)
    content = body if isinstance(body, str | None) else json.dumps(body)
    connection.request(method, path, content, headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return Answer(response.status, json.loads(text) if text.startswith(b"{") else text)


def star(host: HostProcess, audio: object, starred: object = True, **headers: str) -> Answer:
    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(host, "POST", "/acecomposer/star", {"audio": audio, "starred": starred}, sent)


@pytest.fixture
def song(host: HostProcess) -> Path:
    """A song in the output folder, without a star."""
    path = host.base_directory / "output" / "stars" / "song.flac"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_song(path, SOUND, ENCODINGS["flac 16 bit"], RECORD)
    return path


def test_a_song_tells_what_it_knows(host: HostProcess, song: Path) -> None:
    assert ask(host, "GET", f"/acecomposer/song?audio={quote(NAME)}") == (
        200,
        {
            "lines": [{"text": "Lanterns drift", "start": 1.5}, {"text": "along the bay", "start": 4.0}],
            "lyrics": RECORD.blueprint.lyrics,
            "bpm": 96,
            "time_signature": "3/4",
            "starred": False,
        },
    )
    sample = ask(host, "GET", f"/api/acecomposer/song?audio={quote('sample (built in)')}").body
    assert (sample["bpm"], sample["lines"], sample["starred"]) == (110, [], False)


def test_a_star_is_in_the_file_and_said_when_it_is_loaded(host: HostProcess, song: Path, client: ComfyUIClient) -> None:
    assert star(host, NAME) == (200, {"starred": True})
    assert read_star(song)
    assert ask(host, "GET", f"/acecomposer/song?audio={quote(NAME)}").body["starred"] is True
    prompt = with_nodes(
        {},
        song=("AceComposerLoadSong", {"audio": NAME}),
        text=("PreviewAny", {"source": ["song", 5]}),
    )
    assert "It has a star." in text_of(observe(client, prompt), "song")
    assert star(host, NAME, False) == (200, {"starred": False})
    assert not read_star(song)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "multipart/form-data; boundary=x"},
        {"Origin": "https://example.com"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
def test_no_other_site_can_give_a_star(host: HostProcess, song: Path, headers: dict[str, str]) -> None:
    before = song.read_bytes()
    assert star(host, NAME, **headers).status == 403
    assert song.read_bytes() == before


def test_no_other_site_is_told_that_it_may_ask(host: HostProcess) -> None:
    connection = http.client.HTTPConnection(urlsplit(host.url).netloc, timeout=60)
    connection.request("OPTIONS", "/acecomposer/star", headers={"Origin": host.url})
    assert connection.getresponse().getheader("Access-Control-Allow-Origin") is None
    connection.close()


def test_the_page_itself_can(host: HostProcess, song: Path) -> None:
    assert star(host, NAME, Origin=host.url, Sec_Fetch_Site="same-origin").status == 200


@pytest.mark.parametrize(
    "name",
    [
        "../input/song.flac [output]",
        "stars/../../input/song.flac [output]",
        "/etc/passwd [output]",
        "link/song.flac [output]",
        "absent.flac [output]",
        "stars [output]",
        "a\0b.flac [output]",
    ],
    ids=repr,
)
def test_no_name_leads_out_of_the_output_folder(host: HostProcess, song: Path, name: str) -> None:
    outside = host.base_directory / "input" / "song.flac"
    write_song(outside, SOUND, ENCODINGS["flac 16 bit"], RECORD)
    link = host.base_directory / "output" / "link"
    if not link.exists():
        link.symlink_to(outside.parent, target_is_directory=True)
    answer = star(host, name)
    assert answer.status == 404 and "there is no file" in answer.body["error"]
    assert not read_star(outside) and not read_star(song)


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{", '"x"', '{"audio": 5, "starred": true}', '{"audio": "song.flac", "starred": true}', "[" * 9_999],
    ids=lambda body: body[:40],
)
def test_orders_that_cannot_be_read_get_a_sentence(host: HostProcess, song: Path, body: str) -> None:
    answer = ask(host, "POST", "/acecomposer/star", body)
    assert answer.status == 400 and answer.body["error"]
    assert star(host, NAME, "yes").body["error"] == "starred must be true or false, got 'yes'"
    assert not read_star(song)


def test_songs_of_others_stay_as_they_are(host: HostProcess, song: Path) -> None:
    other = song.with_name("other.flac")
    other.write_bytes(encode(SOUND, ENCODINGS["flac 16 bit"], {})[0])
    before = other.read_bytes()
    answer = star(host, "stars/other.flac [output]")
    assert (answer.status, answer.body["error"].split(":")[0]) == (400, "other.flac was not saved by Save Song")
    assert other.read_bytes() == before
    assert ask(host, "GET", f"/acecomposer/song?audio={quote('stars/other.flac [output]')}").body["starred"] is None
    assert ask(host, "GET", "/acecomposer/song").status == 404
