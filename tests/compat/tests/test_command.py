"""The whole command, over HTTP: against servers that answer as recorded, and against ones that do not quite."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import conftest
import replay_server
from compat.__main__ import main
from compat.contract import Contract
from compat.exchange import Answer
from compat.recordings import Recording


@pytest.fixture
def folder(recorded: list[Recording], tmp_path: Path) -> Path:
    """The recordings that the replaying server serves."""
    for recording in replay_server.served(recorded):
        shutil.copy(conftest.FOLDER / f"{recording.name}.json", tmp_path)
    return tmp_path


def run(url: str, folder: Path, *more: str) -> int:
    models = ["--model", "served-chat", "--completion-model", "served-completion", "--embedding-model", "served-embedding"]
    limits = ["--max-tokens", str(replay_server.LIMITS.missing), "--only", "[0-9]*"]
    return main(["--base-url", url, "--key", "sk-test", *models, *limits, "--recordings", str(folder), *more])


def without_request_id(answer: Answer) -> Answer:
    return replace(answer, headers={name: value for name, value in answer.headers.items() if name != "x-request-id"})


def with_extra_key(answer: Answer) -> Answer:
    return replace(
        answer, content=answer.content.replace(b'"object": "chat.completion"', b'"vendor": null, "object": "chat.completion"')
    )


def without_done(answer: Answer) -> Answer:
    return replace(answer, content=answer.content.replace(b"data: [DONE]\n\n", b""))


def test_openai_itself_is_indistinguishable(
    contract: Contract,
    recorded: list[Recording],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = tmp_path_factory.mktemp("report") / "report.json"
    with replay_server.running(contract, replay_server.served(recorded)) as url:
        code = run(url, folder, "--json", str(report))
    out = capsys.readouterr().out
    assert code == 0, out
    stored = json.loads(report.read_text())
    assert stored["divergent"] == 0
    assert stored["exchanges"] == stored["indistinguishable"] >= 60
    assert (
        f"compat: {stored['exchanges']} of {stored['exchanges']} exchanges indistinguishable (100.0 %), 0 allowed, 0 divergent"
        in out
    )
    assert out.splitlines()[-1] == f"{stored['exchanges']} passed, 0 failed, {stored['not_applicable']} skipped"


def test_a_divergence_is_told_from_both_sides(
    contract: Contract, recorded: list[Recording], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with replay_server.running(contract, replay_server.served(recorded), without_request_id) as url:
        assert run(url, folder) == 1
    out = capsys.readouterr().out
    assert "  headers.x-request-id\n    OpenAI      (request_id)\n    this server (absent)\n" in out
    assert "(0.0 %)" in out


def test_the_allow_list_allows_and_reports_what_is_unused(
    contract: Contract, recorded: list[Recording], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    allow = tmp_path / "allow.yaml"
    allow.write_text("- {exchange: '*', path: headers.x-request-id, reason: a proxy takes it away}\n")
    with replay_server.running(contract, replay_server.served(recorded), without_request_id) as url:
        assert run(url, folder, "--allow", str(allow), "-v") == 0
    out = capsys.readouterr().out
    assert "headers.x-request-id: allowed, a proxy takes it away" in out
    assert " 0 divergent" in out and " 0 allowed" not in out


def test_two_equal_servers_do_not_differ(
    contract: Contract, recorded: list[Recording], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served = replay_server.served(recorded)
    with replay_server.running(contract, served) as one, replay_server.running(contract, served) as two:
        assert run(one, folder, "--against", two, "--against-model", "served-chat") == 0
    assert "(100.0 %)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_request_id, "live.headers.x-request-id"),
        (with_extra_key, "live.chat.completion.vendor"),
        (without_done, "live.stream.done"),
    ],
)
def test_two_servers_are_told_apart(
    contract: Contract,
    recorded: list[Recording],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Answer], Answer],
    told: str,
) -> None:
    served = replay_server.served(recorded)
    with replay_server.running(contract, served) as one, replay_server.running(contract, served, change) as two:
        assert run(two, folder, "--against", one) == 1
    out = capsys.readouterr().out
    assert told in out
    assert "    other " in out


def test_nothing_listens(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("http://127.0.0.1:9", folder) == 1
    assert "ConnectError" in capsys.readouterr().out


def test_missing_recordings_are_loud_and_fail_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("compat.__main__.SHARED", tmp_path)
    arguments = ["--base-url", "http://127.0.0.1:9", "--key", "k", "--model", "m", "--only", "models/list"]
    monkeypatch.delenv("CI", raising=False)
    assert main(arguments) == 1
    assert "REPLAYS ARE SKIPPED" in capsys.readouterr().err
    monkeypatch.setenv("CI", "true")
    assert main(arguments) == 2
