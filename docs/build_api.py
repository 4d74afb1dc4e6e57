"""Build pages of all public names from their docstrings.

python docs/build_api.py [FOLDER]

FOLDER is outputs/api by default; open index.html in it.
"""

import sys
from pathlib import Path
from pkgutil import walk_packages

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import pdoc  # noqa: E402

import aognet  # noqa: E402


def main(folder: Path) -> None:
    # The package imports these when they are used, so pdoc does not find them by itself.
    for name in aognet.__all__:
        setattr(aognet, name, getattr(aognet, name))
    pdoc.render.configure(docformat="restructuredtext")
    # pdoc leaves out modules that the ``__all__`` of their package does not list, unless they are named.
    modules = [module.name for module in walk_packages(aognet.__path__, "aognet.") if "._" not in module.name]
    unlisted = [name for name in modules if hasattr(sys.modules[name.rpartition(".")[0]], "__all__")]
    pdoc.pdoc("aognet", *unlisted, output_directory=folder)


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]) if sys.argv[1:] else ROOT / "outputs" / "api")
