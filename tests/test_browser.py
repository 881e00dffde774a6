"""The finder of a browser, on machines that have none, one, or one under another name."""

import stat
from pathlib import Path

import browser
import pytest


def program(path: Path, script: str = "exit 0") -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on its PATH but this directory, and no browser of Playwright's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(browser.VARIABLE, raising=False)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "playwright"))
    monkeypatch.setattr(browser, "APPLICATIONS", ())
    monkeypatch.setattr(browser, "_of_playwright", lambda: None)
    monkeypatch.setattr(browser.sys, "executable", str(program(tmp_path / "python", "echo 'no network' >&2; exit 1")))
    return tmp_path


def test_an_installed_browser_is_found_under_any_of_its_names(machine: Path) -> None:
    chrome = program(machine / "google-chrome")
    assert browser.obtain(print) == str(chrome)
    chromium = program(machine / "chromium")
    assert browser.obtain(print) == str(chromium)


def test_the_variable_comes_first_and_must_name_a_program(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "chromium")
    monkeypatch.setenv(browser.VARIABLE, str(program(machine / "mine")))
    assert browser.obtain(print) == str(machine / "mine")
    monkeypatch.setenv(browser.VARIABLE, "/nowhere/chrome")
    with pytest.raises(browser.NoBrowserError, match=r"ACTVIZ_CHROMIUM='/nowhere/chrome' is no program"):
        browser.obtain(print)


def test_playwright_is_asked_before_the_package_manager(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "apt-get", "exit 1")
    downloaded = machine / "downloaded"
    program(machine / "python", f": > {downloaded}")
    monkeypatch.setattr(browser, "_of_playwright", lambda: str(downloaded))
    said: list[str] = []
    assert browser.obtain(said.append) == str(downloaded)
    assert said == ["no Chromium found; asking Playwright for one"]


def test_the_package_manager_is_asked_last(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser.os, "geteuid", lambda: 0)
    chromium = machine / "chromium"
    program(machine / "apt-get", f'[ "$1" = update ] || {{ echo "#!/bin/sh" > {chromium}; /bin/chmod +x {chromium}; }}')
    assert browser.obtain(print) == str(chromium)


def test_where_none_can_be_had_it_says_what_was_tried(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser.os, "geteuid", lambda: 1000)
    program(machine / "apt-get")
    with pytest.raises(browser.NoBrowserError) as caught:
        browser.obtain(print)
    told = str(caught.value)
    assert "playwright install chromium: no network" in told
    assert "apt-get install -y -qq chromium: needs root" in told
    assert "ACTVIZ_CHROMIUM=/path/to/chrome make test" in told


def test_a_program_that_does_not_run_is_passed_over(machine: Path) -> None:
    program(machine / "chromium", "echo 'install the snap' >&2; exit 1")  # as Ubuntu's stub
    chrome = program(machine / "google-chrome")
    assert browser.obtain(print) == str(chrome)


def test_an_empty_variable_counts_as_none(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browser.VARIABLE, "")
    chromium = program(machine / "chromium")
    assert browser.obtain(print) == str(chromium)


def test_of_a_long_complaint_the_errors_are_told(machine: Path) -> None:
    program(machine / "python", "printf 'Error: no such host\\n  at resolve (dns:101)\\nError: no such host\\nFailed\\n}\\n' >&2; exit 1")
    with pytest.raises(browser.NoBrowserError, match=r"install chromium: Error: no such host\n"):
        browser.obtain(print)


def test_a_download_that_takes_too_long_is_ended_with_its_children(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "DOWNLOAD_TIMEOUT_S", 1)
    late = machine / "late"
    program(machine / "python", f"(/bin/sleep 60; : > {late}) & /bin/sleep 60")
    with pytest.raises(browser.NoBrowserError, match=r"install chromium: not done after 1 s"):
        browser.obtain(print)
    assert not late.exists()  # a child that was left would have been waited for, as it can still write to the command's output
