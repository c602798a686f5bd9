"""`binpose export`: the networks of a model as ONNX files."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from binpose.commands.command import Command, console, waiting


@dataclass(frozen=True, kw_only=True)
class Export(Command):
    """Write the networks of a model as ONNX files, with their inputs and outputs in model.json (extra `onnx`).

    The number of crops is free. ONNX Runtime and torch must give the same outputs before a file is written.

    Example: binpose export models/wrs --out models/wrs/onnx
    """

    model: tyro.conf.Positional[Path]
    """Folder of the model, or the name of a shipped model (demo); with @candidate or @VERSION for another version."""
    out: Path
    """Folder for the files."""

    def run(self) -> int:
        """Export and list the files."""
        from binpose_pipeline.bundle import load_bundle
        from binpose_pipeline.onnx_export import export_model

        with waiting(f"Exporting {self.model} ..."):
            files = export_model(load_bundle(self.model), self.out)
        for path in files:
            console.print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
        return 0
