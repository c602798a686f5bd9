"""How a pose network learns from teachers."""

from dataclasses import dataclass

from binpose_core.base.errors import BinposeError
from binpose_core.base.settings import NOT_NEGATIVE, check_bounds, setting


@dataclass(frozen=True)
class DistillationConfig:
    """A student learns from the pose networks of other models (Sock et al., 2020, eqs. 5 to 7).

    teachers: folders of models, or names of shipped ones; of several that know a part, the first teaches it.
    regression: weight of the upper-bounded regression loss, eqs. 5 and 7.
    hint: weight of the loss between features, eq. 6; 0 = none.
    teacher_layer, student_layer: the modules whose features are compared; the preset's own when empty.
    """

    teachers: tuple[str, ...] = ()
    regression: float = setting(1.0, bounds=NOT_NEGATIVE)
    hint: float = setting(0.5, bounds=NOT_NEGATIVE)
    teacher_layer: str = ""
    student_layer: str = ""

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.teachers and self.regression == 0 and self.hint == 0:
            raise BinposeError(
                "Teachers whose regression and hint both have the weight 0 teach nothing; expected one above 0; raise "
                "one, or leave out the teachers."
            )

    @property
    def enabled(self) -> bool:
        """Whether there is a teacher."""
        return bool(self.teachers)
