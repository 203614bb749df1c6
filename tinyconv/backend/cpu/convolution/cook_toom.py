"""The matrices of Winograd's fast convolution, made from a few numbers by polynomial arithmetic.

A correlation of 6 inputs ``d`` with 3 weights ``g`` gives 4 outputs and takes 12 multiplications.
Read the vectors as coefficients of polynomials: convolution is then the product of polynomials,
and a product can be had by *evaluating* both at 6 points, multiplying 6 numbers, and
*interpolating*. Evaluation and interpolation are small constant matrices:

    y = A^T [ (G g) * (B^T d) ]              in two dimensions:  A^T [ (G g G^T) * (B^T d B) ] A

so that 36 multiplications give a 4 x 4 block of outputs that would take 144. This is F(4, 3);
``B`` depends on the points alone, hence F(3, 4), which a weight gradient needs, shares it, and so
do F(2, 5) and F(5, 2), which are for 5 weights.

Points far from 1 make large and small entries, and rounding errors with them. The points 0,
+-3/4, +-3/2 and infinity have exact binary entries and less than half of the error of the usual
0, +-1, +-2 (Lavin and Gray 2016, arXiv:1509.09308; on points: Barabasz et al. 2020,
arXiv:1803.10986).
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

Matrix = tuple[tuple[float, ...], ...]

#: Points of evaluation beside infinity, by the size of a block of input: pairs of opposite sign,
#: whose matrix rows share half of their work.
POINTS = {
    4: (Fraction(0), Fraction(1), Fraction(-1)),
    6: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
}


class CookToom(NamedTuple):
    """The matrices of F(m, r): m outputs of a correlation with r weights from m + r - 1 inputs."""

    #: (m + r - 1, m + r - 1): evaluates the input.
    input: Matrix
    #: (m + r - 1, r): evaluates the weights.
    weight: Matrix
    #: (m, m + r - 1): interpolates the output.
    output: Matrix


def cook_toom(outputs: int, taps: int) -> CookToom:
    """Return the matrices of F(outputs, taps).

    Parameters
    ----------
    outputs, taps : int
        Size of the block of outputs and of the weights; their sum less one has to have points in
        :data:`POINTS`.
    """
    points = POINTS[outputs + taps - 1]
    others = [points[:j] + points[j + 1 :] for j in range(len(points))]
    interpolate = [[*(p**i for p in points), Fraction(i == outputs - 1)] for i in range(outputs)]
    evaluate = [
        [p**k / _product([p - q for q in rest]) for k in range(taps)]
        for p, rest in zip(points, others, strict=True)
    ]
    evaluate.append([Fraction(k == taps - 1) for k in range(taps)])
    extract = [[*_polynomial(rest), Fraction(0)] for rest in others]
    extract.append(_polynomial(points))
    return CookToom(_floats(extract), _floats(evaluate), _floats(interpolate))


def _product(numbers: list[Fraction]) -> Fraction:
    result = Fraction(1)
    for number in numbers:
        result *= number
    return result


def _polynomial(roots: tuple[Fraction, ...]) -> list[Fraction]:
    """Return the coefficients, lowest first, of the product of all (x - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        scaled = [-root * c for c in coefficients] + [Fraction(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


def _floats(rows: list[list[Fraction]]) -> Matrix:
    return tuple(tuple(float(entry) for entry in row) for row in rows)
