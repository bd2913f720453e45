#!/usr/bin/env bash
# torchmetrics' GeneralizedDiceScore of a batch of fields, in one of which a class of cells is absent.
#
# Expected: the score of a field, and the mean of all, are the same in whichever order the fields of a batch come, and whichever
# numbers the classes have.
# Seen (torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6, CPython 3.11), with the default weights (1 / area squared): one field has
# tumour and no lymphocytes, and 16 px of such in the prediction; another has both. If the first comes first, its score is 0.944,
# and 0.461 if it comes second; the mean of both is 0.970 or 0.729. With tumour and lymphocytes numbered the other way round it is
# 0.956 and 0.944. By hand, with the largest weight that the class has in the batch, it is 0.461 in each of the four. On its own it is
# 0.956: the weight of an absent class is 0 there. Weights for absent classes are laid out class by class, and read field by field.
# Where all fields have all classes it is right. per_class=True has 0 for an absent class, which is known (issue 2846). Nothing is
# said about the order.
# What follows: DiceScore, or one field at a time, or weights by hand.
#
# Exits 0 while that is so, 1 when it is not any more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env
env/bin/pip install --quiet "torch==2.13.0" "torchmetrics==1.9.0" "numpy==2.4.6"
cat > dice.py <<'PY'
import sys
from importlib.metadata import version

import torch
from torchmetrics.functional.segmentation import generalized_dice_score
from torchmetrics.segmentation import GeneralizedDiceScore


def field(tumour, lymphocytes, moved=0):
    """A square of tumour (1) and one of lymphocytes (2), `moved` px off."""
    mask = torch.zeros(100, 100, dtype=torch.long)
    mask[10 + moved : 10 + moved + tumour, 10 : 10 + tumour] = 1
    mask[70 : 70 + lymphocytes, 70 : 70 + lymphocytes] = 2
    return mask


def by_hand(true, found):
    """Scores with the largest weight that a class has in the batch where it is absent."""
    areas = torch.stack([(true == k).sum((1, 2)) for k in range(3)], 1).double()
    largest = torch.where(areas > 0, 1 / areas**2, 0).max(0).values
    weights = torch.where(areas > 0, 1 / areas**2, largest)
    both = torch.stack([((true == k) & (found == k)).sum((1, 2)) for k in range(3)], 1)
    total = areas + torch.stack([(found == k).sum((1, 2)) for k in range(3)], 1)
    return (2 * (both * weights).sum(1) / (total * weights).sum(1)).tolist()


print(*(f"{name} {version(name)}" for name in ("torchmetrics", "torch", "numpy")))
absent, both = (field(40, 0), field(40, 4, 2)), (field(30, 10), field(30, 10, 1))
cases = {"alone": ([absent], 0), "first": ([absent, both], 0), "second": ([both, absent], 1)}
seen = {}
for name, (batch, place) in cases.items():
    true, found = (torch.stack(one) for one in zip(*batch))
    for numbers in ("1, 2", "2, 1"):
        exchanged = torch.tensor([0, 1, 2] if numbers == "1, 2" else [0, 2, 1])
        metric = GeneralizedDiceScore(num_classes=3, input_format="index")
        metric.update(exchanged[found], exchanged[true])
        scores = generalized_dice_score(exchanged[found], exchanged[true], num_classes=3, input_format="index").tolist()
        right = by_hand(exchanged[true], exchanged[found])
        seen[name, numbers] = (round(scores[place], 3), round(float(metric.compute()), 3), round(right[place], 3))
        print(f"the field without lymphocytes {name}, classes numbered {numbers}: score {seen[name, numbers][0]}, mean of the batch "
              f"{seen[name, numbers][1]}; by hand {seen[name, numbers][2]}")
full, other = (field(40, 8), field(40, 8, 2)), both
orders = [[torch.stack(one) for one in zip(*batch)] for batch in ((full, other), (other, full))]
scores = [generalized_dice_score(found, true, num_classes=3, input_format="index").tolist() for true, found in orders]
print("two fields with all classes:", scores, "by hand:", by_hand(*orders[0]))
same = max(abs(a - b) for a, b in zip(scores[0] + scores[0], scores[1][::-1] + by_hand(*orders[0]))) < 1e-5
as_seen = [seen[name, "1, 2"][0] for name in cases] == [0.956, 0.944, 0.461] and seen["second", "2, 1"][0] == 0.944
as_seen &= seen["first", "2, 1"][0] == 0.956 and (seen["first", "1, 2"][1], seen["second", "1, 2"][1]) == (0.97, 0.729)
as_seen &= same and all(one[2] == 0.461 for key, one in seen.items() if key[0] != "alone")
sys.exit(0 if as_seen else 1)
PY
env/bin/python -W ignore dice.py
