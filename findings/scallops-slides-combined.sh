#!/usr/bin/env bash
# SCALLOPS' scallops.stats: p-values and effects of a feature of nuclei that was compared on several slides (meta-analysis).
#
# Expected: fixed_effects_meta_analysis_mannwhitneyu gives the combined p-value of Mann-Whitney's U of each slide: small where the
# groups differ. combine_effects_reml gives tau squared, "the between-study variance", 0 where all slides have the same effect.
# random_effects_meta_analysis_mannwhitneyu gives "the combined effect size, its variance".
# Seen (scallops 1.0.0, statsmodels 0.14.6, scipy 1.17.1, numpy 2.4.6, CPython 3.11): of four slides with two groups of 60 nuclei that
# do not differ the p-value is 1e-74 (by hand 0.54), and of four with groups that hardly overlap 0.58 (by hand 4e-75): U is tested
# against 0, which it is where the groups are wholly apart, and not against n1 * n2 / 2, which it is on average where they are alike.
# With five slides of the same effect, 0.7, tau squared is 0.48 for 0, and the variance of the combined effect 0.10 for 0.002: what is
# minimized takes the effects themselves for what is left of them when their mean is taken off. The variance of the random effects is
# its square root, 0.027 for 0.0007. Nothing is said about any of these.
# What follows: scipy.stats.combine_pvalues of the slides' p-values, statsmodels' combine_effects and its var_eff_w_re.
# Installed without its dependencies: what the module imports and this does not use is stood in for.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "numpy==2.4.6" "scipy==1.17.1" "pandas==2.3.3" "statsmodels==0.14.6" "dask==2026.3.0"
env/bin/pip install --quiet --no-deps "scallops==1.0.0"
cat > slides.py <<'PY'
import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
from scipy.stats import mannwhitneyu, norm
from statsmodels.stats.meta_analysis import combine_effects

for name in ("joblib", "matplotlib", "matplotlib.pyplot", "matplotlib.figure", "sklearn", "sklearn.neighbors"):
    sys.modules[name] = MagicMock()
folder = Path(importlib.util.find_spec("scallops").submodule_search_locations[0])
spec = importlib.util.spec_from_file_location("stats", folder / "stats.py")
stats = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stats)

print(*(f"{name} {version(name)}" for name in ("scallops", "statsmodels", "scipy", "numpy")))
random = np.random.default_rng(0)
n, sizes = 60, [(60, 60)] * 4
p_values = []
for name, apart in (("alike", 0), ("hardly overlap", 3)):
    slides = [mannwhitneyu(random.normal(0, 1, n), random.normal(apart, 1, n)) for _ in sizes]
    u = [float(slide.statistic) for slide in slides]
    z = (sum(u) - len(u) * n * n / 2) / np.sqrt(len(u) * n * n * (2 * n + 1) / 12)
    p_values.append((2 * norm.sf(abs(z)), stats.fixed_effects_meta_analysis_mannwhitneyu(u, sizes)[0]))
    print(f"groups {name}: U {u}, p by hand {p_values[-1][0]:.2g}, combined {p_values[-1][1]:.2g}")
    if not apart:
        got = stats.random_effects_meta_analysis_mannwhitneyu(u, sizes, [float(slide.pvalue) for slide in slides])
        right = combine_effects(np.array(u) / n**2, np.full(4, (2 * n + 1) / (12 * n * n)), method_re="pm").var_eff_w_re
        variance = right, got.combined_variance
        print(f"random effects: variance {right:.5f} in statsmodels, {got.combined_variance:.5f} here")
effect, reml, tau = stats.combine_effects_reml(np.full(5, 0.7), np.full(5, 0.01))
print(f"five slides with an effect of 0.7 and a variance of 0.01: {effect:.2f}, variance {reml:.4f} for 0.0020, tau squared {tau:.2f}")
as_seen = p_values[0][0] > 0.05 and p_values[0][1] < 1e-40 and p_values[1][0] < 1e-40 and p_values[1][1] > 0.3
as_seen &= tau > 0.4 and reml > 0.05 and np.isclose(variance[0], variance[1] ** 2)
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore slides.py
