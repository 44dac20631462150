"""What checkov says of everything that we would apply: each finding is mended, or answered on its object by a sentence.

`make check-charts` brings the scanner and runs this; the file's name keeps it out of the other tests, which do without.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.charts.conftest import ROOT, Manifest

CHECKOV = str(ROOT / ".venv-charts" / "bin" / "checkov")


def answers(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(check, reason) of each of checkov's own annotations."""
    for key, value in manifest["metadata"].get("annotations", {}).items():
        if key.startswith("checkov.io/skip"):
            check, _, reason = value.partition("=")
            yield check, reason


def unanswered(manifest: Manifest) -> Manifest:
    bare = copy.deepcopy(manifest)
    for key in list(bare["metadata"].get("annotations", {})):
        if key.startswith("checkov.io/"):
            del bare["metadata"]["annotations"][key]
    return bare


@pytest.fixture(scope="module")
def findings(renderings: dict[str, list[Manifest]], tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """Of one scan over all renderings as they are, and in the folder `unanswered` as if nothing had been answered."""
    folder = tmp_path_factory.mktemp("renderings")
    for rendering, manifests in renderings.items():
        for kind, objects in (("as-they-are", manifests), ("unanswered", map(unanswered, manifests))):
            file = folder / kind / f"{rendering}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump_all(objects))
    command = [CHECKOV, "--directory", ".", "--framework", "kubernetes", "--skip-download", "--quiet", "--compact"]
    # Nobody's own settings or keys of checkov change what is found here, and with --skip-download it asks no network.
    done = subprocess.run(
        [*command, "--output", "json"],
        cwd=folder,
        env={"HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    failed: list[Manifest] = report["results"]["failed_checks"]
    return failed


def test_every_finding_is_mended_or_answered(findings: list[Manifest]) -> None:
    open_ones = [
        f"{finding['file_path']}: {finding['resource']}: {finding['check_id']} {finding['check_name']}"
        for finding in findings
        if finding["file_path"].startswith("/as-they-are/")
    ]
    assert not open_ones, "\n".join(sorted(open_ones))


def test_every_answer_is_one_to_a_finding(findings: list[Manifest], renderings: dict[str, list[Manifest]]) -> None:
    found = {(each["file_path"].split("/")[2], each["resource"], each["check_id"]) for each in findings}
    given = {
        (rendering.partition("/")[0], "{kind}.{metadata[namespace]}.{metadata[name]}".format(**manifest), check)
        for rendering, manifests in renderings.items()
        for manifest in manifests
        for check, _ in answers(manifest)
    }
    assert given
    assert given - found == set()


def test_every_answer_is_a_sentence_that_checkov_can_read(renderings: dict[str, list[Manifest]]) -> None:
    reasons = {r for manifests in renderings.values() for manifest in manifests for _, r in answers(manifest)}
    assert reasons
    for reason in reasons:
        assert reason[:1].isupper()
        assert reason.endswith(".")
        assert "=" not in reason, "it parts the check from the reason"
