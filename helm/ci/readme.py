"""The table of values in README.md, from values.yaml and its comments."""

import json
import re

import yaml

from schema import comments
from tools import CHART, need

BEGIN, END = "<!-- values: written by .ci/chart --write -->", "<!-- end of values -->"


def rows():
    about = comments()
    used = set()

    def walk(value, path):
        if path in about:
            used.add(path)
            shown = json.dumps(value, ensure_ascii=False)
            yield f"| `{path}` | `{shown}` | {about[path]} |"
        elif isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(inner, f"{path}.{key}" if path else key)
        else:
            need(False, f"values.yaml: {path} has no comment that starts with `# --`")

    yield from walk(yaml.safe_load((CHART / "values.yaml").read_text()), "")
    need(used == set(about), f"values.yaml: comments without a key: {sorted(set(about) - used)}")


def text():
    now = (CHART / "README.md").read_text()
    table = "\n".join(["| value | default | what it is |", "|---|---|---|", *rows()])
    new, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}",
                         lambda _: f"{BEGIN}\n{table}\n{END}", now, flags=re.DOTALL)
    need(count == 1, "README.md has no place for the table of values")
    return new
