"""The rules of the house: where files lie, who imports whom, and that every list of packages names them all."""

import ast
import configparser
import importlib.util
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.name for path in (ROOT / "src").iterdir() if path.is_dir())
PYTHON_PACKAGES = [name for name in PACKAGES if name != "binpose_interfaces"]

# Whom each package may import, directly; binpose_ros is shared by the node.py files alone.
STAGES = {"binpose_simulation", "binpose_detection", "binpose_estimator", "binpose_refinement", "binpose_grasping"}
WORKFLOWS = {"binpose_pipeline", "binpose_training", "binpose_recording"}
MAY_IMPORT = {
    "binpose_core": set(),
    "binpose_simulation": {"binpose_core"},
    "binpose_detection": {"binpose_core"},
    "binpose_estimator": {"binpose_core"},
    "binpose_refinement": {"binpose_core", "binpose_estimator"},
    "binpose_grasping": {"binpose_core"},
    "binpose_pipeline": {"binpose_core", "binpose_detection", "binpose_estimator", "binpose_refinement"},
    "binpose_training": {"binpose_core", *STAGES, "binpose_pipeline"},
    "binpose_recording": {"binpose_core", "binpose_ros"},
    "binpose_self_training": {"binpose_core", "binpose_ros", *STAGES, *WORKFLOWS},
    "binpose_cell": {"binpose_core", "binpose_simulation", "binpose_grasping", "binpose_pipeline"},
    "binpose_ros": {"binpose_core"},
    "binpose": {"binpose_core", *STAGES, *WORKFLOWS, "binpose_self_training", "binpose_cell"},
}
ROS_MODULES = ("rclpy", "launch", "launch_ros", "tf2_ros", "cv_bridge", "message_filters", "ament_index_python")
ROS_SUFFIXES = ("_msgs", "_interfaces", "_srvs")
# Fussy or heavy: they are imported where they are used, so that everything else works without them.
LAZY_MODULES = {
    "open3d", "bpy", "torchvision", "pytorch3d", "ray", "onnxruntime", "cascadio", "mitsuba", "drjit", "pyoidn",
    "frankik", "pinocchio", "coal",
}  # fmt: skip
# The reader for training, what it is made of, and evaluation.
READERS_OF_LABELS = {"labelled_views.py", "bop.py", "matching.py", "golden.py", "run_evaluation.py"}
# rosdep knows them, but Ubuntu 24.04 has no such packages, or too old ones: `rosdep install` would fail.
NOT_IN_UBUNTU = {"python3-torch", "python3-torchvision", "python3-numba"}
# What Ubuntu has of what is imported, by rosdep's keys.
ROSDEP = {
    "numpy": "python3-numpy",
    "scipy": "python3-scipy",
    "cv2": "python3-opencv",
    "rich": "python3-rich",
    "ruamel": "python3-ruamel.yaml",
}
FORBIDDEN_MODULES = {"dill", "cloudpickle", "joblib", "drtk"}
# Public names that stand in two modules for things of their own: nothing else has a second definition.
TWO_OF_A_NAME = {
    "Definitions": "of message types in a bag, and of channels in an MCAP file",
    "Edges": "of a drawing, and of a graph of pixels",
    "Entry": "of an MCAP block, and of an array of vision_msgs",
    "Inputs": "of a command, and of a node",
    "Score": "of an evaluation, and the protocol of a calibration",
    "build": "of the stage of each node",
    "build_network": "of the detector, and of the pose estimator",
    "compile_kernels": "of the pipeline, of the simulation, and of a training",
    "exp_so3": "for numpy, and for torch",
    "look_at": "of crops of the camera's image, and of a camera in the world",
    "match": "of estimates and parts, and of windows of two images",
    "read_image": "from a file, and from a message",
    "score": "of the stage of each node",
    "simulate_pile": "of prepared parts, and of objects",
    "to_frame": "of the node's messages, and of the challenge's",
    "train": "of a network, and of a model",
    "warm_up": "of the stage of each node",
    "with_values": "of a tree of settings from a file, and of a node's parameters",
}
# Loading a pickled file runs its maker's code. Between processes of our own (dumps, loads) that is none but ours.
FORBIDDEN_CALLS = {"pickle.load", "pickle.dump", "torch.load", "torch.save", "os.system", "eval", "exec"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / "src" / package / package).rglob("*.py"))


SOURCES = [path for package in PYTHON_PACKAGES for path in sources(package)]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(tree: ast.AST) -> set[str]:
    """Top-level names of all absolute imports in the tree, those inside functions too."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def at_module_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run on import, without the bodies of functions and of `if TYPE_CHECKING:`."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        pending.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def manifest(package: str) -> ElementTree.Element:
    return ElementTree.parse(ROOT / "src" / package / "package.xml").getroot()


def setup_cfg(package: str) -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "src" / package / "setup.cfg", encoding="utf-8")
    return config


# --- Who imports whom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    for path in sources(package):
        allowed = MAY_IMPORT[package] | {package} | ({"binpose_ros"} if path.name == "node.py" else set())
        own = {name for name in imports(parsed(path)) if name == "binpose" or name.startswith("binpose_")}
        assert own <= allowed | {"binpose_interfaces"}, f"{short(path)} imports {sorted(own - allowed)}"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_only_nodes_know_ros(path: Path) -> None:
    if path.name == "node.py" or "binpose_ros" in path.parts:
        return
    ros = {name for name in imports(parsed(path)) if name in ROS_MODULES or name.endswith(ROS_SUFFIXES)}
    assert not ros, f"{short(path)} imports {sorted(ros)}; only node.py and binpose_ros may"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_no_import_that_the_house_does_without(path: Path) -> None:
    tree = parsed(path)
    assert not imports(tree) & FORBIDDEN_MODULES
    heavy = set().union(*(imports(ast.Module([node], [])) for node in at_module_level(tree) if _is_import(node)), set())
    assert not heavy & LAZY_MODULES, f"{short(path)}: import {sorted(heavy & LAZY_MODULES)} where it is used"
    stars = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"]
    assert not stars, f"{short(path)} has a star import"
    relative = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level > 0]
    assert not relative, f"{short(path)} has a relative import"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_no_call_that_runs_foreign_code(path: Path) -> None:
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    forbidden = {ast.unparse(call.func) for call in calls} & FORBIDDEN_CALLS
    assert not forbidden, f"{short(path)} calls {sorted(forbidden)}"
    allowing = [call for call in calls for keyword in call.keywords if keyword.arg == "allow_pickle"]
    assert not allowing, f"{short(path)} passes allow_pickle"


def test_a_public_name_has_one_definition() -> None:
    homes: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(short(path))
    twice = {name: paths for name, paths in homes.items() if len(paths) > 1 and name != "main"}
    assert {name: paths for name, paths in twice.items() if name not in TWO_OF_A_NAME} == {}
    assert set(TWO_OF_A_NAME) <= set(twice), "remove from TWO_OF_A_NAME what has one definition by now"


def test_time_is_measured_in_one_place() -> None:
    measuring = {short(path) for path in SOURCES if "perf_counter" in path.read_text(encoding="utf-8")}
    assert measuring == {"src/binpose_core/binpose_core/base/stopwatch.py"}


def test_options_have_the_defaults_of_the_settings() -> None:
    """Options that stand apart from the settings, so that a command starts without the networks' libraries."""
    from binpose.commands.calibrate import Calibrate
    from binpose.commands.train import Train
    from binpose_training.config import FEWEST_CALIBRATION_VIEWS, CalibrationJob

    assert (Train.minutes, Train.detector, Train.seed) == (None, None, None), "those of TrainConfig"
    assert (Calibrate.views, Calibrate.evaluation_views) == (FEWEST_CALIBRATION_VIEWS, CalibrationJob.evaluation_views)


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_the_manifest_names_the_packages_that_are_imported(package: str) -> None:
    declared = {element.text for element in manifest(package).iter() if element.tag in ("depend", "exec_depend")}
    imported = set().union(*(imports(parsed(path)) for path in sources(package)))
    used = imported & set(PACKAGES) - {package}
    assert used <= declared, f"src/{package}/package.xml lacks <exec_depend> of {sorted(used - declared)}"
    system = {ROSDEP[name] for name in imported if name in ROSDEP}
    assert system == declared & set(ROSDEP.values()), f"src/{package}/package.xml: {sorted(system)} are imported"
    by_pip = [name for name in declared if name and name.endswith("-pip")]
    assert not by_pip, f"{by_pip}: rosdep cannot install them on Ubuntu 24.04, whose pip refuses to"
    assert not declared & NOT_IN_UBUNTU, f"src/{package}/package.xml: name them in the comment on pip instead"


def test_setuptools_is_one_that_colcon_can_link_packages_with() -> None:
    pinned = re.search(r"^setuptools==(\d+)", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None and int(pinned.group(1)) < 80, "`colcon build --symlink-install` fails with it"


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_labels_of_data_sets_are_read_for_training_by_one_reader(path: Path) -> None:
    """`labelled_views` refuses labels that are for evaluation only; nothing goes around it, or says another purpose."""
    called = {node.func for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)}
    names = {getattr(function, "attr", getattr(function, "id", "")) for function in called}
    if path.name not in READERS_OF_LABELS:
        assert not names & {"ground_truth", "labelled_view"}, f"{short(path)}: read labels with `labelled_views`"
    purposes = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.keyword) and node.arg == "purpose"]
    assert not purposes, f"{short(path)}: evaluation alone may open labels for another purpose than training"


# --- Where files lie --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_a_package_is_one_for_colcon_and_for_pip(package: str) -> None:
    folder = ROOT / "src" / package
    for name in (
        "package.xml",
        "setup.py",
        "setup.cfg",
        f"resource/{package}",
        f"{package}/__init__.py",
        f"{package}/py.typed",
    ):
        assert (folder / name).is_file(), f"src/{package}/{name} is missing"
    # colcon reads setup.cfg only where setup() has no arguments.
    assert "\nsetup()\n" in (folder / "setup.py").read_text()


def test_colcon_does_not_take_the_root_for_a_package() -> None:
    for name in ("setup.py", "setup.cfg", "package.xml", "CMakeLists.txt", "COLCON_IGNORE", "AMENT_IGNORE"):
        assert not (ROOT / name).exists(), f"with {name} in the root, colcon would not descend into src/"


def test_colcon_finds_every_package() -> None:
    if shutil.which("colcon") is None:
        pytest.skip("colcon is not installed")
    done = subprocess.run(["colcon", "list", "--names-only"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(done.stdout.split()) == PACKAGES


def test_one_version_everywhere() -> None:
    versions = {"pyproject.toml": pyproject()["project"]["version"]}
    for package in PYTHON_PACKAGES:
        versions[f"{package}/setup.cfg"] = setup_cfg(package)["metadata"]["version"]
    for package in PACKAGES:
        versions[f"{package}/package.xml"] = manifest(package).findtext("version")
    assert len(set(versions.values())) == 1, versions


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_one_name_everywhere(package: str) -> None:
    assert setup_cfg(package)["metadata"]["name"] == package
    assert manifest(package).findtext("name") == package
    assert manifest(package).findtext("license") == setup_cfg(package)["metadata"]["license"] == "Apache-2.0"


def test_every_list_of_packages_names_them_all() -> None:
    tool = pyproject()["tool"]
    folders = [f"src/{name}" for name in PYTHON_PACKAGES]
    assert sorted(tool["setuptools"]["packages"]["find"]["where"]) == folders
    assert sorted(tool["pytest"]["ini_options"]["pythonpath"]) == folders
    assert sorted(tool["mypy"]["mypy_path"].split(":")) == folders
    assert sorted(tool["mypy"]["packages"]) == PYTHON_PACKAGES
    assert sorted(tool["importlinter"]["root_packages"]) == PYTHON_PACKAGES
    assert set(PYTHON_PACKAGES) <= set(MAY_IMPORT)
    colcon = re.findall(r"^  (\w+):", (ROOT / "colcon.meta").read_text(), re.MULTILINE)
    assert sorted(colcon) == PYTHON_PACKAGES
    layers = [name.strip() for line in tool["importlinter"]["contracts"][0]["layers"] for name in line.split("|")]
    assert sorted(layers) == PYTHON_PACKAGES


ACROSS_FILES = {"test_distilled_presets", "test_partial_labels"}
"""Tests of a law that holds across the files of a package."""


def test_tests_mirror_the_sources() -> None:
    for folder in sorted(path for path in (ROOT / "tests").iterdir() if path.name in PYTHON_PACKAGES):
        known = {path.stem for path in sources(folder.name)}
        for path in sorted(folder.rglob("test_*.py")):
            if path.stem not in ACROSS_FILES:
                assert path.stem.removeprefix("test_") in known, f"{short(path)} tests no file of src/{folder.name}"


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_every_source_is_imported_by_a_test_or_by_a_source_that_is(package: str) -> None:
    """No file lies outside the tests' reach: the ones named by a test reach the rest through their imports."""
    modules = {_module(path): path for path in SOURCES if path.name != "__init__.py"}
    reached: set[str] = set()
    pending = [name for path in (ROOT / "tests").rglob("*.py") for name in _imported_modules(path, set(modules))]
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending.extend(_imported_modules(modules[name], set(modules)))
    missed = {name for name in modules if name.partition(".")[0] == package} - reached
    assert not missed, f"no test reaches {sorted(missed)}"


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts[1:])


def _imported_modules(path: Path, known: set[str]) -> set[str]:
    """Those of `known` that a file imports, also as `from package import module` or through an `__init__`."""
    names: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
            init = ROOT / "src" / node.module.partition(".")[0] / Path(*node.module.split(".")) / "__init__.py"
            if init.is_file() and init != path:
                names.update(_imported_modules(init, known))
    return names & known


def test_the_python_in_the_documents_can_be_run() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("src/**/*.md")]
    blocks = [
        (document, block)
        for document in documents
        for block in re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert blocks
    for document, block in blocks:
        compile(block, str(document), "exec")
        for module in re.findall(r"^from (binpose\S*) import", block, re.MULTILINE):
            if module == "binpose_interfaces.msg":  # made from its messages where ROS is
                continue
            assert importlib.util.find_spec(module), f"{document} imports {module}"
