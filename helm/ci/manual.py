"""The manual's `values` blocks: what the chart takes, and what its gateway takes."""

import json
import re

import jsonschema
import yaml

import kubelet
from tools import CHART, HELMS, find, lint, need, template

PAGES = CHART.parent / "src/manual"


def blocks():
    """Name and values of each block."""
    for page in sorted(PAGES.glob("*.md")):
        for number, block in enumerate(re.findall(r"^```values\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL), 1):
            yield f"{page.name}, block {number}", yaml.safe_load(block)


def check():
    schema = json.loads((CHART / "values.schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    count = 0
    for name, values in blocks():
        count += 1
        for error in validator.iter_errors(values):
            need(False, f"{name}: {error.json_path}: {error.message}")
        for helm in HELMS.values():
            docs = template(helm, values)
            lint(helm, values)
        code, told = kubelet.check(docs, find(docs, "Deployment") or find(docs, "DaemonSet"))
        need(code == 0, f"{name}: gatepost check says:\n{told}")
    need(count >= 3, f"{count} blocks of values in the manual")
