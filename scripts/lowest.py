"""Print the lowest allowed version of each dependency, as pip constraints."""

import pathlib
import re
import tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    name, _, version = re.split(r"(>=)", requirement)
    print(f"{name.strip()}=={version.strip()}")  # noqa: T201  # printing is what it is for
