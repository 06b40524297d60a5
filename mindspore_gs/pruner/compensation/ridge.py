"""Ridge regression with an intercept, from rows that come batch by batch. Plain NumPy in float64."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

STRENGTH = 1e-3  # of the mean diagonal of the Gram matrix


@dataclass(frozen=True)
class _Sums:
    """What is left of rows x and of what is missing at them, r: the sums of x x', x r', x, r and r r."""

    gram: np.ndarray
    cross: np.ndarray
    x: np.ndarray
    missing: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, missing: np.ndarray) -> _Sums:
        return cls(x.T @ x, x.T @ missing, x.sum(0), missing.sum(0), (missing ** 2).sum(0))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.gram + other.gram, self.cross + other.cross, self.x + other.x,
                     self.missing + other.missing, self.squares + other.squares)


@dataclass
class Rows:
    r"""Rows :math:`x_i` with what is missing at them, :math:`r_i`.

    Few rows are kept as they are. Once there are more of them than columns, only their Gram matrix and their sums are,
    so the memory is that of at most ``columns`` times ``columns`` numbers.

    Attributes:
        columns: entries of a row.
        outputs: entries of what is missing.
        count: number of rows.

    Examples:
        >>> x = np.array([[0.0], [1.0], [2.0]])
        >>> rows = Rows(columns=1, outputs=1)
        >>> rows.add(x, 3 * x + 1)
        >>> change, intercept = rows.solve(intercept=True, strength=0.0)
        >>> change.round(6).tolist(), intercept.round(6).tolist(), rows.error(change, intercept).round(6).tolist()
        ([[3.0]], [1.0], [0.0])
    """

    columns: int
    outputs: int
    count: int = 0
    _waiting: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    _sums: _Sums | None = None

    def add(self, x: np.ndarray, missing: np.ndarray) -> None:
        """Take rows in: shapes (rows, columns) and (rows, outputs)."""
        self.count += len(x)
        self._waiting.append((x.astype(np.float32), missing.astype(np.float64)))
        if self.count >= self.columns:
            new = _Sums.of(*self._rows())
            self._sums = new if self._sums is None else self._sums + new
            self._waiting.clear()

    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        if not self._waiting:
            return np.zeros((0, self.columns)), np.zeros((0, self.outputs))
        x, missing = (np.concatenate(parts) for parts in zip(*self._waiting))
        return x.astype(np.float64), missing

    def solve(self, intercept: bool, strength: float = STRENGTH) -> tuple[np.ndarray, np.ndarray]:
        r"""The change D of the weights and the intercept c that leave least.

        .. math:: \min_{D, c} \sum_i |r_i - D x_i - c|^2 + \lambda |D|^2

        :math:`\lambda` is ``strength`` times the mean diagonal of the Gram matrix of the (centred) rows, so that a
        singular one, because there are few rows or columns that are always zero, does no harm. With fewer rows than
        columns the same is computed from the products of the rows with each other. Source: Hoerl and Kennard, Ridge
        Regression, Technometrics 1970.

        Args:
            intercept: whether there is one; without it c is zero.
            strength: see above.

        Returns:
            D of shape (outputs, columns) and c of shape (outputs,).
        """
        mean, shift = np.zeros(self.columns), np.zeros(self.outputs)
        if intercept and self.count:
            x, missing = self._rows()
            sums = self._sums
            mean, shift = (x.mean(0), missing.mean(0)) if sums is None else \
                (sums.x / self.count, sums.missing / self.count)
        change = self._few(mean, shift, strength) if self._sums is None else \
            self._many(self._sums, mean, shift, strength)
        return change, shift - change @ mean

    def _few(self, mean: np.ndarray, shift: np.ndarray, strength: float) -> np.ndarray:
        x, missing = self._rows()
        x -= mean
        ridge = strength * float(np.vdot(x, x)) / self.columns
        if ridge == 0.0:
            return np.zeros((self.outputs, self.columns))
        gram = x @ x.T
        gram[np.diag_indices_from(gram)] += ridge
        change: np.ndarray = np.linalg.solve(gram, missing - shift).T @ x
        return change

    def _many(self, sums: _Sums, mean: np.ndarray, shift: np.ndarray, strength: float) -> np.ndarray:
        gram = np.outer(mean, -self.count * mean)
        gram += sums.gram  # in place: it may have half a gigabyte
        diagonal = float(gram.diagonal().mean())
        if diagonal <= self.count * np.finfo(np.float64).eps * float(sums.gram.diagonal().mean()):
            return np.zeros((self.outputs, self.columns))
        gram[np.diag_indices_from(gram)] += strength * diagonal
        change: np.ndarray = np.linalg.solve(gram, sums.cross - self.count * np.outer(mean, shift)).T
        return change

    def error(self, change: np.ndarray | None = None, intercept: np.ndarray | None = None) -> np.ndarray:
        r"""Mean of :math:`(r - D x - c)^2` over the rows, shape (outputs,); of :math:`r^2` without arguments."""
        change = np.zeros((self.outputs, self.columns)) if change is None else change
        c = np.zeros(self.outputs) if intercept is None else intercept
        sums = self._sums
        if sums is None:
            x, missing = self._rows()
            rest: np.ndarray = ((missing - x @ change.T - c) ** 2).mean(0)
            return rest
        fitted = ((change @ sums.gram) * change).sum(1) + 2 * c * (change @ sums.x) + self.count * c ** 2
        total = sums.squares - 2 * (change * sums.cross.T).sum(1) - 2 * c * sums.missing + fitted
        return np.maximum(total, 0.0) / self.count
