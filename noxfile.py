"""The tests with every supported version of MindSpore and Python.

``pip install nox`` first. ``nox -l`` lists the sessions, and ``nox -s "tests-3.11(mindspore='2.7.0')"`` runs one.
A session makes an environment of its own with that Python and that MindSpore; a Python that is not installed is
skipped. ``nox -- tests/export`` runs other tests than the default ones.
"""

import nox

PYTHONS = ["3.10", "3.11", "3.12"]
MINDSPORES = ["2.7.0", "2.8.0", "2.9.0", "2.10.0"]
FLOW = ["tests/test_import.py", "tests/test_checkpoint.py", "tests/test_exactness.py", "tests/export/test_mindir.py",
        "tests/masks/test_parents.py", "tests/trust/test_damaged_files.py", "tests/test_versions.py"]

nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests"]


@nox.session(python=PYTHONS)
@nox.parametrize("mindspore", MINDSPORES)
def tests(session: nox.Session, mindspore: str) -> None:
    """Import, the whole flow, files and export; or the tests that are given."""
    session.install(f"mindspore=={mindspore}", "-e", ".[cli,examples,onnx,test]")
    session.run("python", "-m", "pytest", "-q", *(session.posargs or FLOW),
                env={"ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3"})
