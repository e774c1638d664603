"""`patch`: programs written for scikit-learn run with this package's functions."""

import importlib
import pickle
import pkgutil
import subprocess
import sys
import types

import numpy as np
import pytest
import sklearn.decomposition
from conftest import make_X

import nmf_numba
from nmf_numba import estimators, patching

NAMES = ("NMF", "MiniBatchNMF", "non_negative_factorization")
OURS = {name: getattr(nmf_numba, name) for name in NAMES}
THEIRS = {name: getattr(sklearn.decomposition, name) for name in NAMES}

PROGRAM = """\
import sys
from sklearn.decomposition import NMF, non_negative_factorization as factorize

if __name__ == "__main__":
    import helper  # beside the program
    import numpy as np

    X = np.random.default_rng(0).random((30, 8))
    W, H, n_iter = factorize(X, n_components=3, init="random", random_state=0, max_iter=500)
    print(NMF.__module__, factorize.__module__, helper.NMF.__module__, n_iter, repr(float(H.sum())), sys.argv[1:])
"""


@pytest.fixture
def importer():
    """A module that has imported scikit-learn's names, some under other names."""
    module = types.ModuleType("importer_of_scikit_learn")
    source = "from sklearn.decomposition import NMF, MiniBatchNMF as Mini, non_negative_factorization as factorize"
    exec(source, module.__dict__)
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def now():
    return {name: getattr(sklearn.decomposition, name) for name in NAMES}


def test_names_are_replaced_and_put_back(importer):
    before = dict(vars(importer))
    with nmf_numba.patch():
        assert now() == OURS
        assert (importer.NMF, importer.Mini, importer.factorize) == tuple(OURS.values())
    assert now() == THEIRS
    assert vars(importer) == before
    assert list(vars(importer)) == list(before)


def test_import_while_patched_gives_ours():
    with nmf_numba.patch():
        from sklearn.decomposition import NMF  # noqa: PLC0415

        model = NMF(n_components=3, init="random", random_state=0, max_iter=1000).fit(make_X())
    assert isinstance(model, estimators.NMF)


def test_undo_by_hand_and_twice(importer):
    active = nmf_numba.patch()
    assert now() == OURS
    active.undo()
    assert now() == THEIRS
    importer.NMF = estimators.NMF  # on purpose, after the patch
    active.undo()
    assert importer.NMF is estimators.NMF


def test_undo_leaves_what_was_assigned_since(importer):
    with nmf_numba.patch():
        importer.NMF = "another"
    assert importer.NMF == "another"


def test_nested():
    with nmf_numba.patch():
        with nmf_numba.patch():
            assert now() == OURS
        assert now() == OURS
    assert now() == THEIRS


def test_put_back_after_an_exception():
    with pytest.raises(ZeroDivisionError), nmf_numba.patch():
        1 / 0  # noqa: B018
    assert now() == THEIRS


def test_this_package_keeps_its_own(monkeypatch):
    monkeypatch.setattr(patching, "_probe", sklearn.decomposition.NMF, raising=False)
    with nmf_numba.patch():
        assert patching._probe is THEIRS["NMF"]


def test_scikit_learns_instances_and_stored_functions_work_while_patched():
    X = make_X()
    options = {"n_components": 3, "init": "random", "random_state": 0, "max_iter": 1000}
    model, stored = sklearn.decomposition.NMF(**options).fit(X), [sklearn.decomposition.non_negative_factorization]
    with nmf_numba.patch():
        copy = pickle.loads(pickle.dumps(model))
        _, H, _ = stored[0](X, **options)
    assert type(copy) is THEIRS["NMF"]
    np.testing.assert_array_equal(H, model.components_)


def test_modules_that_are_loaded_lazily_stay_unloaded(tmp_path, monkeypatch):
    (tmp_path / "lazy_probe.py").write_text("raise AssertionError('loaded')")
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("lazy_probe")
    loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lazy_probe", module)
    loader.exec_module(module)
    nmf_numba.patch().undo()


def test_compare_refuses_to_compare_with_itself():
    with nmf_numba.patch(), pytest.raises(RuntimeError, match="undo"):
        nmf_numba.compare(make_X(), 2, solvers="cd", engines="scikit-learn", max_iter=2)


def test_without_scikit_learn(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r'nmf_numba\.patch needs scikit-learn, which is not installed: .*pip install "nmf-numba\[sklearn\]"'
    with pytest.raises(ImportError, match=message):
        nmf_numba.patch()
    program = tmp_path / "program.py"
    program.write_text("")
    with pytest.raises(SystemExit, match=message):
        patching.run([str(program)])


# --- the command ---------------------------------------------------------------------------------------------------


def python(*arguments, cwd):
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def program(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "helper.py").write_text("from sklearn.decomposition import NMF\n")
    path = tmp_path / "folder" / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def package_on_path(monkeypatch, pytestconfig):
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))


@pytest.mark.usefixtures("package_on_path")
def test_program_runs_under_the_patch(program, tmp_path):
    plain = python("folder/program.py", "a", "-m", cwd=tmp_path)[1].split(maxsplit=5)
    as_file = python("-W", "error", "-m", "nmf_numba.patch", "folder/program.py", "a", "-m", cwd=tmp_path)
    as_module = python("-W", "error", "-m", "nmf_numba.patch", "-m", "program", "a", "-m", cwd=program.parent)
    assert as_file[0] == as_module[0] == 0, as_file[2] + as_module[2]
    assert as_file[1] == as_module[1]
    ours = as_file[1].split(maxsplit=5)
    assert ours[:3] == ["nmf_numba.estimators.nmf", "nmf_numba.factorization", "nmf_numba.estimators.nmf"]
    assert plain[0] == plain[2] == "sklearn.decomposition._nmf"
    assert (ours[3], ours[5]) == (plain[3], plain[5])
    assert float(ours[4]) == pytest.approx(float(plain[4]), rel=1e-9)


@pytest.mark.usefixtures("package_on_path")
def test_program_ends_as_it_would(program, tmp_path):
    program.write_text("import sys\nsys.exit(3)\n")
    assert python("-m", "nmf_numba.patch", str(program), cwd=tmp_path)[0] == 3
    program.write_text("1 / 0\n")
    code, _, errors = python("-m", "nmf_numba.patch", str(program), cwd=tmp_path)
    assert code == 1
    assert f'"{program}", line 1' in errors
    assert errors.splitlines()[-1].startswith("ZeroDivisionError")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [([], "usage:"), (["--wrong"], "usage:"), (["absent.py"], "no file 'absent.py'"), (["-m", "absent"], "no module")],
)
def test_wrong_use(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        patching.run(arguments)
    assert ended.value.code not in (0, None)
    assert said in capsys.readouterr().out + str(ended.value.code)


def test_importing_the_module_leaves_the_function_callable(tmp_path, package_on_path):
    code = (
        "import nmf_numba.patch, sklearn.decomposition as d\n"
        "with nmf_numba.patch() as active:\n    print(type(active).__name__, d.NMF.__module__)\n"
        "print(d.NMF.__module__)"
    )
    _, out, errors = python("-c", code, cwd=tmp_path)
    assert out.splitlines() == ["Patch nmf_numba.estimators.nmf", "sklearn.decomposition._nmf"], errors


def test_no_other_module_is_named_like_a_public_function():
    modules = {module.name for module in pkgutil.iter_modules(nmf_numba.__path__)}
    assert modules & set(nmf_numba.__all__) == {"patch"}
