"""The number type of the model.

Formulas use only integer constants, ``+ - * /`` and comparisons. A caller who passes
``float`` gets ``float``; one who passes ``fractions.Fraction`` gets the exact answer.
The hint is ``float`` since no type covers both and their arithmetic.
"""

from typing import TypeAlias

__all__ = ["Number"]

Number: TypeAlias = float
