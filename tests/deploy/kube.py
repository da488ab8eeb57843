"""helm and kubectl, which ./build.sh installs."""

import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).parent.parent.parent
CHART = ROOT / "envoy/chart"


def run(tool, *arguments):
    return subprocess.run(
        [ROOT / "target/kube" / tool, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def objects(result):
    if result.returncode:
        raise AssertionError(result.stderr)
    return [document for document in yaml.safe_load_all(result.stdout) if document]


def render(*settings):
    """What `helm template` makes of these --set arguments."""
    flags = [flag for setting in settings for flag in ("--set-json", setting)]
    return run("helm", "template", "picker", CHART, "--namespace", "llm-picker", "--debug", *flags)
