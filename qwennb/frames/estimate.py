"""`df.qwen.estimate`: shares, counts, means, quantiles, regressions and accuracy of a whole table, from few human labels.

table + labels of drawn rows ─ labelled.py ─▶ arrays ─ qwennb.estimates ─▶ intervals ─ estimates.py ─▶ lines
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwennb.errors import BadInput, show_value
from qwennb.frames.estimates import Estimates
from qwennb.frames.labelled import AS_IF_RANDOM, LabelledTable, read_labelled
from qwennb.request import Check, check_options, flag, number, one_of, text

_NAME = text("the name of a column")
_CHECKS: Mapping[str, Check] = {
    "column": _NAME,
    "human": _NAME,
    "by": _NAME,
    "cluster": _NAME,
    "level": number(low=0.5, high=0.9999),
    "population": one_of("table", "beyond"),
    "design": one_of(AS_IF_RANDOM),
    "exact": flag,
}


class Estimator:
    """What is so of a whole table, from what humans said of some drawn rows and the model's answers to all.

    Examples
    --------
    >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
    >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
    >>> df.qwen.estimate.count("label", of="yes", human="human", drawn=labelled).value
    200.0
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def share(
        self,
        column: str,
        *,
        human: str,
        of: str | bool | None = None,
        drawn: Any = None,
        by: str | None = None,
        exact: bool = False,
        population: str = "table",
        level: float = 0.95,
        design: str | None = None,
    ) -> Estimates:
        """Estimate what share of the rows has a label.

        The labelled rows are weighed by what the model said of all rows (post-stratification), smoothed so that intervals
        hold for rare labels too.

        Parameters
        ----------
        column : str
            The column of the model's labels.
        human : str
            The column of what humans said, null where nobody looked; of *drawn*, where that is given.
        of : str or bool, optional
            The label; without it each has its line.
        drawn : DataFrame, optional
            The rows that `draw` drew, with their labels; without it they stand in the table.
        by : str, optional
            A column: a line for each of its values.
        exact : bool, default False
            Bounds that hold for every table and any number of labels, and are wider.
        population : str, default "table"
            What it is about: the rows of the table, or "beyond", a world of which they are a sample.
        level : float, default 0.95
            How often such an interval holds the truth.
        design : str, optional
            "as if random" takes labels of no design for a random sample.

        Returns
        -------
        Estimates
            The share with its interval, what the model alone said, what a label was worth.

        Raises
        ------
        BadInput
            If a column or a label is none, no row is labelled, or the labels are of no design.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(500), "label": ["good", "good", "bad", "good", "good"] * 100})
        >>> truth = pl.when(pl.col("n") % 9 == 0).then(pl.lit("bad")).otherwise("label")
        >>> labelled = df.qwen.draw("label", n=80).with_columns(human=truth)
        >>> print(df.qwen.estimate.share("label", of="good", human="human", drawn=labelled))
        good: 0.700 [0.638, 0.766] · 80 human labels · model alone said 0.800 · worth 2.1× the labels · table: 500 rows
        """
        given = _check(locals())
        _refuse_exact_beyond(exact=exact, population=population)
        table = self._read(column, human, {"by": [by] if by else []}, drawn, given)
        from qwennb.frames.estimate_lines import list_shares

        _need_whole_for_groups(table, by)
        lines = list_shares(
            table, column, _label(of), by=by, level=level, beyond=population == "beyond", exact=exact
        )
        return Estimates(tuple(lines), level, grouped=by)

    def count(
        self,
        column: str,
        *,
        human: str,
        of: str | bool | None = None,
        drawn: Any = None,
        by: str | None = None,
        exact: bool = False,
        level: float = 0.95,
        design: str | None = None,
    ) -> Estimates:
        """Estimate how many rows have a label: the share, times the rows.

        Parameters
        ----------
        column, human, of, drawn, by, exact, level, design
            As for `share`.

        Returns
        -------
        Estimates
            The number of rows with its interval.

        Raises
        ------
        BadInput
            As for `share`.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
        >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
        >>> print(df.qwen.estimate.count("label", of="yes", human="human", drawn=labelled))
        yes: 200 [184, 216] · 60 human labels · model alone said 200 · worth 9.8× the labels · table: 400 rows
        """
        given = _check(locals())
        table = self._read(column, human, {"by": [by] if by else []}, drawn, given)
        from qwennb.frames.estimate_lines import list_shares

        _need_whole_for_groups(table, by)
        lines = list_shares(
            table, column, _label(of), by=by, level=level, beyond=False, exact=exact, count=True
        )
        return Estimates(tuple(lines), level, grouped=by)

    def mean(
        self,
        column: str,
        *,
        human: str,
        drawn: Any = None,
        by: str | None = None,
        population: str = "table",
        level: float = 0.95,
        design: str | None = None,
    ) -> Estimates:
        """Estimate the mean of what humans would say: the model's mean, corrected by the labelled rows (PPI++).

        Parameters
        ----------
        column : str
            The column of the model's numbers.
        human, drawn, by, population, level, design
            As for `share`.

        Returns
        -------
        Estimates
            The mean with its interval.

        Raises
        ------
        BadInput
            As for `share`, and if the columns hold no numbers.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(500), "stars": [1, 2, 3, 4, 5] * 100})
        >>> labelled = df.qwen.draw("stars", n=100).with_columns(human=pl.col("stars") - (pl.col("n") % 4 == 0))
        >>> print(df.qwen.estimate.mean("stars", human="human", drawn=labelled))
        mean of stars: 2.800 [2.728, 2.872] · 100 human labels · model alone said 3.000 · worth 12.3× the labels · table: 500 rows
        """
        given = _check(locals())
        table = self._read(column, human, {"by": [by] if by else []}, drawn, given)
        from qwennb.frames.estimate_lines import list_means

        lines = list_means(table, column, by=by, level=level, beyond=population == "beyond")
        return Estimates(tuple(lines), level, grouped=by)

    def quantile(
        self,
        column: str,
        q: float = 0.5,
        *,
        human: str,
        drawn: Any = None,
        by: str | None = None,
        population: str = "table",
        level: float = 0.95,
        design: str | None = None,
    ) -> Estimates:
        """Estimate below which number a share *q* of the rows lies, by inverting the test of a share.

        Parameters
        ----------
        column : str
            The column of the model's numbers.
        q : float, default 0.5
            The share of rows below; 0.5 is the median.
        human, drawn, by, population, level, design
            As for `share`.

        Returns
        -------
        Estimates
            The quantile with its interval.

        Raises
        ------
        BadInput
            As for `mean`.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(500), "stars": [1, 2, 3, 4, 5] * 100})
        >>> labelled = df.qwen.draw("stars", n=100).with_columns(human=pl.col("stars"))
        >>> df.qwen.estimate.quantile("stars", 0.5, human="human", drawn=labelled).value
        3.0
        """
        given = _check(locals())
        number(low=0.001, high=0.999)("q", q)
        table = self._read(column, human, {"by": [by] if by else []}, drawn, given)
        from qwennb.frames.estimate_lines import list_means

        lines = list_means(table, column, by=by, level=level, beyond=population == "beyond", q=q)
        return Estimates(tuple(lines), level, grouped=by)

    def accuracy(
        self, column: str, *, human: str, drawn: Any = None, level: float = 0.95, design: str | None = None
    ) -> Estimates:
        """Estimate how right the model is over the whole table: accuracy, and of each label precision, recall and F1.

        Parameters
        ----------
        column : str
            The column of the model's labels.
        human, drawn, level, design
            As for `share`.

        Returns
        -------
        Estimates
            `estimates["accuracy"]`, `estimates["spam: recall"]` …

        Raises
        ------
        BadInput
            As for `share`.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
        >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
        >>> [line.of for line in df.qwen.estimate.accuracy("label", human="human", drawn=labelled)][:4]
        ['accuracy', 'no: precision', 'no: recall', 'no: F1']
        """
        given = _check(locals())
        table = self._read(column, human, {}, drawn, given)
        from qwennb.frames.estimate_lines import list_accuracies

        lines, notes = list_accuracies(table, column, level=level)
        return Estimates(tuple(lines), level, tuple(notes))

    def ols(
        self,
        column: str,
        on: str | Sequence[str],
        *,
        human: str | Mapping[str, str],
        of: str | bool | None = None,
        drawn: Any = None,
        cluster: str | None = None,
        population: str = "table",
        level: float = 0.95,
        design: str | None = None,
    ) -> Estimates:
        """Estimate a linear regression that humans' labels would give, by predict-then-debias.

        Parameters
        ----------
        column : str
            The outcome.
        on : str or list of str
            The covariates: numbers, truth values, or labels, of which each but the first has a coefficient.
        human : str or dict
            The column of what humans said of the outcome; or, where the model's label is a covariate, a dict of the model's
            columns and those of humans: `{"label": "label_human"}`.
        of : str or bool, optional
            The label that is the outcome: 1 where it is so.
        drawn : DataFrame, optional
            The rows that `draw` drew, with their labels; without it they stand in the table.
        cluster : str, optional
            The column of clusters whose rows are alike.
        population, level, design
            As for `share`.

        Returns
        -------
        Estimates
            A line for each coefficient.

        Raises
        ------
        BadInput
            As for `share`, and if there are fewer than ten labels a coefficient, or columns say the same.

        Examples
        --------
        >>> df = pl.DataFrame({"age": range(20, 70), "stars": [1, 2, 3, 4, 5] * 10})
        >>> labelled = df.qwen.draw("stars", n=40).with_columns(human=pl.col("stars"))
        >>> [line.of for line in df.qwen.estimate.ols("stars", on="age", human="human", drawn=labelled)]
        ['(intercept)', 'age']
        """
        return self._regress(column, on, human, of, drawn, cluster, population, level, design, logit=False)

    def logit(
        self,
        column: str,
        on: str | Sequence[str],
        *,
        human: str | Mapping[str, str],
        of: str | bool | None = None,
        drawn: Any = None,
        cluster: str | None = None,
        population: str = "table",
        level: float = 0.95,
        design: str | None = None,
    ) -> Estimates:
        """Estimate a logistic regression that humans' labels would give, by predict-then-debias.

        Parameters
        ----------
        column, on, human, of, drawn, cluster, population, level, design
            As for `ols`; the outcome is a label, `of="complaint"`, or holds 0 and 1.

        Returns
        -------
        Estimates
            A line for each coefficient, in log odds.

        Raises
        ------
        BadInput
            As for `ols`, and if the labelled rows can be told apart without a mistake.

        Examples
        --------
        >>> df = pl.DataFrame({"age": range(20, 70), "label": ["yes", "no", "yes", "yes", "no"] * 10})
        >>> labelled = df.qwen.draw("label", n=40).with_columns(human=pl.col("label"))
        >>> [line.of for line in df.qwen.estimate.logit("label", on="age", of="yes", human="human", drawn=labelled)]
        ['(intercept)', 'age']
        """
        return self._regress(column, on, human, of, drawn, cluster, population, level, design, logit=True)

    def _regress(
        self,
        column: str,
        on: str | Sequence[str],
        human: str | Mapping[str, str],
        of: str | bool | None,
        drawn: Any,
        cluster: str | None,
        population: str,
        level: float,
        design: str | None,
        *,
        logit: bool,
    ) -> Estimates:
        given = _check(
            {
                "column": column, "cluster": cluster, "population": population, "level": level, "design": design,
                **({} if isinstance(human, Mapping) else {"human": human}),
            }
        )  # fmt: skip
        covariates = _list_columns(on)
        humans = _read_human(column, human)
        if stray := [name for name in humans if name not in (column, *covariates)]:
            raise BadInput(
                f"human= names `{stray[0]}`, which is neither the outcome nor a covariate of this regression."
            )
        also = {"column": [column], "on": covariates, "cluster": [cluster] if cluster else []}
        table = read_labelled(self._table, humans, also, drawn=drawn, design=given.get("design"))
        from qwennb.frames.estimate_lines import list_coefficients

        lines, notes = list_coefficients(
            table,
            column,
            covariates,
            _label(of),
            logit=logit,
            cluster=cluster,
            level=level,
            beyond=population == "beyond",
        )
        return Estimates(tuple(lines), level, tuple(notes))

    def _read(
        self, column: str, human: str, also: Mapping[str, Sequence[str]], drawn: Any, given: Mapping[str, Any]
    ) -> LabelledTable:
        return read_labelled(self._table, {column: human}, also, drawn=drawn, design=given.get("design"))


def estimate(table: Any) -> Estimator:
    """Estimate what is so of a whole table, from what humans said of some drawn rows: `estimate(df).share(…)`.

    Parameters
    ----------
    table : DataFrame, LazyFrame …
        A table with the model's answers, of any library that the verbs take; a lazy one is collected, and says so.

    Returns
    -------
    Estimator
        `share`, `count`, `mean`, `quantile`, `accuracy`, `ols`, `logit`; the same as `df.qwen.estimate`.

    Raises
    ------
    BadInput
        When a figure is asked for.

    Examples
    --------
    >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
    >>> labelled = qwennb.draw(df, "label", n=60).with_columns(human=pl.col("label"))
    >>> qwennb.estimate(df).share("label", of="yes", human="human", drawn=labelled).value
    0.5
    """
    return Estimator(table)


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("column", "human", "level", "population"):
        if name in given and given[name] is None:
            _CHECKS[name](name, None)
    return check_options(given.get, _CHECKS)


def _label(of: Any) -> str | None:
    if of is None:
        return None
    if isinstance(of, bool):
        return str(of).lower()
    if isinstance(of, int | float):
        return f"{of:g}"
    return str(text("a label")("of", of))


def _list_columns(on: Any) -> list[str]:
    names = [on] if isinstance(on, str) else on
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(one, str) and one for one in names)
    ):
        raise BadInput(f'on={show_value(on)} must name columns: on=["age", "price"].')
    if len(set(names)) < len(names):
        raise BadInput(f"on={show_value(on)} names a column twice.")
    return list(names)


def _read_human(column: str, human: Any) -> dict[str, str]:
    """Read which column of humans is about which of the model's: a name is about *column*."""
    if not isinstance(human, Mapping):
        return {column: human}
    if not human or not all(isinstance(one, str) and one for pair in human.items() for one in pair):
        raise BadInput(
            f'human={show_value(human)} must map columns of the model to those of humans: human={{"label": "label_human"}}.'
        )
    return dict(human)


def _refuse_exact_beyond(*, exact: bool, population: str) -> None:
    if exact and population == "beyond":
        raise BadInput("exact=True is about the rows of the table. Leave it out, or population.")


def _need_whole_for_groups(table: LabelledTable, by: str | None) -> None:
    if by is not None and not table.is_whole:
        raise BadInput(
            "How many rows each group has is told by the whole table, and this is the drawn frame. "
            "Estimate over the table: df.qwen.estimate….(…, drawn=these_rows)."
        )
