"""The analysis of a user study as text."""

from __future__ import annotations

from .analysis import Analysis, Interval, Outcome
from .questions import QUESTIONS


def as_text(analysis: Analysis) -> str:
    """A table a question, best method first, then who was left out and why."""
    study = analysis.study
    lines = [
        f"user study {study.id}, setting {study.setting}: {len(analysis.raters)} raters, {len(study.cases)} cases, "
        f"{len(study.methods)} methods",
        f"left side chosen in {analysis.left_share:.1%} of all answers; median {analysis.median_seconds:.0f} s a pair",
    ]
    for question in QUESTIONS:
        lines += ["", question.title, *_table(analysis.outcomes[question.name])]
    lines += ["", "intervals: 95 %, raters resampled" if len(analysis.raters) > 1 else "one rater: no intervals"]
    lines += [f"left out: {rater}: {reason}" for rater, reason in analysis.left_out]
    lines += [f"refused: {file}: {reason}" for file, reason in analysis.refused]
    return "\n".join(lines)


def unknown_distance(outcome: Outcome) -> str:
    """A sentence where the data leave the distance between groups of methods open, else nothing."""
    if len(outcome.tiers) == 1:
        return ""
    order = " > ".join("{" + ", ".join(group) + "}" for group in outcome.tiers)
    return f"every comparison between these groups went one way: {order}; how far apart they are rests on the prior"


def _table(outcome: Outcome) -> list[str]:
    wide = max(map(len, outcome.standings))
    lines = [f"{'method':{wide}}  {'wins':>11}  {'win rate':>8}  {'interval':>15}  {'score':>6}  {'interval':>15}"]
    for name, one in sorted(outcome.standings.items(), key=lambda item: -item[1].score):
        won = f"{one.wins} of {one.comparisons}"
        rate, score = _ends(one.win_rate_interval, "{:.1%}"), _ends(one.score_interval, "{:+.2f}")
        lines.append(f"{name:{wide}}  {won:>11}  {one.win_rate:>8.1%}  {rate:>15}  {one.score:>+6.2f}  {score:>15}")
    note = unknown_distance(outcome)
    return [*lines, note] if note else lines


def _ends(interval: Interval | None, form: str) -> str:
    return "-" if interval is None else " to ".join(form.format(end) for end in interval)
