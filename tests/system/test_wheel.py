"""The wheel: what is in it, and that the program in it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from gemcli import __version__
from gemcli.cli import COMMANDS

PROJECT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STEM = f"{PYPROJECT['name'].replace('-', '_')}-{__version__}"
"""What the names of directories in the wheel begin with."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a wheel, built by pip with the build backend that pyproject.toml names."""
    place = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--wheel-dir", place, PROJECT)
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what the wheel installs."""
    place = tmp_path_factory.mktemp("installed")
    _pip("install", "--no-deps", "--no-compile", "--target", place, wheel)
    return place


def _pip(*args: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _run(installed: Path, directory: Path, *args: str) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH comes before an editable installation of the project.
    world = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "100"}
    command = [sys.executable, str(installed / "bin" / "gemcli"), *args]
    return subprocess.run(
        command,
        cwd=directory,
        env=world,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Every file of the package is in the wheel, with man pages, metadata and licence; nothing else is."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "gemcli/py.typed" in names, "PEP 561: the package says that it is typed"
    package = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "gemcli").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    manual = [path for path in (PROJECT / "man").glob("man*/*") if path.suffix in (".1", ".5")]
    pages = {f"{STEM}.data/data/share/man/{path.parent.name}/{path.name}" for path in manual}
    assert {path.parent.name for path in manual} == {"man1", "man5"}
    metadata = f"{STEM}.dist-info"
    assert {name for name in names if not name.startswith(metadata)} == package | pages
    assert {f"{metadata}/METADATA", f"{metadata}/entry_points.txt", f"{metadata}/licenses/LICENSE"} <= names


def test_the_source_distribution_has_every_document() -> None:
    """The list in pyproject.toml names each one at the top of the tree, and what the tests need."""
    listed = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    documents = {f"/{path.name}" for path in (*PROJECT.glob("*.md"), PROJECT / "LICENSE")}
    assert documents | {"/gemcli", "/tests", "/scripts", "/man"} == set(listed["targets"]["sdist"]["include"])


def test_the_metadata_names_what_is_needed(wheel: Path) -> None:
    """The wheel needs what pyproject.toml declares, and has the README as its description."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{STEM}.dist-info/METADATA").decode("utf-8")
        entry = archive.read(f"{STEM}.dist-info/entry_points.txt").decode("utf-8")
    needed = {
        re.split("[<>]", line.split()[1])[0] for line in metadata.splitlines() if line.startswith("Requires-Dist: ")
    }
    assert needed == {"click", "google-genai", "httpx2", "jsonlines", "platformdirs", "pyyaml"}
    assert (PROJECT / "README.md").read_text(encoding="utf-8").strip() in metadata
    assert "gemcli = gemcli.__main__:run" in entry
    assert "gemcli-simulator = gemcli.__main__:run_simulator" in entry
    assert "\nProject-URL: Homepage, https://" in metadata


def test_the_installed_program_is_the_one_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The package that runs is the one in the wheel, not the one in the source tree."""
    world = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", "import gemcli; print(gemcli.__file__)"]
    done = subprocess.run(command, cwd=tmp_path, env=world, capture_output=True, text=True, timeout=60, check=True)
    assert Path(done.stdout.strip()) == installed / "gemcli" / "__init__.py"


def test_version_and_help_of_every_command(installed: Path, tmp_path: Path) -> None:
    """--version tells the version, and each command has its help."""
    assert _run(installed, tmp_path, "--version").stdout == f"gemcli {__version__}\n"
    overview = _run(installed, tmp_path, "--help")
    assert overview.returncode == 0
    for name, summary in COMMANDS.items():
        assert summary in overview.stdout
        done = _run(installed, tmp_path, name, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: gemcli {name} ")


def test_a_conversation_with_the_simulator(installed: Path, tmp_path: Path) -> None:
    """The installed program makes a session, holds a conversation in it and shows it."""
    assert _run(installed, tmp_path, "new", "-s", "a", "--model", "simulator/echo").returncode == 0
    for number in (1, 2):
        done = _run(installed, tmp_path, "send", "-s", "a", "--text", f"hello {number}")
        assert (done.returncode, done.stderr) == (0, "")
    shown = _run(installed, tmp_path, "history", "-s", "a", "--text").stdout
    assert shown.splitlines()[-1] == 'model: Message 2 says: "hello 2". Before it: 1: "hello 1".'
    assert _run(installed, tmp_path, "export", "script", "-s", "a").stdout.endswith("- hello 1\n- hello 2\n")


def test_the_simulator_as_a_server(installed: Path, tmp_path: Path) -> None:
    """The second program of the wheel serves other clients."""
    world = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, str(installed / "bin" / "gemcli-simulator")]
    with subprocess.Popen(command, cwd=tmp_path, env=world, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://127.0.0.1:")
        server.terminate()
        assert server.wait(timeout=20) == 143


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the packages that the wheel asks for and what those ask for, and nothing else."""
    packages = tmp_path_factory.mktemp("bare")
    for name in _needed(PYPROJECT["dependencies"]):
        found = distribution(name)
        for file in found.files or ():
            top = file.parts[0]
            source = Path(str(found.locate_file(top)))
            if top not in ("..", "__pycache__") and source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    return packages


def _needed(requirements: Sequence[str]) -> set[str]:
    """The names of the distributions that these requirements ask for, those of their own requirements included."""
    found: set[str] = set()
    waiting = list(requirements)
    while waiting:
        wanted = Requirement(waiting.pop())
        if (wanted.marker is None or wanted.marker.evaluate({"extra": ""})) and wanted.name not in found:
            found.add(wanted.name)
            waiting += distribution(wanted.name).requires or ()
    return found


def test_bare(installed: Path, bare: Path, tmp_path: Path) -> None:
    """With nothing installed but what the wheel asks for, a session can be made, talked to, replayed and shown."""
    (tmp_path / "s.yaml").write_text("- hello\n", encoding="utf-8")
    places = f"{installed}:{bare}"
    for words, expected in (
        (["new", "-s", "a", "--model", "simulator/echo"], '"turns":0'),
        (["send", "-s", "a", "hello"], '"saved":true'),
        (["send", "-s", "a", "--stream", "--text", "more"], "Message 2"),
        (["replay", "s.yaml", "-s", "b", "--model", "simulator/echo"], '"sent":1'),
        (["history", "-s", "a", "--text"], "user: hello"),
        (["export", "markdown", "-s", "a"], "hello"),
        (["rewind", "-s", "a"], '"turns":1'),
    ):
        # -S and -I leave out the site-packages of this environment.
        program = "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); from gemcli.cli import run; run()"
        command = [sys.executable, "-S", "-I", "-c", program, places, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), words
        assert expected in done.stdout
