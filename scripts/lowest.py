"""Print the lowest allowed version of each dependency, as pip constraints."""

import pathlib
import re
import tomllib

project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
for requirement in project["dependencies"]:
    name, version = re.split(r">=|,", requirement)[:2]
    print(f"{name}=={version}")  # noqa: T201  # printing is what it is for
