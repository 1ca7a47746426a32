"""The published site finds its libraries on disk, and results become one table."""

import base64
import hashlib
import re
from pathlib import Path

import asv
import pytest

from benchmarks import _site, _table


def digest(content: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_a_library_is_known_by_its_digest_before_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "node_modules"
    (folder / "dist").mkdir(parents=True)
    (folder / "chart.min.js").write_bytes(b"another version")
    (folder / "dist/renamed.js").write_bytes(b"the one")
    page = (
        f'<script src="https://example.org/1/chart.min.js" integrity="{digest(b"the one")}">'
        "</script>"
    )
    local = _site.localise(page, folder, tmp_path / "libraries")
    assert local == '<script src="libraries/chart.min.js"></script>'
    assert (tmp_path / "libraries/chart.min.js").read_bytes() == b"the one"


def test_a_library_without_a_minified_form_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "chart.js").write_bytes(b"readable")
    page = '<link rel="stylesheet" href="https://example.org/chart.min.js">'
    _site.localise(page, tmp_path, tmp_path / "libraries")
    assert (tmp_path / "libraries/chart.min.js").read_bytes() == b"readable"


def test_a_library_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"chart\.js is not in"):
        _site.localise('<script src="https://example.org/chart.js">', tmp_path, tmp_path / "to")


def test_nothing_that_asv_s_page_loads_is_overlooked() -> None:
    page = (Path(asv.__file__).parent / "www/index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'<(?:script|link)[^>]*"https://[^>]*>', page)
    assert loaded
    assert [tag[0] for tag in _site.TAG.finditer(page)] == loaded


def test_results_become_rows_with_parameters_and_units() -> None:
    result = {
        "result_columns": ["result", "params"],
        "results": {"a.B.track_c": [[1.0, None, float("nan"), 4.0], [["'x'"], list("1234")]]},
    }
    suite = {"a.B.track_c": {"param_names": ["'n'", "k"], "unit": "MiB"}}
    assert _table.rows(result, suite) == [
        ("a.B.track_c", "n=x, k=1", 1.0, "MiB"),
        ("a.B.track_c", "n=x, k=4", 4.0, "MiB"),
    ]
