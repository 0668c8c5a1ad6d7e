"""How the doctor examines and tells: checks that hang, lines, secrets; its command and its page."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from doctor_tools import OK, PROBLEM, WARNING, WITHIN_S, only, stored
from jobs_tools import Clock, wait_until
from streamlit.testing.v1 import AppTest

from noisedash.errors import StoreError
from noisedash.jobs.doctor import (
    processes,
)
from noisedash.jobs.doctor.checks import Check, run_checks
from noisedash.jobs.doctor.examination import examine, from_line, to_line
from noisedash.jobs.doctor.findings import Finding, ok, problem, secrets_of, warning, without_secrets
from noisedash.settings import Settings, current_settings
from noisedash.ui import machine
from noisedash.ui.machine import Examinations


def test_a_check_that_fails_or_hangs_stops_no_other() -> None:
    release = threading.Event()

    def hang() -> list[Finding]:
        release.wait(WITHIN_S)
        return []

    def fail() -> list[Finding]:
        raise PermissionError(errno.EACCES, "Permission denied", "/secret")

    def refuse() -> list[Finding]:
        raise StoreError("The database is locked.")

    checks = [Check("hangs", hang, 0.2), Check("fails", fail), Check("refuses", refuse)]
    found = list(run_checks([*checks, Check("last", lambda: [ok("last", "Well.")])]))
    release.set()
    assert [(finding.name, finding.verdict) for finding in found] == [
        ("hangs", PROBLEM),
        ("fails", WARNING),
        ("refuses", PROBLEM),
        ("last", OK),
    ]
    assert "no answer" in found[0].found
    assert "/secret" in found[1].found
    assert found[2].found == "The database is locked."


def test_findings_travel_as_lines() -> None:
    finding = warning("disk", "Füll\nit", "Empty it.")
    assert "\n" not in to_line(finding)
    assert from_line(to_line(finding)) == finding


def test_passwords_and_tokens_are_struck_out() -> None:
    url = "postgresql+psycopg://me:s3cr%40et@db.example/noisedash"
    secrets = secrets_of({"RAY_AUTH_TOKEN": "token-of-ray", "HOME": "/home/me"}, url)
    told = f"{url} failed: 's3cr@et' was refused, so was token-of-ray"
    struck = without_secrets(problem("database", told, told), secrets)
    for text in (struck.found, struck.remedy):
        assert "s3cr" not in text
        assert "token-of-ray" not in text
        assert "db.example" in text


def test_a_url_that_cannot_be_read_hides_its_password_too() -> None:
    finding = problem("database", "Could not parse nonsense://me:hunter22@host:port/x", "")
    assert "hunter22" not in without_secrets(finding, secrets_of({}, "nonsense://me:hunter22@host:port/x")).found


def test_an_examination_that_hangs_is_ended(own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    found = only(list(examine(current_settings(), within_s=1.0)))
    assert found.verdict is PROBLEM
    wait_until(lambda: processes.state_of(int((tmp_path / "pid").read_text())) is None, WITHIN_S)


def test_an_examination_that_breaks_says_why(own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: no numpy' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    assert "no numpy" in only(list(examine(current_settings()))).found


def doctor(*arguments: str, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "noisedash", "doctor", *arguments],
        env={**os.environ, "NOISEDASH_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_tells_problems_and_ends_with_one(own_home: Path) -> None:
    stored(current_settings()).close()
    (own_home / "noisedash.db").write_bytes(b"no database at all" * 100)
    done = doctor("--json", home=own_home, RAY_AUTH_MODE="open", NOISEDASH_DB="")
    told = json.loads(done.stdout)
    verdicts = {finding["name"]: finding["verdict"] for finding in told["findings"]}
    assert done.returncode == 1, done.stderr
    assert (verdicts["database"], verdicts["Ray"], verdicts["torch"]) == ("problem", "problem", "ok")
    assert {"python", "packages", "GPU", "memory", "home", "worker", "datasets", "web"} <= set(verdicts)
    assert all(finding["remedy"] for finding in told["findings"] if finding["verdict"] != "ok")
    assert told["removed"] == []


def page_of(findings: list[Finding], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The section as a page of its own, after its examination."""
    examinations = Examinations(lambda _settings: findings)
    monkeypatch.setattr(machine, "_EXAMINATIONS", examinations)
    wait_until(lambda: examinations.newest(current_settings()) is not None, WITHIN_S)

    def script() -> None:
        from noisedash.ui import machine

        machine.render()

    return AppTest.from_function(script).run()


def test_the_page_shows_what_is_wrong_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        ok("cores", "There are 2."),
        warning("worker", "It sleeps.", "Wake it: `kill -CONT 5`."),
        problem("disk", "*Full* ![x](http://h/y).", "Empty it."),
    ]
    app = page_of(findings, monkeypatch)
    assert not app.exception
    assert [text.value for text in app.subheader] == ["This machine"]
    assert "`kill -CONT 5`" in app.warning[0].value
    assert r"\*Full\* \!\[x\]" in app.error[0].value
    assert "cores" not in app.warning[0].value + app.error[0].value


def test_the_page_is_silent_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    app = page_of([ok("cores", "There are 2.")], monkeypatch)
    assert not app.exception
    assert [*app.subheader, *app.warning, *app.error] == []


def test_the_page_waits_for_no_examination() -> None:
    begun, release, asked = threading.Event(), threading.Event(), []

    def slow(settings: Settings) -> list[Finding]:
        asked.append(settings)
        begun.set()
        release.wait(WITHIN_S)
        return [problem("disk", "It is full.", "Empty it.")]

    clock, settings = Clock(), current_settings()
    examinations = Examinations(slow, clock)
    assert examinations.newest(settings) is None
    assert begun.wait(WITHIN_S)
    assert examinations.newest(settings) is None
    release.set()
    wait_until(lambda: examinations.newest(settings) is not None, WITHIN_S)
    assert [finding.name for finding in examinations.newest(settings)] == ["disk"]
    assert len(asked) == 1
    clock.now += 61
    assert examinations.newest(settings) is not None
    wait_until(lambda: len(asked) == 2, WITHIN_S)
