"""Puts conf/ into the package, where programs find it that are not run from a checkout."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConf(build_py):
    """Builds the package with its configurations; an editable one reads those of the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copytree("conf", Path(self.build_lib) / "greensweep" / "conf", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithConf})
