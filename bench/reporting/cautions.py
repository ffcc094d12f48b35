"""What a reader of a report must be warned of."""

from collections.abc import Mapping

import pandas as pd

from bench.results import Results

SAME_IMAGES = ("limit_train", "limit_test", "image_size", "channels", "test_pool")  # else results are not comparable


def cautions(studies: Mapping[str, Results], trials: pd.DataFrame, found: pd.DataFrame) -> list[str]:
    """Warnings, one line each. `found` holds the AUROC by study, model and class (tables.auroc), or nothing."""
    lines = []
    for name, study in studies.items():
        if study.provenance.get("dirty"):
            commit = str(study.provenance.get("commit"))[:12]
            lines.append(f"{name}: made from a tree with uncommitted changes (on commit {commit})")
    lines += failures(trials)
    if found.empty:
        return [*lines, "no final run has finished: there are validation figures only, and no test figure"]
    for row in found[found["auroc"] < 0.5].itertuples():
        lines.append(f"{row.column}, {row.row}: AUROC {row.auroc:.3f} is under 0.5, worse than chance")
    if single := (found["seeds"] == 1).sum():
        lines.append(f"{single} of {len(found)} results rest on a single seed: their spread over seeds is unknown")
    if found["seeds"].nunique() > 1:
        lines.append("results rest on different numbers of seeds (see auroc.csv)")
    return lines + different_images(studies)


def failures(trials: pd.DataFrame) -> list[str]:
    """One line a study and reason, with how often and where it came up."""
    failed = trials[trials["status"] == "error"]
    reasons = failed["error"].fillna("no reason given").astype(str).str.strip().str.split("\n").str[-1].str[:200]
    return [
        f"{study}: {len(group)} of {(trials['study'] == study).sum()} trials failed: {reason} "
        f"({group['column'].iloc[0]}, {group['row'].iloc[0]}, trial {group['trial'].iloc[0]}{', …' if len(group) > 1 else ''})"
        for (study, reason), group in failed.groupby(["study", reasons], sort=False)
    ]


def different_images(studies: Mapping[str, Results]) -> list[str]:
    """A line where studies of one data set differ in images, so that their figures cannot be compared."""
    lines = []
    names = {name: (s.provenance.get("dataset") or {}).get("name") for name, s in studies.items()}
    for dataset in dict.fromkeys(names.values()):
        group = [s for name, s in studies.items() if names[name] == dataset]
        differing = [key for key in SAME_IMAGES if len({str(s.study.get(key)) for s in group}) > 1]
        if len({(s.provenance.get("dataset") or {}).get("fingerprint") for s in group}) > 1:
            differing.append("fingerprint")
        if differing:
            lines.append(f"the studies of {dataset} are not of the same images ({', '.join(differing)} differ)")
    return lines
