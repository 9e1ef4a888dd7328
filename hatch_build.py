"""Builds what is not Python: the compiled codec, where there is a compiler, and the page, where there is Node.

Without one the package is pure Python, without the other it has no page. Hatchling finds this file by its name. For an
editable installation the library goes beside its sources, for a wheel into it; the page is built for wheels and sdists
only (``make page`` for a checkout), and a wheel that is built from an sdist has the page of that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER: Final = Path("src/posewire/protocol")
_SOURCES: Final = "_speedups*.c"
_MODULE: Final = "posewire.protocol._speedups"
_PAGE: Final = Path("src/posewire/web/index.html")
_PAGE_SECONDS: Final = 600


class CompiledCodec(BuildHookInterface):
    """The hook. `POSEWIRE_PURE=1` in the environment of the build leaves the compiler alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what came of it; a failure is no error."""
        if version != "editable":
            self._build_page()
        if self.target_name != "wheel":
            return
        if os.environ.get("POSEWIRE_PURE", "") not in ("", "0"):
            self.app.display_info("posewire: pure Python, as POSEWIRE_PURE says")
            return
        self._scratch = tempfile.mkdtemp(prefix="posewire-build-")
        try:
            library = self._compile()
        except _errors() as exc:
            why = " ".join(str(exc).split())
            self.app.display_warning(f"posewire: pure Python, for the codec could not be compiled: {why[:200]}")
            return
        if version == "editable":
            # Not copied over: a process may have the old one mapped, and a new file leaves it that.
            beside = Path(self.root) / _FOLDER / library.name
            fresh = beside.with_suffix(".new")
            shutil.copy2(library, fresh)
            fresh.replace(beside)
        else:
            build_data["force_include"][str(library)] = f"posewire/protocol/{library.name}"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def _build_page(self) -> None:
        """Build the page, unless it is there and not older than its sources, or `POSEWIRE_NO_PAGE=1` says not to."""
        source, page, npm = Path(self.root) / "web", Path(self.root) / _PAGE, shutil.which("npm")
        if os.environ.get("POSEWIRE_NO_PAGE", "") not in ("", "0"):
            return
        sources = [*source.glob("*.json"), *source.glob("*/src/*"), *source.glob("viewer/*.*")]
        if page.is_file() and page.stat().st_mtime >= max((file.stat().st_mtime for file in sources), default=0.0):
            return
        if npm is None or not (source / "package-lock.json").is_file():
            self.app.display_warning("posewire: without the page, for there is no npm (Node 20 or newer) to build it")
            return
        for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            try:
                subprocess.run([npm, *command], cwd=source, check=True, timeout=_PAGE_SECONDS)  # noqa: S603  # our own
            except (OSError, subprocess.SubprocessError) as exc:
                self.app.display_warning(f"posewire: without the page, for it could not be built: {exc}")
                return

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear away what compiling left."""
        if scratch := getattr(self, "_scratch", None):
            shutil.rmtree(scratch, ignore_errors=True)

    def _compile(self) -> Path:
        """Return the library."""
        from setuptools import Distribution, Extension

        folder = Path(self.root) / _FOLDER
        # Not contracted: the compiled encoder takes every choice as the one in Python does, to the last bit.
        flags = [] if sysconfig.get_platform().startswith("win") else ["-O3", "-g0", "-std=c99", "-ffp-contract=off"]
        extension = Extension(
            _MODULE,
            sources=sorted(str(path) for path in folder.glob(_SOURCES)),
            depends=[str(folder / "_speedups.h")],
            include_dirs=[str(folder)],
            extra_compile_args=flags,
            libraries=[] if sysconfig.get_platform().startswith("win") else ["m"],
        )
        command = Distribution({"name": "posewire", "ext_modules": [extension]}).get_command_obj("build_ext")
        command.build_lib = command.build_temp = self._scratch
        command.ensure_finalized()
        command.run()
        return Path(command.get_ext_fullpath(_MODULE))


def _errors() -> tuple[type[Exception], ...]:
    """What a compiler that is missing or fails raises."""
    from setuptools.errors import BaseError, CCompilerError, CompileError, ExecError, LinkError, PlatformError

    return (BaseError, CCompilerError, CompileError, ExecError, LinkError, PlatformError, OSError)
