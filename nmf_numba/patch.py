"""`python -m nmf_numba.patch PROGRAM`. Whoever imports this module gets something that can be called like `patch`.

It is the one module that has the name of a public function, so that the command has the function's name.
"""

import sys
from types import ModuleType

from nmf_numba import patching


class CallableModule(ModuleType):
    """A module that stands for the function `patch`: importing it sets `nmf_numba.patch` to the module."""

    def __call__(self) -> patching.Patch:
        """Call the function."""
        return patching.patch()


if __name__ == "__main__":
    patching.run(sys.argv[1:])
else:
    sys.modules[__name__].__class__ = CallableModule
