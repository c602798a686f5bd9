"""Parts for the physics of picks: their convex pieces follow the surface closely, so that grasps are as planned."""

from collections.abc import Mapping
from dataclasses import replace

from binpose_core.parts.objects import ObjectModel
from binpose_simulation.content_config import ContentConfig
from binpose_simulation.decomposition import convex_pieces
from binpose_simulation.prepared_parts import OnPart, PreparedPart, drawn_part

FACES, PIECES, CONCAVITY, LIMIT_S = 1500, 24, 0.05, 120.0


def gripped_parts(objects: Mapping[str, ObjectModel], on_part: OnPart | None = None) -> dict[str, PreparedPart]:
    """Parts for the renderer and for the physics of picks: up to a minute per part, the first time.

    A pile needs only about the shape of a part. Between fingers, a thin sheet must have its thickness.

    Args:
        objects: the parts by id.
        on_part: called before each part.
    """
    prepared = {}
    for number, (name, model) in enumerate(objects.items(), start=1):
        if on_part:
            on_part(number, len(objects), name)
        pieces = convex_pieces(model.lod(FACES), PIECES, CONCAVITY, LIMIT_S, exact=model.watertight)
        prepared[name] = replace(drawn_part(model, ContentConfig()), pieces=tuple(pieces))
    return prepared
